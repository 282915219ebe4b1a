"""The command line as a user meets it: exit status, what is on stdout, what on stderr, word for
word where it matters. In process; nothing is built here (test_cli_run.py, tests/boot)."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgeuk.catalog import load_catalog
from edgeuk.cli import app, common, doctor
from edgeuk.cli.app import COMMANDS, run
from edgeuk.errors import ToolError
from edgeuk.flash import firmware
from edgeuk.paths import data_roots
from edgeuk.run import debugger
from edgeuk.toolchain import Missing

SEVEN = """\
schema = 1
name = "bad name"
bord = "host"

[mqtt]
url = "mqttz://broker:8883"
qos = 3

[[sensor]]
name = "air"
driver = "tmp15"
every = "1x"

[[sensor]]
name = "wave"
driver = "sim"
shape = "sinus"
every = "1s"
"""


@pytest.fixture(autouse=True)
def _terminated_as_before():
    before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def project(tmp_path, monkeypatch, capsys):
    """The current folder is a new gateway."""
    monkeypatch.chdir(tmp_path)
    assert run(["new", "meter"]) == 0
    monkeypatch.chdir(tmp_path / "meter")
    capsys.readouterr()
    return tmp_path / "meter"


def test_new_says_what_it_made_and_the_next_step(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["new", "meter"]) == 0
    assert capsys.readouterr().err == (
        "meter/ has gateway.toml, device.toml, .gitignore\n\nnext: cd meter && edgeuk run\n"
    )
    assert run(["new", "meter"]) == 2
    assert capsys.readouterr().err == (
        "error: `meter` exists and is not empty\nhint: choose another name\n"
    )


def test_new_with_a_name_that_cannot_be_one(capsys):
    assert run(["new", "a b"]) == 2
    assert capsys.readouterr().err == (
        "error: `a b` cannot be a gateway's name\n"
        "hint: letters, digits and `-`, at most 32, beginning with a letter or digit\n"
    )


@pytest.mark.parametrize("board", sorted(load_catalog().boards))
def test_what_new_writes_passes_check_on_every_board(project, board, capsys):
    assert run(["check", "--board", board, "--device", "device.toml"]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"gateway.toml: no errors; 1 sensor on {board}, with ")
    assert "\ndevice.toml: no errors\n" in said.err
    assert said.err.endswith(f"\n\nnext: edgeuk run --board {board} --device device.toml\n")


@pytest.mark.parametrize("option", ["--device", "--gateway"])
def test_a_key_in_place_of_a_file_is_not_shown(project, option, capsys):
    Path("gw-1.pem").write_text(
        "-----BEGIN EC PRIVATE KEY-----\ng6I4eRbpUT+iAvrn/XKRSlAAbNAaCuJfRQ==\n"
    )
    assert run(["check", option, "gw-1.pem"]) == 2
    said = capsys.readouterr().err
    assert "gw-1.pem: error[E0101]: this is a key or certificate, not TOML" in said
    assert "g6I4" not in said


def test_run_says_that_a_board_is_not_emulated_before_it_builds(project, capsys):
    text = (data_roots().boards / "frdm-k64f.toml").read_text()
    before, _, after = text.partition("[run.unicorn]")
    Path("own.toml").write_text(before + after[after.index("[verified]") :])
    assert run(["run", "--board", "own.toml"]) == 2
    said = capsys.readouterr().err
    assert "nothing here runs an image of board `own`" in said
    assert "edgeuk flash --board own" in said


def test_check_shows_every_fault_of_gateway_device_and_board_in_one_run(project, capsys):
    Path("gateway.toml").write_text(SEVEN)
    Path("device.toml").write_text("nam = 'x'\n")
    Path("odd.toml").write_text('cpu = "cortex-m33"\n')
    assert run(["check", "--json", "--board", "odd.toml", "--device", "device.toml"]) == 2
    faults = json.loads(capsys.readouterr().out)["faults"]
    by_file = {f: [x for x in faults if x["file"] == f] for f in {x["file"] for x in faults}}
    assert set(by_file) == {"gateway.toml", "device.toml", "odd.toml"}
    lines = {f["line"] for f in by_file["gateway.toml"]}
    assert {2, 3, 6, 7, 11, 12, 17} <= lines
    (device,) = by_file["device.toml"]
    assert device["hint"] == "did you mean `name`?"


def test_check_ends_with_the_code_to_explain(project, capsys):
    Path("gateway.toml").write_text("bord = 1\n")
    assert run(["check"]) == 2
    last = capsys.readouterr().err.splitlines()[-2:]
    assert last[0].endswith("errors")
    assert last[1].startswith("`edgeuk explain E0")


def test_check_takes_files_and_says_as_what_it_read_them(project, capsys):
    board = load_catalog().boards["host"]
    driver = data_roots().drivers / "sim/driver.toml"
    assert run(["check", "gateway.toml", "device.toml", str(board), str(driver)]) == 0
    said = capsys.readouterr().err.splitlines()[:4]
    assert [line.partition("; ")[2] for line in said] == [
        f"read as a {kind} file" for kind in ("gateway", "device", "board", "driver")
    ]


def test_check_of_a_board_file_needs_no_gateway(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    board = load_catalog().boards["host"]
    assert run(["check", "--board", str(board)]) == 0
    assert "read as a board file" in capsys.readouterr().err
    assert run(["check", str(board)]) == 0
    assert f"next: edgeuk run --board {board}\n" in capsys.readouterr().err


def test_warnings_are_shown_and_do_not_fail(project, capsys):
    sensors = "".join(
        f'[[sensor]]\nname = "s{i}"\ndriver = "sim"\nevery = "1s"\n' for i in range(5)
    )
    Path("gateway.toml").write_text(f'schema = 1\nname = "many"\n[pipeline]\nqueue = 4\n{sensors}')
    assert run(["check"]) == 0
    assert "gateway.toml:4:9: warning[W0702]: the queue of 4" in capsys.readouterr().err
    assert run(["check", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is True
    assert [f["severity"] for f in answer["faults"]] == ["warning"]


@pytest.mark.parametrize(
    ("line", "what", "hint"),
    [
        ("bild", "no command `bild`", "did you mean `build`?"),
        (
            "--json",
            "no option `--json`",
            "options come behind the command: `edgeuk COMMAND --help` lists them",
        ),
        ("build --bord host", "no option `--bord`", "did you mean `--board`?"),
        ("run --brokr x", "no option `--brokr`", "did you mean `--broker`?"),
        (
            "build -x",
            "no option `-x`",
            "`edgeuk build --help` shows options and an example",
        ),
        ("new", "missing argument `NAME`", "`edgeuk new --help` shows options and an example"),
        ("new a b", "too many names: `b`", "edgeuk new NAME, or edgeuk new driver NAME"),
        (
            "run --for",
            "option `--for` requires an argument",
            "`edgeuk run --help` shows options and an example",
        ),
        (
            "board stop",
            "missing argument `NAME`",
            "`edgeuk board stop --help` shows options and an example",
        ),
        ("pipeline", "missing command", "`edgeuk pipeline --help` shows options and an example"),
        (
            "pipeline tets",
            "no command `pipeline tets`",
            "did you mean `pipeline test`?",
        ),
        ("build --board lm3s6965", "no board `lm3s6965`", "did you mean `lm3s6965evb`?"),
        ("why driver/virtio_nett", "there is no `driver/virtio_nett`", "did you mean `driver/"),
        ("explain E0999", "there is no code `E0999`", "did you mean `E0"),
        ("run --for 3x", "`--for 3x` is no duration", "write 30s, 2m or 500ms"),
        (
            "run --broker http://x",
            "--broker `http://x` is no broker",
            "write --broker mqtt://HOST:PORT",
        ),
        (
            "run --broker mqtt://x:99999",
            "--broker `mqtt://x:99999` is no broker",
            "write --broker mqtt://HOST:PORT",
        ),
        (
            "check -g nothing.toml",
            "no `nothing.toml` here",
            "`edgeuk new NAME` starts a gateway; --gateway FILE names one elsewhere",
        ),
    ],
)
def test_a_wrong_call_is_two_lines_and_status_2(project, line, what, hint, capsys):
    assert run(line.split()) == 2
    said = capsys.readouterr()
    assert said.out == ""
    first, second = said.err.splitlines()
    assert first == f"error: {what}"
    assert second.startswith(f"hint: {hint}")


def test_without_a_command_all_are_listed(capsys):
    assert run([]) == 2
    assert run(["--help"]) == 0
    text = capsys.readouterr().out
    for name, what in COMMANDS.items():
        assert f"  {name:9} {what}\n" in text


@pytest.mark.parametrize("name", [*COMMANDS, "pipeline test"])
def test_help_of_each_command_has_an_example(name, capsys):
    assert run([*name.split(), "--help"]) == 0
    text = capsys.readouterr().out
    assert f"Example:  edgeuk {name.split()[0]}" in text
    assert "completion" not in text


@pytest.mark.parametrize(
    "line",
    [
        "check",
        "boards",
        "boards --for gateway.toml",
        "drivers",
        "why driver/sim",
        "explain E0201",
    ],
)
def test_json_is_all_there_is_on_stdout(project, line, capsys):
    assert run([*line.split(), "--json"]) == 0
    said = capsys.readouterr()
    json.loads(said.out)
    assert said.err == ""


def test_why_shows_the_chain_from_gateway_to_driver(project, capsys):
    assert run(["why", "driver/virtio_net", "--board", "x86-microvm"]) == 0
    said = capsys.readouterr()
    assert said.out == (
        "gateway.toml asks for mqtt\n"
        "└─ component/mqtt provides mqtt and needs stream\n"
        "   └─ component/net/lwip provides stream and needs eth\n"
        "      └─ board x86-microvm has role uplink: device/net0\n"
        "         └─ driver/virtio_net drives net0\n"
    )
    assert run(["why", "tmp105"]) == 0
    assert capsys.readouterr().out == (
        "driver/tmp105 is not in the image: no sensor of gateway.toml uses it\n"
    )


def test_boards_for_says_what_a_board_lacks(project, capsys):
    air = '[[sensor]]\nname = "air"\ndriver = "tmp105"\nat = "i2c0:0x48"\nevery = "1s"\n'
    Path("gateway.toml").write_text(f'schema = 1\nname = "air"\n{air}')
    assert run(["boards", "--for", "gateway.toml"]) == 0
    said = capsys.readouterr()
    rows = [line.split(None, 2) for line in said.out.splitlines()[1:]]
    assert ["lm3s6965evb", "yes", "-"] in rows
    assert ["x86-microvm", "no", "board `x86-microvm` has no I2C bus"] in rows
    board = said.err.removeprefix("\nnext: edgeuk run --board ").removesuffix("\n")
    assert [board, "yes", "-"] in rows


def test_tables_in_a_pipe_have_no_trailing_blanks(capsys):
    assert run(["drivers"]) == 0
    assert all(line == line.rstrip() for line in capsys.readouterr().out.splitlines())


def test_all_that_is_missing_is_named_with_its_command(project, capsys, monkeypatch):
    lacks = [Missing("the sources of lwip 2.2.1 are missing", "fetch them")]
    monkeypatch.setattr(common.toolchain, "missing", lambda _=(): list(lacks))
    monkeypatch.setattr(common.emulator.shutil, "which", lambda _: None)
    assert run(["run", "--board", "virt-aarch64"]) == ToolError.exit_code == 1
    assert capsys.readouterr().err == (
        "error: 2 things are missing, each with its cure:\n"
        "  the sources of lwip 2.2.1 are missing: fetch them\n"
        "  qemu-system-aarch64 is not installed: apt-get install qemu-system-arm\n"
        "hint: `edgeuk doctor` checks this machine as a whole\n"
    )


def test_a_missing_python_package_is_named(capsys, monkeypatch):
    def gone(name):
        raise ModuleNotFoundError("No module named 'cbor2'", name="cbor2")

    monkeypatch.setattr(app.importlib, "import_module", gone)
    assert run(["build"]) == 1
    assert capsys.readouterr().err.startswith("error: the Python package `cbor2` is missing\nhint:")


def test_doctor_lists_what_is_missing_first_and_fails(capsys, monkeypatch):
    found = (
        doctor.Finding("ninja", True, "/bin/ninja", "never shown"),
        doctor.Finding("MQTT broker mosquitto", False, "", "apt-get install it", needed=False),
        doctor.Finding("qemu-system-arm", False, "", "apt-get install qemu-system-arm"),
    )
    monkeypatch.setattr(doctor, "examine", lambda: iter(found))
    assert run(["doctor"]) == 1
    said = capsys.readouterr()
    assert [line.split() for line in said.out.splitlines()] == [
        ["state", "what", "found", "cure"],
        ["optional", "MQTT", "broker", "mosquitto", "-", "apt-get", "install", "it"],
        ["MISSING", "qemu-system-arm", "-", "apt-get", "install", "qemu-system-arm"],
        ["ok", "ninja", "/bin/ninja"],
    ]
    assert said.err == "\nnext: mend 1 thing, see `cure`\n"


def test_doctor_finds_an_emulator_without_the_machine_of_a_board(tmp_path, monkeypatch):
    fake = tmp_path / "qemu-system-x86_64"
    fake.write_text("#!/bin/sh\necho 'QEMU emulator version 3.1'\necho 'pc  a PC'\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    finding = {f.what: f for f in doctor.examine()}["qemu-system-x86_64"]
    assert not finding.ok
    assert finding.detail == "3.1 without microvm"


def test_doctor_names_what_only_some_commands_need(monkeypatch, tmp_path):
    monkeypatch.setattr(debugger.shutil, "which", lambda name, path=None: None)
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(firmware, "FOLDERS", ())
    monkeypatch.setattr(firmware, "cached", lambda: tmp_path)
    findings = {f.what: f for f in doctor.examine()}
    cures = {
        "debugger gdb": "apt-get install gdb-multiarch (for `edgeuk debug`)",
        "Python package pyocd": '-m pip install "edgeuk[flash]" (for `edgeuk flash` and `debug`',
        "Python package unicorn": '-m pip install "edgeuk[virtual]" (for virtual boards',
        "Python package pytest": '-m pip install "edgeuk[hil]" (for `edgeuk test`)',
        "boot firmware of the Raspberry Pi": "-m edgeuk.flash.firmware fetch, or --firmware-dir",
    }
    for what, cure in cures.items():
        assert (findings[what].ok, findings[what].needed) == (False, False)
        assert cure in findings[what].fix


def test_doctor_finds_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EDGEUK_CACHE", str(tmp_path / "file"))
    finding = {f.what: f for f in doctor.examine()}["cache"]
    assert (finding.ok, finding.detail) == (False, f"{tmp_path}/file cannot be written")


def edgeuk(*words, **options):
    command = [sys.executable, "-m", "edgeuk", *words]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, **options
    )


def test_version_imports_nothing_of_weight():
    code = (
        "import sys; sys.argv = ['edgeuk', '--version']; from edgeuk.__main__ import main; main();"
        "print(any(m in sys.modules for m in ('typer', 'rich', 'edgeuk.cli')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines()[1] == "False"
    assert done.stdout.startswith("edgeuk 0.")


def test_a_reader_that_has_enough_is_no_error():
    command = f"'{sys.executable}' -m edgeuk drivers --json | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[\n0\n"
    assert "Traceback" not in done.stderr


def test_no_color_and_pipes_mean_plain_text(tmp_path):
    done = edgeuk("boards", env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "NO_COLOR": "1"})
    assert done.returncode == 0
    assert "\x1b" not in done.stdout + done.stderr


def test_commands_start_without_delay():
    started = time.monotonic()
    assert edgeuk("explain", "E0101").returncode == 0
    assert time.monotonic() - started < 10  # far off on purpose: the machine may be busy


def test_a_board_that_keeps_nothing_has_no_storage(project, capsys):
    assert run(["run", "--board", "lm3s6965evb", "--storage", "disk"]) == 2
    assert "board `lm3s6965evb` has no role `storage`" in capsys.readouterr().err
    assert not Path("disk").exists()
