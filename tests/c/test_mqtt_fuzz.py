"""A short run of the MQTT fuzzer with a fixed seed, from the corpus of the repository.

A long one: build as here, then `mqtt_fuzz -max_len=600 FOLDER tests/fuzz/mqtt_corpus`.
"""

import shutil
import subprocess
from pathlib import Path

import pytest
from mqtt_peer import FIRMWARE, HERE, INCLUDE

FUZZ = Path(__file__).parents[1] / "fuzz"
CLANG = shutil.which("clang-14") or shutil.which("clang")


@pytest.mark.skipif(CLANG is None, reason="libFuzzer needs clang, which is not installed")
def test_hostile_bytes_and_events_find_nothing(tmp_path: Path) -> None:
    program = tmp_path / "mqtt_fuzz"
    sources = [FUZZ / "mqtt_fuzz.c", HERE / "fake.c", *sorted((FIRMWARE / "mqtt").glob("*.c"))]
    sanitizers = ["-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"]
    flags = ["-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", "-Werror", *sanitizers, *INCLUDE]
    command = [str(CLANG), *flags, "-o", str(program), *map(str, sources)]
    subprocess.run(command, check=True, timeout=120)
    corpus = tmp_path / "corpus"
    shutil.copytree(FUZZ / "mqtt_corpus", corpus)
    run = [str(program), "-runs=20000", "-seed=1", "-max_len=400", str(corpus)]
    done = subprocess.run(run, timeout=120, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
