"""A short run of the device configuration's fuzzer with a fixed seed, from an empty corpus: as a
board has it, and as one with a key of its own that accepts sealed configurations only."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLANG = shutil.which("clang-14") or shutil.which("clang")
FLAGS = ["-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", "-Werror", "-D__FILE_NAME__=__FILE__"]
FLAGS += ["-Wno-builtin-macro-redefined", "-fsanitize=fuzzer,address,undefined"]
FLAGS += ["-fno-sanitize-recover=all"]
RUNS = 20_000


@pytest.mark.skipif(CLANG is None, reason="libFuzzer needs clang, which is not installed")
@pytest.mark.parametrize("options", [[], ["-DEK_SEALED=1", "-DEK_DEVICE_KEY=1"]])
def test_a_configuration_of_any_bytes_does_no_harm(tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "config.h").write_text("")
    firmware = ROOT / "firmware"
    names = ("device_config.c", "device_data.c", "format.c")
    sources = [ROOT / "tests/fuzz/device_config_fuzz.c", *(firmware / "kernel" / n for n in names)]
    includes = [f"-I{folder}" for folder in (tmp_path, firmware, firmware / "include")]
    program = tmp_path / "device_config_fuzz"
    command = [str(CLANG), *FLAGS, *options, *includes, "-o", str(program), *map(str, sources)]
    subprocess.run(command, check=True, timeout=120)
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    run = [str(program), f"-runs={RUNS}", "-seed=1", "-max_len=400", str(corpus)]
    done = subprocess.run(run, timeout=120, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
