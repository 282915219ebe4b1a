"""`edgeuk run` and what it starts: nothing outlives it, however it ends, and a program that does
not start is quoted."""

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from boot_rig import HEAD, LIMIT_S, WAVE

from edgeuk.errors import EXIT_INTERRUPTED, DeviceError
from edgeuk.run.broker import Broker, PortTakenError

ROOT = Path(__file__).parents[2]
BUILD_S = 120.0  # where the cache is empty


def descendants(pid: int) -> set[int]:
    """All processes below one (proc(5), task/TID/children)."""
    found = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found |= {int(child)} | descendants(int(child))
    return found


@pytest.mark.parametrize("board", ["x86-microvm", "host"])
@pytest.mark.parametrize(
    ("number", "status"),
    [
        (signal.SIGINT, EXIT_INTERRUPTED),
        (signal.SIGTERM, 128 + signal.SIGTERM),
        (signal.SIGKILL, -signal.SIGKILL),
    ],
)
def test_an_interrupted_run_leaves_nothing_behind(tmp_path, board, number, status):
    (tmp_path / "gateway.toml").write_text(HEAD + WAVE)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    command = [sys.executable, "-m", "edgeuk", "run", "--board", board, "--json"]
    environment = os.environ | {"TMPDIR": str(scratch), "PYTHONPATH": str(ROOT)}
    said = tmp_path / "stderr"
    with (
        said.open("wb") as sink,
        subprocess.Popen(
            command,
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=sink,
            # A shell starts what it puts into the background with SIGINT ignored; we inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        ) as run,
    ):
        ready, _, _ = select.select([run.stdout], [], [], BUILD_S)
        assert ready, said.read_text()
        line = run.stdout.readline()
        assert line, said.read_text()
        assert json.loads(line)["sensor"] == "wave"
        children = {pid: os.pidfd_open(pid) for pid in descendants(run.pid)}
        try:
            assert len(children) == 2  # the broker and the machine
            run.send_signal(number)
            run.stdout.read()
            assert run.wait(LIMIT_S) == status, said.read_text()
            for descriptor in children.values():
                ended, _, _ = select.select([descriptor], [], [], LIMIT_S)
                assert ended, "a child lives on"
        finally:
            for descriptor in children.values():
                os.close(descriptor)
    if number != signal.SIGKILL:
        assert list(scratch.iterdir()) == []


def test_qemu_that_does_not_start_is_quoted(gateways, boot):
    machine = boot(gateways("x86-microvm", WAVE), netdev="nonsense,id=net0")
    assert machine.wait(LIMIT_S) != 0
    assert "nonsense" in machine.tail()
    with pytest.raises(DeviceError, match="nonsense"):
        machine.qmp("query-status")
    with pytest.raises(DeviceError, match=r"before ended:\n.*nonsense"):
        machine.wait_line("edgeuk", LIMIT_S)


def test_a_refused_qmp_command_is_quoted_and_the_next_one_works(gateways, boot):
    machine = boot(gateways("x86-microvm", WAVE))
    with pytest.raises(DeviceError, match="The command no-such-command has not been found"):
        machine.qmp("no-such-command")
    assert machine.qmp("query-status")["status"] == "running"


@pytest.mark.parametrize("kind", ["mosquitto", "amqtt"])
def test_a_broker_whose_port_is_taken_says_so(kind):
    with Broker(kind=kind) as first, pytest.raises(PortTakenError, match=f"port {first.port}"):
        Broker(first.port, kind=kind).__enter__()
