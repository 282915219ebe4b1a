"""The image for the FRDM-K64F: what the chip itself looks at in the flash, where things lie, what
the processor does first; and its run in edgeuk's own model of the board, with the pins and clock
gates that it needs, and without. Numbers from K64P144M120SF5RM."""

import contextlib
import ctypes
import ctypes.util
import importlib.util
import os
import re
import signal
import struct
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise

import pytest
from boot_rig import HEAD, LIMIT_S, TOPIC, collect, cpu_s, has_readings, readings
from elftools.elf.elffile import ELFFile

from edgeuk.board import UNICORN_MACHINES
from edgeuk.device_config import device_values, encode
from edgeuk.emulation.__main__ import MACHINES
from edgeuk.errors import DeviceError, ToolError
from edgeuk.run import emulated
from edgeuk.run.session import localised, uplink

BOARD = "frdm-k64f"
FLASH_MAX, RAM_MAX = 44 * 1024, 26 * 1024
SRAM_U = range(0x2000_0000, 0x2003_0000)
GATEWAY = """
[[sensor]]
name = "tilt"
driver = "fxos8700"
at = "i2c0:0x1d"
quantity = "accel_z"
every = "1s"

[[sensor]]
name = "north"
driver = "fxos8700"
at = "i2c0:0x1d"
quantity = "mag_x"
every = "1s"
"""
TEMPERATURE = """
[[sensor]]
name = "room"
driver = "tmp105"
at = "i2c0:0x48"
every = "1s"
"""


@pytest.fixture(scope="module")
def built(gateways):
    return gateways(BOARD, GATEWAY).result


@pytest.fixture(scope="module")
def flash(built):
    return flash_of(built)


def flash_of(built):
    """What a flasher writes, from address 0 on: the ELF's segments, not what lies between them."""
    memory = {}
    with built.image.open("rb") as f:
        for segment in ELFFile(f).iter_segments("PT_LOAD"):
            data = segment.data()
            memory |= {segment["p_paddr"] + i: byte for i, byte in enumerate(data)}
    return memory


def word(flash, addr):
    return struct.unpack("<I", bytes(flash[addr + i] for i in range(4)))[0]


def symbols(built):
    with built.debug.open("rb") as f:
        table = ELFFile(f).get_section_by_name(".symtab")
        return {s.name: s["st_value"] for s in table.iter_symbols()}


def test_the_flash_configuration_field_leaves_the_chip_open(flash):
    """FTFE: backdoor key, FPROT3 to 0, FSEC, FOPT, FEPROT, FDPROT. Anything but 10 in the lowest
    bits of FSEC locks a debugger out; 10 in MEEN on top of that, for ever."""
    field = bytes(flash[0x400 + i] for i in range(16))
    assert field[:8] == b"\xff" * 8
    assert field[8:12] == b"\xff" * 4
    assert field[12] == 0xFE
    assert field[13:] == b"\xff" * 3


def test_the_vectors_are_complete_and_point_into_the_code(built, flash):
    names = symbols(built)
    assert word(flash, 0) in SRAM_U
    assert word(flash, 0) % 8 == 0
    assert word(flash, 4) == names["_start"] | 1
    for number in range(1, 16 + 86):  # up to the Ethernet's error interrupt, 85
        vector = word(flash, 4 * number)
        assert vector & 1, f"vector {number} is not of Thumb code"
        assert 0x410 <= vector < len(flash)


def test_the_watchdog_is_answered_within_the_first_instructions(built, flash):
    """It resets 256 bus clocks after a reset, long before variables are set up. MOVW, encoding T3:
    the words of the sequence, in order, among the first 16 instructions at most."""
    start = word(flash, 4) & ~1
    words = []
    for at in range(start, start + 32, 2):
        one, two = struct.unpack("<HH", bytes(flash[at + i] for i in range(4)))
        if one & 0xFBF0 == 0xF240 and not two & 0x8000:
            parts = (one & 15) << 12 | (one >> 10 & 1) << 11 | (two >> 12 & 7) << 8 | two & 0xFF
            words.append(parts)
    assert words[:2] == [0xC520, 0xD928]


def test_variables_and_stack_are_in_one_array_of_ram(built):
    names = symbols(built)
    for name in ("__stack_bottom", "__stack_top", "__data_start", "__bss_start", "__bss_end"):
        assert names[name] in SRAM_U
    assert names["__stack_bottom"] == SRAM_U.start  # one that overflows runs into SRAM_L


def test_the_page_of_the_device_configuration_is_not_the_images(flash):
    assert max(flash) < 0xF_F000


@pytest.mark.parametrize("text", [GATEWAY, TEMPERATURE])
def test_it_is_small_enough(gateways, text):
    result = gateways(BOARD, text).result
    assert result.flash_bytes <= FLASH_MAX
    assert result.ram_bytes <= RAM_MAX


def test_other_boards_have_no_such_field(gateways):
    result = gateways("lm3s6965evb", TEMPERATURE).result
    assert "kinetis_flash_config" not in symbols(result)
    field = bytes(flash_of(result)[0x400 + i] for i in range(16))
    assert field != b"\xff" * 12 + b"\xfe" + b"\xff" * 3


# It runs.


def test_what_the_sensor_feels_reaches_the_broker(gateways, boot, broker, monitor):
    """Counts are 1/4096 g and 0.1 uT (FXOS8700CQ, 2 g). The same ELF file is what is flashed."""
    machine = boot(gateways(BOARD, GATEWAY), {"mqtt.port": str(broker.port)})
    first = readings(collect(monitor, has_readings("tilt", 1)), "tilt")[0]
    assert (first.value, first.unit, first.quality) == (9.8067, "m/s2", "")
    for name, value in (("z", -2048), ("mag-x", 345)):
        machine.qmp("qom-set", path="/accelerometer", property=name, value=value)
    messages = collect(
        monitor,
        lambda m: (
            any(r.value == -4.9033 for r in readings(m, "tilt"))
            and any(r.value == pytest.approx(34.5e-6) for r in readings(m, "north"))
        ),
    )
    assert {r.unit for r in readings(messages, "north")} == {"T"}


def test_it_sleeps_while_nothing_happens(gateways, boot, broker, monitor):
    """Neither does this machine's processor, then."""
    machine = boot(gateways(BOARD, GATEWAY), {"mqtt.port": str(broker.port)})
    collect(monitor, has_readings("tilt", 2))
    before = cpu_s(machine)
    time.sleep(2)
    assert cpu_s(machine) - before < 1.0


def without(built, folder, address):
    """The image with a row of `setup` in boards/frdm-k64f.toml that changes no bit: the one of
    this register."""
    (row,) = (r for r in rows(built) if r[0] == address)
    data = bytearray(built.result.image.read_bytes())
    words = struct.pack("<3I", *row)
    at = data.index(words)
    assert data.count(words) == 1
    data[at : at + 12] = struct.pack("<3I", address, 0, 0)
    path = folder / "changed.elf"
    path.write_bytes(data)
    return replace(built, result=replace(built.result, image=path))


def rows(built):
    flat = built.image.board.devices["soc"].props["setup"]
    return list(zip(flat[::3], flat[1::3], flat[2::3], strict=True))


# What is not set up; what is heard then, and whether there is a network: a PHY that nobody asks
# negotiates by itself.
MISSING = {
    "the clock gate of the Ethernet": (0x4004_802C, r"panic: fault: .* cfsr 0x00008200 ", False),
    "PTB1, the PHY's clock": (0x4004_A004, "net: PHY: not found", True),
    "PTA16 and 17, to the PHY": (0x4004_9084, "net: link up", False),
    "PTE24 and 25, the sensor's": (0x4004_D084, "tilt: ", True),
}


@pytest.mark.parametrize("what", MISSING)
def test_an_image_that_leaves_something_out_does_not_work(gateways, boot, tmp_path, what):
    """As on the board; else this run would prove nothing."""
    address, heard, network = MISSING[what]
    machine = boot(without(gateways(BOARD, GATEWAY), tmp_path, address))
    with contextlib.suppress(DeviceError):
        machine.wait_line("net: 10.0.2.15", LIMIT_S if network else 2)
    text = "\n".join(machine.lines)
    assert re.search(heard, text), text
    assert ("net: 10.0.2.15" in text) == network


def test_a_console_whose_pins_are_not_its_own_is_silent(gateways, boot, tmp_path):
    machine = boot(without(gateways(BOARD, GATEWAY), tmp_path, 0x4004_A084))
    with pytest.raises(DeviceError):
        machine.wait_line("", 1.0)
    assert machine.lines == []


def test_what_each_bus_master_may_do_is_exact(gateways, boot):
    """As NXP's protection unit has it once the image runs."""
    built = gateways(BOARD, GATEWAY)
    at = symbols(built.result)
    machine = boot(built, {"mqtt.host": ""})
    machine.wait_line("link", LIMIT_S)
    code_end = -(-at["__text_end"] // 32) * 32  # the unit's measure
    ends = {  # from an address on: the processor, the Ethernet
        0: ("", ""),
        0x400: ("rx", ""),
        code_end: ("r", ""),
        0x10_0000: ("", ""),
        0x1FFF_0000: ("r", ""),
        0x1FFF_0200: ("", ""),
        SRAM_U.start: ("rw", ""),
        at["__stack_top"]: ("rw", "rw"),
        SRAM_U.stop: ("", ""),
    }
    assert code_end <= at["__rodata_start"]
    for start, end in pairwise([*ends, 0x2004_0000]):
        for address in (start, end - 1):
            found = tuple(
                machine.qmp("qom-get", path=path, property=hex(address))
                for path in ("/mpu", "/mpu/enet")
            )
            assert found == ends[start], hex(address)
        assert machine.qmp("qom-get", path="/mpu/debugger", property=hex(start)) == "rwx"


def test_a_cable_that_was_out_is_noticed(gateways, boot):
    machine = boot(gateways(BOARD, GATEWAY), {"mqtt.host": ""})
    machine.wait_line("net: 10.0.2.15", LIMIT_S)
    for plugged, count in ((False, 3), (True, 4)):
        machine.qmp("qom-set", path="/phy", property="plugged", value=plugged)
        end = time.monotonic() + LIMIT_S
        while len(said := [s.partition("link ")[2] for s in machine.lines if "link " in s]) < count:
            assert time.monotonic() < end, machine.tail()
            time.sleep(0.05)
        assert said == ["down", "up", "down", "up"][:count]


def test_what_passes_the_cable_can_be_captured(gateways, broker, monitor, tmp_path):
    """As libpcap reads it: both directions, whole frames, times that do not go back."""
    built, path = gateways(BOARD, GATEWAY), tmp_path / "packets.pcap"
    values = {**device_values(built.image.gateway), "mqtt.host": "localhost"}
    values["mqtt.port"] = str(broker.port)
    net = uplink(built.image.board, values)
    blob = encode(localised(values, net.host))
    before = time.time()
    try:
        emulated.check()
    except ToolError as e:
        pytest.skip(str(e))
    where = {"netdev": net.netdev, "capture": path}
    with emulated.Emulated(built.image.board, built.result.image, blob, **where):
        collect(monitor, has_readings("tilt", 1))
    packets = captured(path)
    times = [at for at, _ in packets]
    assert times == sorted(times)
    assert before <= times[0] + 1e-6
    assert times[-1] <= time.time()
    assert {frame[12:14] for _, frame in packets} >= {b"\x08\x00", b"\x08\x06"}  # IPv4, ARP
    guest = next(frame for _, frame in packets if frame[:6] == b"\xff" * 6)[6:12]
    sent = [frame for _, frame in packets if frame[6:12] == guest]
    got = [frame for _, frame in packets if frame[:6] == guest]
    assert any(b"MQTT" in frame for frame in sent)
    assert any(b"\x20" in frame[54:55] for frame in got)  # the broker's CONNACK
    assert any(TOPIC.encode() in frame for frame in sent)


def captured(path):
    """Times and frames of an Ethernet capture, by libpcap."""
    name = ctypes.util.find_library("pcap")
    if name is None:
        pytest.skip("no libpcap")
    pcap = ctypes.CDLL(name)
    pcap.pcap_open_offline.restype = ctypes.c_void_p
    error = ctypes.create_string_buffer(256)
    handle = ctypes.c_void_p(pcap.pcap_open_offline(str(path).encode(), error))
    assert handle, error.value
    assert pcap.pcap_datalink(handle) == 1
    header, data, found = ctypes.POINTER(PcapHeader)(), ctypes.POINTER(ctypes.c_ubyte)(), []
    while pcap.pcap_next_ex(handle, ctypes.byref(header), ctypes.byref(data)) == 1:
        one = header.contents
        assert one.kept == one.length
        found.append((one.second + one.microsecond / 1e6, bytes(data[: one.kept])))
    pcap.pcap_close(handle)
    return found


class PcapHeader(ctypes.Structure):
    _fields_ = (
        ("second", ctypes.c_long),
        ("microsecond", ctypes.c_long),
        ("kept", ctypes.c_uint32),
        ("length", ctypes.c_uint32),
    )


def test_a_board_file_may_name_what_the_emulation_has():
    assert set(UNICORN_MACHINES) == set(MACHINES)


def test_edgeuk_run_ends_with_ctrl_c_and_leaves_nothing_behind(tmp_path):
    (tmp_path / "gateway.toml").write_text(HEAD + GATEWAY)
    command = [sys.executable, "-m", "edgeuk", "run", "--board", BOARD]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts what it puts into the background with SIGINT ignored; we inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as run:
        assert run.stdout is not None
        line = next(line for line in run.stdout if "m/s2" in line)
        assert "9.8067" in line
        children = descendants(run.pid)
        assert len(children) >= 3  # the board, its network, the broker
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=LIMIT_S)
        assert run.returncode == 130
    assert not [pid for pid in children if os.path.exists(f"/proc/{pid}")]


def descendants(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        found = [int(word) for word in file.read().split()]
    return [*found, *(more for child in found for more in descendants(child))]


def test_without_unicorn_the_command_that_installs_it_is_said(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ToolError) as error:
        emulated.check()
    assert "edgeuk[virtual]" in error.value.hint
