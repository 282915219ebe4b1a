"""The board imx8mp-evk: its sleep, and how long the first connection takes. Sensor, cable and reset
are in test_thermometer.py."""

import socket
import threading
import time

import pytest
from boot_rig import LIMIT_S, TEMPERATURE, collect, counters, has_readings

BOARD = "imx8mp-evk"
LATE_S = 0.6  # what is caught takes over a second; 0.08 is the goal where nothing else runs


def test_it_sleeps_and_the_timer_and_the_network_wake_it(gateways, boot, broker, monitor):
    boot(gateways(BOARD, TEMPERATURE), {"mqtt.port": str(broker.port)})
    messages = collect(
        monitor, lambda m: has_readings("air", 8)(m) and any(x.kind == "stats" for x in m)
    )
    assert counters(messages)["idle"] > 0.5


class Answerer:
    """Accepts one connection and answers its CONNECT; `at`: when."""

    def __init__(self):
        self.at = 0.0
        self.done = threading.Event()
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        self.server.settimeout(LIMIT_S)
        peer, _ = self.server.accept()
        with peer:
            assert peer.recv(1) == b"\x10"
            peer.sendall(b"\x20\x02\x00\x00")
            self.at = time.monotonic()
            self.done.set()
            peer.recv(4096)


@pytest.mark.slow
def test_the_first_connection_is_there_at_once(gateways, boot):
    """QEMU's user networking looks at a new connection only when something wakes it: the image
    does, by its timer. Median of five, as the machine that runs the tests has other work."""
    built = gateways(BOARD, TEMPERATURE)
    took = []
    for _ in range(5):
        answerer = Answerer()
        start = time.monotonic()
        machine = boot(built, {"mqtt.port": str(answerer.port)})
        assert answerer.done.wait(LIMIT_S)
        took.append(answerer.at - start)
        machine.stop()
        answerer.server.close()
    took.sort()
    assert took[2] < LATE_S, took
