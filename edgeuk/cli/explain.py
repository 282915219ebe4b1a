"""`edgeuk explain E0123`: cause, example and cure of an error code."""

import typer

from edgeuk.cli.common import JsonOption, command_app
from edgeuk.cli.say import next_step, out, print_json
from edgeuk.codes import explain as explain_code

app = command_app()


@app.command(epilog="Example:  edgeuk explain E0101")
def explain(
    code: str = typer.Argument(help="The code in the brackets, as E0101.", metavar="CODE"),
    json: JsonOption = False,
) -> None:
    """Explain an error code."""
    text = explain_code(code)
    if json:
        print_json({"code": code.upper(), "text": text})
        return
    out.print(text, markup=False)
    next_step("edgeuk check")
