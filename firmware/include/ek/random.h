// ek/random.h: random numbers for everyone, from a ChaCha20 generator that kernel/random.c seeds.
#ifndef EK_RANDOM_H
#define EK_RANDOM_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
void ek_random(void *data, size_t len);
uint32_t ek_random32(void);
// The seed can perhaps be guessed: good enough for ports and back-off, not for keys.
bool ek_random_is_weak(void);
// Something came from outside at this time, which nobody can foretell to the microsecond: makes a
// weak seed better, little by little, and no seed worse.
void ek_random_stir(uint64_t when_us);
#endif
