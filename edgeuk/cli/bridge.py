"""`edgeuk bridge`: what a board without a network sends over its serial line, to a broker."""

import time
from pathlib import Path
from typing import Annotated

import typer

from edgeuk.cli.common import command_app, plural
from edgeuk.cli.run import seconds
from edgeuk.cli.say import out, say
from edgeuk.errors import EXIT_INTERRUPTED
from edgeuk.run.serial import Bridge
from edgeuk.run.serial_port import SerialPort
from edgeuk.run.session import broker_of

app = command_app()
POLL_S = 0.2


@app.command(epilog="Example:  edgeuk bridge --port /dev/ttyACM0 --broker mqtt://localhost:1883")
def bridge(
    port: Annotated[Path, typer.Option(help="The serial port.", metavar="DEVICE")],
    broker: Annotated[
        str, typer.Option(help="Where to publish.", metavar="URL")
    ] = "mqtt://localhost:1883",
    topic: Annotated[
        str, typer.Option(help="Publish below this, not where the gateway says.", metavar="TOPIC")
    ] = "",
    baud: Annotated[int, typer.Option(help="Bits per second.")] = 115_200,
    duration: Annotated[
        str, typer.Option("--for", help="End after this time, as 30s or 2m.", metavar="TIME")
    ] = "",
) -> None:
    """Publish what a board without a network sends over its serial line; show its console."""
    host, tcp_port = broker_of(broker)
    end = time.monotonic() + (seconds(duration) if duration else float("inf"))
    interrupted = False
    with Bridge(host, tcp_port, topic) as running:
        try:
            with SerialPort(port, baud) as line:
                say(f"{port} to mqtt://{host}:{tcp_port}; Ctrl-C ends")
                while time.monotonic() < end:
                    _show(running, line.read(POLL_S))
        except KeyboardInterrupt:
            interrupted = True
        finally:
            decoder = running.decoder
            say(
                f"{plural(running.frames, 'frame')} for `{running.topic or '(no topic yet)'}`, "
                f"{decoder.lost} lost, {decoder.damaged} damaged"
            )
    if interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)


def _show(running: Bridge, data: bytes) -> None:
    if data and (text := running.feed(data)):
        out.print(text.decode(errors="replace"), end="", markup=False, highlight=False)
