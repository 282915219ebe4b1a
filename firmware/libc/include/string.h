// string.h: the freestanding C library's part of C11 7.24 (and strnlen of POSIX) that firmware
// uses.
#ifndef STRING_H
#define STRING_H
#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t len);
void *memmove(void *to, const void *from, size_t len);
void *memset(void *to, int byte, size_t len);
int memcmp(const void *a, const void *b, size_t len);
void *memchr(const void *data, int byte, size_t len);
size_t strlen(const char *text);
size_t strnlen(const char *text, size_t max);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t max);
char *strchr(const char *text, int character);
char *strstr(const char *text, const char *part);
char *strncpy(char *restrict to, const char *restrict from, size_t size);
#endif
