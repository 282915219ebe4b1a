// stdlib.h: the freestanding C library's part of C11 7.22 that firmware uses. No allocation.
#ifndef STDLIB_H
#define STDLIB_H
#include <stddef.h>

long strtol(const char *restrict text, char **restrict end, int base);
int atoi(const char *text);
int abs(int value);
#endif
