"""Run a channel's filters on this machine: the firmware's own C, with the initialisers of an image.

A small program with the chain compiled in reads readings from its standard input and writes what
comes out of the last filter. Programs are kept in the cache, by the hash of all they are made of.
"""

import csv
import hashlib
import io
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, localcontext
from pathlib import Path
from typing import Any

from edgeuk import filters
from edgeuk.cache import cache_root, clear_errors, write_atomic
from edgeuk.errors import BuildError, ConfigError, Fault, Place, UsageError
from edgeuk.paths import data_roots
from edgeuk.toolchain import cross_compiler, environment

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,2})?")
TIME_MAX_S = 10**12
COMPILE_S = 120  # the first compilation on a machine makes zig build its runtime
RUN_S = 60


@dataclass(frozen=True, slots=True)
class Sample:
    """One row in."""

    time: Decimal  # seconds, at least 0, not before the row above
    value: Decimal  # in the channel's unit


@dataclass(frozen=True, slots=True)
class Result:
    """One row out; `value` is None where a filter held the reading back."""

    time: Decimal
    input: Decimal  # rounded to the channel's decimals, as a sensor would report it
    value: Decimal | None
    clamped: bool


def read_csv(path: Path) -> list[Sample]:
    """Rows `time,value` of a CSV file: seconds and channel units; the first may be a header.

    Raises `ConfigError` with every bad row, `UsageError` if the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as e:
        raise UsageError((e.strerror or str(e)).lower(), where=str(path)) from None
    except UnicodeDecodeError as e:
        raise UsageError(f"not UTF-8 text: {e.reason}", where=str(path)) from None
    lines = text.splitlines()
    samples: list[Sample] = []
    faults: list[Fault] = []
    reader = csv.reader(io.StringIO(text), skipinitialspace=True)
    try:
        for row in reader:
            source = lines[reader.line_num - 1]
            if not any(field.strip() for field in row) or source.lstrip().startswith("#"):
                continue
            if reader.line_num == 1 and not any(NUMBER.fullmatch(f.strip()) for f in row):
                continue
            latest = samples[-1].time if samples else Decimal(0)
            sample = _sample(row, latest)
            if isinstance(sample, Sample):
                samples.append(sample)
            else:
                what, hint = sample
                place = Place(reader.line_num, 1, len(source))
                faults.append(Fault(path, place, "E0901", what, hint, source))
    except csv.Error as e:
        faults.append(Fault(path, Place(reader.line_num, 1, 1), "E0901", str(e), "", ""))
    if not samples and not faults:
        faults.append(Fault.of_file(path, "E0902", "no rows", "each row is `time,value`"))
    if faults:
        raise ConfigError(tuple(faults))
    return samples


def run_filters(
    chain: Sequence[tuple[str, Mapping[str, Any]]],
    decimals: int,
    samples: Sequence[Sample],
) -> list[Result]:
    """What becomes of each sample. `chain`: kinds and params that passed `filters.check`.

    Raises `BuildError` if the filters cannot be compiled or run, `UsageError` for a value that no
    channel with these decimals can hold.
    """
    program = _program(source(chain, decimals), sorted({kind for kind, _ in chain}))
    steps = [_steps(s.value, decimals) for s in samples]
    lines = [f"{int(s.time * 1_000_000)} {v}\n" for s, v in zip(samples, steps, strict=True)]
    try:
        done = subprocess.run(
            [str(program)],
            input="".join(lines),
            capture_output=True,
            text=True,
            timeout=RUN_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BuildError(f"the filters did not end within {RUN_S} s") from None
    answers = done.stdout.splitlines()
    if done.returncode != 0 or len(answers) != len(samples):
        raise BuildError("the filters stopped", hint=done.stderr.strip())
    return [
        _result(sample.time, step, answer, decimals)
        for sample, step, answer in zip(samples, steps, answers, strict=True)
    ]


def source(chain: Sequence[tuple[str, Mapping[str, Any]]], decimals: int) -> str:
    """The C program of a chain; the filters themselves are compiled beside it."""
    parts = ['#include "pipeline/filters.h"']
    entries = []
    for i, (kind, params) in enumerate(chain):
        initialiser = filters.initialiser(kind, params, decimals)
        parts.append(f"static const {filters.params_type(kind)} params_{i} = {initialiser};")
        state = filters.state(kind, params, f"state_{i}")
        if state:
            parts.append(state)
        pointer = f"&state_{i}" if state else "0"
        entries.append(f"    {{&{filters.ops(kind)}, &params_{i}, {pointer}}},")
    parts += [
        "static const struct filter chain[] = {",
        *entries,
        "    {0, 0, 0},",
        "};",
        MAIN,
    ]
    return "\n".join(parts)


MAIN = """\
#include <inttypes.h>
#include <stdio.h>
int main(void) {
    struct reading in = {0};
    while (scanf("%" SCNu64 " %" SCNd64, &in.time_us, &in.value) == 2) {
        struct reading reading = in;
        const struct filter *filter = chain;
        while (filter->ops != 0 && filter->ops->apply(filter->params, filter->state, &reading)) {
            filter++;
        }
        if (filter->ops != 0) {
            puts("-");
        } else {
            printf("%" PRId64 " %u\\n", reading.value, reading.quality);
        }
    }
    return 0;
}
"""


def _sample(row: list[str], latest: Decimal) -> Sample | tuple[str, str]:
    """The row, or what is wrong with it and a hint."""
    if len(row) != 2:
        count = "1 column" if len(row) == 1 else f"{len(row)} columns"
        return f"{count} instead of 2", "each row is `time,value`"
    numbers = []
    for name, field in zip(("time", "value"), row, strict=True):
        if not NUMBER.fullmatch(field.strip()):
            hint = "seconds, such as 1.5" if name == "time" else "such as 21.5"
            return f"{name} `{field.strip()}` is not a number", hint
        numbers.append(Decimal(field.strip()))
    time, value = numbers
    if not 0 <= time < TIME_MAX_S:
        return f"time {row[0].strip()} is out of range", "seconds, from 0 on"
    if time < latest:
        return f"time goes back, from {latest} to {time}", "sort the rows by time"
    return Sample(time, value)


def _steps(value: Decimal, decimals: int) -> int:
    with localcontext(prec=200):
        steps = int(value.scaleb(decimals).to_integral_value(ROUND_HALF_UP))
    if abs(steps) > filters.INT64_MAX:
        raise UsageError(f"value {value} is out of range for a channel of {decimals} decimals")
    return steps


def _result(time: Decimal, step: int, answer: str, decimals: int) -> Result:
    given = Decimal(step).scaleb(-decimals)
    if answer == "-":
        return Result(time, given, None, False)
    value, quality = answer.split()
    return Result(time, given, Decimal(value).scaleb(-decimals), int(quality) & 2 != 0)


def _program(text: str, kinds: Sequence[str]) -> Path:
    compiler = cross_compiler()
    firmware = data_roots().firmware
    folder = firmware / "pipeline"
    sources = [folder / "filter.c", *(folder / f"filter_{kind}.c" for kind in kinds)]
    headers = [
        *sorted(folder.glob("*.h")),
        *sorted((firmware / "include/ek").glob("*.h")),
    ]
    digest = hashlib.sha256(f"{compiler.identity}\n{text}".encode())
    for path in [*sources, *headers]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    program = cache_root() / "filters" / digest.hexdigest()[:32]
    if program.is_file():
        return program
    with clear_errors(cache_root()), tempfile.TemporaryDirectory() as scratch:
        main, built = Path(scratch) / "main.c", Path(scratch) / "filters"
        main.write_text(text)
        command = [
            *compiler.command,
            "-std=c11",
            "-O1",
            f"-I{firmware}",
            f"-I{firmware}/include",
        ]
        command += [str(main), *(str(s) for s in sources), "-o", str(built)]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=COMPILE_S,
                check=False,
                env=environment(),
            )
        except subprocess.TimeoutExpired:
            raise BuildError(f"compiling the filters took over {COMPILE_S} s") from None
        if done.returncode != 0:
            raise BuildError("the filters do not compile", hint=done.stderr.strip()[-2000:])
        write_atomic(program, built.read_bytes(), 0o755)
    return program
