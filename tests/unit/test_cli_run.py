"""`edgeuk run`, `build` and `size` with stand-ins for the build and the machine: what is shown, and
the exit status. Real machines are run in tests/boot."""

import json
import os
import signal
from contextlib import contextmanager
from pathlib import Path

import cbor2
import pytest

from edgeuk.build import BuildResult
from edgeuk.cli import build as build_command
from edgeuk.cli import run as run_command
from edgeuk.cli import size as size_command
from edgeuk.cli import view
from edgeuk.cli.app import run
from edgeuk.run.monitor import Message
from edgeuk.run.session import Session
from edgeuk.size import PartSize, Sizes

NOW = 1_700_000_000.0
PACK = cbor2.dumps(
    [
        {-2: "sites/demo/", -3: int(NOW), 0: "air", 1: "Cel", 2: cbor2.CBORTag(4, [-1, 215])},
        {0: "wave", 1: "V", 2: 3, "q": "simulated"},
    ]
)
SIZES = Sizes(
    61_440,
    20_480,
    16_384,
    (
        PartSize("component/mqtt", 9_000, 0, 9_500, 0, 8_900, 0),
        PartSize("driver/sim", 700, 12, None, None, None, None),
    ),
)
RESULT = BuildResult(
    "host", Path("/x/gateway.elf"), Path("/x/d"), "ab" * 32, 61_440, 20_480, 16_384, 1.25, False,
    "0123", SIZES,
)  # fmt: skip


class Machine:
    """The console said this; it runs, or has ended with a status."""

    def __init__(self, lines=(), status=None):
        self.lines, self._status = list(lines), status

    def poll(self):
        return self._status

    def tail(self, count=12):
        return "\n".join(f"  | {line}" for line in self.lines[-count:]) or "  | (no output)"


class Monitor:
    """Gives these messages, then none, or raises what is among them."""

    def __init__(self, messages=()):
        self._messages = list(messages)

    def get(self, limit_s):
        item = self._messages.pop(0) if self._messages else None
        if isinstance(item, type):
            raise item
        return item


def data(payload=PACK, kind="data"):
    return Message(kind, payload, NOW, False)


@pytest.fixture
def play(tmp_path, monkeypatch, capsys):
    """play(machine, monitor, *words) -> status: `edgeuk run` on them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TZ", "UTC")
    assert run(["new", "meter"]) == 0
    monkeypatch.chdir(tmp_path / "meter")
    capsys.readouterr()
    before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGHUP)}
    ended = []

    def go(machine, monitor, *words):
        @contextmanager
        def session(*_where, **options):
            for line in machine.lines:
                options["on_line"](line)
            try:
                yield Session(machine, monitor, "a broker at 127.0.0.1:1")
            finally:
                ended.append(True)

        monkeypatch.setattr(run_command, "session", session)
        monkeypatch.setattr(run_command, "build_image", lambda *_: RESULT)
        monkeypatch.setattr(run_command, "need_tools", lambda *_, **__: None)
        status = run(["run", "--board", "host", *words])
        assert ended == [True]
        return status

    yield go
    for number, handler in before.items():
        signal.signal(number, handler)


def test_run_in_a_pipe_shows_a_line_per_reading(play, capsys):
    assert play(Machine(["hello"]), Monitor([data()]), "--for", "10ms") == 0
    said = capsys.readouterr()
    assert said.out == (
        "22:13:20  air                          21.5 Cel    good\n"
        "22:13:20  wave                          3.0 V      simulated\n"
    )
    assert said.err == (
        "meter on host, 61,440 bytes\n"
        "broker: a broker at 127.0.0.1:1; Ctrl-C ends\n"
        "  | hello\n"
        "2 readings; console: build/host/console.log\n"
        "\nnext: edgeuk size, or edgeuk boards --for gateway.toml for other boards\n"
    )


def test_run_json_is_a_line_per_reading(play, capsys):
    assert play(Machine(), Monitor([data()]), "--for", "10ms", "--json") == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first == {
        "sensor": "air",
        "name": "sites/demo/air",
        "value": 21.5,
        "unit": "Cel",
        "time": NOW,
        "quality": "good",
    }
    assert second["quality"] == "simulated"


def test_run_without_readings_ends_with_status_1_and_the_console(play, capsys):
    assert play(Machine(["mqtt: refused"]), Monitor(), "--for", "1ms", "--json") == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        "error: no reading arrived; the console's last lines (all: build/host/console.log):\n"
        "  | mqtt: refused\n"
    )


def test_ctrl_c_ends_with_130_and_the_count(play, capsys):
    assert play(Machine(), Monitor([data(), KeyboardInterrupt])) == 130
    assert capsys.readouterr().err.endswith(
        "2 readings; console: build/host/console.log\nstopped\n"
    )


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_everything_that_was_started(play, number, status):
    class Killed(Monitor):
        def get(self, limit_s):
            os.kill(os.getpid(), number)

    assert play(Machine(), Killed()) == status


@pytest.mark.parametrize(
    ("lines", "status", "what"),
    [
        (["panic: bad", "  at 0x10"], 0, "the image panicked (status 0)"),
        (["qemu: no such machine"], 1, "the machine ended by itself (status 1)"),
        ([], -9, "the machine ended by itself (was ended by signal 9)"),
    ],
)
def test_a_machine_that_ends_is_status_3_with_its_last_lines(play, lines, status, what, capsys):
    assert play(Machine(lines, status), Monitor()) == 3
    tail = "".join(f"  | {line}\n" for line in lines) or "  | (no output)\n"
    assert f"error: {what}; the console's last lines:\n{tail}" in capsys.readouterr().err


def test_a_foreign_message_is_a_warning(play, capsys):
    assert play(Machine(), Monitor([data(b"hello"), data()]), "--for", "50ms") == 0
    assert "warning: a message on `data` is not a gateway's: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "shown"), [(b"power-on", 0), (b"reset", 0), (b"panic: bad \xff at 0x10", 1)]
)
def test_only_a_boot_after_something_bad_is_shown(play, capsys, text, shown):
    assert play(Machine(), Monitor([data(text, "boot"), data()]), "--for", "50ms") == 0
    assert capsys.readouterr().err.count("  | the gateway booted: panic: bad ") == shown


def test_silence_is_told_once(play, capsys, monkeypatch):
    monkeypatch.setattr(run_command, "SILENCE_S", 0.0)
    assert play(Machine(["x"]), Monitor([None, None, data()]), "--for", "20ms", "--json") == 0
    assert capsys.readouterr().err.count("no reading for 0 s") == 1


def test_the_live_view_fits_80_columns():
    screen = view.Live("meter on host, 61,440 bytes\nbroker: mosquitto (embedded) at 127.0.0.1:1")
    for message in (data(), data(kind="stats")):
        for reading in message.readings():
            screen.reading(reading)
        screen.statistics |= {f"counter{i}": message.readings()[0] for i in range(9)}
    screen.console("x" * 100)
    console = view.Console(width=80, color_system=None)
    with console.capture() as text:
        console.print(screen.render(NOW + 2))
    lines = text.get().splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[3].split() == (
        ["sensor", "value", "unit", "time", "age", "count", "lowest", "highest", "quality"]
    )
    assert lines[4].split()[:3] == ["air", "21.5", "Cel"]
    assert lines[4].endswith("good     ")
    assert lines[-1].endswith("…")


@pytest.mark.parametrize(("text", "expected"), [("30s", 30), ("2m", 120), ("500ms", 0.5)])
def test_durations(text, expected):
    assert run_command.seconds(text) == expected


def test_build_prints_image_hash_and_sizes(play, monkeypatch, capsys):
    monkeypatch.setattr(build_command, "build_image", lambda *_: RESULT)
    monkeypatch.setattr(build_command, "need_tools", lambda *_, **__: None)
    assert run(["build", "--board", "host"]) == 0
    said = capsys.readouterr()
    assert said.out == (
        "image   /x/gateway.elf\n"
        f"sha256  {'ab' * 32}\n"
        "flash   61,440 bytes\n"
        "RAM     20,480 bytes, and a stack of 16,384\n"
        "built   in 1.2 s\n"
    )
    assert said.err == "\nnext: edgeuk run --board host, or edgeuk size --board host\n"
    assert run(["build", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "board": "host",
        "image": "/x/gateway.elf",
        "sha256": "ab" * 32,
        "flash_bytes": 61_440,
        "ram_bytes": 20_480,
        "seconds": 1.25,
    }


def test_size_shows_budgets_and_differences(play, monkeypatch, capsys):
    monkeypatch.setattr(size_command, "build_image", lambda *_: RESULT)
    monkeypatch.setattr(size_command, "need_tools", lambda *_, **__: None)
    assert run(["size", "--board", "host"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[1] == ["component/mqtt", "9,000", "9,500", "+100", "0", "0", "0"]
    assert rows[2] == ["driver/sim", "700", "-", "new", "12", "-", "new"]
    assert rows[3] == ["total", "61,440", "+800", "20,480", "+12"]
