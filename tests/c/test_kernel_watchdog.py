"""kernel/watchdog.c and kernel/crash.c on the host: when it feeds, and what the next boot says of
the last. A boot here is a call of watchdog_start(): memory survives it."""

import functools
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
START, FEED = "start 8000", "feed"
BUILD = "; build 0123456789abcdef"
HUNG = "watchdog: reset the board; last ran: 0x1234" + BUILD
SILENT = "watchdog: the last boot ended without a word; last ran: 0x1234" + BUILD
PANIC = "panic: {}7 at 0x1234 0x2000 0x3" + BUILD
RUNNING = ["boot", "runs=0x1234"]


@pytest.fixture(scope="session")
def watchdog(tmp_path_factory):
    @functools.cache
    def program(define):
        out = tmp_path_factory.mktemp("watchdog") / "watchdog"
        firmware = ROOT / "firmware"
        flags = ["-std=gnu11", "-O1", "-g", "-fsanitize=address,undefined", "-Wall", "-Wextra"]
        names = ("watchdog.c", "format.c", "device_config.c")
        sources = [*(firmware / "kernel" / n for n in names), Path(__file__).with_suffix(".c")]
        (out.parent / "config.h").write_text("")
        includes = [f"-I{firmware}", f"-I{firmware}/include", f"-I{out.parent}"]
        argv = ["cc", *flags, "-Werror", *define.split(), *includes, *sources, "-o", out]
        subprocess.run(argv, check=True, timeout=120)
        return out

    def run(*steps, define=""):
        argv = [program(define), *steps]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True)
        return done.stdout.splitlines()

    return run


def test_the_first_boot_arms_it_and_says_nothing(watchdog):
    assert watchdog("boot") == [START]


def test_a_watchdog_that_refuses_is_said(watchdog):
    assert watchdog("start_status=-1", "boot")[1].startswith("watchdog: does not start")


def test_its_warning_is_told_from_other_panics(watchdog):
    warned = watchdog(*RUNNING, "wait_ms=4000", "panic", "boot")
    assert warned == [START, "watchdog: not fed for 4000 ms; running: 0x1234", FEED, START, HUNG]
    other = watchdog(*RUNNING, "wait_ms=3999", "panic", "boot")
    assert other == [START, FEED, START]


def test_feeding_begins_the_time_anew(watchdog):
    steps = ["wait_ms=3000", "feed", "wait_ms=3999", "panic"]
    assert watchdog("boot", *steps) == [START, FEED, FEED]


@pytest.mark.parametrize("cause", [0, -5])
def test_a_reset_without_a_word_is_said_where_the_device_cannot_tell(watchdog, cause):
    assert watchdog(f"cause={cause}", *RUNNING, "boot") == [START, START, SILENT]


def test_a_device_that_knows_is_believed(watchdog):
    assert watchdog(*RUNNING, "cause=1", "boot") == [START, START, HUNG]
    said = watchdog("cause=1", "boot")  # power came back meanwhile: the record is gone
    assert said[1].startswith("watchdog: reset the board")


@pytest.mark.parametrize(
    ("steps", "report"),
    [
        (["boot"], "power-on"),
        ([*RUNNING, "runs=0", "boot"], "reset"),
        ([*RUNNING, "ended", "boot"], "restart"),
        ([*RUNNING, "boot"], SILENT),
        ([*RUNNING, "cause=1", "boot"], HUNG),
        ([*RUNNING, "wait_ms=4000", "panic=late", "boot"], HUNG),
        (["boot", "runs=0", "panic=bad thing", "boot"], PANIC.format("bad thing ")),
        (["boot", "panic=one", "boot", "runs=0", "boot"], "reset"),  # told once
        (["boot", "panic=one", "damage", "boot"], "power-on"),
        ([*RUNNING, "damage", "boot"], "reset"),
    ],
)
def test_the_next_boot_reports_why_it_began(watchdog, steps, report):
    assert watchdog(*steps, "report")[-1] == f"report {report}"


@pytest.mark.parametrize("define", ["", "-DNONE"])
@pytest.mark.parametrize(
    ("steps", "report"),
    [
        ([*RUNNING, "ended"], "restart"),
        ([*RUNNING, "runs=0"], "reset"),
        ([*RUNNING, "runs=0", "panic=bad"], PANIC.format("bad ")),
        (["boot", "panic=one", "reset", "boot", "runs=0"], "reset"),
        (["boot", "panic=one", "reset", "boot", "panic=two"], PANIC.format("two ")),
    ],
)
def test_a_reset_that_empties_the_caches_loses_nothing(watchdog, steps, report, define):
    said = watchdog(*steps, "reset", "boot", "report", define=define)
    assert said[-1] == f"report {report}"


@pytest.mark.parametrize(
    ("steps", "report"),
    [
        (RUNNING, SILENT),
        ([*RUNNING, "cause=1"], HUNG),
        ([*RUNNING, "wait_ms=4000", "panic=late"], HUNG),
    ],
)
def test_nor_does_one_by_the_watchdog(watchdog, steps, report):
    assert watchdog(*steps, "reset", "boot", "report")[-1] == f"report {report}"


def test_what_ended_is_the_image_that_ran_then(watchdog):
    said = watchdog(*RUNNING, "build=fedcba9876543210", "boot", "report")[-1]
    assert said == "report " + SILENT.replace(BUILD, "; build fedcba9876543210")


@pytest.mark.parametrize("length", [90, 110, 125, 126, 127, 128, 129, 135, 136, 200])
def test_a_long_panic_is_cut_and_still_told(watchdog, length):
    said = watchdog("boot", "panic=" + "x" * length, "boot", "report")[-1]
    whole = "report panic: " + "x" * length + " 7 at 0x1234 0x2000 0x3"
    assert said == whole[: len("report ") + 135] + BUILD


def test_a_board_without_a_watchdog_reports_as_well(watchdog):
    steps = ["boot", "runs=0x1234", "panic=bad", "boot", "report", "boot", "report"]
    said = watchdog(*steps, define="-DNONE")
    assert said == [f"report {PANIC.format('bad ')}", "report reset"]


def test_a_watchdog_that_is_not_there_is_nothing_to_speak_of(watchdog):
    said = watchdog("start_status=-5", *RUNNING, "feed", "wait_ms=9000", "panic", "boot", "report")
    assert said == [START, START, "report " + PANIC.format("")]


def test_a_boot_that_ended_asleep_or_on_purpose_is_nothing_to_speak_of(watchdog):
    assert watchdog(*RUNNING, "runs=0", "boot") == [START, START]
    assert watchdog(*RUNNING, "ended", "boot") == [START, START]


def test_a_boot_that_hung_before_its_loop_is_said(watchdog):
    assert "ended without a word" in watchdog("boot", "boot")[2]


def test_a_device_without_a_cause_needs_no_function_for_it(watchdog):
    assert watchdog(*RUNNING, "boot", define="-DMUTE") == [START, START, SILENT]


def test_a_board_without_a_watchdog_does_nothing(watchdog):
    assert watchdog(*RUNNING, "feed", "wait_ms=9000", "panic", "boot", define="-DNONE") == []
