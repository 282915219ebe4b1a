"""A subscriber that turns what a gateway publishes into readings."""

import queue
import ssl
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from edgeuk import senml
from edgeuk.errors import DeviceError

CONNECT_S = 10.0
WAITING_MAX = 100_000  # messages; a reader that falls this far behind loses the newest


@dataclass(frozen=True, slots=True)
class Message:
    """One publication: `kind` is the topic's last part: "data", "status", "stats" or "boot"."""

    kind: str
    payload: bytes
    received: float  # seconds since 1970
    retained: bool

    def readings(self) -> list[senml.Reading]:
        """Its SenML records. Raises `SenmlError`."""
        return senml.decode(self.payload, received=self.received)


def _tls_hint(why: str, host: str) -> str:
    """What to do about a broker's certificate that is not accepted."""
    if "expired" in why or "not yet valid" in why:
        return (
            f"is this machine's clock right? `edgeuk provision --renew --mosquitto {host}` makes"
            " a new certificate for a mosquitto of the project"
        )
    if "mismatch" in why:
        return f"name it as its certificate does, or `edgeuk provision --mosquitto {host}`"
    return "[tls] ca names the CA of the broker; its certificate is for its host name"


class Monitor:
    """Subscribed to `<topic>/#`; a context manager."""

    def __init__(
        self,
        host: str,
        port: int,
        topic: str,
        username: str = "",
        password: str = "",
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.where, self.topic = f"{'mqtts' if tls else 'mqtt'}://{host}:{port}", topic
        self._messages: queue.Queue[Message] = queue.Queue(WAITING_MAX)
        self._ready: queue.Queue[str] = queue.Queue()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        if username:
            self._client.username_pw_set(username, password or None)
        if tls:
            self._client.tls_set_context(tls)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._host, self._port = host, port
        self.lost = 0  # messages that found the queue full

    def __enter__(self) -> Self:
        try:
            self._client.connect(self._host, self._port)
        except ssl.SSLError as e:
            why = str(getattr(e, "verify_message", "") or e.reason or "no TLS").lower()
            raise DeviceError(
                f"{self.where} is not the broker to trust: {why.replace('_', ' ')}",
                hint=_tls_hint(why, self._host),
            ) from None
        except OSError as e:
            raise DeviceError(
                f"cannot reach the broker {self.where}: {(e.strerror or str(e)).lower()}",
                hint="start it, or check host and port; `edgeuk run --device NAME.toml` without"
                " --broker starts one of its own",
            ) from None
        self._client.loop_start()
        try:
            problem = self._ready.get(timeout=CONNECT_S)
        except queue.Empty:
            problem = f"says nothing in MQTT within {CONNECT_S:g} s"
        if problem:
            self._client.disconnect()
            self._client.loop_stop()
            raise DeviceError(
                f"{self.where} {problem}",
                hint="is this the broker? name, password and certificate come from --device FILE",
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def get(self, limit_s: float) -> Message | None:
        """The next message, or None when `limit_s` passes first."""
        try:
            return self._messages.get(timeout=max(limit_s, 0.001))
        except queue.Empty:
            return None

    def _on_connect(self, client: mqtt.Client, _u: Any, _f: Any, reason: Any, _p: Any) -> None:
        if reason.is_failure:
            self._ready.put(f"refused us: {reason}")
        else:
            client.subscribe(f"{self.topic}/#", qos=1)

    def _on_subscribe(self, _c: mqtt.Client, _u: Any, _m: int, reasons: Any, _p: Any) -> None:
        bad = [str(reason) for reason in reasons if reason.is_failure]
        self._ready.put(f"does not let us read `{self.topic}/#`: {bad[0]}" if bad else "")

    def _on_message(self, _c: mqtt.Client, _u: Any, message: mqtt.MQTTMessage) -> None:
        kind = message.topic.rsplit("/", 1)[-1]
        try:
            self._messages.put_nowait(
                Message(kind, bytes(message.payload), time.time(), bool(message.retain))
            )
        except queue.Full:
            self.lost += 1
