// imx_gpio.c: a port of digital pins of NXP i.MX chips, with multiplexer and pad of each pin.
// Interrupts only wake the processor; the latch is read by edges().
// Document: NXP IMX6ULRM, chapters GPIO, IOMUXC, CCM; names in parentheses are registers. Offsets
// were checked against NXP's PERI_GPIO.h (i.MX 8MP) and Linux' gpio-mxc.c, what DR and PSR read as
// against U-Boot's and FreeBSD's drivers, the pad settings of driver.toml against Linux' binding
// fsl,imx6ul-pinctrl.
// Left out: level interrupts. The interrupt lines of pins 0 to 15 and 16 to 31 are the board's.
#include "imx_gpio.h"
#include "ek/assert.h"
#include "ek/mmio.h"

// Register offsets in bytes.
enum { DR = 0x00, GDIR = 0x04, PSR = 0x08, IMR = 0x14, ISR = 0x18, EDGE_SEL = 0x1c };

static void change(const struct imx_gpio *port, uintptr_t offset, uint8_t pin, bool set) {
    uint32_t bits = ek_read32(port->base + offset) & ~(1u << pin);
    ek_write32(port->base + offset, bits | (uint32_t)set << pin);
}

static int init(const void *dev) {
    const struct imx_gpio *port = dev;
    ek_assert(port->base != 0);
    if (port->gate != 0) {
        ek_write32(port->gate, ek_read32(port->gate) | port->gate_bits);
        (void)ek_read32(port->gate);
    }
    ek_write32(port->base + IMR, 0);
    return EK_OK;
}

static bool refused(const struct imx_gpio *port, uint8_t pin) {
    return pin >= port->pins || (port->reserved >> pin & 1) != 0;
}

// The pad first: it must not drive or float with another function's settings.
static void connect(const struct imx_gpio *port, uint8_t pin, uint32_t pad) {
    if (port->pad != 0) {
        ek_write32(port->pad + 4u * pin, pad);
    }
    if (port->mux != 0) {
        ek_write32(port->mux + 4u * pin, port->function);
    }
}

static int input(const void *dev, uint8_t pin, enum ek_gpio_pull pull) {
    const struct imx_gpio *port = dev;
    if (refused(port, pin) || (pull != EK_GPIO_FLOAT && port->pad == 0)) {
        return EK_EINVAL;
    }
    change(port, IMR, pin, false); // while it is changed, no interrupt
    change(port, GDIR, pin, false);
    connect(port, pin,
            pull == EK_GPIO_PULL_UP     ? port->pad_up
            : pull == EK_GPIO_PULL_DOWN ? port->pad_down
                                        : port->pad_float);
    change(port, EDGE_SEL, pin, true); // both edges, whatever ICR1 and ICR2 say
    ek_write32(port->base + ISR, 1u << pin);
    change(port, IMR, pin, true);
    return EK_OK;
}

static void set(const void *dev, uint8_t pin, bool level) { change(dev, DR, pin, level); }

static int output(const void *dev, uint8_t pin, bool level) {
    const struct imx_gpio *port = dev;
    if (refused(port, pin)) {
        return EK_EINVAL;
    }
    change(port, IMR, pin, false);
    set(dev, pin, level);
    change(port, GDIR, pin, true);
    connect(port, pin, port->pad_output);
    return EK_OK;
}

// DR reads back what an output drives, and the pad of an input (GPIO_DR): PSR would need SION for
// outputs.
static bool get(const void *dev, uint8_t pin) {
    const struct imx_gpio *port = dev;
    return (ek_read32(port->base + DR) >> pin & 1) != 0;
}

// ISR latches also what is masked; bits clear by writing ones (GPIO_ISR).
static uint32_t edges(const void *dev) {
    const struct imx_gpio *port = dev;
    uint32_t latched = ek_read32(port->base + ISR) & ek_read32(port->base + IMR);
    if (latched != 0) {
        ek_write32(port->base + ISR, latched);
    }
    return latched;
}

const struct ek_gpio_ops imx_gpio_ops = {
    .init = init, .input = input, .output = output, .get = get, .set = set, .edges = edges};
