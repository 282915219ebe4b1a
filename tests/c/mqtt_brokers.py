"""Real brokers on loopback for the interoperability tests, each a context manager.

`Mosquitto` keeps its sessions in a folder, so that it can be restarted. `Amqtt` is a second
implementation, in Python, that speaks 3.1.1 only. `Listener` is paho-mqtt, the other client.
"""

import queue
import socket
import subprocess
import sys
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

LIMIT_S = 15

AMQTT_MAIN = """
import asyncio, sys
from amqtt.broker import Broker
config = {
    "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{sys.argv[1]}"}},
    "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
}
async def main():
    await Broker(config).start()
    await asyncio.Event().wait()
asyncio.run(main())
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        assert isinstance(port, int)
        return port


class BrokerProcess:
    """A broker process on `port` of 127.0.0.1, its output in `log`."""

    def __init__(self, command: list[str], port: int, log: Path) -> None:
        self.command = command
        self.port = port
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log)
        until = monotonic() + LIMIT_S
        while monotonic() < until and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except ConnectionRefusedError:
                try:  # until the port answers; a broker that dies ends the wait
                    self.process.wait(timeout=0.05)
                except subprocess.TimeoutExpired:
                    continue
        self.stop()
        raise AssertionError(f"no broker on port {self.port}: {self.log.read_text()}")

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(timeout=LIMIT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(timeout=LIMIT_S)
            self.process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def mosquitto(folder: Path, *more: str) -> BrokerProcess:
    """mosquitto with persistence in `folder`; `more` are lines of its configuration."""
    port = free_port()
    config = folder / "mosquitto.conf"
    lines = [f"listener {port} 127.0.0.1", "persistence true", f"persistence_location {folder}/"]
    lines += ["user root", *more]  # it must be able to write the folder
    if not any("password_file" in line for line in more):
        lines.append("allow_anonymous true")
    config.write_text("\n".join(lines) + "\n")
    program = "/usr/sbin/mosquitto"
    return BrokerProcess([program, "-v", "-c", str(config)], port, folder / "log")


def amqtt(folder: Path) -> BrokerProcess:
    port = free_port()
    command = [sys.executable, "-c", AMQTT_MAIN, str(port)]
    return BrokerProcess(command, port, folder / "log")


class Listener:
    """paho-mqtt as the other client: subscribed to `topics`; messages are waited for, in order."""

    def __init__(self, port: int, *topics: str, version: int = 4, user: str | None = None) -> None:
        self.messages: queue.Queue[tuple[str, bytes, int, bool]] = queue.Queue()
        self.ready: queue.Queue[bool] = queue.Queue()
        self.topics = topics
        self.client = paho.Client(
            CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion(version)
        )
        if user is not None:
            self.client.username_pw_set(user, "secret")
        self.client.on_connect = self._connected
        self.client.on_subscribe = lambda *_: self.ready.put(True)
        self.client.on_message = lambda _client, _data, m: self.messages.put(
            (m.topic, bytes(m.payload), m.qos, m.retain)
        )
        self.version = version
        self.client.connect("127.0.0.1", port)

    def _connected(self, *_: object) -> None:
        if not self.topics:
            self.ready.put(True)
        elif self.version == 5:
            self.client.subscribe([(t, SubscribeOptions(qos=2)) for t in self.topics])
        else:
            self.client.subscribe([(topic, 2) for topic in self.topics])

    def __enter__(self) -> Self:
        self.client.loop_start()
        self.ready.get(timeout=LIMIT_S)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def get(self) -> tuple[str, bytes, int, bool]:
        return self.messages.get(timeout=LIMIT_S)

    def publish(self, topic: str, payload: bytes, qos: int, *, retain: bool = False) -> None:
        """Returns when the broker has acknowledged."""
        self.client.publish(topic, payload, qos, retain).wait_for_publish(LIMIT_S)
