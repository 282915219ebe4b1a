"""edgeuk/build.py on the stand-in firmware, with the real compiler: results, cache, faults."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from edgeuk import build as build_module
from edgeuk import cache, ninja, toolchain
from edgeuk.build import build
from edgeuk.errors import BuildError, ToolError
from edgeuk.objects import Hashes
from edgeuk.units import Tree, Unit
from tests.unit import standin

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEUK_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def source(tmp_path):
    return standin.write(tmp_path / "source")


def compiled(image, out) -> list[str]:
    """Build; returns what was compiled."""
    said = []
    build(image, out, progress=lambda done, of, what: said.append(what))
    return sorted(what.removeprefix("compile ") for what in said if what.startswith("compile"))


def test_first_build_makes_every_output(source, tmp_path):
    steps = []
    result = build(
        standin.image(source), tmp_path / "out", progress=lambda *step: steps.append(step)
    )
    assert [step[:2] for step in steps] == [(n, 9) for n in range(1, 10)]
    assert steps[-1][2] == "link gateway.elf"
    files = {p.name for p in (tmp_path / "out").iterdir() if p.is_file()}
    assert files >= {"gateway.elf", "gateway.debug.elf", "gateway.bin", "gateway.map", "build.json"}
    assert files >= {"config.h", "devices.c", "pipeline.c", "link.ld"}
    assert not [name for name in files if name.endswith(".new")]
    assert result.stack_bytes == 4096
    assert result.flash_bytes == sum(p.flash for p in result.sizes.parts)
    record = json.loads((tmp_path / "out/build.json").read_text())
    assert record["sha256"] == result.sha256
    assert record["flash_bytes"] == result.flash_bytes


def test_build_of_the_same_starts_no_program(source, tmp_path, monkeypatch):
    first = build(standin.image(source), tmp_path / "out")
    monkeypatch.setattr(ninja.subprocess, "Popen", None)
    second = build(standin.image(source), tmp_path / "out")
    assert second.cached
    assert (second.sha256, second.sizes.flash) == (first.sha256, first.sizes.flash)


def test_two_folders_and_two_caches_give_the_same_bytes(tmp_path, monkeypatch):
    files = []
    for name in ("one", "a much longer name, with spaces"):
        monkeypatch.setenv("EDGEUK_CACHE", str(tmp_path / name / "cache"))
        source = standin.write(tmp_path / name / "source")
        result = build(standin.image(source), tmp_path / name / "out")
        files.append((result.image.read_bytes(), result.debug.read_bytes()))
    assert files[0] == files[1]
    assert str(tmp_path).encode() not in files[0][1]


def test_devices_that_differ_only_in_their_configuration_share_one_image(source, tmp_path):
    one = standin.image(source)
    mqtt = replace(one.gateway.mqtt, host="10.1.2.3", topic="x", username="u", client_id="c")
    network = replace(one.gateway.network, address="10.0.0.7", prefix=24)
    other = standin.image(
        source, name="other", mqtt=mqtt, network=network, path=Path("/elsewhere/g.toml")
    )
    a, b = build(one, tmp_path / "a"), build(other, tmp_path / "b")
    assert a.image.read_bytes() == b.image.read_bytes()


def test_second_project_takes_objects_from_the_cache(source, tmp_path):
    assert len(compiled(standin.image(source), tmp_path / "one")) == 8
    assert compiled(standin.image(source), tmp_path / "two") == []


def test_changed_source_alone_is_compiled_again(source, tmp_path):
    compiled(standin.image(source), tmp_path / "out")
    path = source / "firmware/kernel/other.c"
    old = path.read_text()
    path.write_text(old.replace("a * 3", "a * 5"))
    # devices.c too: the build's id, which is in it, is a hash over the input.
    changed = ["firmware/kernel/other.c", "generated/devices.c"]
    assert compiled(standin.image(source), tmp_path / "out") == changed
    path.write_text(old)
    assert compiled(standin.image(source), tmp_path / "out") == []


def test_changed_header_compiles_those_that_read_it(source, tmp_path):
    compiled(standin.image(source), tmp_path / "out")
    with (source / "firmware/kernel/other.h").open("a") as header:
        header.write("#define OTHER 1\n")
    readers = ["firmware/arch/armv7m/start.c", "firmware/kernel/other.c", "generated/devices.c"]
    assert compiled(standin.image(source), tmp_path / "out") == readers


def with_queue(source, readings):
    pipeline = replace(standin.gateway().pipeline, queue=readings)
    return standin.image(source, pipeline=pipeline)


def test_a_size_that_changes_compiles_those_that_name_it(source, tmp_path):
    kernel, arch = source / "firmware/kernel", source / "firmware/arch/armv7m"
    text = (kernel / "other.c").read_text().replace("a * 3", "a * EK_QUEUE_READINGS")
    (kernel / "other.c").write_text(f'#include "config.h"\n{text}')
    (arch / "start.c").write_text('#include "config.h"\n' + (arch / "start.c").read_text())
    compiled(with_queue(source, 64), tmp_path / "out")
    changed = ["firmware/kernel/other.c", "generated/devices.c"]
    assert compiled(with_queue(source, 65), tmp_path / "out") == changed
    taken = build(with_queue(source, 65), tmp_path / "out")
    shutil.rmtree(tmp_path / "cache")
    assert build(with_queue(source, 65), tmp_path / "anew").sha256 == taken.sha256


GUARDED = "#ifndef CONFIG_H\n#define CONFIG_H\n\n{}\n\n#endif\n"
QUEUE = "#define EK_QUEUE  {}"


@pytest.mark.parametrize(
    ("source", "flags", "header", "counts"),
    [
        ("int x = EK_STACK;", (), QUEUE, False),
        ("int x = EK_QUEUE;", (), QUEUE, True),
        ("#ifdef EK_QUEUE\n#endif", (), QUEUE, True),
        ("#define X(a) EK_##a\nint x = X(QUEUE);", (), QUEUE, True),
        ("int x = SIZE;", ("-DSIZE=EK_QUEUE",), QUEUE, True),
        ("int x = EK_STACK;", (), f"#define EK_STACK EK_QUEUE {{}}\n{QUEUE}", True),
        ("int x = y;", (), f"static int y = {{}};\n{QUEUE}", True),
        ("int x = y;", (), f"// {{}}\n{QUEUE}", False),
    ],
)
def test_what_counts_of_a_header_of_sizes(tmp_path, source, flags, header, counts):
    (tmp_path / "x.c").write_text(source)
    tree = Tree({"generated": tmp_path, "firmware": tmp_path})
    unit = Unit("component/x", "firmware/x.c", flags, ("generated",))
    found = set()
    for value in (1, 2):
        (tmp_path / "config.h").write_text(GUARDED.format(header.format(value, value)))
        found.add(tuple(Hashes(tree).of_headers(unit, ["generated/config.h"])))
    assert len(found) == (2 if counts else 1)
    assert Hashes(tree).of_headers(unit, ["generated/none.h"]) == [""]


def test_compiler_error_is_shown_without_commands(source, tmp_path):
    (source / "firmware/kernel/other.c").write_text("int other(void) { return nothing; }\n")
    with pytest.raises(BuildError) as e:
        build(standin.image(source), tmp_path / "out")
    assert "other.c:1:26: error: use of undeclared identifier 'nothing'" in e.value.what
    assert "-ffile-prefix-map" not in e.value.what
    # What did compile is in the cache: the next build starts from there.
    (source / "firmware/kernel/other.c").write_text(standin.FILES["firmware/kernel/other.c"])
    again = compiled(standin.image(source), tmp_path / "out")
    assert again == ["firmware/kernel/other.c", "generated/devices.c"]


def test_undefined_symbol_is_a_link_error(source, tmp_path):
    (source / "firmware/kernel/other.c").write_text("extern int x;\nint *y(void);\n")
    with pytest.raises(BuildError, match="does not link") as e:
        build(standin.image(source), tmp_path / "out")
    assert "undefined symbol: other" in e.value.what


def test_image_that_does_not_fit_says_so(source, tmp_path):
    with (source / "firmware/arch/armv7m/start.c").open("a") as start:
        start.write("uint8_t huge[100000]; uint8_t *keep(void) { return huge; }\n")
    template = source / "firmware/arch/armv7m/link.ld.in"
    template.write_text("EXTERN(keep)\n" + template.read_text())
    path = source / "firmware/arch/armv7m/link.ld.in"
    path.write_text(path.read_text().replace("*(.text .text.*)", "KEEP(*(.text .text.*))"))
    with pytest.raises(BuildError, match="does not fit the board's memory"):
        build(standin.image(source), tmp_path / "out")


def test_part_above_its_budget_fails_and_leaves_the_last_image(source, tmp_path):
    good = build(standin.image(source, {"text": 40, "ram": 0}), tmp_path / "out")
    path = source / "firmware/kernel/other.c"
    path.write_text(path.read_text().replace("a * 3", "a * 3 % 7 + a % 11"))
    with pytest.raises(BuildError, match=r"component/kernel: was \d+, is \d+ bytes of flash, "):
        build(standin.image(source, {"text": 8, "ram": 0}), tmp_path / "out")
    assert good.sha256 == build_module._sha256(good.image)


def test_damaged_image_is_made_again(source, tmp_path):
    good = build(standin.image(source), tmp_path / "out")
    good.image.write_bytes(b"junk")
    again = build(standin.image(source), tmp_path / "out")
    assert not again.cached
    assert again.sha256 == good.sha256 == build_module._sha256(again.image)


def test_second_build_in_a_folder_waits_and_says_so(source, tmp_path):
    said = []
    with (
        cache.locked(tmp_path / "out", 1, print),
        pytest.raises(BuildError, match="another build has been running here"),
    ):
        build(standin.image(source), tmp_path / "out", say=said.append, lock_wait_s=0.1)
    assert said == ["another build is running here, waiting"]
    build(standin.image(source), tmp_path / "out", lock_wait_s=0.1)


def test_full_disk_is_said_plainly(source, tmp_path, monkeypatch):
    def full(path, data, mode=0o644):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("edgeuk.objects.write_atomic", full)
    with pytest.raises(BuildError, match="the disk is full"):
        build(standin.image(source), tmp_path / "out")
    monkeypatch.undo()
    monkeypatch.setenv("EDGEUK_CACHE", str(tmp_path / "cache"))
    assert not build(standin.image(source), tmp_path / "out").cached


def test_folder_that_cannot_be_written_is_named(source, tmp_path, monkeypatch):
    def read_only(self, *args, **kwargs):
        raise OSError(errno.EROFS, "Read-only file system", str(self))

    monkeypatch.setattr(Path, "mkdir", read_only)
    with pytest.raises(BuildError) as e:
        build(standin.image(source), tmp_path / "out")
    assert (e.value.what, e.value.where) == (
        "cannot be written: read-only file system",
        str(tmp_path / "out"),
    )


def test_all_that_is_missing_is_named_at_once(monkeypatch, tmp_path):
    monkeypatch.setattr(toolchain, "zig", lambda: None)
    monkeypatch.setattr(toolchain, "ninja", lambda: None)
    pin = toolchain.ThirdParty("lwip", "2.2.1", "", (), "0" * 64, (), "", {})
    with pytest.raises(ToolError) as e:
        toolchain.preflight((pin,))
    assert "ninja is missing; the sources of lwip 2.2.1 are missing" in e.value.what
    assert "ziglang" in e.value.what
    assert len(e.value.hint.splitlines()) == 3


KILLED = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from edgeuk.build import build
from tests.unit import standin
print("started", flush=True)
image = standin.image(Path({source!r}))
build(image, Path({out!r}), progress=lambda *step: print(*step, flush=True))
"""


@pytest.mark.parametrize(
    ("how", "steps"), [(signal.SIGINT, 3), (signal.SIGKILL, 1), (signal.SIGKILL, 6)]
)
def test_killed_build_leaves_a_cache_that_works(source, tmp_path, how, steps):
    whole = build(standin.image(source), tmp_path / "whole")
    shutil.rmtree(tmp_path / "cache")
    out = tmp_path / "out"
    code = KILLED.format(root=str(ROOT), source=str(source), out=str(out))
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    ) as process:
        assert process.stdout is not None
        for _ in range(1 + steps):
            process.stdout.readline()
        process.send_signal(how)
        process.wait(20)
    for path in (tmp_path / "cache").rglob("*.o"):
        assert path.read_bytes()[:4] in (b"\x7fELF", b"BC\xc0\xde")  # machine code, LLVM bitcode
    again = build(standin.image(source), out, lock_wait_s=20)
    assert again.image.read_bytes() == whole.image.read_bytes()
