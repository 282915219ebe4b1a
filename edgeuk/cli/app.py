"""Commands are found by name and imported on use; errors become text and exit codes here only.

A command is a typer app in edgeuk/cli/<command>.py. There is no typer group above them: it would
import every command, and with it half of the SDK, before it could say anything.
"""

import importlib
import os
import re
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any, NoReturn

import typer

from edgeuk.cli.say import say, say_error
from edgeuk.errors import EXIT_DONE, EXIT_INTERRUPTED, EdgeukError, ToolError, UsageError
from edgeuk.values import nearest

EXIT_USAGE = UsageError.exit_code
# What typer raises for a wrong call; the package that defines it is no public part of typer.
CallError: type[Exception] = typer.BadParameter.__mro__[1]

# command -> one line for `edgeuk --help`; the module edgeuk/cli/<command>.py is the rest.
COMMANDS = {
    "new": "Start a gateway: a folder with a gateway.toml that runs.",
    "check": "Check gateway, device and board files; every fault in one run.",
    "build": "Build the image of a gateway for a board.",
    "run": "Build, boot and watch the readings arrive.",
    "test": "Test a gateway on its board: faults, loss, power cycles.",
    "bridge": "Publish what a board without a network sends over its serial line.",
    "debug": "Open gdb on the running image.",
    "decode": "Turn a panic's addresses into functions and lines.",
    "provision": "Give devices a key and a certificate of the project's CA.",
    "flash": "Write the image to a board, read it back and start it.",
    "board": "Start, stop and list virtual boards.",
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


class Terminated(BaseException):
    """A signal came: everything that was started is ended on the way out."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (edgeuk/errors.py lists them)."""
    for number in (signal.SIGTERM, signal.SIGHUP):  # SIGHUP: the terminal was closed
        signal.signal(number, _terminate)
    try:
        return _dispatch(sys.argv[1:] if arguments is None else list(arguments))
    except EdgeukError as e:
        say_error(e)
        return e.exit_code
    except KeyboardInterrupt:
        say("stopped")
        return EXIT_INTERRUPTED
    except Terminated as e:
        return 128 + int(e.args[0])
    except BrokenPipeError:  # `edgeuk boards | head`: the reader has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_DONE


def _terminate(number: int, _frame: FrameType | None) -> NoReturn:
    raise Terminated(number)


def _dispatch(arguments: list[str]) -> int:
    """Find the command's module and let typer read the rest of the line."""
    if not arguments or arguments[0] in ("--help", "-h", "help"):
        commands = "\n".join(f"  {name:9} {what}" for name, what in COMMANDS.items())
        print(HELP.format(commands=commands), end="")
        return EXIT_DONE if arguments else EXIT_USAGE
    name, *rest = arguments
    if name not in COMMANDS:
        what = "option" if name.startswith("-") else "command"
        hint = "options come behind the command: `edgeuk COMMAND --help` lists them"
        raise UsageError(
            f"no {what} `{name}`", hint=nearest(name, COMMANDS) if what == "command" else hint
        )
    try:
        module = importlib.import_module(f"edgeuk.cli.{name}")
    except ModuleNotFoundError as e:
        package = (e.name or "").partition(".")[0]
        if package in ("", "edgeuk"):
            raise
        hint = f"{sys.executable} -m pip install --force-reinstall edgeuk brings it back"
        raise ToolError(f"the Python package `{package}` is missing", hint=hint) from None
    command = typer.main.get_command(module.app)
    try:
        status = command.main(args=rest, prog_name=f"edgeuk {name}", standalone_mode=False)
    except CallError as e:
        raise _usage_error(e, name) from None
    except typer.Abort:
        raise KeyboardInterrupt from None
    if status == EXIT_INTERRUPTED:
        raise KeyboardInterrupt
    return status if isinstance(status, int) else EXIT_DONE


def _usage_error(e: Exception, name: str) -> UsageError:
    """A wrong call in our words: one sentence and what to do."""
    path = getattr(getattr(e, "ctx", None), "command_path", f"edgeuk {name}")
    hint = f"`{path} --help` shows options and an example"
    text = str(e.format_message() if hasattr(e, "format_message") else e).strip()
    if match := re.match(r"No such option: (\S+)", text):
        params = _command_of(e, "params", ())
        known = [flag for p in params for flag in p.opts if flag.startswith("--")]
        near = nearest(match[1], known)
        return UsageError(f"no option `{match[1]}`", hint=near if "did you" in near else hint)
    if match := re.match("No such command '(.*?)'", text):
        known = [f"{name} {sub}" for sub in _command_of(e, "commands", ())]
        wrong = f"{name} {match[1]}"
        return UsageError(f"no command `{wrong}`", hint=nearest(wrong, known))
    if match := re.match(r"Got unexpected extra arguments?(?:\(s\))? \((.*)\)", text):
        return UsageError(f"too many arguments: `{match[1]}`", hint=hint)
    text = text.rstrip(".").replace("'", "`")
    return UsageError(text[:1].lower() + text[1:], hint=hint)


def _command_of(e: Exception, what: str, default: Any) -> Any:
    """An attribute of the command whose call was wrong."""
    return getattr(getattr(getattr(e, "ctx", None), "command", None), what, default)
