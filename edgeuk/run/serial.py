"""A gateway without a network: what it sends in frames on its serial line is published for it,
under the topics that it would use itself (docs/serial-frames.md).

The frames' SenML has times relative to the frame's; this side knows the time of day and puts it in.
"""

import json
import ssl
import time
from collections import deque
from contextlib import suppress
from decimal import Decimal
from types import TracebackType
from typing import Any, Self

import cbor2
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from edgeuk import senml, serial_frames
from edgeuk.board import Board

KINDS = {
    serial_frames.DATA: "data",
    serial_frames.STATISTICS: "stats",
    serial_frames.STATUS: "status",
    serial_frames.BOOT: "boot",
}
RETAINED = ("stats", "status", "boot")  # as firmware/app/publisher.c has it
QUEUED_MAX = 10_000  # messages that wait for a broker
WAITING_MAX = 1000  # frames that wait for the topic
END_S = 2.0  # for the last messages to leave
BASE_TIME = {"json": "bt", "cbor": -3}


def is_serial(board: Board) -> bool:
    """Whether an image of the board sends its readings over the console."""
    return board.cpu != "host" and not {"uplink", "modem"} & set(board.roles)


class Bridge:
    """From a line to a broker; a context manager. A broker that is not there yet is waited for."""

    def __init__(
        self,
        host: str,
        port: int,
        topic: str = "",
        username: str = "",
        password: str = "",
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`topic` "": the one that the gateway says. `host` "": frames are only taken out."""
        self.decoder = serial_frames.Decoder()
        self.topic = topic
        self.frames = 0
        self._where = (host, port)
        self._waiting: deque[tuple[serial_frames.Frame, float]] = deque(maxlen=WAITING_MAX)
        self._online = False
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.max_queued_messages_set(QUEUED_MAX)
        if username:
            self._client.username_pw_set(username, password or None)
        if tls:
            self._client.tls_set_context(tls)
        self._connected = False

    def __enter__(self) -> Self:
        if self.topic:
            self._connect(self.topic)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.feed(b"")
        if self._connected:
            self._client.disconnect()
            self._client.loop_stop()

    def feed(self, data: bytes) -> bytes:
        """Publish the frames in `data` and return its text; b"": the line has ended."""
        text = b""
        for part in self.decoder.feed(data):
            if isinstance(part, bytes):
                text += part
            else:
                self.frames += 1
                self._take(part, time.time())
        if not data and self._online:
            self._online = False
            last = self._client.publish(f"{self.topic}/status", b"offline", qos=1, retain=True)
            with suppress(RuntimeError, ValueError):  # no connection: the will says it, or nobody
                last.wait_for_publish(END_S)
        return text

    def _take(self, frame: serial_frames.Frame, now: float) -> None:
        if frame.type == serial_frames.STATUS:
            self._status(frame.payload)
        if not self.topic:
            self._waiting.append((frame, now))
            return
        while self._waiting:
            self._publish(*self._waiting.popleft())
        self._publish(frame, now)

    def _status(self, payload: bytes) -> None:
        """`online <topic>`: whose line this is."""
        topic = payload.partition(b" ")[2].decode(errors="replace")
        if topic and not self.topic:
            self.topic = topic
            self._connect(topic)

    def _publish(self, frame: serial_frames.Frame, now: float) -> None:
        kind = KINDS.get(frame.type)
        if kind is None:
            return  # of a later version
        payload = frame.payload
        if kind == "status":
            if self._online:
                return  # the gateway repeats it for those that come late
            self._online = True
            payload = payload.partition(b" ")[0]
        if kind in ("data", "stats"):
            payload = dated(payload, now)
        # QoS 1 for all: what comes before the broker does is kept for it.
        self._client.publish(f"{self.topic}/{kind}", payload, qos=1, retain=kind in RETAINED)

    def _connect(self, topic: str) -> None:
        host, port = self._where
        if not host:
            return
        self._client.will_set(f"{topic}/status", b"offline", qos=1, retain=True)
        self._client.connect_async(host, port)
        self._client.loop_start()
        self._connected = True


def dated(payload: bytes, now: float) -> bytes:
    """A SenML pack whose times are relative to `now`, with the time of day instead; what is no such
    pack stays as it is."""
    is_json = payload[:1] == b"["
    try:
        pack: Any = json.loads(payload) if is_json else cbor2.loads(payload)
        label = BASE_TIME["json" if is_json else "cbor"]
        base = Decimal(str(pack[0].get(label, 0)))
        if base >= senml.RELATIVE_BELOW:
            return payload
        moved = base + Decimal(f"{now:.3f}")
        pack[0] = {**pack[0], label: float(moved) if is_json else moved}
        return json.dumps(pack, separators=(",", ":")).encode() if is_json else cbor2.dumps(pack)
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError):
        return payload
    except (cbor2.CBORError, RecursionError):
        return payload
