"""Debugging through a probe: what the chip has in its flash, and pyOCD's gdb server as a process of
its own, so that gdb and pyOCD do not share one."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pyocd.core import exceptions
from pyocd.core.session import Session
from pyocd.target import TARGET

from edgeuk.errors import DeviceError, EdgeukError, UsageError
from edgeuk.flash.cortex_m import OPTIONS, Probe, _Delegate, _quiet, _without_register_names
from edgeuk.run.broker import free_port
from edgeuk.run.process import Process

START_S = 20.0
END_S = 5.0
PORT_TRIES = 3


def read_running(probe: Probe, target: str, address: int, size: int) -> bytes:
    """Bytes of the chip's memory, without stopping it. Raises `DeviceError`."""
    if target not in TARGET:
        what = f"pyOCD does not know the target `{target}` [E0806]"
        raise UsageError(what, hint="`pyocd list --targets` shows all")
    _quiet()
    options = {**OPTIONS, "target_override": target, "connect_mode": "attach"}
    options["auto_unlock"] = False  # pyOCD would erase a locked chip, unasked
    with _without_register_names():
        session = Session(probe.handle, auto_open=False, options=options)
    session.delegate = _Delegate(target, probe.identity, unlock=False)
    try:
        try:
            session.open()
            return bytes(session.target.read_memory_block8(address, size))
        finally:
            session.close()
    except EdgeukError:
        raise
    except (exceptions.Error, TimeoutError, OSError, KeyError, IndexError) as e:
        what = f"probe {probe.identity} does not get through to a {target}: {e} [E0810]"
        raise DeviceError(what, hint="is the board powered and wired, and is it this board?") from e


@contextmanager
def gdb_server(identity: str, target: str) -> Iterator[int]:
    """pyOCD's server, until the end of the block; gives its port on loopback. Raises
    `DeviceError`."""
    for attempt in range(PORT_TRIES):
        port = free_port()
        argv = [sys.executable, "-m", "pyocd", "gdbserver", "--no-config", "-t", target]
        argv += ["-u", identity, "--port", str(port), "--telnet-port", str(free_port())]
        argv += ["-O", "auto_unlock=false"]
        with Process(argv) as server:
            try:
                server.wait_line("GDB server listening on port", START_S)
            except DeviceError:
                if "in use" in server.tail() and attempt + 1 < PORT_TRIES:
                    continue
                what = f"pyOCD's gdb server does not start [E0810]:\n{server.tail()}"
                raise DeviceError(what, hint="does another debugger use the probe?") from None
            yield port
            with suppress(DeviceError):  # it goes with its client, and lets the core run
                server.wait(END_S)
            return
