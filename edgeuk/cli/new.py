"""`edgeuk new NAME`: a folder with a gateway file that runs at once."""

import re
from pathlib import Path

import typer

from edgeuk.cli.common import GATEWAY, JsonOption, command_app
from edgeuk.cli.say import next_step, print_json, say
from edgeuk.errors import BuildError, UsageError

app = command_app()

GATEWAY_TEXT = """\
# What this gateway does. `edgeuk check` checks it, `edgeuk run` boots it in QEMU.
schema = 1
name = "{name}"

[mqtt]
url = "mqtt://localhost:1883" # localhost: the machine that runs QEMU
topic = "sites/demo/{name}"

# A simulated sensor, so that there is something to see. Every record says that it is simulated.
[[sensor]]
name = "wave"
driver = "sim"
shape = "sine"
low = 18
high = 24
period = "20s"
unit = "Cel"
every = "1s"
filter = [{{ median = 3 }}, {{ round = 0.1 }}]

# A Modbus TCP meter; [servers] gives its address, a device file may override it.
# [servers]
# meter = "192.168.1.50:502"
#
# [[sensor]]
# name = "voltage"
# driver = "modbus_tcp"
# at = "meter/1" # server/unit
# register = "input:0"
# type = "float32"
# unit = "V"
# every = "1s"
"""
DEVICE_TEXT = """\
# What differs between devices with the same image: `edgeuk run --device device.toml`.
# Keep it out of version control when it holds a password.
name = "{name}-1"

# [mqtt]
# url = "mqtt://broker.example:1883"
# username = "{name}-1"
# password = "..."
"""
IGNORE_TEXT = "build/\ndevice.toml\n"


@app.command(epilog="Example:  edgeuk new greenhouse && cd greenhouse && edgeuk run")
def new(
    name: str = typer.Argument(help="The gateway's name, and its folder's.", metavar="NAME"),
    json: JsonOption = False,
) -> None:
    """Start a gateway: a folder with a gateway.toml that runs."""
    folder = Path(name)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{0,31}", folder.name):
        raise UsageError(
            f"`{folder.name}` cannot be a gateway's name",
            hint="letters, digits and `-`, at most 32, beginning with a letter or digit",
        )
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"`{folder}` exists and is not empty", hint="choose another name")
        folder.mkdir(parents=True, exist_ok=True)
        files = {
            GATEWAY: GATEWAY_TEXT.format(name=folder.name),
            "device.toml": DEVICE_TEXT.format(name=folder.name),
            ".gitignore": IGNORE_TEXT,
        }
        for file, text in files.items():
            (folder / file).write_text(text)
    except OSError as e:
        reason = (e.strerror or str(e)).lower()
        raise BuildError(f"cannot write `{e.filename or folder}`: {reason}") from None
    if json:
        print_json({"folder": str(folder), "files": list(files)})
        return
    say(f"{folder}/ has {', '.join(files)}")
    next_step(f"cd {folder} && edgeuk run")
