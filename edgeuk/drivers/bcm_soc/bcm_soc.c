// bcm_soc.c: functions and pulls of the pins of a BCM2711: the board's table, in its order.
// Document: BCM2711 ARM Peripherals, chapter 5; names in parentheses are its registers.
// Also sends the other cores, which wait in the firmware's boot stub (Raspberry Pi's armstub8.S),
// to the image's entry, where they sleep until the next reset: the stub's loop is no sleep in QEMU.
// Left to the firmware (config.txt): clocks, voltages, memory. Left to the architecture: waking up.
#include "bcm_soc.h"
#include "ek/assert.h"
#include "ek/mmio.h"

enum { GPFSEL = 0x00, GPIO_PUP_PDN_CNTRL = 0xe4 };
enum { PINS = 58 };
// The stub's table: 64 bits for each core, the address to go to; 0: wait.
enum { SLOT = 8, CORES = 4 };

static void change(uintptr_t addr, uint32_t clear, uint32_t set) {
    ek_write32(addr, (ek_read32(addr) & ~clear) | set);
}

static int init(const void *dev) {
    const struct bcm_soc *soc = dev;
    ek_assert(soc->gpio != 0);
    for (const uint32_t *row = soc->pins; row[0] != 0; row += 3) {
        uint32_t pin = row[0];
        ek_assert(pin < PINS);
        change(soc->gpio + GPIO_PUP_PDN_CNTRL + 4 * (pin / 16), 3u << pin % 16 * 2,
               (row[2] & 3) << pin % 16 * 2);
        change(soc->gpio + GPFSEL + 4 * (pin / 10), 7u << pin % 10 * 3,
               (row[1] & 7) << pin % 10 * 3);
    }
    return EK_OK;
}

// The table is below all that is mapped later. The lower half goes last: it ends the wait.
static void at_reset(const void *dev) {
    const struct bcm_soc *soc = dev;
    for (uintptr_t core = 1; core < CORES && soc->entry != 0; core++) {
        ek_write32(soc->spin_table + SLOT * core + 4, 0);
        ek_write32(soc->spin_table + SLOT * core, soc->entry);
    }
}

// The generic timer of its processors wakes them (arch/).
static void wake_in(const void *dev, uint32_t us) {
    (void)dev;
    (void)us;
}

const struct ek_soc_ops bcm_soc_ops = {.init = init, .wake_in = wake_in, .at_reset = at_reset};
