"""What is particular to the micro:bit: a processor that divides and multiplies by our own helpers,
frames that get lost on the line, a thermometer that QEMU lacks, and 12 KB."""

import pytest
from boot_rig import (
    LIMIT_S,
    WAVE,
    catalog_with,
    collect,
    counters,
    has_readings,
    is_fresh_statistics,
    readings,
)

from edgeuk.catalog import find_board, load_catalog
from edgeuk.errors import EdgeukError
from edgeuk.gateway import load_gateway
from edgeuk.resolve import resolve

BOARD = "microbit"
FLASH_MAX, RAM_MAX = 12 * 1024, 6 * 1024
FULL = """
[[sensor]]
name = "chip"
driver = "nrf51_temp"
every = "1s"
filter = [{ median = 5 }, { calibrate_linear = [[0, 0.5], [100, 99]] }, { delta = 0.25 }]
"""
SIMULATED = WAVE[WAVE.index("[[sensor]]") :]
SUMS = """
[[sensor]]
name = "sums"
driver = "sums"
every = "200ms"
"""
MANIFEST = """\
class = "sensor"
summary = "Reckons with what the compiler calls helpers for; only in tests"
datasheet = "none: there is no device"
sources = ["sums.c"]
needs = []
[channel]
unit = ""
decimals = 0
[props]
"""
HEADER = """\
#ifndef SUMS_H
#define SUMS_H
#include "ek/sensor.h"
struct sums {
    uint16_t channel;
};
extern const struct ek_sensor_ops sums_ops;
#endif
"""
ROUNDS = 300
SOURCE = """\
#include "sums.h"

static uint64_t state;

static uint64_t next(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void poll(const void *dev) {
    const struct sums *sums = dev;
    uint64_t total = 0;
    state = 88172645463325252u;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t a = next();
        unsigned n = (unsigned)(a % 64);
        uint64_t b = (next() >> n) | 1;
        uint32_t c = (uint32_t)a, d = (uint32_t)b;
        total = total * 31 + a * b;
        total = total * 31 + a / b;
        total = total * 31 + a % b;
        total = total * 31 + (a << n);
        total = total * 31 + (a >> n);
        total = total * 31 + (uint64_t)((int64_t)a >> n);
        total = total * 31 + (uint64_t)((int64_t)a / (int64_t)(b >> 1 | 1));
        total = total * 31 + c / d;
        total = total * 31 + c % d;
        total = total * 31 + (uint32_t)((int32_t)c / (int32_t)(d >> 1 | 1));
        total = total * 31 + (uint32_t)((int32_t)c % (int32_t)(d >> 1 | 1));
    }
    ek_sensor_report(sums->channel, (int64_t)(total >> 16), 0, EK_OK);
}

const struct ek_sensor_ops sums_ops = {.poll = poll};
"""


def expected_sum():
    """The same in Python, whose numbers do not end."""
    mask, low = 2**64 - 1, 2**32 - 1
    state, total = 88172645463325252, 0

    def signed(value, bits):
        return value - (1 << bits) if value >> (bits - 1) else value

    def toward_zero(n, d):
        return abs(n) // d * (1 if n >= 0 else -1)

    for _ in range(ROUNDS):
        drawn = []
        for _ in range(2):
            state ^= state << 13 & mask
            state ^= state >> 7
            state ^= state << 17 & mask
            drawn.append(state)
        a, n = drawn[0], drawn[0] % 64
        b = drawn[1] >> n | 1
        c, d = a & low, b & low
        sa, sc, half = signed(a, 64), signed(c, 32), d >> 1 | 1
        quotient = toward_zero(sc, half)
        for term in (
            *(a * b, a // b, a % b, a << n & mask, a >> n, sa >> n),
            *(toward_zero(sa, b >> 1 | 1), c // d, c % d),
            *(quotient & low, (sc - quotient * half) & low),
        ):
            total = (total * 31 + term) & mask
    return total >> 16


@pytest.fixture(scope="module")
def catalog_with_sums(tmp_path_factory):
    source = SOURCE.replace("ROUNDS", str(ROUNDS))
    return catalog_with(tmp_path_factory.mktemp("sums"), "sums", MANIFEST, HEADER, source)


def test_the_compilers_helpers_reckon_right(gateways, boot, broker, monitor, catalog_with_sums):
    boot(gateways(BOARD, SUMS, catalog_with_sums), {"mqtt.port": str(broker.port)})
    messages = collect(monitor, has_readings("sums", 2))
    assert {r.value for r in readings(messages, "sums")} == {float(expected_sum())}


def test_every_reading_arrives_in_order_and_none_is_lost(gateways, boot, broker, monitor):
    machine = boot(gateways(BOARD, WAVE), {"mqtt.port": str(broker.port)})
    messages = collect(monitor, has_readings("wave", 50))
    values = [r.value for r in readings(messages, "wave")]
    assert values == sorted(values)
    assert values[0] < 1
    assert counters([m for m in messages if is_fresh_statistics(m)])["dropped"] == 0
    decoder = machine.text_of.__self__.decoder
    assert (decoder.lost, decoder.damaged) == (0, 0)
    assert all(line.isprintable() for line in machine.lines)


def test_a_thermometer_that_does_not_answer_is_counted(gateways, boot, broker, monitor):
    text = '[pipeline]\nstatistics = "1s"\n' + FULL
    machine = boot(gateways(BOARD, text), {"mqtt.port": str(broker.port)})
    machine.wait_line("chip", LIMIT_S)  # QEMU has no model of it
    messages = collect(
        monitor, lambda m: any(is_fresh_statistics(x) and counters([x])["errors"] >= 2 for x in m)
    )
    assert readings(messages, "chip") == []


@pytest.mark.parametrize("encoding", ["senml+cbor", "senml+json"])
@pytest.mark.parametrize("sensor", [SIMULATED, FULL])
def test_image_and_variables_are_small(gateways, encoding, sensor):
    result = gateways(BOARD, f'[pipeline]\nencoding = "{encoding}"\n{sensor}').result
    assert result.flash_bytes <= FLASH_MAX
    stack = find_board(load_catalog(), BOARD).sizes["stack_bytes"]
    assert result.ram_bytes + stack <= RAM_MAX


def test_what_needs_a_network_is_refused_with_its_reason(tmp_path, catalog):
    path = tmp_path / "gateway.toml"
    path.write_text(
        'schema = 1\nname = "g"\n[mqtt]\nurl = "mqtt://localhost"\n'
        '[servers]\nmain = "localhost:502"\n'
        '[[sensor]]\nname = "v"\ndriver = "modbus_tcp"\nat = "main/1"\nregister = "input:0"\n'
        'type = "u16"\nevery = "1s"\n'
    )
    with pytest.raises(EdgeukError, match="board microbit has no role `uplink`"):
        resolve(load_gateway(path, catalog), find_board(catalog, BOARD), catalog)
