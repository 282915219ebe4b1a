// imx_soc.c: clocks and pins of an i.MX chip: the board's table of register changes, in its order.
// Document: NXP IMX6ULRM, chapters CCM and IOMUXC; names in parentheses are its registers.
// Left to the boot loader: core frequency, DDR, system PLLs. Left to the architecture: waking up.
#include "imx_soc.h"
#include "ek/mmio.h"

enum { SET = 4, CLEAR = 8 }; // registers beside one in the analog part: write ones to set, to clear
enum {                       // (CCM_ANALOG_PLL_ENET)
    ENET_DIVIDERS = 0xf,
    ENET_50_MHZ = 1u << 0 | 1u << 2, // both reference clocks, as RMII has them
    PLL_POWERDOWN = 1u << 12,
    PLL_ENABLE = 1u << 13 | 1u << 20, // both
    PLL_BYPASS = 1u << 16,
    PLL_LOCK = 1u << 31,
};

// It locks within 7200 clocks of the 24 MHz crystal, 300 us. A poll takes over 20 ns.
enum { POLLS_MAX = 100000 };

static int start_enet_pll(uintptr_t pll) {
    ek_write32(pll + CLEAR, PLL_POWERDOWN | ENET_DIVIDERS);
    ek_write32(pll + SET, ENET_50_MHZ);
    for (uint32_t polls = 0; polls < POLLS_MAX; polls++) {
        if (ek_read32(pll) & PLL_LOCK) {
            ek_write32(pll + SET, PLL_ENABLE);
            ek_write32(pll + CLEAR, PLL_BYPASS);
            return EK_OK;
        }
    }
    return EK_ETIMEDOUT;
}

static int init(const void *dev) {
    const struct imx_soc *soc = dev;
    int status = soc->enet_pll != 0 ? start_enet_pll(soc->enet_pll) : EK_OK;
    for (const uint32_t *row = soc->setup; row[0] != 0; row += 3) {
        ek_write32(row[0], (ek_read32(row[0]) & ~row[1]) | row[2]);
    }
    return status;
}

// The generic timer of these processors wakes them (arch/).
static void wake_in(const void *dev, uint32_t us) {
    (void)dev;
    (void)us;
}

const struct ek_soc_ops imx_soc_ops = {.init = init, .wake_in = wake_in};
