// test_kernel_libc.c: the freestanding C library beside the host's, on random arguments. The build
// renames ours: memcpy is ours_memcpy in libc's own files.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *ours_memcpy(void *to, const void *from, size_t len);
void *ours_memmove(void *to, const void *from, size_t len);
void *ours_memset(void *to, int byte, size_t len);
int ours_memcmp(const void *a, const void *b, size_t len);
void *ours_memchr(const void *data, int byte, size_t len);
size_t ours_strlen(const char *text);
size_t ours_strnlen(const char *text, size_t max);
int ours_strcmp(const char *a, const char *b);
int ours_strncmp(const char *a, const char *b, size_t max);
char *ours_strchr(const char *text, int character);
char *ours_strstr(const char *text, const char *part);
char *ours_strncpy(char *to, const char *from, size_t size);
long ours_strtol(const char *text, char **end, int base);
int ours_atoi(const char *text);

enum { SIZE = 160, ROUNDS = 20000 };

#define CHECK(condition) ((condition) ? (void)0 : fail(#condition))

static void fail(const char *what) {
    printf("not so: %s\n", what);
    exit(1);
}

static int sign(int value) { return (value > 0) - (value < 0); }

static size_t below(size_t limit) { return (size_t)rand() % limit; }

static void memory_round(void) {
    uint8_t a[SIZE], b[SIZE], from[SIZE];
    for (size_t i = 0; i < SIZE; i++) {
        a[i] = b[i] = (uint8_t)below(4);
        from[i] = (uint8_t)below(4);
    }
    size_t to_at = below(SIZE / 2), from_at = below(SIZE / 2), len = below(SIZE / 2);
    CHECK(sign(ours_memcmp(a + to_at, from + from_at, len)) ==
          sign(memcmp(a + to_at, from + from_at, len)));
    CHECK(ours_memchr(from + from_at, 3, len) == memchr(from + from_at, 3, len));
    CHECK(ours_memcpy(a + to_at, from + from_at, len) == a + to_at);
    memcpy(b + to_at, from + from_at, len);
    CHECK(memcmp(a, b, SIZE) == 0);
    CHECK(ours_memmove(a + to_at, a + from_at, len) == a + to_at);
    memmove(b + to_at, b + from_at, len);
    CHECK(memcmp(a, b, SIZE) == 0);
    CHECK(ours_memset(a + to_at, 0x1ff, len) == a + to_at);
    memset(b + to_at, 0xff, len);
    CHECK(memcmp(a, b, SIZE) == 0);
}

static void text_round(void) {
    char a[16], b[16], x[16], y[16];
    for (size_t i = 0; i < 15; i++) {
        a[i] = "ab\xff"[below(3)];
        b[i] = "ab\xff"[below(3)];
    }
    a[below(16)] = b[below(5)] = a[15] = b[15] = 0;
    size_t max = below(16);
    CHECK(ours_strlen(a) == strlen(a));
    CHECK(ours_strnlen(a, max) == strnlen(a, max));
    CHECK(sign(ours_strcmp(a, b)) == sign(strcmp(a, b)));
    CHECK(sign(ours_strncmp(a, b, max)) == sign(strncmp(a, b, max)));
    CHECK(ours_strchr(a, 'b') == strchr(a, 'b'));
    CHECK(ours_strchr(a, 0) == strchr(a, 0));
    CHECK(ours_strstr(a, b) == strstr(a, b));
    memset(x, 'x', sizeof x);
    memset(y, 'x', sizeof y);
    ours_strncpy(x, a, max);
    strncpy(y, a, max);
    CHECK(memcmp(x, y, sizeof x) == 0);
}

static void number_round(void) {
    static const int bases[] = {0, 2, 8, 10, 16, 36};
    char text[24], *ours_end, *end;
    size_t len = below(sizeof text);
    for (size_t i = 0; i < len; i++) {
        text[i] = i < 3 ? " +-0x19"[below(7)] : "0123456789afxz"[below(i < 20 ? 11 : 14)];
    }
    text[len] = 0;
    int base = bases[below(6)];
    CHECK(ours_strtol(text, &ours_end, base) == strtol(text, &end, base));
    CHECK(ours_end == end);
    CHECK(ours_atoi(text) == atoi(text));
}

int main(int argc, char **argv) {
    srand(argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1);
    for (int i = 0; i < ROUNDS; i++) {
        memory_round();
        text_round();
        number_round();
    }
    return 0;
}
