// kinetis_soc.c: what a Kinetis K64 has around the processor: a watchdog that runs out of reset,
// the way from the internal oscillator to the PLL, clock gates and pins as the board lists them,
// memory protection, and a PIT channel that ends a sleep. Document: NXP K64P144M120SF5RM; names in
// parentheses are its registers. Left out: crystals (the clock must come in on EXTAL0), low-power
// modes, masters other than processor and Ethernet, other flash configurations than an open one.
#include <stdbool.h>
#include <stddef.h>
#include "kinetis_soc.h"
#include "ek/assert.h"
#include "ek/mmio.h"

// Regions: start, end, rights, valid (RGDn_WORD0 to 3); rights alone (RGDAACn). Offsets and fields
// were checked against NXP's MK64F12.h. Where no region allows an access it is a bus error; where
// one does, no other can forbid it.
enum { SYSMPU_CESR = 0x4000d000, RGD = 0x4000d400, RGDAAC0 = 0x4000d800, RGD_COUNT = 12 };
enum { CESR_VLD = 1u << 0, RGD_VLD = 1u << 0 };
enum {
    READ = 4, // user-mode rights of the core (M0UM)
    WRITE = 2,
    EXECUTE = 1,
    ENET = 1u << 18,       // the same of the Ethernet, times this (M3UM)
    AS_USER = 0x00618618,  // privileged masters have the rights of user mode (MnSM)
    DEBUGGER = 0x000001c0, // all rights, which nobody can take away in region 0 (M1UM)
};
enum { SCB_VTOR = 0xe000ed08, VECTORS_SIZE = 0x200 }; // the core's; vectors of 112 interrupts
enum { CODE = 0x400, FLASH_END = 0x100000, SRAM_L = 0x1fff0000 };
enum { SRAM_U = 0x20000000, SRAM_U_END = 0x20030000 };
enum { WDOG_STCTRLH = 0x40052000, WDOG_UNLOCK = 0x4005200e };
enum { UNLOCK_1 = 0xc520, UNLOCK_2 = 0xd928 };
// Its value after reset but for WDOGEN: may be set up again, bus clock (STCTRLH).
enum { WATCHDOG_OFF = 0x01d2 };
enum { SIM_SCGC6 = 0x4004803c, SCGC6_PIT = 1u << 23, SIM_CLKDIV1 = 0x40048044 };
enum { OSC_CR = 0x40065000, OSC_ERCLKEN = 1u << 7 };

enum { MCG_C1 = 0x40064000, MCG_C2 = 0x40064001, MCG_C5 = 0x40064004, MCG_C6 = 0x40064005 };
enum { MCG_S = 0x40064006 };
enum {
    C1_EXTERNAL = 2u << 6, // CLKS; 0: FLL or PLL
    C1_FRDIV = 7u << 3,    // by 1536: 50 MHz become 32.6 kHz, within the FLL's 31.25 to 39.06
    C1_IREFS = 1u << 2,
    C2_TRIMS = 3u << 6, // LOCRE0 and FCFTRIM stay
    C2_RANGE = 2u << 4, // very high frequency, not a crystal
    C6_PLLS = 1u << 6,
    S_LOCK0 = 1u << 6,
    S_PLLST = 1u << 5,
    S_IREFST = 1u << 4,
    S_CLKST = 3u << 2,
    S_EXTERNAL = 2u << 2,
    S_PLL = 3u << 2,
};
enum { PRDIV_MAX = 24, VDIV_MIN = 24, VDIV_MAX = 55, REFERENCE_MHZ_MIN = 2, REFERENCE_MHZ_MAX = 4 };
enum { BUS_MHZ_MAX = 60, FLEXBUS_MHZ_MAX = 50, FLASH_MHZ_MAX = 25 }; // of K64

enum { PIT_MCR = 0x40037000, LDVAL = 0x40037100, TCTRL = 0x40037108, TFLG = 0x4003710c };
extern const uint8_t __text_end[] __attribute__((weak));  // of firmware/arch's linker script;
extern const uint8_t __stack_top[] __attribute__((weak)); // tests have none

enum { TCTRL_TIE = 1u << 1, TCTRL_TEN = 1u << 0 };

// The PLL locks within 150 us and 1075 of its reference's clocks, 0.7 ms (data sheet, t_pll_lock).
// A poll takes over 100 ns.
enum { POLLS_MAX = 100000 };

// Read by the flash controller out of reset, at 0x400 (FTFE, "Flash configuration field"): the
// alignment puts it there, behind the vectors, which take less. Nothing is protected, no key, not
// secured, normal boot.
__attribute__((section(".flash_config"), used, aligned(0x400)))
const uint8_t kinetis_flash_config[16] = {
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, // backdoor key
    0xff, 0xff, 0xff, 0xff,                         // FPROT3 to FPROT0
    0xfe, 0xff, 0xff, 0xff,                         // FSEC, FOPT, FEPROT, FDPROT
};

// The watchdog wants to be unlocked within 256 bus clocks after reset, the second word within 20
// clocks of the first, and set up within 256 clocks of that; else it resets (WDOG, "The watchdog
// configuration time"). From then on it is its own driver's, if the board lists that.
static void at_reset(const void *dev) {
    (void)dev;
    ek_write16(WDOG_UNLOCK, UNLOCK_1);
    ek_write16(WDOG_UNLOCK, UNLOCK_2);
    (void)ek_read16(WDOG_STCTRLH); // the clock after the unlock takes no write
    ek_write16(WDOG_STCTRLH, WATCHDOG_OFF);
}

static bool wait_for(uint32_t flags, uint32_t wanted) {
    for (uint32_t polls = 0; polls < POLLS_MAX; polls++) {
        if ((ek_read8(MCG_S) & flags) == wanted) {
            return true;
        }
    }
    return false;
}

// FEI to FBE, PBE and PEE, as in "MCG mode switching"; also from where a boot loader left it.
static int start_pll(unsigned prdiv, unsigned vdiv) {
    ek_write8(OSC_CR, OSC_ERCLKEN); // the same clock is the Ethernet's
    ek_write8(MCG_C2, (uint8_t)((ek_read8(MCG_C2) & C2_TRIMS) | C2_RANGE));
    ek_write8(MCG_C1, C1_EXTERNAL | C1_FRDIV);
    if (!wait_for(S_IREFST | S_CLKST, S_EXTERNAL)) {
        ek_write8(MCG_C1, C1_IREFS); // no clock there: the internal one goes on
        return EK_ETIMEDOUT;
    }
    ek_write8(MCG_C6, 0);
    if (!wait_for(S_PLLST, 0)) {
        return EK_ETIMEDOUT;
    }
    ek_write8(MCG_C5, (uint8_t)(prdiv - 1));
    ek_write8(MCG_C6, (uint8_t)(C6_PLLS | (vdiv - VDIV_MIN)));
    if (!wait_for(S_PLLST | S_LOCK0, S_PLLST | S_LOCK0)) {
        return EK_ETIMEDOUT;
    }
    ek_write8(MCG_C1, C1_FRDIV);
    return wait_for(S_CLKST, S_PLL) ? EK_OK : EK_ETIMEDOUT;
}

static uint32_t divide_up(uint32_t value, uint32_t by) { return (value + by - 1) / by; }

// The slowest reference of the PLL that gives exactly the clock that is wanted.
static int start_clocks(const struct kinetis_soc *soc) {
    uint32_t core_mhz = soc->clock_hz / 1000000, external_mhz = soc->external_hz / 1000000;
    for (unsigned prdiv = PRDIV_MAX; prdiv > 0 && external_mhz != 0; prdiv--) {
        uint32_t vdiv = core_mhz * prdiv / external_mhz;
        if (external_mhz < prdiv * REFERENCE_MHZ_MIN || external_mhz > prdiv * REFERENCE_MHZ_MAX ||
            vdiv * external_mhz != core_mhz * prdiv || vdiv < VDIV_MIN || vdiv > VDIV_MAX) {
            continue;
        }
        // First, while the core is slow: no bus ever exceeds its limit (CLKDIV1).
        ek_write32(SIM_CLKDIV1, (divide_up(core_mhz, BUS_MHZ_MAX) - 1) << 24 |
                                    (divide_up(core_mhz, FLEXBUS_MHZ_MAX) - 1) << 20 |
                                    (divide_up(core_mhz, FLASH_MHZ_MAX) - 1) << 16);
        return start_pll(prdiv, vdiv);
    }
    return EK_EINVAL;
}

static void allow(unsigned region, uint32_t start, uint32_t end, uint32_t rights) {
    uintptr_t words = RGD + 16 * region;
    ek_write32(words, start);
    ek_write32(words + 4, end - 1); // in units of 32 bytes, the last one included
    ek_write32(words + 8, AS_USER | DEBUGGER | rights);
    ek_write32(words + 12, RGD_VLD);
}

// The unit stands before flash and RAM, not before the peripherals, whose space the core never
// executes from. It also sees the core fetch vectors, so these move to the RAM that nothing else
// uses, and null pointers, and a stack that overflows into that, lead nowhere.
static void protect(void) {
    uint32_t code_end = (uint32_t)(uintptr_t)__text_end, stack = (uint32_t)(uintptr_t)__stack_top;
    for (uintptr_t at = 0; at < VECTORS_SIZE; at += 4) {
        ek_write32(SRAM_L + at, ek_read32(at));
    }
    ek_write32(SCB_VTOR, SRAM_L);
    // An earlier owner may have left region 0 narrow: nothing is in force while they change.
    ek_write32(SYSMPU_CESR, ek_read32(SYSMPU_CESR) & ~(uint32_t)CESR_VLD);
    allow(1, CODE, code_end != 0 ? code_end : FLASH_END, READ | EXECUTE);
    allow(2, code_end != 0 ? code_end : FLASH_END, FLASH_END, READ);
    allow(3, SRAM_L, SRAM_L + VECTORS_SIZE, READ);
    allow(4, SRAM_U, SRAM_U_END, READ | WRITE);
    allow(5, stack != 0 ? stack : SRAM_U, SRAM_U_END, (READ | WRITE) * (uint32_t)ENET);
    for (unsigned region = 6; region < RGD_COUNT; region++) { // an earlier owner's
        ek_write32(RGD + 16 * region + 12, 0);
    }
    ek_write32(RGDAAC0, AS_USER | DEBUGGER); // out of reset: everything to all but the Ethernet
    ek_write32(SYSMPU_CESR, ek_read32(SYSMPU_CESR) | CESR_VLD);
    (void)ek_read32(SYSMPU_CESR); // in force once this is answered
}

static int init(const void *dev) {
    const struct kinetis_soc *soc = dev;
    ek_assert(soc->setup != NULL);
    ek_assert(soc->clock_hz % 1000000 == 0 && soc->external_hz % 1000000 == 0);
    int status = start_clocks(soc);
    protect();
    for (const uint32_t *row = soc->setup; row[0] != 0; row += 3) {
        ek_write32(row[0], (ek_read32(row[0]) & ~row[1]) | row[2]);
    }
    ek_write32(SIM_SCGC6, ek_read32(SIM_SCGC6) | SCGC6_PIT);
    (void)ek_read32(PIT_MCR); // the gate is open once this is answered
    ek_write32(PIT_MCR, 0);
    ek_write32(TCTRL, 0);
    return status;
}

// The channel goes on with the same period until it is set again.
static void wake_in(const void *dev, uint32_t us) {
    const struct kinetis_soc *soc = dev;
    uint32_t core_mhz = soc->clock_hz / 1000000;
    ek_write32(TCTRL, 0);
    ek_write32(TFLG, 1); // a one clears
    ek_write32(LDVAL, us * core_mhz / divide_up(core_mhz, BUS_MHZ_MAX) - 1);
    ek_write32(TCTRL, TCTRL_TIE | TCTRL_TEN);
}

const struct ek_soc_ops kinetis_soc_ops = {.init = init, .wake_in = wake_in, .at_reset = at_reset};
