// ek/critical.h: a few instructions that no interrupt comes between, for devices that want two
// accesses within some clocks of each other. Where drivers need it the arch defines it (armv7m).
#ifndef EK_CRITICAL_H
#define EK_CRITICAL_H
#include <stdint.h>

// Hold interrupts back; what it returns goes to ek_critical_leave(). Pairs may be nested.
uint32_t ek_critical_enter(void);
void ek_critical_leave(uint32_t before);
#endif
