// firmware.c: what the tests flash onto a virtual nRF51 or STM32F412. Prints a greeting on its
// UART, then what the test asks for with CRASH; `tick` is there to set breakpoints on.
#include <stdint.h>

#define REG(address) (*(volatile uint32_t *)(address))
#define UART 0x40002000u // nRF51 Reference Manual 3.0, UART

extern uint32_t stack_top;
volatile uint32_t ticks;

#ifdef STM32 // RM0402, USART1
static void put(const char *text) {
    REG(0x4001100c) |= 1u << 13 | 1u << 3; // UE, TE
    for (; *text; text++) {
        REG(0x40011004) = (uint8_t)*text;
        while (!(REG(0x40011000) & 1u << 7)) {
        }
    }
}
#else
static void put(const char *text) {
    for (; *text; text++) {
        REG(UART + 0x11c) = 0; // EVENTS_TXDRDY
        REG(UART + 0x51c) = (uint8_t)*text;
        while (!REG(UART + 0x11c)) {
        }
    }
}

#endif

__attribute__((noinline)) void tick(void) { ticks = ticks + 1; }

void reset(void) {
#ifndef STM32
    REG(UART + 0x500) = 4;          // ENABLE
    REG(UART + 0x524) = 0x01d7e000; // BAUDRATE: 115200
    REG(UART + 0x008) = 1;          // STARTTX
    REG(UART + 0x000) = 1;          // STARTRX
#endif
    put("hello " VERSION "\r\n");
#ifdef CRASH
    for (volatile int i = 0; i < 2000000; i++) {
    }
    __asm__ volatile("udf #0"); // no handler: the core locks up
#endif
    for (;;) {
        tick();
#ifndef STM32                    // what is typed comes back
        if (REG(UART + 0x108)) { // EVENTS_RXDRDY
            REG(UART + 0x108) = 0;
            const char back[] = {(char)REG(UART + 0x518), 0};
            put(back);
        }
#endif
    }
}

#ifdef NESTED // the handler faults as well: what no core gets out of
static void fault(void) { __asm__ volatile("udf #1"); }
#else
#define fault 0
#endif

__attribute__((section(".vectors"), used))
const void *const vectors[16] = {[0] = &stack_top, [1] = reset, [3] = fault};
#ifdef PAD
__attribute__((section(".pad"), used)) const uint8_t pad[PAD] = {1, 2, 3, [PAD - 1] = 0xa5};
#endif
