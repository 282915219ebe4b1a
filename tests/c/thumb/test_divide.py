"""Division and multiplication for Thumb (divide.c), on the host, against its own operators."""

import random
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[3]
ROUNDS = 2_000_000


def test_quotient_and_remainder_are_the_hosts(tmp_path):
    seed = random.SystemRandom().randrange(1, 1 << 64)
    compiler = shutil.which("cc")
    assert compiler, "no C compiler: apt-get install gcc"
    program = tmp_path / "divide"
    sources = [Path(__file__).with_name("divide_test.c"), ROOT / "firmware/arch/thumb/divide.c"]
    flags = ["-O1", "-g", "-Wall", "-Werror", "-fsanitize=address,undefined"]
    command = [compiler, *flags, f"-I{ROOT}/firmware", *sources, "-o", program]
    subprocess.run(command, check=True, timeout=120)
    print(f"seed {seed}")
    run = subprocess.run(
        [program, str(seed), str(ROUNDS)], capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stdout + run.stderr
