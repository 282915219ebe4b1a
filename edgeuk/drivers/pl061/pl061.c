// pl061.c: Arm PrimeCell PL061, a port of 8 digital pins, and the ports of Stellaris LM3S chips,
// which add pad control. Interrupts only wake the processor; the latch is read by edges().
// Documents: Arm DDI 0190B, 3.3; TI LM3S6965 datasheet, chapter General-Purpose Input/Outputs.
// Names in parentheses are registers. Offsets were checked against Linux' gpio-pl061.c, which also
// writes an output's value twice, and those of Stellaris against TI's hw_gpio.h. Not checked: that
// one pull takes back the other, the clocks until the gate is open.
// Left out: level interrupts, slew rate, drive strength (2 mA, as after reset), the lock of the
// pins that a debugger uses (PB7, PC0 to PC3), which are not for this driver.
#include "pl061.h"
#include "ek/assert.h"
#include "ek/mmio.h"

// Register offsets in bytes. A write to DATA + 4 * mask changes the pins in `mask` alone, a read
// gives them alone (GPIODATA): no other pin can be hit by a read, change, write.
enum { DATA = 0x000, DIR = 0x400, IS = 0x404, IBE = 0x408, IE = 0x410, MIS = 0x418 };
enum { IC = 0x41c, AFSEL = 0x420 };
// Stellaris: open drain, pull-up, pull-down, digital enable.
enum { ODR = 0x50c, PUR = 0x510, PDR = 0x514, DEN = 0x51c };

static void change(const struct pl061 *port, uintptr_t offset, uint8_t pin, bool set) {
    uint32_t bits = ek_read32(port->base + offset) & ~(1u << pin);
    ek_write32(port->base + offset, bits | (uint32_t)set << pin);
}

static int init(const void *dev) {
    const struct pl061 *port = dev;
    ek_assert(port->base != 0);
    if (port->gate != 0) {
        ek_write32(port->gate, ek_read32(port->gate) | port->gate_bits);
        (void)ek_read32(port->gate); // three clocks until the gate is open (RCGC2)
    }
    ek_write32(port->base + IE, 0);
    return EK_OK;
}

static bool refused(const struct pl061 *port, uint8_t pin) {
    return pin >= port->pins || (port->reserved >> pin & 1) != 0;
}

static int input(const void *dev, uint8_t pin, enum ek_gpio_pull pull) {
    const struct pl061 *port = dev;
    if (refused(port, pin) || (pull != EK_GPIO_FLOAT && !port->pads)) {
        return EK_EINVAL;
    }
    change(port, IE, pin, false); // while it is changed, no interrupt
    change(port, DIR, pin, false);
    change(port, AFSEL, pin, false);
    if (port->pads) { // setting one pull takes back the other by itself (GPIOPUR, GPIOPDR)
        change(port, PUR, pin, pull == EK_GPIO_PULL_UP);
        change(port, PDR, pin, pull == EK_GPIO_PULL_DOWN);
        change(port, DEN, pin, true);
    }
    change(port, IS, pin, false); // edges,
    change(port, IBE, pin, true); // both
    ek_write32(port->base + IC, 1u << pin);
    change(port, IE, pin, true);
    return EK_OK;
}

static void set(const void *dev, uint8_t pin, bool level) {
    const struct pl061 *port = dev;
    ek_write32(port->base + DATA + (4u << pin), (uint32_t)level << pin);
}

static bool get(const void *dev, uint8_t pin) {
    const struct pl061 *port = dev;
    return ek_read32(port->base + DATA + (4u << pin)) != 0;
}

static int output(const void *dev, uint8_t pin, bool level) {
    const struct pl061 *port = dev;
    if (refused(port, pin)) {
        return EK_EINVAL;
    }
    change(port, IE, pin, false);
    if (port->pads) {
        change(port, ODR, pin, false);
        change(port, DEN, pin, true);
    }
    // The value of before the direction may be kept or not: GPIODATA is said to reach outputs only
    // (3.3.1). Where it is not kept, the second write ends the glitch.
    set(dev, pin, level);
    change(port, DIR, pin, true);
    set(dev, pin, level);
    change(port, AFSEL, pin, false);
    return EK_OK;
}

static uint32_t edges(const void *dev) {
    const struct pl061 *port = dev;
    uint32_t latched = ek_read32(port->base + MIS);
    if (latched != 0) {
        ek_write32(port->base + IC, latched);
    }
    return latched;
}

const struct ek_gpio_ops pl061_ops = {
    .init = init, .input = input, .output = output, .get = get, .set = set, .edges = edges};
