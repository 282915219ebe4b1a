// mps2_soc.c: what Arm's MPS2 FPGA images have around the processor: pins that are shared with
// peripherals, and CMSDK timers, one of which ends a sleep. The clock is the FPGA's, and fixed.
// Documents: Arm DDI 0479, 4.1 and 4.2; names in parentheses are its registers. DAI 0385: pins.
#include "mps2_soc.h"
#include "ek/assert.h"
#include "ek/mmio.h"

enum { CTRL = 0x00, VALUE = 0x04, RELOAD = 0x08, INTCLEAR = 0x0c }; // timer
enum { CTRL_ENABLE = 1u << 0, CTRL_INTERRUPT = 1u << 3 };
enum { ALTFUNCSET = 0x18, PORT_BYTES = 0x1000 }; // GPIO

static int init(const void *dev) {
    const struct mps2_soc *soc = dev;
    ek_assert(soc->timer != 0);
    if (soc->clock_hz == 0 || soc->clock_hz % 1000000 != 0) {
        return EK_EINVAL;
    }
    const uint16_t alternate[] = {soc->alternate_0, soc->alternate_1, soc->alternate_2,
                                  soc->alternate_3};
    for (unsigned port = 0; port < 4; port++) {
        if (alternate[port] != 0) { // zeros written to this register change nothing (ALTFUNCSET)
            ek_write32(soc->gpio + port * PORT_BYTES + ALTFUNCSET, alternate[port]);
        }
    }
    ek_write32(soc->timer + CTRL, 0);
    ek_write32(soc->timer + INTCLEAR, 1);
    return EK_OK;
}

// The timer has no one-shot mode: it goes on with the same period until it is set again.
static void wake_in(const void *dev, uint32_t us) {
    const struct mps2_soc *soc = dev;
    uint32_t ticks = us * (soc->clock_hz / 1000000);
    ek_write32(soc->timer + CTRL, 0);
    ek_write32(soc->timer + INTCLEAR, 1);
    ek_write32(soc->timer + RELOAD, ticks);
    ek_write32(soc->timer + VALUE, ticks);
    ek_write32(soc->timer + CTRL, CTRL_INTERRUPT | CTRL_ENABLE);
}

const struct ek_soc_ops mps2_soc_ops = {.init = init, .wake_in = wake_in};
