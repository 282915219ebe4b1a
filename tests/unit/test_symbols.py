"""edgeuk/symbols.py, edgeuk/decoder.py and `edgeuk decode`: what is looked up, in a program that
this test builds and whose lines are known from its source. Another implementation (addr2line) is
asked the same."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgeuk.cli.app import run
from edgeuk.decoder import Decoder, named, shown
from edgeuk.errors import UsageError
from edgeuk.symbols import Frame, Program

BUILD, OTHER = "0123456789abcdef", "fedcba9876543210"
SOURCE = """\
const char ek_board_name[] = "bench";
const char ek_build_id[] = "0123456789abcdef";
extern volatile int at;

__attribute__((noinline)) void ends(int n) {
    at = n;                                    // 6
    __asm__ volatile("nop\\n nop");
}

static inline __attribute__((always_inline)) void inner(int n) {
    ends(n);                                   // 11
    at = 2;                                    // 12
}

static inline __attribute__((always_inline)) void middle(int n) {
    inner(n + 1);                              // 16
}

__attribute__((noinline)) void outer(int n) {
    { int twice = 2 * n; at = twice; middle(twice); } // 20
    ends(n);                                   // 21
    at = 5;
}

volatile int at;
const char *volatile name = ek_board_name, *volatile build = ek_build_id;

void dropped(int n) { WRITES }

void _start(void) {
    outer(1);
    at = (int)(long)name + (int)(long)build;
}
"""
SOURCE = SOURCE.replace("WRITES", "at = n; " * 60)  # longer than what stands before the code
LINE_OF_DROPPED = SOURCE[: SOURCE.index("at = n; at = n")].count("\n") + 1
SCRIPT = """\
ENTRY(_start)
SECTIONS {
    . = BASE;
    .text : { . += 32; *(.text .text.*) } /* as behind a vector table */
    .rodata : { *(.rodata .rodata.*) }
}
"""
TARGETS = {
    "thumb": ["-target", "thumb-freestanding-eabi", "-mcpu=cortex_m3"],
    "aarch64": ["-target", "aarch64-freestanding-none"],
    "x86_64": ["-target", "x86_64-freestanding-none"],
}


@pytest.fixture(scope="module", params=[(t, v) for t in TARGETS for v in (4, 5)], ids=str)
def elf(request, tmp_path_factory):
    target, version = request.param
    folder = tmp_path_factory.mktemp("elf")
    source = folder / "program.c"
    source.write_text(SOURCE)
    out = folder / "build/bench/gateway.debug.elf"
    out.parent.mkdir(parents=True)
    base = "0" if target == "thumb" else "0x200000"
    (folder / "p.ld").write_text(SCRIPT.replace("BASE", base))
    command = [sys.executable, "-m", "ziglang", "cc", *TARGETS[target], "-O2", f"-gdwarf-{version}"]
    command += ["-ffunction-sections", "-ffreestanding", "-nostdlib", "-Wl,--gc-sections"]
    command += ["-fno-pic", "-fno-sanitize=all", "-fno-optimize-sibling-calls"]
    command += [f"-ffile-prefix-map={folder}=s", f"-Wl,-T,{folder}/p.ld"]
    subprocess.run([*command, str(source), "-o", str(out)], check=True, timeout=120)
    return out


def outer_frames(program):
    """What is said of every address behind an instruction of `outer`."""
    start, size, _ = next(f for f in program._functions if f[2] == "outer")
    return {program.frames(at) for at in range(start + 1, start + size + 1)}


def test_calls_that_were_inlined_are_shown_from_the_inside_out(elf):
    program = Program(elf)
    assert (program.board, program.build_id) == ("bench", BUILD)
    found = outer_frames(program)
    through = (
        Frame("inner", "s/program.c", 11, True),
        Frame("middle", "s/program.c", 16, True),
        Frame("outer", "s/program.c", 20),
    )
    assert through in found
    assert (Frame("outer", "s/program.c", 21),) in found
    assert str(through[0]) == "inner at s/program.c:11"


def test_a_return_address_behind_a_function_is_its_own(elf):
    program = Program(elf)
    start, size, _ = next(f for f in program._functions if f[2] == "ends")
    assert program.frames(start + size)[0].function == "ends"
    assert program.frames(start, returns=False)[0].function == "ends"
    assert not any(f.function == "ends" for f in program.frames(start))
    assert program.begins(start)
    if program._thumb:
        assert program.begins(start + 1)
        assert program.frames(start + 1, returns=False) == program.frames(start, returns=False)


def test_what_is_not_in_the_image_has_no_name(elf):
    program = Program(elf)
    assert program.frames(0x7FFF_0000) == ()
    assert program.frames(0) == ()
    addresses = [a for s, n, _ in program._functions for a in range(s + 1, s + n + 1)]
    every = [f for a in addresses for f in program.frames(a)]
    assert "dropped" not in {f.function for f in every}  # described, at address 0, but not linked
    assert LINE_OF_DROPPED not in {f.line for f in every}


def test_another_implementation_says_the_same(elf):
    """binutils' addr2line reads debug information of any processor, if it is one that it knows."""
    tool = shutil.which("llvm-addr2line") or shutil.which("addr2line")
    if tool is None:
        pytest.skip("no addr2line")
    program = Program(elf)
    every = [a for s, n, _ in program._functions for a in range(s, s + n, 2)]
    said = subprocess.run(
        [tool, "-afise", str(elf), *map(hex, every)], capture_output=True, text=True, timeout=60
    ).stdout
    groups = re.split(r"^(0x[0-9a-f]+)\n", said, flags=re.M)[1:]
    theirs = dict(zip((int(at, 16) for at in groups[::2]), groups[1::2], strict=True))
    compared = 0
    for at in every:
        if f"program.c:{LINE_OF_DROPPED}\n" in theirs[at]:
            continue  # it takes what is described at address 0 for code
        ours = ""
        for frame in program.frames(at, returns=False):
            ours += f"{frame.function}\nprogram.c:{frame.line or '?'}\n"
        assert re.sub(r" \(discriminator.*", "", theirs[at].replace(":0\n", ":?\n")) == ours
        compared += 1
    assert compared > 10


CONSOLE = """\
edgeuk bench {build}: entropy: device
[ 0.1] virtio at 0x9000 is ready
panic: broken
  at {call:#x}
  at 0x7fff0000
"""


@pytest.fixture
def call(elf):
    """The address behind the call in `inner`."""
    program = Program(elf)
    start, size, _ = next(f for f in program._functions if f[2] == "outer")
    return next(a for a in range(start + 1, start + size + 1) if len(program.frames(a)) == 3)


def decode(elf, *lines, force=False):
    decoder = Decoder(Program(elf), force=force)
    return [text for line in map(decoder.feed, lines) if line for text in shown(line)]


def test_every_form_of_an_address_on_a_console_is_found(elf, call):
    program = Program(elf)
    ends = next(f[0] for f in program._functions if f[2] == "ends")
    inlined = ["    " + t for t in ("inlined into middle at s/program.c:16",)]
    assert decode(elf, f"  |   at {call:#x}")[0] == f"  |   at {call:#x} inner at s/program.c:11"
    assert decode(elf, f"  at {call:#x}")[1].strip() == inlined[0].strip()
    line = f"panic: assertion failed at x.c:3 at {call:#x} {call:#x}"
    assert [t.split(" at ")[0] for t in decode(elf, line)[1:]] == [
        f"    {call:#x} inner", "        inlined into middle", "        inlined into outer",
        f"    {call:#x} inner", "        inlined into middle", "        inlined into outer",
    ]  # fmt: skip
    line = f"watchdog: reset the board; last ran: {ends:#x}"
    assert decode(elf, line)[1].startswith(f"    {ends:#x} ends at s/program.c:")
    assert " ends at " in decode(elf, f"watchdog: not fed for 4 ms; running: {ends:#x}")[1]
    fault = f"panic: exception 13, error 0x0, rip {ends:#x}, rsp 0x10, address 0x0"
    assert " ends at " in decode(elf, fault)[1]
    fault = f"panic: fault 3: pc {ends:#010x} lr {call:#010x} sp 0x20000000"
    assert [" ends " in t or " inner " in t for t in decode(elf, fault)[1:3]] == [True, True]
    assert decode(elf, "nothing to see", "address 0x1234") == []
    assert decode(elf, "[ 1.0] device at 0x7fff0000") == ["[ 1.0] device at 0x7fff0000"]


def test_the_instruction_of_a_fault_is_not_one_that_is_returned_to(elf):
    """Where a panic names it, the backtrace begins with it."""
    program = Program(elf)
    ends = next(f[0] for f in program._functions if f[2] == "ends")
    fault = f"panic: exception 6, error 0x0, rip {ends:#x}, rsp 0x10"
    assert decode(elf, fault, f"  at {ends:#x}")[-1].split(" at ")[1].split()[1] == "ends"
    assert " ends at " not in decode(elf, f"  at {ends:#x}")[0]
    rebooted = f"edgeuk bench {BUILD}: entropy: device"
    assert " ends at " not in decode(elf, fault, rebooted, f"  at {ends:#x}")[-1]


def test_an_address_that_a_boot_message_had_no_room_for_is_left_out(elf, call):
    text = f"panic: {'x' * 200}"[: 135 - len(f" at {call:#x}")] + f" at {call:#x}"
    assert len(text) == 135
    assert decode(elf, f"{text}; build {BUILD}") == []
    assert decode(elf, f"panic: too hot at {call:#x}; build {BUILD}") != []


def test_a_boot_message_is_of_the_image_that_it_names(elf, call):
    """The one that runs now may be another."""
    banner = f"edgeuk bench {OTHER}: entropy: device"
    text = f"watchdog: reset the board; last ran: {call - 1:#x}; build {{}}"
    assert len(decode(elf, banner, text.format(BUILD))) > 1
    assert decode(elf, f"edgeuk bench {BUILD}: entropy: device", text.format(OTHER)) == [
        text.format(OTHER)
    ]


def test_lines_of_another_build_are_left_alone(elf, call):
    lines = CONSOLE.format(build=OTHER, call=call).splitlines()
    decoder = Decoder(Program(elf))
    found = [line for line in map(decoder.feed, lines) if line]
    assert not any(c.frames for line in found for c in line.calls)
    assert decoder.foreign == {OTHER: "bench"}
    assert any("inner at" in t for t in decode(elf, *lines, force=True))
    again = CONSOLE.format(build=BUILD, call=call).splitlines()
    assert sum("inner at" in t for t in decode(elf, *lines, *again)) == 1


def test_text_keeps_its_other_lines(elf, call):
    text = f"panic: broken\n  at {call:#x}\nend"
    lines = named(text, elf).split("\n")
    assert [lines[0], lines[-1]] == ["panic: broken", "end"]
    assert lines[1] == f"  at {call:#x} inner at s/program.c:11"
    assert named(text, elf.parent / "none") == text


def test_a_file_that_is_no_program_is_said(tmp_path):
    (tmp_path / "x").write_text("no ELF")
    with pytest.raises(UsageError, match=r"no ELF file with symbols: .* \[E0832\]"):
        Program(tmp_path / "x")
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        Program(tmp_path / "y")


# the command
@pytest.fixture
def project(elf, monkeypatch):
    """In the folder of the gateway whose image it is."""
    folder = elf.parents[2]
    monkeypatch.chdir(folder)
    return folder


def test_decode_finds_the_image_by_what_the_console_says(project, call, capsys):
    (project / "log").write_text(CONSOLE.format(build=BUILD, call=call))
    assert run(["decode", "log"]) == 0
    said = capsys.readouterr()
    assert f"  at {call:#x} inner at s/program.c:11\n     inlined into middle" in said.out
    assert "  at 0x7fff0000\n" in said.out
    assert said.err == ""


def test_decode_reads_standard_input_and_writes_json(project, call, capsys, monkeypatch):
    text = CONSOLE.format(build=BUILD, call=call).replace("\n", "\r\n").encode() + b"\xff\0"
    with open(_file(project, text)) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert run(["decode", "--json", "--board", "bench"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["board"], found["build_id"]) == ("bench", BUILD)
    (line,) = [x for x in found["lines"] if x["text"] == f"  at {call:#x}"]
    assert line["build_id"] == BUILD
    assert line["calls"][0]["address"] == call
    assert line["calls"][0]["frames"][0] == {
        "function": "inner", "file": "s/program.c", "line": 11, "inlined": True,
    }  # fmt: skip


def _file(folder, data):
    path = folder / "stdin"
    path.write_bytes(data)
    return path


def test_decode_takes_addresses_and_says_that_it_is_not_sure(project, call, capsys):
    assert run(["decode", hex(call)]) == 0
    said = capsys.readouterr()
    assert f"{call:#x} inner at" in said.out
    assert "nothing says that it is that build" in said.err
    assert run(["decode", f"panic: x at {call:#x}", "--board", "bench"]) == 0
    assert "inner at" in capsys.readouterr().out


def test_decode_refuses_a_console_of_another_build(project, call, capsys):
    (project / "log").write_text(CONSOLE.format(build=OTHER, call=call))
    assert run(["decode", "log"]) == 4
    said = capsys.readouterr()
    assert "inner" not in said.out
    assert (
        f"error: the console is of build bench {OTHER}, build/bench/gateway.debug.elf of {BUILD} "
        "[E0831]\nhint: --elf names the gateway.debug.elf of that build" in said.err
    )
    assert run(["decode", "log", "--force"]) == 0
    assert "inner at" in capsys.readouterr().out
    both = CONSOLE.format(build=OTHER, call=call) + CONSOLE.format(build=BUILD, call=call)
    (project / "log").write_text(both)
    assert run(["decode", "log"]) == 0
    said = capsys.readouterr()
    assert said.out.count("inner at") == 1
    assert f"warning: lines of build bench {OTHER} are left as they are" in said.err


def test_decode_says_what_it_lacks(project, tmp_path, monkeypatch, capsys):
    (project / "log").write_text("  at 0x10\n")
    for arguments, what in (
        (["log", "--board", "other"], "there is no build/other/gateway.debug.elf [E0832]"),
        (["nolog"], "cannot read nolog: No such file"),
        (["log", "--elf", "log"], "no ELF file with symbols"),
        (["log", "--elf", "x", "--board", "y"], "--board or --elf, not both"),
        (["log", "--broker", "x"], "--broker or a log, not both"),
    ):
        assert run(["decode", *arguments]) == 2
        assert what in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)
    (tmp_path / "log").write_text("  at 0x10\n")
    assert run(["decode", "log"]) == 2
    assert "no image is in build, and the console does not say which it is [E0832]" in (
        capsys.readouterr().err
    )
    (project / "log").write_text("all is well\n")
    for image in (["--gateway", str(project)], []):  # it takes none to say so
        assert run(["decode", str(project / "log"), *image]) == 0
        assert "no addresses in there" in capsys.readouterr().err


def test_decode_says_when_nothing_is_in_the_image(project, capsys):
    assert run(["decode", "0x7fff0000"]) == 0
    assert "none of the addresses is in build/bench/gateway.debug.elf" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/usr/sbin/mosquitto").exists(), reason="no mosquitto")
def test_decode_reads_the_boot_message_that_a_broker_kept(project, call, capsys):
    import paho.mqtt.publish as publish

    from edgeuk.run.broker import Broker

    with Broker(kind="mosquitto") as broker:
        text = f"watchdog: reset the board; last ran: {call - 1:#x}"
        publish.single("a/b/boot", text, retain=True, qos=1, hostname="127.0.0.1", port=broker.port)
        url = f"mqtt://127.0.0.1:{broker.port}"
        assert run(["decode", "--broker", url, "--topic", "a/b"]) == 0
    assert f"{text}\n    {call - 1:#x} " in capsys.readouterr().out
