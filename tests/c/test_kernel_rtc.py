"""kernel/rtc.c on the host: when the chip's time is believed, when it is set, and that no boot
waits for it."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOW = 1_900_000_000
TOLD = f"clock: {NOW} s since 1970, from rtc"
SNTP = f"clock: {NOW + 100} s since 1970, from sntp"


@pytest.fixture(scope="session")
def rtc(tmp_path_factory):
    out = tmp_path_factory.mktemp("rtc") / "rtc"
    firmware = ROOT / "firmware"
    flags = ["-std=gnu11", "-O1", "-g", "-fsanitize=address,undefined", "-Wall", "-Wextra"]
    sources = [*(firmware / "kernel" / n for n in ("rtc.c", "clock.c", "status.c"))]
    includes = [f"-I{firmware}", f"-I{firmware}/include"]
    argv = ["cc", *flags, "-Werror", *includes, *sources, Path(__file__).with_suffix(".c")]
    subprocess.run([*argv, "-o", out], check=True, timeout=120)

    def run(*steps):
        done = subprocess.run([out, *steps], capture_output=True, text=True, timeout=30, check=True)
        return done.stdout.splitlines()

    return run


def test_the_chips_time_is_taken_at_boot(rtc):
    said = rtc(f"chip={NOW}", "start", "wait_ms=1000", "time")
    assert said == ["get", TOLD, f"time {NOW * 1000 + 1500}"]  # some part of a second had passed


def test_a_chip_that_is_busy_holds_up_nothing(rtc):
    steps = [f"chip={NOW}", "busy=2", "start", "time", "wait_ms=3", "time", "wait_ms=3"]
    assert rtc(*steps) == ["get", "time -1", "get", "time -1", "get", TOLD]


def test_a_chip_that_is_always_busy_is_given_up(rtc):
    said = rtc("busy=99", "start", *["wait_ms=3"] * 20)
    assert said == [*["get"] * 10, "rtc: no time: busy"]


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        (["chip=1767225599"], "out of range"),  # a year in which this was not written
        (["chip=4102444800"], "out of range"),
        (["chip=-5"], "out of range"),
        ([f"chip={NOW}", "get=-10"], "out of range"),
        ([f"chip={NOW}", "get=-3"], "timeout"),
    ],
)
def test_what_cannot_be_is_not_believed(rtc, steps, reason):
    assert rtc(*steps, "start", "time") == ["get", f"rtc: no time: {reason}", "time -1"]


@pytest.mark.parametrize("seconds", [1_767_225_600, 4_102_444_799])
def test_the_first_and_the_last_second_that_can_be(rtc, seconds):
    assert f"clock: {seconds} s since 1970, from rtc" in rtc(f"chip={seconds}", "start")


@pytest.mark.parametrize(("off_ms", "is_set"), [(1900, 0), (-1900, 0), (2600, 1), (-2600, 1)])
def test_sntp_sets_a_chip_that_is_wrong(rtc, off_ms, is_set):
    said = rtc(f"chip={NOW}", "start", f"sntp_ms={NOW * 1000 + 500 + off_ms}")
    sets = [line for line in said if line.startswith("set ")]
    assert sets == ([f"set {(NOW * 1000 + 1000 + off_ms) // 1000}"] if is_set else [])


def test_sntp_sets_a_chip_that_has_lost_its_time(rtc):
    said = rtc("get=-10", "start", f"sntp_ms={(NOW + 100) * 1000}")
    assert said == [
        "get", "rtc: no time: out of range", SNTP, "get", f"set {NOW + 100}", "rtc: set: ok",
    ]  # fmt: skip


def test_sntp_that_comes_while_the_chip_is_busy_wins(rtc):
    steps = [f"chip={NOW}", "busy=2", "start", f"sntp_ms={(NOW + 100) * 1000}", "wait_ms=3", "time"]
    said = rtc(*steps)
    assert said == [
        "get", SNTP, "get", "get", f"set {NOW + 100}", "rtc: set: ok",
        f"time {(NOW + 100) * 1000 + 3}",
    ]  # fmt: skip


@pytest.mark.parametrize(("status", "said"), [(-5, []), (-2, ["rtc: i/o error"])])
def test_a_chip_that_is_not_there_is_left_alone(rtc, status, said):
    assert rtc(f"init={status}", "start", f"sntp_ms={(NOW + 100) * 1000}") == [*said, SNTP]
