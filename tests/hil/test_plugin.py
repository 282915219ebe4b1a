"""The pytest plugin in pytest runs of its own, on the board `host` and in QEMU: what passes, what
is skipped and why, and what the report of a failing test holds."""

import hashlib
import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

from edgeuk.cache import cache_root

pytest_plugins = "pytester"
CACHE = cache_root()  # before pytester gives us another home
GATEWAY = """
schema = 1
name = "small"
[mqtt]
url = "mqtt://localhost:1883"
topic = "tests/small"
[pipeline]
statistics = "1s"
[[sensor]]
name = "count"
driver = "sim"
shape = "ramp"
low = 0
high = 10_000
period = "1000s"
every = "100ms"
"""


@pytest.fixture
def run(pytester, monkeypatch):
    """`run("--board", "host")`: the tests that `pytester` has written."""
    (pytester.path / "gateway.toml").write_text(GATEWAY)
    monkeypatch.setenv("EDGEUK_CACHE", str(CACHE))

    def run(*arguments):
        plugin = ("-p", "no:edgeuk_hil", "-p", "edgeuk.hil.plugin", "-p", "no:cacheprovider")
        options = ("--gateway", "gateway.toml", "--hil-artifacts", "out", "--junit-xml", "r.xml")
        return pytester.runpytest_subprocess(*plugin, "-rs", *options, *arguments, timeout=250)

    return run


@pytest.mark.parametrize("board", ["x86-microvm", "frdm-k64f"])
def test_a_failing_test_tells_all_that_is_needed_to_see_why(board, pytester, run):
    """By the command: its report on the screen, and the one for machines."""
    pytester.makepyfile("""
        def test_good(readings):
            assert len(readings.wait("count", 3)) >= 3

        def test_bad(readings, console, rng):
            readings.wait("count", 1)
            print("random", rng.random())
            assert 1 == 2, "as it was told"
    """)
    options = ("--gateway", "gateway.toml", "--artifacts", "out", "--junit", "r.xml")
    command = [sys.executable, "-m", "edgeuk", "test", "--board", board, "--seed", "77", *options]
    done = subprocess.run(
        [*command, *pytester.path.glob("test_*.py")],
        **{"cwd": pytester.path, "capture_output": True, "text": True, "timeout": 250},
    )
    assert done.returncode == 1, done.stderr
    text = done.stdout
    image = pytester.path / f"out/{board}/qemu/image/gateway.elf"
    sha256 = hashlib.sha256(image.read_bytes()).hexdigest()
    folder = pytester.path / f"out/{board}/qemu/test_bad"
    packets = folder / "packets1.pcap"
    cases = {c.get("name"): c for c in ET.parse(pytester.path / "r.xml").getroot().iter("testcase")}
    failure = cases["test_bad"].find("failure")
    for where in (text, failure.text):
        assert "as it was told" in where
        assert f"image_sha256: {sha256}" in where
        assert str(packets) in where
        assert "--- power on ---" in where
        assert re.search(r"mqtt: connected to \S+, new session", where)
        assert "seed: 77 (--hil-seed repeats it)" in where
    assert packets.read_bytes()[:4] == bytes.fromhex("d4c3b2a1")  # pcap, little endian
    assert packets.stat().st_size > 500
    assert "mqtt: connected" in (folder / "console.log").read_text()
    assert {*cases} == {"test_good", "test_bad"}
    for case in cases.values():
        found = {p.get("name"): p.get("value") for p in case.iter("property")}
        assert found["image_sha256"] == sha256
        assert found["board"] == f"{board}, target qemu"
        assert found["packets"].endswith("packets1.pcap")


def test_what_a_board_lacks_is_skipped_with_the_reason(pytester, run):
    pytester.makepyfile("""
        def test_network(network):
            network.pull()

        def test_reset(board):
            board.reset()

        def test_watchdog(board):
            board.need_role("watchdog")

        def test_sensors(sensors):
            sensors.wired()

        def test_modbus(modbus):
            pass

        def test_pins(pins):
            pins.inputs()

        def test_sensor(board):
            board.sensor(driver="tmp105")
    """)
    done = run("--board", "host")
    done.assert_outcomes(skipped=7)
    for reason in (
        "board host is a process: it has no cable",
        "board host is a process: it has no reset",
        "board host has no watchdog",
        "no sensor of the gateway without filters is in hil/wiring/host.toml",
        "the gateway file has no [servers] that the bench can stand for",
        "no gpio_in of the gateway is at a [[port]] of hil/wiring/host.toml",
        "no sensor with driver = tmp105 gives readings here (host)",
    ):
        done.stdout.fnmatch_lines([f"*{reason.replace('[', '[[]')}*"])


def test_the_same_seed_gives_the_same_values_test_by_test(pytester, run):
    pytester.makepyfile("""
        import pytest

        @pytest.mark.parametrize("again", range(2))
        def test_values(rng, again):
            print("value", rng.random())
    """)
    values = []
    for seed in ("5", "5"):
        text = run("--hil-seed", seed, "-s").stdout.str()
        values.append(re.findall(r"value ([\d.]+)", text))
    assert len(values[0]) == 2
    assert values[0][0] != values[0][1]
    assert values[0] == values[1]


def test_a_machine_that_dies_is_not_waited_for(pytester, run):
    pytester.makepyfile("""
        import os, signal, time, pytest
        from edgeuk.errors import DeviceError

        def test_wait(board, readings, hil_gear):
            readings.wait("count")
            os.kill(hil_gear.target._machine.pid, signal.SIGKILL)
            begin = time.monotonic()
            with pytest.raises(DeviceError, match="the machine ended by itself .status -9."):
                readings.wait("count", 1000)
            with pytest.raises(DeviceError, match="ended by itself"):
                hil_gear.console.wait("never")
            assert time.monotonic() - begin < 10
    """)
    run("--board", "host").assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--board", "host", "--target", "qemuu"], "there is no target `qemuu`*qemu"),
        (["--board", "host", "--wiring", "none.toml"], "no wiring file `none.toml`"),
    ],
)
def test_what_makes_no_sense_is_said_before_anything_runs(pytester, run, options, said):
    pytester.makepyfile("def test_board(board): pass")
    done = run(*options)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    text = " ".join(done.stderr.str().split())
    assert re.search(said.replace("*", ".*"), text), text
    assert "Traceback" not in text


def test_without_a_board_its_tests_are_skipped_and_others_run(pytester, run):
    pytester.makepyfile("""
        def test_board(board): pass
        def test_other(): pass
    """)
    done = run()
    done.assert_outcomes(passed=1, skipped=1)
    done.stdout.fnmatch_lines(["*--board B says which board is tested"])


def test_qemu_that_dies_at_its_start_says_why_in_its_own_words(pytester, run):
    wiring = 'schema = 1\nboard = "x86-microvm"\n[qemu]\nargs = ["-device", "nosuch"]\n'
    (pytester.path / "w.toml").write_text(wiring)
    pytester.makepyfile("def test_board(board): pass")
    done = run("--board", "x86-microvm", "--wiring", "w.toml")
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(
        ["*QEMU ended as it started*", "*'nosuch' is not a valid device model name*"]
    )
