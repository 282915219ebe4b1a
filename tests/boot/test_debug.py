"""`edgeuk debug` with a real gdb: on machines in QEMU, in our own model, on a process and on the
probe of a virtual board. It stops where it was told, knows functions, sources and variables, and
leaves no process."""

import fcntl
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

import pytest
from boot_rig import HEAD, WAVE

from edgeuk.probe import storage

GDB = shutil.which("gdb-multiarch")
pytestmark = pytest.mark.skipif(GDB is None, reason="no gdb-multiarch")
LIMIT_S = 60
PLACE = "begin_poll"
ASK = ["-batch", "-ex", "bt", "-ex", "print ek_board_name", "-ex", "print idle_us", "-ex", "list"]


@pytest.fixture
def gateway(tmp_path):
    path = tmp_path / "gateway.toml"
    path.write_text(HEAD + WAVE)
    return path


def command(gateway, board, *arguments, gdb=()):
    """Without anybody's .gdbinit."""
    argv = [sys.executable, "-m", "edgeuk", "debug", "--gateway", str(gateway), "--board", board]
    return [*argv, *arguments, "--", "-nx", *gdb]


def debugged(gateway, board, *arguments):
    """What gdb says when it is asked there; and that nothing of it is left."""
    done = subprocess.run(
        command(gateway, board, "--break", PLACE, *arguments, gdb=ASK),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    assert left(gateway.parent) == []
    return text


def left(folder):
    """Processes whose command line names the test's folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes()
        except OSError:
            continue
        if str(folder).encode() in line and int(path.parent.name) != os.getpid():
            found.append(line)
    return found


def check(text, board):
    assert re.search(rf"reakpoint 1, .*{PLACE} \(", text), text
    assert "at firmware/pipeline/" in text
    assert re.search(r"^#\d+ .*\bek_main \(\) at firmware/app/.*main\.c:\d+$", text, re.M), text
    assert re.search(rf'^\$1 = .*"{board}"$', text, re.M), text
    assert re.search(r"^\$2 = \d+$", text, re.M), text
    assert re.search(r"^\d+\s+if \(state->pending", text, re.M), f"no source:\n{text}"


@pytest.mark.parametrize(
    "board", ["x86-microvm", "lm3s6965evb", "virt-aarch64", "imx6ul-evk", "frdm-k64f", "host"]
)
def test_gdb_stops_at_a_function_and_knows_callers_sources_and_variables(board, gateway):
    check(debugged(gateway, board), board)


def test_in_the_model_gdb_steps_goes_on_and_time_stands_meanwhile(gateway):
    """The stop of 3 s is before the link is up, which is 0.5 s after the start."""
    asked = [
        *("shell sleep 3", "print idle_us", "stepi", "info registers", "next", f"break {PLACE}"),
        *("continue", "print idle_us", "continue", "print idle_us", "delete"),
        *("tbreak mqtt_publish", "continue", "finish", "x/wx 0xe000ed00", "x/wx 0x30000000"),
    ]
    gdb = ["-batch", *(word for line in asked for word in ("-ex", line))]
    done = subprocess.run(
        command(gateway, "frdm-k64f", "--break", PLACE, gdb=gdb),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    text = done.stdout
    for name in ("r0", "sp", "pc", "xpsr", "msp", "psp", "primask", "basepri", "control"):
        assert re.search(rf"^{name} +0x[0-9a-f]+ ", text, re.M), f"{name}:\n{text}"
    assert re.search(r"^xpsr +0x[0-9a-f]?1000000 ", text, re.M)  # Thumb, no exception
    places = re.findall(rf"reakpoint 2, (?:0x\w+ in )?{PLACE} ", text)
    idle = [int(n) for n in re.findall(r"^\$\d = (\d+)$", text, re.M)]
    assert len(places) == 2
    assert idle == sorted(idle)
    assert 2 * 50_000 < idle[2] - idle[0] < 1_000_000  # it slept from poll to poll, 100 ms each
    assert re.search(r"Temporary breakpoint 3, .*mqtt_publish \(", text)
    assert re.search(r"^(Run till exit|publisher_|0x\w+ in publisher_)", text, re.M)
    assert "0xe000ed00:\t0x410fc241" in text  # the processor says what it is
    assert "Cannot access memory at address 0x30000000" in text + done.stderr
    up = re.search(r"\[ *(\d+\.\d+)\] net: link up", done.stderr)
    assert up, done.stderr
    assert 0.5 <= float(up[1]) < 2.0
    assert left(gateway.parent) == []


def test_gdb_debugs_a_board_behind_a_probe(gateway, monkeypatch):
    folder = Path(tempfile.mkdtemp(prefix="ek-"))  # sockets have short names
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    name = f"debug-{os.getpid()}"  # its flash is in the user's cache

    def edgeuk(*arguments, status=0):
        argv = [sys.executable, "-m", "edgeuk", *arguments]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT_S)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    try:
        where = ["--gateway", str(gateway), "--board", "microbit", "--probe", f"virtual:{name}"]
        edgeuk("board", "start", name, "--target", "nrf51")
        said = edgeuk("debug", *where, status=3)
        assert "the board's flash has no image of edgeuk; this is build " in said
        assert f"[E0834]\nhint: edgeuk flash --board microbit --probe virtual:{name}" in said
        edgeuk("flash", *where)
        check(debugged(gateway, "microbit", "--probe", f"virtual:{name}"), "microbit")
        # The debugger has let it go.
        assert re.search(rf"{name} +nrf51 +running", edgeuk("board", "list"))
    finally:
        edgeuk("board", "stop", name)
        shutil.rmtree(storage.flash_file(name).parent)
        shutil.rmtree(folder)


class Terminal:
    """A person at a terminal of their own."""

    def __init__(self, argv):
        self._ours, theirs = pty.openpty()
        self.text = ""

        def take():  # in the child: this terminal is ours
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.child = subprocess.Popen(
            argv, stdin=theirs, stdout=theirs, stderr=theirs, preexec_fn=take
        )
        os.close(theirs)

    def wait(self, part):
        """Until it has been written since the last time."""
        end = time.monotonic() + LIMIT_S
        while part not in self.text:
            assert select.select([self._ours], [], [], end - time.monotonic())[0], self.text
            try:
                self.text += os.read(self._ours, 4096).decode(errors="replace")
            except OSError:
                raise AssertionError(f"it ended: {self.text}") from None
        self.text = self.text.partition(part)[2]

    def type(self, text):
        os.write(self._ours, text.encode())

    def end(self):
        """Its exit status; what it still writes is read."""
        end = time.monotonic() + LIMIT_S
        while self.child.poll() is None and time.monotonic() < end:
            if select.select([self._ours], [], [], 0.1)[0]:
                try:
                    self.text += os.read(self._ours, 4096).decode(errors="replace")
                except OSError:
                    break
        os.close(self._ours)
        return self.child.wait(10)


@pytest.mark.parametrize("board", ["x86-microvm", "frdm-k64f"])
def test_ctrl_c_stops_the_image_and_not_the_command(board, gateway):
    terminal = Terminal(command(gateway, board, gdb=["-ex", "set style enabled off"]))
    terminal.wait("(gdb) ")
    terminal.type("continue\n")
    terminal.wait("sim: ramp")  # the console is shown
    terminal.type("\x03")
    terminal.wait("SIGINT")
    terminal.wait("(gdb) ")
    terminal.type("quit\n")
    assert terminal.end() == 0
    assert left(gateway.parent) == []


def test_a_command_that_is_ended_leaves_nothing(gateway):
    terminal = Terminal(command(gateway, "x86-microvm"))
    terminal.wait("(gdb) ")
    assert left(gateway.parent)
    terminal.child.send_signal(signal.SIGTERM)
    assert terminal.end() == 128 + signal.SIGTERM
    assert left(gateway.parent) == []


def test_a_qemu_that_dies_at_its_start_has_the_last_word(gateway, tmp_path):
    fake = tmp_path / "qemu-system-x86_64"
    fake.write_text("#!/bin/sh\necho 'qemu: no such machine' >&2\nexit 1\n")
    fake.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        command(gateway, "x86-microvm"),
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert done.returncode == 3, done.stderr
    assert "QMP set-action: QEMU has ended\n  | qemu: no such machine" in done.stderr


def test_a_place_that_is_not_there_is_said_and_nothing_runs(gateway):
    gdb = ["-batch", "-ex", "info reg pc"]
    done = subprocess.run(
        command(gateway, "lm3s6965evb", "--break", "nowhere", gdb=gdb),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert 'Function "nowhere" not defined' in done.stderr
    assert "<_start>" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--board", "x86-pc", "--probe", "x"], "has no chip in [flash] that a probe could debug"),
        (["--board", "frdm-k64f", "--probe", "virtual"], "runs no image to debug"),
        (["--broker", "x", "--probe", "x"], "--broker or --probe, not both"),
        (["--gdb", "nogdb"], "--gdb nogdb: no such program [E0833]"),
    ],
)
def test_what_cannot_be_debugged_is_said(arguments, what, gateway):
    argv = [sys.executable, "-m", "edgeuk", "debug", "--gateway", str(gateway), *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 2, done.stderr
    assert what in done.stderr
