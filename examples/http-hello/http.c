// http.c: reading a request's head. Strict, as RFC 9112 lets servers be: no folded lines, no space
// before a colon; lines may end in a bare LF (2.2). Every byte is looked at a bounded number of
// times. Numbers in parentheses are sections of RFC 9112.
// Left out: contents. A request that has one is answered, and the connection then ends.
#include "http.h"
#include <stdint.h>
#include <string.h>

struct text {
    const char *at;
    size_t len;
};

struct head {
    unsigned hosts, lengths;
    bool close, content, chunked, http_1_0;
};

static bool is_token_char(char c) { // RFC 9110, 5.6.2
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    return letter || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_token(struct text text) {
    for (size_t i = 0; i < text.len; i++) {
        if (!is_token_char(text.at[i])) {
            return false;
        }
    }
    return text.len > 0;
}

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c; }

static bool equals(struct text text, const char *word) { // a word of small letters
    size_t i = 0;
    while (i < text.len && word[i] != '\0' && lower(text.at[i]) == word[i]) {
        i++;
    }
    return i == text.len && word[i] == '\0';
}

static struct text trim(struct text text) {
    while (text.len > 0 && (text.at[0] == ' ' || text.at[0] == '\t')) {
        text.at++;
        text.len--;
    }
    while (text.len > 0 && (text.at[text.len - 1] == ' ' || text.at[text.len - 1] == '\t')) {
        text.len--;
    }
    return text;
}

// Cut off `text` up to `end`; false if that is not in it.
static bool cut(struct text *text, char end, struct text *part) {
    const char *found = text->len > 0 ? memchr(text->at, end, text->len) : NULL;
    if (!found) {
        return false;
    }
    *part = (struct text){text->at, (size_t)(found - text->at)};
    text->len -= part->len + 1;
    text->at = found + 1;
    return true;
}

// The next line without its end; false when there is none.
static bool next_line(struct text *data, struct text *line) {
    if (!cut(data, '\n', line)) {
        return false;
    }
    if (line->len > 0 && line->at[line->len - 1] == '\r') {
        line->len--;
    }
    return true;
}

static bool has_control_chars(struct text text) {
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.at[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return true;
        }
    }
    return false;
}

// The path of a request target in origin form or absolute form (3.2).
static bool read_target(struct text target, struct http_request *request) {
    static const char scheme[] = "http://";
    struct text prefix = {target.at, sizeof scheme - 1};
    for (size_t i = 0; i < target.len; i++) {
        if (target.at[i] <= ' ' || target.at[i] >= 0x7f) { // negative where char is signed
            return false;
        }
    }
    if (target.len >= prefix.len && equals(prefix, scheme)) {
        target.at += prefix.len;
        target.len -= prefix.len;
        size_t host = 0;
        while (host < target.len && !strchr("/?", target.at[host])) {
            host++;
        }
        target.at += host;
        target.len -= host;
        if (host == 0) {
            return false;
        }
        if (target.len == 0 || target.at[0] == '?') {
            request->path = "/";
            request->path_len = 1;
            return true;
        }
    }
    if (target.len == 0 || target.at[0] != '/') {
        return false;
    }
    const char *query = memchr(target.at, '?', target.len);
    request->path = target.at;
    request->path_len = query ? (size_t)(query - target.at) : target.len;
    return true;
}

static enum http_status read_request_line(struct text line, struct http_request *request,
                                          struct head *head) {
    struct text method, target;
    if (!cut(&line, ' ', &method) || !cut(&line, ' ', &target) || !is_token(method)) {
        return HTTP_BAD_REQUEST;
    }
    bool form = line.len == 8 && memcmp(line.at, "HTTP/", 5) == 0 && line.at[6] == '.'; // (2.3)
    if (!form || line.at[5] < '0' || line.at[5] > '9' || line.at[7] < '0' || line.at[7] > '9') {
        return HTTP_BAD_REQUEST;
    }
    if (line.at[5] != '1') {
        return HTTP_VERSION;
    }
    head->http_1_0 = line.at[7] == '0';
    request->head = method.len == 4 && memcmp(method.at, "HEAD", 4) == 0; // case matters
    if (!request->head && (method.len != 3 || memcmp(method.at, "GET", 3) != 0)) {
        return HTTP_NOT_ALLOWED;
    }
    return read_target(target, request) ? HTTP_OK : HTTP_BAD_REQUEST;
}

static void read_connection(struct text value, struct head *head) {
    struct text option;
    while (cut(&value, ',', &option)) {
        head->close |= equals(trim(option), "close");
    }
    head->close |= equals(trim(value), "close");
}

static bool read_length(struct text value, struct head *head) {
    if (value.len == 0 || head->lengths++ > 0) {
        return false;
    }
    for (size_t i = 0; i < value.len; i++) {
        if (value.at[i] < '0' || value.at[i] > '9') {
            return false;
        }
        head->content |= value.at[i] != '0';
    }
    return true;
}

static bool read_field(struct text line, struct head *head) {
    struct text name;
    if (!cut(&line, ':', &name) || !is_token(name) || has_control_chars(line)) {
        return false; // a folded line (5.2), a space before the colon (5.1)
    }
    struct text value = trim(line);
    if (equals(name, "host")) {
        head->hosts++;
    } else if (equals(name, "connection")) {
        read_connection(value, head);
    } else if (equals(name, "content-length")) {
        return read_length(value, head);
    } else if (equals(name, "transfer-encoding")) {
        head->chunked = true;
    }
    return true;
}

int http_parse(const char *data, size_t len, struct http_request *request) {
    struct text rest = {data, len}, line = {data, 0};
    struct head head = {0};
    *request = (struct http_request){0};
    do { // empty lines before a request (2.2)
        if (!next_line(&rest, &line)) {
            return 0;
        }
    } while (line.len == 0);
    enum http_status status = read_request_line(line, request, &head);
    if (status != HTTP_OK) {
        return -(int)status;
    }
    do {
        if (!next_line(&rest, &line)) {
            return 0;
        }
        if (line.len != 0 && !read_field(line, &head)) {
            return -HTTP_BAD_REQUEST;
        }
    } while (line.len != 0);
    // Exactly one Host (3.2); a length beside an encoding is an attempt at smuggling (6.3).
    if ((!head.http_1_0 && head.hosts != 1) || head.hosts > 1 || (head.chunked && head.lengths)) {
        return -HTTP_BAD_REQUEST;
    }
    request->keep_alive = !head.http_1_0 && !head.close && !head.content && !head.chunked;
    return (int)(rest.at - data);
}

const char *http_reason(enum http_status status) {
    switch (status) {
    case HTTP_OK:
        return "OK";
    case HTTP_BAD_REQUEST:
        return "Bad Request";
    case HTTP_NOT_ALLOWED:
        return "Method Not Allowed";
    case HTTP_URI_TOO_LONG:
        return "URI Too Long";
    case HTTP_HEAD_TOO_LARGE:
        return "Request Header Fields Too Large";
    case HTTP_VERSION:
        return "HTTP Version Not Supported";
    }
    return "";
}
