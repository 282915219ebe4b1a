// http.h: a request's head, as a server reads it. HTTP/1.1: RFC 9110 and 9112.
#ifndef HTTP_H
#define HTTP_H
#include <stdbool.h>
#include <stddef.h>

enum http_status {
    HTTP_OK = 200,
    HTTP_BAD_REQUEST = 400,
    HTTP_NOT_ALLOWED = 405,
    HTTP_URI_TOO_LONG = 414,
    HTTP_HEAD_TOO_LARGE = 431,
    HTTP_VERSION = 505,
};

struct http_request {
    const char *path; // inside the data that was parsed; without the query, never empty
    size_t path_len;
    bool head;       // the method is HEAD: an answer without its content
    bool keep_alive; // the connection goes on after the answer
};

// Read the head at the start of `data`. Returns its length; 0 while it is not complete; or minus
// the status to answer with (minus HTTP_BAD_REQUEST ...), after which the connection has to end,
// since nobody knows where the next request begins.
int http_parse(const char *data, size_t len, struct http_request *request);

// "OK", "Bad Request".
const char *http_reason(enum http_status status);
#endif
