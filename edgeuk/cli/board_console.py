"""A virtual board's console for people: the frames of a gateway without a network, which stand
among its text (docs/serial-frames.md), as one line each."""

from edgeuk import senml
from edgeuk.run.serial import KINDS
from edgeuk.serial_frames import Decoder, Frame

SHOWN_MAX = 6  # readings of a frame


class Readable:
    """Takes bytes in whatever pieces they come; gives text."""

    def __init__(self) -> None:
        self._decoder = Decoder()
        self._in_line = False  # text has come whose line is not at its end

    def feed(self, data: bytes) -> str:
        """All that has become readable."""
        shown = ""
        for part in self._decoder.feed(data):
            if isinstance(part, bytes):
                text = _printable(part)
                self._in_line = not text.endswith("\n") if text else self._in_line
            else:
                text = "\n" * self._in_line + _line(part) + "\n"
                self._in_line = False
            shown += text
        return shown


def _printable(text: bytes) -> str:
    """Colours stay; a carriage return before a new line is the terminal's own matter."""
    decoded = text.decode(errors="replace").replace("\r\n", "\n")
    return "".join(
        c if c.isprintable() or c in "\t\n\r\x1b" else "\N{REPLACEMENT CHARACTER}" for c in decoded
    )


def _line(frame: Frame) -> str:
    kind = KINDS.get(frame.type, f"type {frame.type}")
    return f"[frame {frame.sequence}, {kind}] {_content(kind, frame.payload)}"


def _content(kind: str, payload: bytes) -> str:
    if kind in ("status", "boot"):
        return _printable(payload)
    try:
        readings = senml.decode(payload)
    except senml.SenmlError:
        return f"{len(payload)} bytes"
    base = _common([r.name for r in readings])
    shown = [f"{r.name[len(base) :]} {_value(r)}".rstrip() for r in readings[:SHOWN_MAX]]
    more = len(readings) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _value(reading: senml.Reading) -> str:
    value = f"{reading.value:g}" if isinstance(reading.value, float) else str(reading.value)
    return f"{value} {reading.unit}"


def _common(names: list[str]) -> str:
    """The base name, which each of a pack has: up to the last `/` or `:`."""
    first = min(names, default="")
    end = max(first.rfind("/"), first.rfind(":")) + 1
    base = first[:end]
    return base if all(name.startswith(base) for name in names) else ""
