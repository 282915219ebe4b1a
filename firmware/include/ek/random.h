// ek/random.h: random numbers for everyone, from a ChaCha20 generator that kernel/random.c seeds.
#ifndef EK_RANDOM_H
#define EK_RANDOM_H
#include <stddef.h>
#include <stdint.h>
void ek_random(void *data, size_t len);
uint32_t ek_random32(void);
#endif
