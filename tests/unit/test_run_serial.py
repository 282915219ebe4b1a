"""From a serial line to a broker: a pseudo-terminal plays the port, a real broker listens."""

import json
import os
import pty
import termios
import threading
import time
from decimal import Decimal
from pathlib import Path

import cbor2
import pytest

from edgeuk import senml
from edgeuk.catalog import find_board, load_catalog
from edgeuk.cli.app import run
from edgeuk.run.broker import Broker
from edgeuk.run.monitor import Monitor
from edgeuk.run.serial import Bridge, dated, is_serial
from edgeuk.run.serial_port import SerialPort
from edgeuk.serial_frames import BOOT, DATA, STATISTICS, STATUS, Frame, encode

TOPIC = "sites/north"
LIMIT_S = 20.0
JSON_PACK = (
    b'[{"bn":"sites/north/","bt":-1.5,"n":"air","u":"Cel","v":21.25},{"n":"air","v":1,"t":1}]'
)
NOW = 1_800_000_000.25


@pytest.fixture
def broker():
    with Broker() as running:
        yield running


@pytest.fixture
def port():
    ours, theirs = pty.openpty()
    try:
        yield ours, os.ttyname(theirs)
    finally:
        os.close(ours)
        os.close(theirs)


def heard(monitor, kinds):
    """Messages until every one of `kinds` has come."""
    found = {}
    while not set(kinds) <= set(found):
        message = monitor.get(LIMIT_S)
        assert message is not None, f"only {sorted(found)}"
        found[message.kind] = message
    return found


def line(status=True):
    frames = [
        Frame(BOOT, 0, b"power-on"),
        *([Frame(STATUS, 1, b"online " + TOPIC.encode())] if status else []),
        Frame(DATA, 2, JSON_PACK),
        Frame(STATISTICS, 3, JSON_PACK),
    ]
    return b"edgeuk microbit\n" + b"[ 0.1] text\n".join(encode(f) for f in frames)


def test_the_command_publishes_frames_and_shows_text(broker, port, capsys):
    ours, name = port
    with Monitor("127.0.0.1", broker.port, TOPIC) as monitor:
        found = {}

        def play():
            time.sleep(0.5)  # the port's settings throw away what came before
            data = line()
            os.write(ours, data[:37])
            os.write(ours, data[37:])
            found.update(heard(monitor, ("boot", "status", "data", "stats")))

        player = threading.Thread(target=play)
        player.start()
        url = f"mqtt://127.0.0.1:{broker.port}"
        assert run(["bridge", "--port", name, "--broker", url, "--for", "3s"]) == 0
        player.join()
        gone = heard(monitor, ("status",))
    assert found["status"].payload == b"online"
    assert found["boot"].payload == b"power-on"
    first, second = found["data"].readings()
    assert (first.name, first.value, first.unit) == ("sites/north/air", 21.25, "Cel")
    assert second.time - first.time == pytest.approx(1, abs=0.01)
    assert first.time == pytest.approx(time.time() - 1.5, abs=15)
    assert json.loads(found["data"].payload)[0]["bt"] > senml.RELATIVE_BELOW
    assert gone["status"].payload == b"offline"
    said = capsys.readouterr()
    assert said.out == "edgeuk microbit\n" + "[ 0.1] text\n" * 3
    assert "4 frames for `sites/north`, 0 lost, 0 damaged" in said.err


def test_a_port_that_is_not_there_or_none_is_said(tmp_path, capsys):
    assert run(["bridge", "--port", str(tmp_path / "tty")]) != 0
    assert "cannot open" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert run(["bridge", "--port", str(tmp_path / "file")]) != 0
    assert "is no serial port" in capsys.readouterr().err


def test_a_port_that_goes_away_is_said(tmp_path):
    ours, theirs = pty.openpty()
    name = os.ttyname(theirs)
    with SerialPort(name, 115_200) as port:
        os.close(theirs)
        os.close(ours)
        with pytest.raises(Exception, match="is gone"):
            port.read(LIMIT_S)


def test_a_topic_that_is_given_is_used_and_the_text_comes_back(broker):
    with (
        Monitor("127.0.0.1", broker.port, "mine") as monitor,
        Bridge("127.0.0.1", broker.port, "mine") as bridge,
    ):
        assert bridge.feed(line(status=False)).count(b"text") == 2
        assert heard(monitor, ("boot", "data", "stats"))


def test_without_a_broker_frames_are_only_taken_out():
    with Bridge("", 0) as bridge:
        assert bridge.feed(line()) == b"edgeuk microbit\n" + b"[ 0.1] text\n" * 3
        assert bridge.frames == 4


def test_relative_times_become_those_of_the_day_exactly():
    pack = cbor2.dumps(
        [{-2: "a/", -3: Decimal("-0.125"), 0: "x", 2: Decimal("1.10")}, {0: "y", 2: 2}]
    )
    for payload in (pack, JSON_PACK):
        before = senml.decode(payload, received=NOW)
        after = senml.decode(dated(payload, NOW), received=0)
        assert after == before
    moved = cbor2.loads(dated(pack, NOW))
    assert moved[0][-3] == Decimal("1800000000.125")
    assert moved[0][2] == Decimal("1.10")


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[",
        b"[]",
        b"online",
        b"\xff",
        b"\x81\x01",
        b'[{"bn":"a","bt":1800000000,"n":"b","v":1}]',
    ],
)
def test_what_is_no_pack_or_dated_already_stays_as_it_is(payload):
    assert dated(payload, NOW) == payload


def test_the_boards_that_need_it_are_those_without_a_network():
    catalog = load_catalog()
    assert [b for b in sorted(catalog.boards) if is_serial(find_board(catalog, b))] == ["microbit"]


@pytest.mark.parametrize(
    "payload",
    [b"[" * 60_000, b"\x81" * 60_000, b"\xd8\x1c\x82\xa0\xd8\x1d\x00"],
    ids=["json", "cbor", "cbor-of-itself"],
)
def test_a_pack_that_no_encoder_made_stays_as_it_is(payload: bytes) -> None:
    assert dated(payload, NOW) == payload


def test_a_port_that_somebody_left_waiting_for_many_bytes_gives_each_at_once(port) -> None:
    ours, path = port
    settings = termios.tcgetattr(ours)
    settings[3] = 0
    settings[6][termios.VMIN] = 255
    termios.tcsetattr(ours, termios.TCSANOW, settings)
    with SerialPort(Path(path), 115200) as opened:
        os.write(ours, b"x")
        assert opened.read(LIMIT_S / 10) == b"x"
