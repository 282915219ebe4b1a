// string.c: the str* functions of C11 7.24 that firmware uses, and POSIX strnlen.
#include <stdint.h>
#include <string.h>

size_t strlen(const char *text) { return strnlen(text, SIZE_MAX); }

size_t strnlen(const char *text, size_t max) {
    size_t len = 0;
    while (len < max && text[len] != 0) {
        len++;
    }
    return len;
}

int strcmp(const char *a, const char *b) { return strncmp(a, b, SIZE_MAX); }

int strncmp(const char *a, const char *b, size_t max) {
    for (; max > 0; max--, a++, b++) {
        if (*a != *b || *a == 0) {
            return (unsigned char)*a - (unsigned char)*b;
        }
    }
    return 0;
}

char *strchr(const char *text, int character) {
    for (; *text != (char)character; text++) {
        if (*text == 0) {
            return NULL;
        }
    }
    return (char *)(uintptr_t)text;
}

char *strstr(const char *text, const char *part) {
    size_t len = strlen(part);
    for (; strncmp(text, part, len) != 0; text++) {
        if (*text == 0) {
            return NULL;
        }
    }
    return (char *)(uintptr_t)text;
}

char *strncpy(char *restrict to, const char *restrict from, size_t size) {
    size_t len = strnlen(from, size);
    memcpy(to, from, len);
    memset(to + len, 0, size - len);
    return to;
}
