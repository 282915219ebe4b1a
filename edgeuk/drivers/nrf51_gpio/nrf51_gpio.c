// nrf51_gpio.c: the 32 pins of an nRF51.
// Document: nRF51 Series Reference Manual 3.0, GPIO and GPIOTE; names in parentheses are its
// registers. Offsets and bits were checked against Nordic's nrf51.svd and nrf51_bitfields.h, when
// PORT comes against Nordic's page on the GPIOTE of a later chip.
//
// The chip latches no edges (its successors do). Each input senses the level that it does not have:
// the first that gets it raises the PORT event, which wakes the processor. A pulse that is over
// before the event loop came round has woken it, but is not seen.
#include "nrf51_gpio.h"
#include "ek/mmio.h"

enum { OUTSET = 0x508, OUTCLR = 0x50c, IN = 0x510, PIN_CNF = 0x700, PINS = 32 };
enum {
    CNF_OUTPUT = 1u << 0,
    CNF_PULL_SHIFT = 2,
    CNF_SENSE_MASK = 3u << 16,
    CNF_SENSE_HIGH = 2u << 16,
    CNF_SENSE_LOW = 3u << 16,
};
enum { PULL_NONE = 0, PULL_DOWN = 1, PULL_UP = 3 };

enum { EVENT_PORT = 0x17c, INTENSET = 0x304, INTENCLR = 0x308 }; // GPIOTE
#define INT_PORT (1u << 31)
// While pins are set anew others may change: look again, but not for ever.
enum { LOOKS_MAX = 4 };

static bool usable(const struct nrf51_gpio *gpio, uint8_t pin) {
    return pin < gpio->pins && !(gpio->reserved >> pin & 1);
}

static uintptr_t cnf(const struct nrf51_gpio *gpio, uint8_t pin) {
    return gpio->base + PIN_CNF + 4u * pin;
}

static int init(const void *dev) {
    const struct nrf51_gpio *gpio = dev;
    *gpio->state = (struct nrf51_gpio_state){0};
    ek_write32(gpio->gpiote + INTENCLR, UINT32_MAX);
    ek_write32(gpio->gpiote + EVENT_PORT, 0);
    return EK_OK;
}

static void sense(const struct nrf51_gpio *gpio, uint8_t pin, uint32_t levels) {
    uint32_t level = levels >> pin & 1 ? CNF_SENSE_LOW : CNF_SENSE_HIGH;
    ek_write32(cnf(gpio, pin), (ek_read32(cnf(gpio, pin)) & ~(uint32_t)CNF_SENSE_MASK) | level);
}

static int input(const void *dev, uint8_t pin, enum ek_gpio_pull pull) {
    const struct nrf51_gpio *gpio = dev;
    if (!usable(gpio, pin)) {
        return EK_EINVAL;
    }
    uint32_t bits = pull == EK_GPIO_PULL_UP     ? PULL_UP
                    : pull == EK_GPIO_PULL_DOWN ? PULL_DOWN
                                                : PULL_NONE;
    uint32_t bit = 1u << pin;
    ek_write32(cnf(gpio, pin), bits << CNF_PULL_SHIFT);
    uint32_t levels = ek_read32(gpio->base + IN);
    gpio->state->inputs |= bit;
    gpio->state->levels = (gpio->state->levels & ~bit) | (levels & bit);
    sense(gpio, pin, levels);
    ek_write32(gpio->gpiote + INTENSET, INT_PORT);
    return EK_OK;
}

static void set(const void *dev, uint8_t pin, bool level) {
    const struct nrf51_gpio *gpio = dev;
    ek_write32(gpio->base + (level ? OUTSET : OUTCLR), 1u << (pin % PINS));
}

static int output(const void *dev, uint8_t pin, bool level) {
    const struct nrf51_gpio *gpio = dev;
    if (!usable(gpio, pin)) {
        return EK_EINVAL;
    }
    gpio->state->inputs &= ~(1u << pin);
    set(dev, pin, level);
    ek_write32(cnf(gpio, pin), CNF_OUTPUT);
    return EK_OK;
}

static bool get(const void *dev, uint8_t pin) {
    const struct nrf51_gpio *gpio = dev;
    return ek_read32(gpio->base + IN) >> (pin % PINS) & 1;
}

// The event comes again only after no pin had the level that it senses: hence until nothing
// changed.
static uint32_t edges(const void *dev) {
    const struct nrf51_gpio *gpio = dev;
    struct nrf51_gpio_state *state = gpio->state;
    uint32_t told = 0;
    ek_write32(gpio->gpiote + EVENT_PORT, 0);
    for (int looks = 0; looks < LOOKS_MAX; looks++) {
        uint32_t levels = ek_read32(gpio->base + IN);
        uint32_t changed = (levels ^ state->levels) & state->inputs;
        if (changed == 0) {
            break;
        }
        told |= changed;
        state->levels ^= changed;
        for (uint8_t pin = 0; pin < PINS; pin++) {
            if (changed >> pin & 1) {
                sense(gpio, pin, levels);
            }
        }
    }
    return told;
}

const struct ek_gpio_ops nrf51_gpio_ops = {
    .init = init, .input = input, .output = output, .get = get, .set = set, .edges = edges};
