"""Virtual boards under stock pyOCD, run as a program, and pyOCD in this process: nRF51 in QEMU, the
other chips in Unicorn. What is flashed is compared with what the board keeps on disk."""

import json
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from elftools.elf.elffile import ELFFile
from probe_rig import image, state, wait_console, wait_for

from edgeuk.cli.app import run
from edgeuk.errors import DeviceError, UsageError
from edgeuk.hil import target_virtual
from edgeuk.probe import client, storage
from edgeuk.probe.gdb import Gdb

CHIPS = {  # chip -> flash base, initial stack pointer
    "nrf51": (0, 0x20004000),
    "nrf52840": (0, 0x20020000),
    "k64f": (0, 0x20020000),
    "stm32f412xg": (0x08000000, 0x20020000),
    "rp2040": (0x10000000, 0x20040000),
}


def stored(name, size):
    return storage.flash_file(name).read_bytes()[:size]


@pytest.mark.slow  # three starts of pyOCD for each
@pytest.mark.parametrize("chip", CHIPS)
def test_stock_pyocd_flashes_every_chip(chip, start, pyocd, tmp_path):
    base, stack = CHIPS[chip]
    data = image(base, stack, 20_000)
    (tmp_path / "i.bin").write_bytes(data)
    start("b", chip)
    probe = ("-t", chip, "--probe", "virtual:b")
    pyocd("flash", *probe, "--base-address", hex(base), tmp_path / "i.bin")
    client.stop("b")
    assert stored("b", len(data)) == data
    start("b", chip)
    again = pyocd("flash", *probe, "--base-address", hex(base), tmp_path / "i.bin")
    assert "programmed 0 bytes" in again
    pyocd("erase", *probe, "--chip")
    client.stop("b")
    assert set(stored("b", len(data))) == {0xFF}


def test_an_stm32_shows_its_flash_at_address_0_too(start, pyocd):
    start("b", "stm32f412xg")
    seen = pyocd("cmd", "-t", "stm32f412xg", "--probe", "virtual:b", "-c", "read32 0")
    assert "ffffffff" in seen  # blank, and no fault


def test_nrf51_runs_what_was_flashed_and_keeps_it_over_a_power_cycle(start, pyocd, firmware):
    start("b", "nrf51")
    pyocd("flash", "-t", "nrf51", "--probe", "virtual:b", firmware("v1", PAD=65536))
    wait_console("b", b"hello v1\r\n")
    client.stop("b")
    start("b", "nrf51")
    wait_console("b", b"hello v1\r\n")
    with client.Connection("b") as connection:
        connection.ask("power", on=False)
        assert state("b") == "off"
        connection.ask("power", on=True)
    wait_console("b", b"hello v1\r\n")


def test_stm32f412_is_written_in_unicorn_and_runs_in_qemu(start, pyocd, firmware):
    path = firmware("f4", base=0x08000000, STM32=1)
    start("b", "stm32f412xg")
    probe = ("-t", "stm32f412xg", "--probe", "virtual:b")
    pyocd("flash", *probe, path)
    wait_console("b", b"hello f4\r\n")
    assert state("b") == "running"
    pyocd("cmd", *probe, "-c", f"halt; reset halt; break {symbols(path)['tick'] & ~1:#x}; go")
    pyocd("flash", *probe, firmware("f5", base=0x08000000, STM32=1))
    wait_console("b", b"hello f5\r\n")
    client.stop("b")
    start("b", "stm32f412xg")
    wait_console("b", b"hello f5\r\n")


def test_stock_pyocd_lists_resets_and_looks(start, pyocd, firmware):
    start("b", "nrf51")
    assert "virtual board b (nrf51)" in pyocd("list")
    probe = ("-t", "nrf51", "--probe", "virtual:b")
    assert "Lockup" in pyocd("cmd", *probe, "-c", "status")  # nothing in its flash
    pyocd("flash", *probe, firmware("v1"))
    pyocd("reset", *probe)
    wait_console("b", b"hello v1\r\n")
    assert "Running" in pyocd("cmd", *probe, "-c", "status")
    seen = pyocd("cmd", *probe, "-c", "halt", "-c", "read32 0 4", "-c", "reg pc", "-c", "go")
    assert "20004000" in seen
    assert state("b") == "running"


def test_a_debugger_stops_at_a_breakpoint_steps_and_goes_on(start, pyocd, firmware):
    path = firmware("v1")
    tick = symbols(path)["tick"]
    start("b", "nrf51")
    pyocd("flash", "-t", "nrf51", "--probe", "virtual:b", path)
    wait_console("b", b"hello v1\r\n")
    argv = [sys.executable, "-m", "pyocd", "gdbserver", "-t", "nrf51", "--probe", "virtual:b"]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    argv += ["--port", str(port), "--telnet-port", "0"]
    server = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: can_connect(port))
        with socket.create_connection(("127.0.0.1", port)) as connection:
            gdb = Gdb(connection)
            assert gdb.ask(f"Z1,{tick & ~1:x},2") == b"OK"
            for _ in range(2):  # the second time it starts on the breakpoint
                gdb.send("c")
                assert gdb.receive(10)
                assert pc_of(gdb) == tick & ~1
                gdb.ask("s")
                assert pc_of(gdb) != tick & ~1
            assert gdb.ask(f"z1,{tick & ~1:x},2") == b"OK"
            gdb.ask("D")
        server.wait(20)  # it goes with its last client, and lets the core run
    finally:
        server.kill()
    wait_for(lambda: state("b") == "running")


@pytest.mark.parametrize("how", [{"CRASH": 1}, {"CRASH": 1, "NESTED": 1}], ids=["none", "bad"])
def test_firmware_without_a_good_fault_handler_locks_up_and_a_reset_starts_it_again(
    how, start, pyocd, firmware
):
    """QEMU itself ends where the handler faults: the board does not."""
    start("b", "nrf51")
    pyocd("flash", "-t", "nrf51", "--probe", "virtual:b", firmware("crash", **how))
    wait_console("b", b"hello crash\r\n")
    wait_for(lambda: state("b") == "lockup")
    with client.Connection("b") as connection:
        connection.ask("reset")
    wait_console("b", b"hello crash\r\n")
    pyocd("flash", "-t", "nrf51", "--probe", "virtual:b", firmware("v1"))
    wait_console("b", b"hello v1\r\n")


def test_blank_flash_is_ff_and_uicr_outlives_a_reset(start, pyocd):
    start("b", "nrf51")
    probe = ("-t", "nrf51", "--probe", "virtual:b")
    write_enable, uicr = 0x4001E504, 0x10001080
    commands = f"write32 {write_enable:#x} 1; write32 {uicr:#x} 0x12345678; reset halt"
    pyocd("cmd", *probe, "-c", commands)
    with client.Connection("b") as connection:
        connection.ask("reset")
    seen = pyocd("cmd", *probe, "-c", f"read32 {uicr:#x} 4; read32 0x3fc00 4")
    assert "12345678" in seen
    assert "ffffffff" in seen


def test_a_second_debugger_is_refused(start):
    start("b", "nrf51")
    with client.Connection("b") as one, client.Connection("b") as two:
        assert one.ask("open")
        assert not two.ask("open")
        with pytest.raises(DeviceError, match="the probe was not opened"):
            two.ask("rdp", a=0)
        one.ask("close")
        assert two.ask("open")


def test_a_posted_request_that_fails_is_told_to_the_next_one(start):
    start("b", "k64f")
    with client.Connection("b") as connection:
        connection.ask("open")
        connection.post("w", a=0xD0000000, v=1, w=32)
        with pytest.raises(client.Fault, match="nothing answers at 0xd0000000"):
            connection.ask("rdp", a=0)
        assert connection.ask("rdp", a=0) == 0x2BA01477


def test_a_killed_qemu_is_noticed_and_a_reset_brings_it_back(start, pyocd, firmware):
    start("b", "nrf51")
    pyocd("flash", "-t", "nrf51", "--probe", "virtual:b", firmware("v1"))
    daemon = storage.read_record("b").pid
    os.kill(child_of(daemon), signal.SIGKILL)
    wait_for(lambda: state("b") == "dead")
    (status,) = client.boards()
    assert status.detail == "the emulator has ended"
    with client.Connection("b") as connection:
        with pytest.raises(DeviceError, match="the emulator has ended"):
            connection.ask("type", data="")
        connection.ask("reset")
    wait_console("b", b"hello v1\r\n")


def test_a_killed_daemon_is_noticed_takes_qemu_with_it_and_can_be_started_again(
    start, pyocd, firmware
):
    start("b", "nrf51")
    pyocd("flash", "-t", "nrf51", "--probe", "virtual:b", firmware("v1"))
    daemon = storage.read_record("b").pid
    qemu = child_of(daemon)
    with client.Connection("b") as connection:
        os.kill(daemon, signal.SIGKILL)
        wait_for(lambda: storage.start_time(daemon) == "")
        with pytest.raises(DeviceError, match=r"the daemon of .* has ended \[E0818\]") as error:
            connection.ask("status")
    assert error.value.hint == "edgeuk board start b starts it again"
    wait_for(lambda: storage.start_time(qemu) == "")
    assert client.boards() == []  # it was said, and cleared away
    assert [
        p.name for p in storage.board_folder("b").iterdir() if p.suffix in (".json", ".sock")
    ] == []
    assert client.start("b", "nrf51")
    wait_console("b", b"hello v1\r\n")


def test_the_next_command_tells_of_a_killed_daemon_and_clears_it_away(start, capsys):
    start("b", "k64f")
    daemon = storage.read_record("b").pid
    os.kill(daemon, signal.SIGKILL)
    wait_for(lambda: storage.start_time(daemon) == "")
    assert run(["board", "reset", "b"]) == 3
    said = capsys.readouterr().err
    assert f"the daemon of virtual board `b` (process {daemon}) has ended [E0818]" in said
    assert "hint: edgeuk board start b starts it again" in said
    assert run(["board", "reset", "b"]) == 3
    assert "virtual board `b` does not run [E0817]\nhint: edgeuk board start b" in (
        capsys.readouterr().err
    )
    start("b", "k64f")
    os.kill(storage.read_record("b").pid, signal.SIGKILL)
    wait_for(lambda: not storage.is_alive(storage.read_record("b")))
    assert run(["board", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["boards"][0]["state"] == "dead"
    assert run(["board", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["boards"] == []


def test_a_qemu_that_does_not_start_is_said(home, monkeypatch, tmp_path):
    fake = tmp_path / "qemu-system-arm"
    fake.write_text("#!/bin/sh\necho no such machine\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(DeviceError, match=r"does not start \[E0818\]: .*no such machine"):
        client.start("b", "nrf51")
    assert client.boards() == []


def test_pins_are_driven_from_outside(start, pyocd, firmware):
    start("b", "nrf51")
    pyocd("flash", "-t", "nrf51", "--probe", "virtual:b", firmware("v1"))
    gpio_in, pin_cnf = 0x50000510, 0x50000700  # nRF51 Reference Manual 3.0, GPIO
    with client.Connection("b") as connection:
        connection.ask("open")
        connection.post("w", a=pin_cnf + 4 * 17, v=0, w=32)  # input, connected
        for level in (True, False):
            connection.ask("pin", pin=17, level=level)
            assert bool(connection.ask("r", a=gpio_in, w=32) >> 17 & 1) == level
        connection.ask("close")


@pytest.fixture
def flashed(start, pyocd, firmware):
    """A board `b` that runs firmware.c."""
    start("b", "nrf51")
    pyocd("flash", "-t", "nrf51", "--probe", "virtual:b", firmware("v1"))
    wait_console("b", b"hello v1\r\n")


def test_the_command_line_types_shows_resets_and_switches(flashed, capfdbinary):
    assert run(["board", "type", "b", r"abc\n\xe9"]) == 0
    wait_console("b", b"hello v1\r\nabc\n\xe9")
    assert run(["board", "console", "b"]) == 0
    assert capfdbinary.readouterr().out == b"hello v1\r\nabc\n\xe9"
    assert run(["board", "reset", "b"]) == 0
    wait_console("b", b"hello v1\r\n")
    assert run(["board", "console", "b"]) == 0
    assert capfdbinary.readouterr().out == b"hello v1\r\n"
    assert run(["board", "power", "b", "off"]) == 0
    assert state("b") == "off"
    assert run(["board", "type", "b", "a"]) == 3
    assert b"the board is switched off" in capfdbinary.readouterr().err
    assert run(["board", "reset", "b"]) == 3
    assert b"the board is switched off" in capfdbinary.readouterr().err
    assert run(["board", "power", "b", "on"]) == 0
    wait_console("b", b"hello v1\r\n")
    assert run(["board", "power", "b", "maybe"]) == 2
    for wrong in (r"\u20ac", r"\x"):
        assert run(["board", "type", "b", wrong]) == 2


def test_pins_are_driven_and_seen_from_the_command_line(flashed, capsys):
    pin_cnf, outset = 0x50000700, 0x50000508  # nRF51 Reference Manual 3.0, GPIO
    with client.Connection("b") as connection:
        connection.ask("open")
        connection.post("w", a=pin_cnf + 4 * 17, v=0, w=32)  # input, connected
        connection.post("w", a=pin_cnf + 4 * 21, v=3, w=32)  # output
        connection.ask("close")
        for level in "101":
            assert run(["board", "pin", "b", "17", level]) == 0
            assert run(["board", "pin", "b", "17"]) == 0
            assert capsys.readouterr().out == f"{level}\n"
        assert not connection.ask("pin", pin=21)
        connection.ask("open")
        connection.ask("w", a=outset, v=1 << 21, w=32)
        assert connection.ask("pin", pin=21)
    assert run(["board", "pin", "b", "40"]) == 3
    assert "this board's pin 40 cannot be seen" in capsys.readouterr().err


def test_properties_of_qemus_devices_are_changed_and_read(flashed, capsys):
    """The nRF51 of QEMU has no sensor; its machine has properties like any device."""
    where = ["board", "property", "b", "/machine", "dump-guest-core"]
    for value in ("false", "true"):
        assert run([*where, value]) == 0
        assert run(where) == 0
        assert capsys.readouterr().out == f"{value}\n"
    assert run([*where, "warm"]) == 2
    assert "`warm` is no value" in capsys.readouterr().err
    assert run(["board", "property", "b", "/machine/nothing", "x", "1"]) == 3
    assert "QEMU refuses qom-set: " in capsys.readouterr().err


def test_the_serial_port_is_a_device_of_this_machine(flashed):
    argv = [sys.executable, "-m", "edgeuk", "board", "serial", "b"]
    # A shell starts what it puts into the background with SIGINT ignored; we inherit that.
    with subprocess.Popen(
        argv,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as serial:
        path = serial.stdout.readline().decode().strip()
        line = os.open(path, os.O_RDWR | os.O_NOCTTY)
        try:
            os.write(line, b"xyz")
            found = b""
            while not found.endswith(b"xyz"):
                found += os.read(line, 100)
        finally:
            os.close(line)
            serial.send_signal(signal.SIGINT)
    assert serial.returncode == 130


def test_two_starts_at_once_make_one_board(home):
    with ThreadPoolExecutor() as pool:
        started = list(pool.map(lambda _: client.start("b", "k64f"), range(3)))
    assert sorted(started) == [False, False, True]
    assert state("b") == "lockup"


def test_names_that_can_be_no_folder_are_refused(home):
    with pytest.raises(UsageError, match="no name for a virtual board"):
        client.start("../b", "nrf51")


def pc_of(gdb):
    """pyOCD's server gives all registers at once."""
    return int.from_bytes(bytes.fromhex(gdb.ask("g").decode())[60:64], "little")


def symbols(path):
    with path.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        return {s.name: s["st_value"] for s in table.iter_symbols()}


def can_connect(port):
    """By looking into the kernel's table: a connection would be the debugger's."""
    with open("/proc/net/tcp") as table:
        return any(f":{port:04X} 00000000:0000 0A" in line for line in table)


def child_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as children:
        return int(children.read().split()[0])


def test_boards_of_test_runs_that_were_killed_are_cleared_away(start):
    ended = subprocess.Popen(["true"])
    ended.wait()
    killed, alive = f"hil-microbit-{ended.pid}", f"hil-microbit-{os.getpid()}"
    for name in (killed, alive, "hil-mine"):
        start(name, "nrf51")
        client.stop(name)
    start(killed, "nrf51")
    target_virtual.forget_killed()
    assert storage.flashed() == [alive, "hil-mine"]
    assert client.boards() == []
    client.forget(alive)
    assert not storage.board_folder(alive).exists()
