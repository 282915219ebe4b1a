"""`edgeuk pipeline test data.csv`: a sensor's filters on recorded data, by the firmware's own C."""

from pathlib import Path
from typing import Annotated

import typer

from edgeuk.catalog import load_catalog
from edgeuk.cli.common import (
    GATEWAY,
    GatewayOption,
    JsonOption,
    command_app,
    find_gateway,
    need_compiler,
    waiting,
)
from edgeuk.cli.say import next_step, print_json, print_table, say
from edgeuk.errors import UsageError
from edgeuk.gateway import Gateway, Sensor, load_gateway
from edgeuk.pipeline_host import read_csv, run_filters
from edgeuk.values import nearest

app = command_app()


@app.callback(epilog="Example:  edgeuk pipeline test data.csv --sensor air")
def pipeline() -> None:
    """Try a sensor's filters on recorded data."""


@app.command("test", epilog="Example:  edgeuk pipeline test data.csv --sensor air")
def try_filters(
    data: Annotated[Path, typer.Argument(help="Rows `time,value`.", metavar="DATA.CSV")],
    sensor: Annotated[
        str, typer.Option(help="Whose filters; may be left out if there is one.", metavar="NAME")
    ] = "",
    gateway: GatewayOption = Path(GATEWAY),
    json: JsonOption = False,
) -> None:
    """Show input and output of a sensor's filters side by side."""
    chosen = _sensor(load_gateway(find_gateway(gateway), load_catalog()), sensor)
    chain = [(f.kind, f.params) for f in chosen.filters]
    samples = read_csv(data)
    need_compiler()
    with waiting("compiling and running the filters"):
        results = run_filters(chain, chosen.decimals, samples)
    if json:
        print_json(
            [
                {
                    "time": float(r.time),
                    "input": float(r.input),
                    "output": None if r.value is None else float(r.value),
                    "clamped": r.clamped,
                }
                for r in results
            ]
        )
        return
    print_table(
        (">time s", f">input {chosen.unit}", f">output {chosen.unit}", ""),
        [
            (
                f"{r.time:f}",
                f"{r.input:f}",
                "-" if r.value is None else f"{r.value:f}",
                "clamped" if r.clamped else "",
            )
            for r in results
        ],
    )
    passed = sum(r.value is not None for r in results)
    kinds = ", ".join(kind for kind, _ in chain) or "no filter"
    say(f"{chosen.name}: {kinds}: {passed} of {len(results)} readings go on")
    next_step("edgeuk run")


def _sensor(gateway: Gateway, name: str) -> Sensor:
    """The one named, or the only one. Raises `UsageError`."""
    known = {s.name: s for s in gateway.sensors}
    if not name and len(known) == 1:
        return gateway.sensors[0]
    if name in known:
        return known[name]
    if not name:
        raise UsageError("which sensor?", hint=f"--sensor with one of: {', '.join(known)}")
    raise UsageError(f"no sensor `{name}` in {gateway.path}", hint=nearest(name, known))
