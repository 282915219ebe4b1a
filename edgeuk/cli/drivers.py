"""`edgeuk drivers`: every driver, its class and its datasheet."""

from edgeuk.catalog import load_catalog
from edgeuk.cli.common import JsonOption, command_app
from edgeuk.cli.say import next_step, print_json, print_table

app = command_app()


@app.command(epilog="Example:  edgeuk drivers --json")
def drivers(json: JsonOption = False) -> None:
    """List drivers and what they need."""
    known = sorted(load_catalog().drivers.values(), key=lambda d: (d.cls, d.name))
    if json:
        print_json(
            [
                {
                    "driver": d.name,
                    "class": d.cls,
                    "summary": d.summary,
                    "datasheet": d.datasheet,
                    "needs": list(d.needs),
                    "props": {
                        name: {
                            "type": p.type,
                            "default": None if p.default is None else str(p.default),
                        }
                        for name, p in d.props.items()
                    },
                }
                for d in known
            ]
        )
        return
    rows = [(d.name, d.cls, d.summary, d.datasheet) for d in known]
    print_table(("driver", "class", "what it is", "follows"), rows)
    next_step("edgeuk why driver/NAME, which says whether an image has it, and why")
