"""edgeuk/run/process.py: a child's lines are kept and waited for, and no child outlives whoever
started it, however that ends."""

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgeuk.errors import DeviceError
from edgeuk.run import process
from edgeuk.run.process import Process

LIMIT_S = 20.0
ROOT = Path(__file__).parents[2]


def python(code: str, **options) -> Process:
    return Process([sys.executable, "-u", "-c", code], **options)


def test_lines_past_and_future_are_found(tmp_path):
    code = "print('one'); print('two'); import time; time.sleep(60)"
    with python(code, log=tmp_path / "log") as child:
        assert child.wait_line("two", LIMIT_S) == "two"
        assert child.wait_line("one", LIMIT_S) == "one"
        assert child.lines == ["one", "two"]
        assert child.poll() is None
    assert child.poll() == -signal.SIGTERM
    assert (tmp_path / "log").read_text() == "one\ntwo\n"


def test_the_end_of_the_process_ends_the_wait_with_its_last_words():
    with python("import sys; sys.exit('no such device')") as child:
        with pytest.raises(DeviceError, match=r"before ended:\n  \| no such device"):
            child.wait_line("ready", LIMIT_S)
        assert child.wait(LIMIT_S) == 1


def test_every_wait_has_a_limit():
    with python("import time; time.sleep(60)") as child:
        with pytest.raises(DeviceError, match=r"before 0\.05 s passed:\n  \| \(no output\)"):
            child.wait_line("ready", 0.05)
        with pytest.raises(DeviceError, match=r"still runs after 0\.05 s"):
            child.wait(0.05)


def test_a_program_that_is_not_there_is_said(tmp_path):
    with pytest.raises(DeviceError, match=r"cannot start .*: No such file"):
        Process([str(tmp_path / "none")]).__enter__()


def test_bytes_that_are_no_text_do_no_harm():
    with python("import sys; sys.stdout.buffer.write(b'\\xff ok\\r\\n')") as child:
        assert child.wait_line("ok", LIMIT_S) == "\ufffd ok"


def test_a_child_that_ignores_sigterm_is_killed(monkeypatch):
    monkeypatch.setattr(process, "STOP_S", 0.1)
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf'); time.sleep(60)"
    with python(code) as child:
        child.wait_line("deaf", LIMIT_S)
    assert child.poll() == -signal.SIGKILL
    child.stop()  # again: nothing happens


def test_a_pipe_that_a_grandchild_holds_does_not_hold_us(monkeypatch):
    monkeypatch.setattr(process, "STOP_S", 0.1)
    code = "import subprocess, sys; p = subprocess.Popen(['sleep', '100']); print(p.pid)"
    with python(code) as child:
        child.wait(LIMIT_S)
        pid = int(child.lines[0])
        started = time.monotonic()
    assert time.monotonic() - started < LIMIT_S
    os.kill(pid, signal.SIGKILL)
    child._reader.join(LIMIT_S)
    child.stop()


PARENT = """
import sys
from edgeuk.run.process import Process
with Process(["sleep", "60"]) as child:
    print(child.pid, flush=True)
    child.wait(50)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_child_outlives_a_parent_that_is_ended(number):
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        # A shell starts what it puts into the background with SIGINT ignored; we inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as parent:
        pid = int(parent.stdout.readline())
        descriptor = os.pidfd_open(pid)
        try:
            parent.send_signal(number)
            parent.wait(LIMIT_S)
            wait_end(descriptor)
        finally:
            os.close(descriptor)


def wait_end(descriptor: int) -> None:
    """Until the process behind a pidfd has ended; readable is what the kernel makes it then."""
    ready, _, _ = select.select([descriptor], [], [], LIMIT_S)
    assert ready, "the child lives on"
