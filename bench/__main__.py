"""`python -m bench`: run the sections, print the table, write JSON and picture."""

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench import machine, readme
from bench.images import Bench
from bench.modbus import modbus_server
from bench.page import update
from bench.picture import draw
from bench.report import Row, table
from bench.sections import (
    boot,
    build,
    flash,
    http,
    idle,
    linux,
    matrix,
    network,
    publish,
    size,
    tls,
)
from edgeuk.run.broker import Broker

SECTIONS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "size": size.measure,
    "boot": boot.measure,
    "http": http.measure,
    "network": network.measure,
    "tls": tls.measure,
    "publish": publish.measure,
    "linux": linux.measure,
    "build": build.measure,
    "flash": flash.measure,
    "idle": idle.measure,
    "matrix": matrix.measure,
}
README = machine.ROOT / "README.md"
PAGE = machine.ROOT / "docs/benchmarks.md"
RESULTS = machine.ROOT / "bench/results"
NOISE = (
    "Medians; the machine is shared: read differences and ratios within one run, not times "
    "across runs."
)


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--rounds", type=int, default=10, help="of each measurement (10)")
    parser.add_argument("--no-save", action="store_true", help="write no results file")
    parser.add_argument("--readme", action="store_true", help="measure nothing: README's tables")
    chosen = parser.parse_args()
    if chosen.readme:
        print(readme.last(RESULTS))
        return
    unknown = set(chosen.sections) - set(SECTIONS)
    if unknown or chosen.rounds < 1:
        parser.error(f"sections are {', '.join(SECTIONS)}; rounds are at least 1")
    # As Ctrl-C does: whatever was started ends with us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    about = machine.describe()
    rows = run(chosen.sections or list(SECTIONS), chosen.rounds)
    print("\n".join(f"{key:10} {value}" for key, value in about.items()))
    print(f"\n{table(rows)}\n\n{NOISE}")
    if not chosen.no_save:
        print("\n".join(f"wrote {p.relative_to(machine.ROOT)}" for p in save(about, rows)))


def run(sections: list[str], rounds: int) -> list[Row]:
    """Every row of the sections; progress goes to stderr."""
    rows: list[Row] = []
    with (
        tempfile.TemporaryDirectory(prefix="edgeuk-bench-") as folder,
        Broker(kind="mosquitto") as broker,
        modbus_server() as modbus,
    ):
        bench = Bench(rounds, Path(folder), broker.port, modbus)
        for name in sections:
            print(f"{name} ...", file=sys.stderr, flush=True)
            for row in SECTIONS[name](bench):
                rows.append(row)
                print(f"  {row.what}: {row.value} {row.unit}", file=sys.stderr, flush=True)
    return rows


def save(about: dict[str, str], rows: list[Row]) -> list[Path]:
    """Write bench/results/<date>-<machine>.json and .svg; after a run of all sections, the page."""
    RESULTS.mkdir(exist_ok=True)
    name = f"{about['date'][:10]}-{machine.short_name()}"
    data, picture = RESULTS / f"{name}.json", RESULTS / f"{name}.svg"
    content: dict[str, Any] = {"machine": about, "rows": [r.to_json() for r in rows]}
    data.write_text(json.dumps(content, indent=1) + "\n")
    picture.write_text(draw(about, rows))
    if {r.section for r in rows} != set(SECTIONS):
        return [data, picture]
    update(PAGE, picture, about, rows)
    readme.update(README, about, content["rows"])
    return [data, picture, PAGE, README]


if __name__ == "__main__":
    main()
