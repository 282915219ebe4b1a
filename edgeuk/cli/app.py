"""Commands are found by name and imported on use; errors become text and exit codes here only.

A command is a typer app in edgeuk/cli/<command>.py. There is no typer group above them: it would
import every command, and with it half of the SDK, before it could say anything.
"""

import importlib
import os
import sys

import typer

from edgeuk.cli.say import say
from edgeuk.errors import EXIT_INTERRUPTED, ConfigError, EdgeukError, UsageError
from edgeuk.values import nearest

EXIT_USAGE = UsageError.exit_code

# command -> one line for `edgeuk --help`; the module edgeuk/cli/<command>.py is the rest.
COMMANDS = {
    "new": "Start a gateway: a folder with a gateway.toml that runs.",
    "check": "Check gateway and board files; every fault in one run.",
    "build": "Build the image of a gateway for a board.",
    "run": "Build, boot and watch the readings arrive.",
    "boards": "List boards, or those that can run a gateway.",
    "drivers": "List drivers and what they need.",
    "why": "Say why something is in the image, or why not.",
    "size": "Show what takes flash and RAM, against its budget.",
    "pipeline": "Try a sensor's filters on recorded data.",
    "doctor": "Check this machine: what is missing and how to get it.",
    "explain": "Explain an error code.",
}


HELP = """\
usage: edgeuk COMMAND ...

One gateway.toml becomes one bootable image: drivers, TCP/IP, MQTT and your sensors.

{commands}

  edgeuk COMMAND --help    shows a command's options and an example
  edgeuk --version         prints the version

first steps:  edgeuk new greenhouse && cd greenhouse && edgeuk run
"""


def run() -> int:
    """Run the command line; returns the exit code (edgeuk/errors.py lists them)."""
    try:
        return _dispatch(sys.argv[1:])
    except EdgeukError as e:
        say(str(e) if isinstance(e, ConfigError) else f"error: {e}")
        return e.exit_code
    except KeyboardInterrupt:
        say("stopped")
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # `edgeuk boards | head`: the reader has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _dispatch(arguments: list[str]) -> int:
    """Find the command's module and let typer read the rest of the line."""
    if not arguments or arguments[0] in ("--help", "-h", "help"):
        commands = "\n".join(f"  {name:9} {what}" for name, what in COMMANDS.items())
        print(HELP.format(commands=commands), end="")
        return 0 if arguments else EXIT_USAGE
    name, *rest = arguments
    if name not in COMMANDS:
        what = "option" if name.startswith("-") else "command"
        raise UsageError(f"no {what} `{name}`", hint=nearest(name, COMMANDS))
    module = importlib.import_module(f"edgeuk.cli.{name}")
    command = typer.main.get_command(module.app)
    try:
        command(args=rest, prog_name=f"edgeuk {name}")
    except SystemExit as e:  # how typer ends, also when all is well
        return e.code if isinstance(e.code, int) else 1
    return 0
