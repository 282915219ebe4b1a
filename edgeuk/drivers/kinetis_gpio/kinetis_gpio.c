// kinetis_gpio.c: one port of digital pins of a Kinetis chip: PORTx says what a pin is and keeps
// its edges, GPIOx drives and reads it. Document: NXP K64P144M120SF5RM, chapters PORT and GPIO;
// names in parentheses are its registers. Offsets and bits were checked against NXP's MK64F12.h.
// Left out: the digital filter, DMA requests. Left to the board's soc driver: the clock gate.
#include "kinetis_gpio.h"
#include "ek/assert.h"
#include "ek/mmio.h"

enum { PSOR = 0x04, PCOR = 0x08, PDIR = 0x10, PDDR = 0x14 }; // GPIOx
enum { ISFR = 0xa0 };                                        // PORTx; PCRn is at 4 * n
enum {
    PCR_PULL_UP = 1u << 0,
    PCR_PULL = 1u << 1,
    PCR_MUX = 7u << 8,
    PCR_GPIO = 1u << 8,
    PCR_IRQC = 15u << 16,
    PCR_BOTH_EDGES = 11u << 16,
};
static bool usable(const struct kinetis_gpio *gpio, unsigned pin) {
    return pin < gpio->pins && !(gpio->reserved >> pin & 1);
}

// The pin's control bits of `clear` give way to those of `set`; drive strength and the like stay.
static void control(const struct kinetis_gpio *gpio, unsigned pin, uint32_t clear, uint32_t set) {
    uintptr_t pcr = gpio->port + 4 * pin;
    ek_write32(pcr, (ek_read32(pcr) & ~clear) | set);
}

static int init(const void *dev) {
    const struct kinetis_gpio *gpio = dev;
    ek_assert(gpio->base != 0);
    ek_assert(gpio->port != 0);
    for (unsigned pin = 0; pin < gpio->pins; pin++) {
        if (usable(gpio, pin)) {
            control(gpio, pin, PCR_IRQC, 0);
        }
    }
    ek_write32(gpio->port + ISFR, UINT32_MAX);
    return EK_OK;
}

static int input(const void *dev, uint8_t pin, enum ek_gpio_pull pull) {
    const struct kinetis_gpio *gpio = dev;
    if (!usable(gpio, pin)) {
        return EK_EINVAL;
    }
    uint32_t bits = pull == EK_GPIO_FLOAT     ? 0
                    : pull == EK_GPIO_PULL_UP ? (uint32_t)PCR_PULL | PCR_PULL_UP
                                              : (uint32_t)PCR_PULL;
    ek_write32(gpio->base + PDDR, ek_read32(gpio->base + PDDR) & ~(1u << pin));
    control(gpio, pin, PCR_IRQC | PCR_MUX | PCR_PULL | PCR_PULL_UP, PCR_GPIO | bits);
    ek_write32(gpio->port + ISFR, 1u << pin); // what changed when it became an input is no edge
    control(gpio, pin, PCR_IRQC, PCR_BOTH_EDGES);
    return EK_OK;
}

static void set(const void *dev, uint8_t pin, bool level) {
    const struct kinetis_gpio *gpio = dev;
    ek_assert(usable(gpio, pin));
    ek_write32(gpio->base + (level ? PSOR : PCOR), 1u << pin); // zeros change nothing
}

static int output(const void *dev, uint8_t pin, bool level) {
    const struct kinetis_gpio *gpio = dev;
    if (!usable(gpio, pin)) {
        return EK_EINVAL;
    }
    set(dev, pin, level);
    ek_write32(gpio->base + PDDR, ek_read32(gpio->base + PDDR) | 1u << pin);
    control(gpio, pin, PCR_IRQC | PCR_MUX, PCR_GPIO);
    return EK_OK;
}

static bool get(const void *dev, uint8_t pin) {
    const struct kinetis_gpio *gpio = dev;
    ek_assert(usable(gpio, pin));
    return ek_read32(gpio->base + PDIR) >> pin & 1;
}

static uint32_t edges(const void *dev) {
    const struct kinetis_gpio *gpio = dev;
    uint32_t flags = ek_read32(gpio->port + ISFR);
    ek_write32(gpio->port + ISFR, flags); // not those that came since
    return flags;
}

const struct ek_gpio_ops kinetis_gpio_ops = {
    .init = init, .input = input, .output = output, .get = get, .set = set, .edges = edges};
