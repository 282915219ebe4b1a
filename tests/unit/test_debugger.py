"""edgeuk/run/debugger.py: which gdb is taken, with stand-ins for it."""

import pytest

from edgeuk.errors import ToolError, UsageError
from edgeuk.run.debugger import commands, find_gdb

ONLY_X86 = """\
#!/bin/sh
case "$*" in
*arm*) echo 'Undefined item: "arm".' >&2; exit 1;;
esac
"""


@pytest.fixture
def programs(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.setattr("edgeuk.run.debugger.shutil.which", _which(tmp_path))

    def make(name, text="#!/bin/sh\n"):
        path = tmp_path / name
        path.write_text(text)
        path.chmod(0o755)
        return str(path)

    return make


def _which(folder):
    return lambda name: str(folder / name) if (folder / name).is_file() else None


def test_the_first_gdb_that_knows_the_processor_is_taken(programs):
    one = programs("gdb", ONLY_X86)
    assert find_gdb("", "x86_64-freestanding-none") == one
    assert find_gdb("", "") == one  # a process of this machine
    other = programs("arm-none-eabi-gdb")
    assert find_gdb("", "thumb-freestanding-eabi") == other
    every = programs("gdb-multiarch")
    assert find_gdb("", "thumb-freestanding-eabi") == every
    assert find_gdb("", "") == one


def test_without_a_gdb_the_command_that_installs_one_is_said(programs):
    with pytest.raises(ToolError) as error:
        find_gdb("", "thumb-freestanding-eabi")
    assert error.value.what == "gdb is not installed [E0833]"
    assert error.value.hint == "apt-get install gdb-multiarch"
    path = programs("gdb", ONLY_X86)
    with pytest.raises(ToolError) as error:
        find_gdb("", "arm-freestanding-eabi")
    assert error.value.what == f"{path} does not know `arm` [E0833]"


def test_a_gdb_that_was_asked_for_is_taken_or_refused(programs):
    path = programs("mine", ONLY_X86)
    assert find_gdb("mine", "x86_64-freestanding-none") == path
    with pytest.raises(UsageError, match="--gdb mine does not know `arm`"):
        find_gdb("mine", "thumb-freestanding-eabi")
    with pytest.raises(UsageError, match="--gdb other: no such program"):
        find_gdb("other", "")


def test_gdb_is_told_where_sources_are_before_it_reads_the_program(tmp_path):
    script = tmp_path / "s"
    said = commands(tmp_path / "p.elf", {"firmware": tmp_path / "f"}, script)
    place = said.index(f"set substitute-path firmware {tmp_path}/f")
    assert said[place - 1] == "-iex"
    assert said[-3:] == ["-x", str(script), str(tmp_path / "p.elf")]
