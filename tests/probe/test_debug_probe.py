"""edgeuk/flash/debug.py on virtual boards: looking at a chip that runs, and pyOCD's gdb server as a
child. gdb itself is in tests/boot/test_debug.py."""

import socket
import time

import pytest
from probe_rig import image, state, wait_console, wait_for

from edgeuk.errors import DeviceError, UsageError
from edgeuk.flash import debug
from edgeuk.flash.cortex_m import find_probe
from edgeuk.probe import client, storage


def test_memory_is_read_while_the_chip_runs_on(start, pyocd, firmware):
    start("b", "nrf51")
    pyocd("flash", "-t", "nrf51", "--probe", "virtual:b", firmware("v1"))
    wait_console("b", b"hello v1\r\n")
    found = debug.read_running(find_probe("virtual:b"), "nrf51", 0, 4)
    assert found == (0x20004000).to_bytes(4, "little")
    assert state("b") == "running"


def test_a_locked_chip_is_left_locked(start):
    start("b", "k64f")
    client.stop("b")
    path = storage.flash_file("b")
    flash = bytearray(path.read_bytes())
    flash[:0x2000] = image(0, 0x20020000, 0x2000)
    flash[0x40C] = 0  # FSEC: secured
    path.write_bytes(flash)
    start("b", "k64f")
    with pytest.raises(DeviceError, match=r"the chip is locked.*\[E0807\]"):
        debug.read_running(find_probe("virtual:b"), "k64f", 0, 4)
    client.stop("b")
    assert path.read_bytes() == flash


def test_a_target_that_pyocd_lacks_is_said(start):
    start("b", "k64f")
    with pytest.raises(UsageError, match=r"pyOCD does not know the target `nrf99` \[E0806\]"):
        debug.read_running(find_probe("virtual:b"), "nrf99", 0, 4)


def test_the_server_listens_for_as_long_as_it_is_needed(start, monkeypatch):
    monkeypatch.setattr(debug, "END_S", 0.2)  # no client comes whom it would wait for
    start("b", "k64f")
    with debug.gdb_server("virtual:b", "k64f") as port, open("/proc/net/tcp") as table:
        assert any(f"0100007F:{port:04X} 00000000:0000 0A" in line for line in table)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    wait_for(lambda: _is_free("b"))


def _is_free(name):
    with client.Connection(name) as connection:
        return not connection.ask("status")["probe"]


def test_a_probe_that_another_debugger_has_is_said(start):
    start("b", "k64f")
    began = time.monotonic()
    with client.Connection("b") as other:
        assert other.ask("open")
        with (
            pytest.raises(DeviceError, match=r"gdb server does not start \[E0810\]") as error,
            debug.gdb_server("virtual:b", "k64f"),
        ):
            pass
    assert "another debugger uses virtual board `b`" in str(error.value)
    assert error.value.hint == "does another debugger use the probe?"
    assert time.monotonic() - began < debug.START_S
