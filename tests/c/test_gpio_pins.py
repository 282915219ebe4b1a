"""Digital pins above the ports, on the host with sanitizers: firmware/gpio (sharing, debounce),
gpio_in, pulse_counter, gpio_out and app/actuators, between ports that say what is done to them.

Ports are `a` and `b`; door is a5 (active low, 20 ms), window a4 (no debounce), counter 0 is a0
(rising, 5 ms), 1 is a0 (falling, none), 2 is b0 (both, none), 3 is b31; relay b7 (off after 5 s
without a broker), lamp b6 (active low, initially on, obeys retained commands).
"""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FIRMWARE, DRIVERS = ROOT / "firmware", ROOT / "edgeuk/drivers"
SENSORS = ("gpio_in", "pulse_counter", "gpio_out")
DOOR = ["init a", "input a5 up", "-> 0"]
READY = ["in door", "wait 20000"]
ACTUATORS = ["init b", "b7 low", "b6 low"]  # off, and on, which is low


@pytest.fixture(scope="session")
def gpio(tmp_path_factory):
    out = tmp_path_factory.mktemp("gpio")
    (out / "config.h").write_text("#define EK_ACTUATORS 2\n")
    flags = ["-std=gnu11", "-O1", "-g", "-fsanitize=address,undefined", "-Wall", "-Wextra"]
    sources = [FIRMWARE / "gpio/pins.c", FIRMWARE / "app/actuators/actuators.c"]
    sources += [DRIVERS / name / f"{name}.c" for name in SENSORS]
    includes = [out, FIRMWARE, FIRMWARE / "include", *(DRIVERS / name for name in SENSORS)]
    argv = ["cc", *flags, "-Werror", "-Wno-builtin-macro-redefined", "-D__FILE_NAME__=__FILE__"]
    argv += [*(f"-I{i}" for i in includes), *map(str, sources)]
    argv += [str(Path(__file__).with_suffix(".c")), "-o", str(out / "gpio")]
    subprocess.run(argv, check=True, timeout=120)

    def run(*steps):
        argv = [str(out / "gpio"), *steps]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True)
        return done.stdout.splitlines()

    return run


def test_the_first_level_is_reported_once_it_has_stood_still(gpio):
    assert gpio("in door", "poll door", "wait 19999") == DOOR
    assert gpio("in door", "poll door", "wait 20000") == [*DOOR, "door=1"]
    assert gpio("level a5=1", "in door", "wait 20000", "poll door") == [*DOOR, "door=0", "door=0"]


def test_a_bouncing_contact_is_one_change_after_its_last_bounce(gpio):
    bounces = [step for i in range(7) for step in (f"level a5={1 - i % 2}", "round", "wait 15000")]
    assert gpio(*READY, *bounces, "wait 4999") == [*DOOR, "door=1"]
    assert gpio(*READY, *bounces, "wait 5000") == [*DOOR, "door=1", "door=0"]


def test_a_bounce_that_comes_back_is_no_change(gpio):
    glitch = ["level a5=1", "round", "wait 19999", "level a5=0", "round", "wait 90000"]
    assert gpio(*READY, *glitch) == [*DOOR, "door=1"]
    short = ["level a5=1", "level a5=0", "round", "wait 90000"]
    assert gpio(*READY, *short) == [*DOOR, "door=1"]


def test_while_it_bounces_the_old_level_counts(gpio):
    steps = ["level a5=1", "round", "wait 10000", "poll door"]
    assert gpio(*READY, *steps) == [*DOOR, "door=1", "door=1"]


def test_without_debounce_a_change_is_reported_at_once(gpio):
    begun = ["init a", "input a4 down", "-> 0", "window=0"]
    steps = ["in window", "round", "level a4=1", "round"]
    assert gpio(*steps, "level a4=0", "round") == [*begun, "window=1", "window=0"]
    assert gpio("in window", "round", "level a4=1", "level a4=0", "round") == begun  # too short


def test_pins_of_one_port_share_it_and_each_hears_of_its_own(gpio):
    begun = ["init a", "input a5 up", "-> 0", "input a4 down", "-> 0", "window=0", "door=1"]
    steps = ["in door", "in window", "wait 20000", "level a5=1", "level a4=1", "round"]
    assert gpio(*steps, "wait 20000") == [*begun, "window=1", "door=0"]


@pytest.mark.parametrize("status", [-1, -2, -5])
def test_a_port_that_fails_is_told_and_tried_again(gpio, status):
    failed = ["init a", f"-> {status}"]
    steps = [f"fail {status}", "in door", "fail 0", *READY]
    assert gpio(*steps) == [*failed, *DOOR, "door=1"]


def test_a_counter_counts_its_edges_and_not_those_of_before(gpio):
    begun = ["level a0=1", "count 0", "wait 5000", "number 0"]
    assert gpio(*begun)[-1] == "pulses=0"
    pulse = ["level a0=0", "round", "wait 5000", "level a0=1", "round", "wait 5000"]
    assert gpio(*begun, *pulse * 3, "number 0")[-1] == "pulses=3"
    bounce = ["level a0=0", "round", "wait 4999", "level a0=1", "round", "wait 4999"]
    assert gpio(*begun, *bounce * 3, "wait 9000", "number 0")[-1] == "pulses=0"


def test_ports_do_not_hear_of_each_others_edges(gpio):
    begun = ["count 2", "count 1", "round"]
    for one, other, asked in [("a0", "number 2", 0), ("a0", "number 1", 1), ("b0", "number 1", 0)]:
        pulse = [f"level {one}=1", f"level {one}=0", "round"]
        assert gpio(*begun, *pulse, other)[-1] == f"pulses={asked}"


@pytest.mark.parametrize(
    ("counter", "pin", "slow", "short"), [(1, "a0", 1, 1), (2, "b0", 2, 2), (3, "b31", 1, 1)]
)
def test_without_debounce_a_round_counts_one_pulse(gpio, counter, pin, slow, short):
    begun = [f"count {counter}", "round"]
    high, low, ask = f"level {pin}=1", f"level {pin}=0", f"number {counter}"
    assert gpio(*begun, high, "round", low, "round", ask)[-1] == f"pulses={slow}"
    assert gpio(*begun, high, low, "round", ask)[-1] == f"pulses={short}"
    assert gpio(*begun, *[high, low] * 9, "round", ask)[-1] == f"pulses={short}"  # too few
    half = {1: 0, 2: 1, 3: 1}[counter]
    assert gpio(*begun, high, "round", ask)[-1] == f"pulses={half}"


def test_outputs_begin_at_their_initial_state(gpio):
    assert gpio("actuators") == ACTUATORS


@pytest.mark.parametrize("word", ["1", "on", "ON", "On", "true", "TRUE", " on", "on\r\n", "\t1 "])
def test_words_for_on(gpio, word):
    assert gpio("actuators", f"message set/relay={word}")[3:] == ["b7 high", "relay=1"]


@pytest.mark.parametrize("word", ["0", "off", "OFF", "False", " 0\n"])
def test_words_for_off(gpio, word):
    assert gpio("actuators", f"message set/lamp={word}")[3:] == ["b6 high", "lamp=0"]


@pytest.mark.parametrize(
    "word",
    ["", " ", "2", "11", "o", "onn", "of", "offf", "yes", "-1", "1.0", "o n", "\x11", "\x10"],
)
def test_other_words_are_refused(gpio, word):
    why = "actuators: command to relay refused: not 1, 0, on, off, true or false"
    steps = ["actuators", f"message set/relay={word}", "statistics"]
    assert gpio(*steps)[3:] == [why, "1 of 1 refused"]


def test_a_refusal_is_logged_once_in_a_row_and_counted(gpio):
    steps = ["message set/x=1", "message set/relay/x=1", "message set/rela=1"]
    log = "actuators: command to {} refused: no such actuator"
    out = gpio("actuators", *steps, "message set/relay=1", *steps, "statistics")[3:]
    assert out == [log.format("x"), "b7 high", "relay=1", log.format("x"), "6 of 7 refused"]
    assert gpio("actuators", "message other=1", "statistics")[3:] == ["0 of 0 refused"]


def test_what_a_refusal_prints_is_short_and_plain(gpio):
    out = gpio("actuators", "message set/\x1b[31m" + "x" * 100 + "=1")[3]
    assert out == "actuators: command to ?[31m" + "x" * 26 + " refused: no such actuator"


def test_kept_commands_are_refused_unless_the_file_asks_for_them(gpio):
    why = "actuators: command to relay refused: retained"
    steps = ["actuators", "kept set/relay=on", "kept set/lamp=off", "statistics"]
    assert gpio(*steps)[3:] == [why, "b6 high", "lamp=0", "1 of 2 refused"]


def test_states_are_reported_with_a_connection_and_every_statistics_period(gpio):
    both = ["relay=0", "lamp=1"]
    assert gpio("actuators", "up", "wait 59999999")[3:] == both
    assert gpio("actuators", "up", "wait 60000000")[3:] == both * 2
    assert gpio("actuators", "up", "down", "up", "wait 60000000")[3:] == both * 3
    assert gpio("actuators", "up", "down", "wait 60000000")[3:] == both


def test_without_a_broker_an_output_does_what_the_file_says_after_its_time(gpio):
    on = ["actuators", "up", "message set/relay=on", "message set/lamp=off", "down"]
    begun = [*ACTUATORS, "relay=0", "lamp=1", "b7 high", "relay=1", "b6 high", "lamp=0"]
    attempts = ["wait 3000000", "down", "wait 1999999"]  # one that failed begins nothing anew
    assert gpio(*on, *attempts) == begun
    off = ["b7 low", "actuators: relay: no broker, off", "relay=0"]
    assert gpio(*on, *attempts, "wait 1") == [*begun, *off]
    assert gpio(*on, *attempts, "up", "wait 9000000") == [*begun, "relay=1", "lamp=0"]


def test_the_time_counts_from_boot_too(gpio):
    steps = ["actuators", "message set/relay=on", "wait 5000000"]
    acted = ["b7 high", "relay=1", "b7 low", "actuators: relay: no broker, off", "relay=0"]
    assert gpio(*steps) == [*ACTUATORS, *acted]


def test_what_is_as_it_should_be_without_a_broker_is_left_alone(gpio):
    assert gpio("actuators", "wait 9000000") == ACTUATORS


def test_an_output_that_fails_is_told_and_tried_again(gpio):
    steps = ["fail -2", "actuators", "up", "message set/relay=1", "fail 0", "message set/relay=1"]
    out = gpio(*steps)
    failed = [line for line in out if "input/output" in line]
    assert failed == [
        "actuators: relay: input/output",
        "actuators: lamp: input/output",
        "relay: input/output",
        "lamp: input/output",
        "relay: input/output",
        "actuators: command to relay refused: input/output",
    ]
    assert out[-3:] == ["init b", "b7 high", "relay=1"]


def test_an_output_that_fails_without_a_broker_is_tried_until_it_obeys(gpio):
    broken = ["fail -2", "actuators", "wait 5000000"]
    failed = "actuators: relay: no broker, off: input/output"
    out = gpio(*broken)
    assert out.count(failed) == 1
    assert gpio(*broken, "wait 10000000").count(failed) == 2
    mended = gpio(*broken, "fail 0", "wait 10000000", "wait 20000000")
    assert mended.count("actuators: relay: no broker, off") == 1
    assert mended[-1] == "relay=0"
