"""The pipeline as a program with sanitizers, spoken to over pipes: see pipeline/host.c."""

import atexit
import functools
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]
PIPELINE = ROOT / "firmware/pipeline"
DROP_OLDEST, DROP_NEWEST, BLOCK = 0, 1, 2
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


@functools.cache
def program(encoding: str) -> Path:
    """Compile host.c and the pipeline with one of the two encodings."""
    folder = Path(tempfile.mkdtemp(prefix="pipeline-"))
    atexit.register(shutil.rmtree, folder)
    names = ["pipeline", "sched", "queue", "senml", f"senml_{encoding}"]
    sources = [PIPELINE / f"{n}.c" for n in names] + sorted(PIPELINE.glob("filter*.c"))
    here = ROOT / "tests/c/pipeline"
    flags = [
        "-std=c11",
        "-g",
        "-O1",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-Wno-unused-result",
    ]
    flags += ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    flags += [f"-I{p}" for p in (here, ROOT / "firmware", ROOT / "firmware/include")]
    output = folder / "pipeline"
    subprocess.run(["cc", *flags, here / "host.c", *sources, "-o", output], check=True, timeout=120)
    return output


class Peer:
    """One running pipeline. A sanitizer's report or a failed assertion ends it: RuntimeError."""

    def __init__(self, encoding: str = "cbor") -> None:
        self.process = subprocess.Popen(
            [program(encoding)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *_: object) -> None:
        try:
            _, errors = self.process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise
        if self.process.returncode:
            raise RuntimeError(errors)

    def ask(self, *words: object) -> str:
        """Send one command; its answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(" ".join(str(w) for w in words) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(self.process.communicate()[1])
        return answer.rstrip("\n")

    def events(self, *words: object) -> list[str]:
        """The same for commands that answer with what happened."""
        return [e for e in self.ask(*words).split(";") if e]

    def filter(
        self, kind: str, params: Iterable[int], rows: Iterable[tuple[int, int]]
    ) -> list[str]:
        """What a fresh filter makes of (time in us, value): "-" if held back, "!" if clamped."""
        p = [*params, 0, 0, 0][:3]
        rows = list(rows)
        return self.ask("filter", kind, *p, len(rows), *(x for row in rows for x in row)).split()

    def senml(
        self, size: int, base: str, records: list[tuple[str, str, int, int, int, int]]
    ) -> tuple[int, bytes]:
        """Encode (name, unit, value, decimals, time_us, quality); how many fitted, and the pack."""
        words: list[object] = ["senml", size, _hex(base), len(records)]
        for name, unit, value, decimals, time_us, quality in records:
            words += [_hex(name), _hex(unit), value, decimals, time_us, quality]
        return _pack(self.ask(*words))

    def encode(self, size: int) -> tuple[int, bytes]:
        """Encode what waits in the queue; how many, and the pack."""
        return _pack(self.ask("encode", size))

    def stats(self) -> dict[str, int]:
        """struct pipeline_stats."""
        names = "readings errors filtered dropped skipped sent queue_length queue_max queue_size"
        return dict(zip(names.split(), map(int, self.ask("stats").split()), strict=True))


def _hex(text: str) -> str:
    return text.encode().hex() or "."


def _pack(answer: str) -> tuple[int, bytes]:
    count, _, pack = answer.partition(" ")
    return int(count), bytes.fromhex(pack)
