"""Digital pins of booted images: QEMU's qtest socket plays what is wired to them, beside TCG, and
reads the output's register while the image runs; commands come from mosquitto's own client.

What a bouncing contact must become, and how many pulses there were, is known because the test made
them. Times are far apart, so that a loaded machine does not turn a bounce into two changes.
"""

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from boot_rig import LIMIT_S, TOPIC, Boot, Built, collect, has_readings, readings, statistics_until

from edgeuk.run.broker import Broker
from edgeuk.run.monitor import Monitor
from edgeuk.run.process import Process

VIRT_PL061 = 0x0903_0000
PORT_F = 0x4002_5000  # of the lm3s6965evb
GPIO3 = 0x020A_4000  # of the imx6ul-evk
INPUTS = """
[pipeline]
statistics = "1s"
[[sensor]]
name = "door"
driver = "gpio_in"
at = "gpio0:5"
active = "low"
debounce = "200ms"
every = "1h"
[[sensor]]
name = "water"
driver = "pulse_counter"
at = "gpio0:6"
edge = "{edge}"
debounce = "{debounce}"
every = "100ms"
"""
OUTPUT = """
[pipeline]
statistics = "1s"
[[actuator]]
name = "relay"
driver = "gpio_out"
at = "gpio0:7"
active = "{active}"
on_disconnect = "{on_disconnect}"
hold = "1s"
[[actuator]]
name = "lamp"
driver = "gpio_out"
at = "gpio0:4"
initial = "on"
obey_retained = true
"""
DEBOUNCE_READINGS = 2  # the time of the door's debounce, in readings of the counter
PULSES, HOLD_S = 6, 0.2


class Qtest:
    """QEMU's qtest protocol (docs/devel/testing/qtest.rst): a line each way."""

    def __init__(self, path: Path) -> None:
        end = time.monotonic() + LIMIT_S
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(LIMIT_S)
        while True:  # QEMU makes it before it runs, but after it was started
            try:
                self._socket.connect(str(path))
                break
            except OSError:
                assert time.monotonic() < end, "QEMU opens no qtest socket"
                time.sleep(0.01)
        self._file = self._socket.makefile("rw")

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def command(self, line: str) -> str:
        self._file.write(line + "\n")
        self._file.flush()
        answer = self._file.readline()
        assert answer.startswith("OK"), f"{line}: {answer}"
        return answer[2:].strip()

    def read32(self, address: int) -> int:
        return int(self.command(f"readl {address:#x}"), 16)


class Pins:
    """A machine's port: what is wired to it."""

    def __init__(self, machine: Process, qtest: Qtest, kind: str, path: str = "") -> None:
        self.machine, self.qtest = machine, qtest
        self.path = path or next(
            f"/machine/unattached/{entry['name']}"
            for entry in machine.qmp("qom-list", path="/machine/unattached")
            if entry["type"] == f"child<{kind}>"
        )

    def drive(self, pin: int, level: int) -> None:
        self.qtest.command(f"set_irq_in {self.path} unnamed-gpio-in {pin} {level}")

    def bounce(self, pin: int, level: int) -> None:
        """As a contact does it: it ends at `level`."""
        for i in range(9):
            self.drive(pin, level ^ (i & 1))


Start = Callable[..., tuple[Any, Qtest]]


@pytest.fixture
def start(boot: Boot, tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def run(built: Built, values: dict[str, str]) -> tuple[Process, Qtest]:
            path = tmp_path / "qtest"
            extra = ["-qtest", f"unix:{path},server=on,wait=off", "-qtest-log", "/dev/null"]
            machine = boot(built, values, extra=extra)
            qtest = Qtest(path)
            stack.callback(qtest.close)
            return machine, qtest

        yield run


def publish(broker: Broker, name: str, payload: str, *more: str) -> None:
    argv = ["mosquitto_pub", "-p", str(broker.port), "-t", f"{TOPIC}/set/{name}", "-m", payload]
    subprocess.run([*argv, *more], check=True, timeout=LIMIT_S)


def until(condition: Callable[[], bool], limit_s: float = LIMIT_S) -> float:
    """How long it took."""
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() < begin + limit_s
        time.sleep(0.01)
    return time.monotonic() - begin


def door(pins: Pins, monitor: Monitor, flow: int) -> list[float]:
    """What comes of the door in four times its debounce. The gateway's own clock is the other
    input: the `flow`th edge there, from now on in its readings, and the readings after it."""
    pins.drive(6, flow % 2)
    messages = collect(
        monitor,
        lambda m: sum(r.value == flow for r in readings(m, "water")) > 4 * DEBOUNCE_READINGS,
    )
    return [r.value for r in readings(messages, "door")]


def test_a_bouncing_contact_is_one_change(gateways, start, broker, monitor):
    built = gateways("virt-aarch64", INPUTS.format(edge="both", debounce="5ms"))
    machine, qtest = start(built, {"mqtt.port": str(broker.port)})
    pins = Pins(machine, qtest, "pl061")
    first = collect(monitor, has_readings("door", 1))
    assert [r.value for r in readings(first, "door")] == [1]  # low, and active is low
    for flow, level in enumerate((1, 0, 1), 1):
        pins.bounce(5, level)
        assert door(pins, monitor, flow) == [1 - level]
    pins.bounce(5, 0)
    pins.drive(5, 1)  # back before it counts
    assert door(pins, monitor, 4) == []


@pytest.mark.parametrize(
    ("edge", "counted"), [("rising", PULSES), ("falling", PULSES), ("both", 2 * PULSES)]
)
def test_pulses_are_counted_and_bounces_are_not(gateways, start, broker, monitor, edge, counted):
    """A contact bounces for a millisecond, or for fifty on a loaded machine."""
    built = gateways("virt-aarch64", INPUTS.format(edge=edge, debounce="100ms"))
    machine, qtest = start(built, {"mqtt.port": str(broker.port)})
    pins = Pins(machine, qtest, "pl061")
    collect(monitor, has_readings("water", 3))
    for i in range(2 * PULSES):
        pins.bounce(6, 1 - i % 2)
        time.sleep(HOLD_S)
    seen = values_until_still(monitor)
    assert seen[-1] == counted
    assert seen == sorted(seen)


def values_until_still(monitor: Monitor) -> list[float]:
    """The counter's readings, until it has been the same for ten of them."""
    messages = collect(
        monitor,
        lambda m: len(got := readings(m, "water")) > 20 and len({r.value for r in got[-10:]}) == 1,
    )
    return [r.value for r in readings(messages, "water")]


def test_without_debounce_a_pulse_shorter_than_a_round_counts_once(
    gateways, start, broker, monitor
):
    built = gateways("virt-aarch64", INPUTS.format(edge="rising", debounce="0s"))
    machine, qtest = start(built, {"mqtt.port": str(broker.port)})
    pins = Pins(machine, qtest, "pl061")
    collect(monitor, has_readings("water", 3))
    machine.qmp("stop")
    pins.drive(6, 1)
    pins.drive(6, 0)
    machine.qmp("cont")
    assert values_until_still(monitor)[-1] == 1


@pytest.mark.parametrize("active", ["high", "low"])
def test_commands_switch_an_output_and_its_state_is_a_reading(
    gateways, start, broker, monitor, active
):
    built = gateways("virt-aarch64", OUTPUT.format(active=active, on_disconnect="keep"))
    _machine, qtest = start(built, {"mqtt.port": str(broker.port)})
    collect(monitor, has_readings("relay", 1))

    def on(pin: int) -> bool:
        return bool(qtest.read32(VIRT_PL061 + (4 << pin)))

    high = active == "high"
    assert on(7) is not high
    assert on(4)
    # Words as people and programs write them.
    for payload, wanted in [
        ("on", 1),
        ("0", 0),
        (" TRUE\n", 1),
        ("off", 0),
        ("1", 1),
        ("False", 0),
    ]:
        publish(broker, "relay", payload)
        messages = collect(
            monitor, lambda m, w=wanted: any(r.value == w for r in readings(m, "relay")[-1:])
        )
        assert readings(messages, "relay")[-1].value == wanted
        assert on(7) is (high == bool(wanted))
    publish(broker, "lamp", "off")
    until(lambda: not on(4))
    stats = statistics_until(monitor, lambda s: s["commands"] == 7)
    assert stats["commands_refused"] == 0


def test_what_is_no_command_is_refused_and_counted(gateways, start, broker, monitor):
    publish(broker, "relay", "on", "-r")  # kept by the broker from an earlier life
    publish(broker, "lamp", "off", "-r")  # which this one asks for
    built = gateways("virt-aarch64", OUTPUT.format(active="high", on_disconnect="keep"))
    machine, qtest = start(built, {"mqtt.port": str(broker.port)})
    statistics_until(monitor, lambda s: s["commands"] == 2 and s["commands_refused"] == 1)
    assert machine.wait_line("command to relay refused: retained", LIMIT_S)
    until(lambda: qtest.read32(VIRT_PL061 + (4 << 4)) == 0)
    for payload in ("2", "", "onn", "o", "x" * 500):
        publish(broker, "relay", payload)
    for name in ("rela", "relays", "door"):
        publish(broker, name, "on")
    statistics_until(monitor, lambda s: s["commands"] == 10 and s["commands_refused"] >= 8)
    assert qtest.read32(VIRT_PL061 + (4 << 7)) == 0
    publish(broker, "relay", "on")
    until(lambda: qtest.read32(VIRT_PL061 + (4 << 7)) != 0)


def test_without_a_broker_the_output_does_what_the_file_says(gateways, start, broker, monitor):
    built = gateways("virt-aarch64", OUTPUT.format(active="high", on_disconnect="off"))
    machine, qtest = start(built, {"mqtt.port": str(broker.port)})
    collect(monitor, has_readings("relay", 1))
    publish(broker, "relay", "on")
    until(lambda: qtest.read32(VIRT_PL061 + (4 << 7)) != 0)
    broker.__exit__(None, None, None)
    assert until(lambda: qtest.read32(VIRT_PL061 + (4 << 7)) == 0) > 0.5  # not before `hold`
    assert machine.wait_line("actuators: relay: no broker, off", LIMIT_S)
    assert qtest.read32(VIRT_PL061 + (4 << 4)) != 0  # which keeps its state


STELLARIS = """
[[sensor]]
name = "up"
driver = "gpio_in"
at = "gpio1:0"
active = "low"
pull = "up"
every = "1h"
[[sensor]]
name = "select"
driver = "gpio_in"
at = "gpio2:1"
active = "low"
pull = "up"
every = "1h"
[[actuator]]
name = "led"
driver = "gpio_out"
at = "gpio2:0"
"""


def press(machine: Process, key: str, *, down: bool) -> None:
    event = {"type": "key", "data": {"key": {"type": "qcode", "data": key}, "down": down}}
    machine.qmp("input-send-event", events=[event])


def test_keys_and_led_of_the_stellaris_board(gateways, start, broker, monitor):
    built = gateways("lm3s6965evb", STELLARIS)
    machine, qtest = start(built, {"mqtt.port": str(broker.port)})
    first = collect(monitor, lambda m: has_readings("up", 1)(m) and has_readings("select", 1)(m))
    # QEMU's keys are high only once they have been pressed.
    assert readings(first, "up")[-1].value == readings(first, "select")[-1].value == 1
    for name, key in [("up", "up"), ("select", "ctrl")]:
        press(machine, key, down=True)
        for down in (False, True, False):
            press(machine, key, down=down)
            messages = collect(monitor, has_readings(name, 1))
            assert [r.value for r in readings(messages, name)] == [down]
    publish(broker, "led", "on")
    until(lambda: qtest.read32(PORT_F + (4 << 0)) != 0)


AWAITED = """
[pipeline]
statistics = "1h"
batch = "0s"
[[sensor]]
name = "door"
driver = "gpio_in"
at = "{at}"
debounce = "0s"
every = "1h"
"""


@pytest.mark.parametrize(
    ("board", "kind", "path", "pin"),
    [
        ("virt-aarch64", "pl061", "", 5),
        ("imx6ul-evk", "imx.gpio", "/machine/soc/gpio2", 18),
        ("imx8mp-evk", "imx.gpio", "/machine/soc/gpio5", 10),
    ],
)
def test_an_edge_wakes_a_sleeping_gateway(gateways, start, broker, monitor, board, kind, path, pin):
    built = gateways(board, AWAITED.format(at=f"gpio0:{pin}"))
    machine, qtest = start(built, {"mqtt.port": str(broker.port)})
    collect(monitor, has_readings("door", 1))
    pins = Pins(machine, qtest, kind, path)
    assert median_s(monitor, lambda level: pins.drive(pin, level)) < WAKE_S


def test_a_key_wakes_the_stellaris_board(gateways, start, broker, monitor):
    built = gateways("lm3s6965evb", AWAITED.format(at="gpio2:1"))
    machine, _qtest = start(built, {"mqtt.port": str(broker.port)})
    collect(monitor, has_readings("door", 1))
    press(machine, "ctrl", down=True)
    press(machine, "ctrl", down=False)
    collect(monitor, has_readings("door", 1))
    took = median_s(monitor, lambda level: press(machine, "ctrl", down=level == 1))
    assert took < WAKE_S


WAKE_S = 0.06  # without an interrupt it is 0.125: some timer wakes it four times a second


def median_s(monitor: Monitor, drive: Callable[[int], None]) -> float:
    """From an edge to its reading, at times when nothing else happens."""
    took = []
    for i in range(7):
        time.sleep(0.6 + 0.1 * i)  # after the last acknowledgement
        begin = time.monotonic()
        drive(1 - i % 2)
        collect(monitor, has_readings("door", 1))
        took.append(time.monotonic() - begin)
    return sorted(took)[3]


def test_pins_of_the_imx(gateways, start, broker, monitor):
    text = INPUTS.format(edge="both", debounce="5ms") + OUTPUT[OUTPUT.index("[[") :].format(
        active="high", on_disconnect="keep"
    )
    machine, qtest = start(gateways("imx6ul-evk", text), {"mqtt.port": str(broker.port)})
    collect(monitor, has_readings("door", 1))
    pins = Pins(machine, qtest, "imx.gpio", "/machine/soc/gpio2")
    pins.bounce(5, 1)
    assert door(pins, monitor, 1) == [0]
    publish(broker, "relay", "on")
    until(lambda: qtest.read32(GPIO3) >> 7 & 1 == 1)
    assert qtest.read32(GPIO3 + 4) == 1 << 7 | 1 << 4  # GDIR
