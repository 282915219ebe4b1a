// bcm_gpio.c: one bank of the GPIO pins of a BCM2711, with its edge latches.
// Document: BCM2711 ARM Peripherals, chapter 5; names in parentheses are its registers. Offsets and
// values were checked against Linux' pinctrl-bcm2835.c, which goes from one function to another by
// way of INPUT; this does not.
// Left out: alternate functions (bcm_soc), levels and asynchronous edges as interrupts, pads'
// strength, which the firmware has set.
#include "bcm_gpio.h"
#include "ek/assert.h"
#include "ek/mmio.h"

// Three bits for a pin, two bits for a pin, and one bit for a pin in two registers each (5.2).
enum { GPFSEL = 0x00, GPIO_PUP_PDN_CNTRL = 0xe4 };
enum { GPSET = 0x1c, GPCLR = 0x28, GPLEV = 0x34, GPEDS = 0x40, GPREN = 0x4c, GPFEN = 0x58 };
enum { GPHEN = 0x64, GPLEN = 0x70, GPAREN = 0x7c, GPAFEN = 0x88 };
enum { INPUT = 0, OUTPUT = 1 };                   // (GPFSEL)
enum { NO_PULL = 0, PULL_UP = 1, PULL_DOWN = 2 }; // (GPIO_PUP_PDN_CNTRL)
enum { BANK_PINS = 32, PINS = 58 };

static uintptr_t at(const struct bcm_gpio *gpio, uintptr_t reg) {
    return gpio->base + reg + 4u * gpio->bank;
}

static void change(uintptr_t addr, uint32_t clear, uint32_t set) {
    ek_write32(addr, (ek_read32(addr) & ~clear) | set);
}

static unsigned number(const struct bcm_gpio *gpio, uint8_t pin) {
    return gpio->bank * BANK_PINS + pin;
}

static bool usable(const struct bcm_gpio *gpio, uint8_t pin) {
    return pin < gpio->pins && number(gpio, pin) < PINS && !(gpio->reserved >> pin & 1);
}

static void set_function(const struct bcm_gpio *gpio, uint8_t pin, unsigned function) {
    unsigned n = number(gpio, pin);
    change(gpio->base + GPFSEL + 4u * (n / 10), 7u << n % 10 * 3, function << n % 10 * 3);
}

static void latch_edges(const struct bcm_gpio *gpio, uint8_t pin, uint32_t on) {
    change(at(gpio, GPREN), 1u << pin, on << pin);
    change(at(gpio, GPFEN), 1u << pin, on << pin);
    ek_write32(at(gpio, GPEDS), 1u << pin); // what the change itself has caused; a one clears
}

static int init(const void *dev) {
    static const uint8_t events[] = {GPREN, GPFEN, GPHEN, GPLEN, GPAREN, GPAFEN};
    const struct bcm_gpio *gpio = dev;
    ek_assert(gpio->base != 0);
    for (unsigned i = 0; i < sizeof events; i++) {
        ek_write32(at(gpio, events[i]), 0);
    }
    ek_write32(at(gpio, GPEDS), UINT32_MAX);
    return EK_OK;
}

static int input(const void *dev, uint8_t pin, enum ek_gpio_pull pull) {
    const struct bcm_gpio *gpio = dev;
    if (!usable(gpio, pin)) {
        return EK_EINVAL;
    }
    unsigned n = number(gpio, pin);
    uint32_t bits = pull == EK_GPIO_PULL_UP     ? PULL_UP
                    : pull == EK_GPIO_PULL_DOWN ? PULL_DOWN
                                                : NO_PULL;
    change(gpio->base + GPIO_PUP_PDN_CNTRL + 4u * (n / 16), 3u << n % 16 * 2, bits << n % 16 * 2);
    set_function(gpio, pin, INPUT);
    latch_edges(gpio, pin, 1);
    return EK_OK;
}

static void set(const void *dev, uint8_t pin, bool level) {
    const struct bcm_gpio *gpio = dev;
    ek_write32(at(gpio, level ? GPSET : GPCLR), 1u << pin % BANK_PINS);
}

static int output(const void *dev, uint8_t pin, bool level) {
    const struct bcm_gpio *gpio = dev;
    if (!usable(gpio, pin)) {
        return EK_EINVAL;
    }
    set(gpio, pin, level); // the latch is there in every function (GPSET)
    set_function(gpio, pin, OUTPUT);
    latch_edges(gpio, pin, 0);
    return EK_OK;
}

static bool get(const void *dev, uint8_t pin) {
    const struct bcm_gpio *gpio = dev;
    return ek_read32(at(gpio, GPLEV)) >> pin % BANK_PINS & 1;
}

static uint32_t edges(const void *dev) {
    const struct bcm_gpio *gpio = dev;
    uint32_t seen = ek_read32(at(gpio, GPEDS));
    ek_write32(at(gpio, GPEDS), seen); // only these: another may have come since
    return seen;
}

const struct ek_gpio_ops bcm_gpio_ops = {
    .init = init, .input = input, .output = output, .get = get, .set = set, .edges = edges};
