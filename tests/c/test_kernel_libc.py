"""The freestanding C library against the host's: the same results on random arguments, and no
access outside them or unaligned (sanitizers)."""

import random
import re
import subprocess
from pathlib import Path

LIBC = Path(__file__).parents[2] / "firmware/libc"


def test_our_c_library_agrees_with_the_hosts(tmp_path, request):
    seed = int(request.config.getoption("--seed", None) or random.randrange(2**32))
    print(f"seed {seed}")
    headers = "".join((LIBC / f"include/{name}.h").read_text() for name in ("string", "stdlib"))
    names = set(re.findall(r"(\w+)\([^)]*\);", headers)) - {"abs"}
    assert len(names) == 14
    flags = ["-std=gnu11", "-O1", "-g", "-fno-builtin", "-w"]
    sanitizers = ["-fsanitize=address,undefined", "-fno-sanitize-recover"]
    objects = []
    for source in sorted(LIBC.glob("*.c")):
        objects.append(tmp_path / f"{source.stem}.o")
        renamed = [f"-D{name}=ours_{name}" for name in sorted(names)]
        argv = ["cc", "-c", *flags, *sanitizers, *renamed, source, "-o", objects[-1]]
        subprocess.run([*argv, f"-I{LIBC}/include"], check=True, timeout=60)
    program = tmp_path / "libc"
    test = Path(__file__).with_suffix(".c")
    argv = ["cc", *flags, *sanitizers, test, *objects, "-o", program]
    subprocess.run(argv, check=True, timeout=60)
    done = subprocess.run(
        [program, str(seed)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout + done.stderr == ""
    assert done.returncode == 0
