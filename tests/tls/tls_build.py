"""firmware/tls with mbedTLS as a library for this machine, with clang's sanitizers and hooks for
its fuzzer; the generated headers are those of a gateway for `host`."""

import shutil
import subprocess
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from edgeuk import third_party
from edgeuk.catalog import find_board, load_catalog
from edgeuk.gateway import load_gateway
from edgeuk.generate import generate
from edgeuk.resolve import resolve

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent / "c"
FIRMWARE = ROOT / "firmware"
CLANG = shutil.which("clang-14") or shutil.which("clang") or ""
FLAGS = ["-std=gnu11", "-g", "-O1", "-fno-sanitize-recover=all"]
SANITIZE = "address,undefined"
JOBS = 2
GATEWAY = """\
schema = 1
name = "test"
[mqtt]
url = "mqtts://localhost:8883"
[[sensor]]
name = "unused"
driver = "sim"
shape = "ramp"
low = 0
high = 1
period = "1h"
every = "1h"
"""


class Library:
    """Compiled into `folder`, once; programs are linked with it."""

    def __init__(self, folder: Path, tls: str = "", sources: Sequence[str] = ()) -> None:
        """`tls`: lines of the gateway file. `sources`: only these of firmware/tls, no mbedTLS."""
        self.folder = folder
        component = tomllib.loads((FIRMWARE / "tls/component.toml").read_text())
        mbedtls = third_party.require(third_party.load()["mbedtls"])
        self._generate(tls)
        places = {"mbedtls": mbedtls}
        self.includes = [f"-I{folder}", f"-I{FIRMWARE / 'include'}", f"-I{FIRMWARE}", f"-I{HERE}"]
        for part in component["include"]:
            name, _, path = part.rpartition(":")
            self.includes.append(f"-I{places.get(name, FIRMWARE / 'tls') / path}")
        files = [FIRMWARE / "tls" / name for name in sources or component["sources"]]
        if not sources:
            files += [mbedtls / name for name in component["third_party"]["mbedtls"]]
        with ThreadPoolExecutor(JOBS) as pool:
            self.objects = list(pool.map(self._compile, files))

    def _generate(self, tls: str) -> None:
        catalog = load_catalog()
        path = self.folder / "gateway.toml"
        path.write_text(GATEWAY + tls)
        image = resolve(load_gateway(path, catalog), find_board(catalog, "host"), catalog)
        for name, text in generate(image).files().items():
            if name.endswith(".h"):
                (self.folder / name).write_text(text)

    def _compile(self, source: Path) -> Path:
        out = self.folder / f"{source.stem}.{source.parent.name}.o"
        flags = [*FLAGS, f"-fsanitize={SANITIZE},fuzzer-no-link"]
        if source.name == "p256-m.c":  # all arithmetic, and nearly all of the time
            flags = ["-std=gnu11", "-O2"]
        elif FIRMWARE not in source.parents:
            flags.append("-fno-sanitize=nonnull-attribute")  # edgeuk/units.py says why
        self._run([*flags, *self.includes, "-c", str(source), "-o", str(out)])
        return out

    def _run(self, arguments: list[str]) -> None:
        self.run([CLANG, *arguments])

    @staticmethod
    def run(argv: list[str], limit_s: float = 250) -> str:
        """What it prints. Raises `AssertionError` with all that it said, if it fails."""
        done = subprocess.run(argv, capture_output=True, text=True, timeout=limit_s, check=False)
        assert done.returncode == 0, done.stdout + done.stderr[-4000:]
        return done.stdout

    def program(
        self, name: str, *sources: Path, wrap: tuple[str, ...] = (), fuzzer: bool = False
    ) -> Path:
        """`wrap` are functions that the program has its own versions of (ld(1), --wrap)."""
        out = self.folder / name
        sanitize = f"-fsanitize={SANITIZE}{',fuzzer' if fuzzer else ''}"
        warnings = ["-Wall", "-Wextra", "-Werror"]
        files = [*map(str, sources), *map(str, self.objects)]
        wraps = [f"-Wl,--wrap={function}" for function in wrap]
        self._run([*FLAGS, sanitize, *warnings, *self.includes, *files, *wraps, "-o", str(out)])
        return out
