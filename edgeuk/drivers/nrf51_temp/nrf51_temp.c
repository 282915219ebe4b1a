// nrf51_temp.c: the temperature of the nRF51's own die, in steps of 0.25 degrees. Document: nRF51
// Series Reference Manual 3.0, TEMP; names in parentheses are its registers. The anomalies are
// those of Nordic's PAN 028 (rev 2.0A), as nrf_temp.h of the nRF5 SDK cites them.
#include "nrf51_temp.h"
#include "ek/clock.h"
#include "ek/mmio.h"

enum { START = 0x000, STOP = 0x004, DATARDY = 0x100, INTENCLR = 0x308, TEMP = 0x508 };
enum { OFFSET = 0x504 }; // in no manual: anomaly 31, the offset has to be loaded by hand

// A measurement takes 35 us (product specification, tTEMP).
enum { MEASURE_US_MAX = 1000 };

// Ten bits, two's complement: what stands above them is not to be believed (anomaly 28).
int32_t nrf51_temp_decode(uint32_t raw) {
    int32_t quarters = (int32_t)(raw & 0x3ff);
    return (quarters >= 0x200 ? quarters - 0x400 : quarters) * 25;
}

static int init(const void *dev) {
    const struct nrf51_temp *sensor = dev;
    ek_write32(sensor->base + INTENCLR, UINT32_MAX);
    ek_write32(sensor->base + OFFSET, 0);
    return EK_OK;
}

static void poll(const void *dev) {
    const struct nrf51_temp *sensor = dev;
    int status = EK_OK;
    ek_write32(sensor->base + DATARDY, 0);
    ek_write32(sensor->base + START, 1);
    uint64_t start_us = ek_clock_us();
    while (status == EK_OK && ek_read32(sensor->base + DATARDY) == 0) {
        if (ek_clock_us() - start_us > MEASURE_US_MAX) {
            status = EK_ETIMEDOUT;
        }
    }
    uint32_t raw = ek_read32(sensor->base + TEMP); // before the stop, which clears it (anomaly 29)
    ek_write32(sensor->base + STOP, 1);            // else it stays powered (anomaly 30)
    ek_sensor_report(sensor->channel, nrf51_temp_decode(raw), 0, status);
}

const struct ek_sensor_ops nrf51_temp_ops = {.init = init, .poll = poll};
