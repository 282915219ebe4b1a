"""A second broker beside mosquitto (tests/boot/test_tls.py): amqtt, which demands a certificate;
and servers that stall a handshake in real time, with the back-off that follows."""

import sys
import time

import pytest
from tls_rig import LIMIT_S, Proxy, Tap, TlsBroker, server_context

from edgeuk.run.broker import free_port
from edgeuk.run.process import Process

STALL_S = 15.0  # firmware/tls/stream.c, HANDSHAKE_US
EIO, TIMED_OUT, CLOSED, EREFUSED = -2, -3, -7, -8
AMQTT = """\
listeners:
  default:
    type: tcp
    bind: "127.0.0.1:{port}"
    ssl: true
    cafile: {pki}/ca.crt
    certfile: {pki}/server.crt
    keyfile: {pki}/server.key
plugins:
  amqtt.plugins.authentication.AnonymousAuthPlugin: {{allow_anonymous: true}}
"""
# By its configuration amqtt asks for a certificate, but lets in who has none.
DEMANDING = """import ssl
from amqtt.broker import Broker
from amqtt.scripts.broker_script import main
asking = Broker._create_ssl_context
def demanding(listener):
    context = asking(listener)
    context.verify_mode = ssl.CERT_REQUIRED
    return context
Broker._create_ssl_context = staticmethod(demanding)
main()
"""


@pytest.fixture(scope="module")
def amqtt(pki):
    port = free_port()
    config = pki.folder / "amqtt.yaml"
    config.write_text(AMQTT.format(port=port, pki=pki.folder))
    with Process([sys.executable, "-c", DEMANDING, "-c", str(config)]) as broker:
        broker.wait_line("Listener 'default' bind", LIMIT_S)
        yield port


def test_amqtt_is_spoken_with(device, amqtt):
    got = device(version=4).go(amqtt, count=3, hold=False)
    assert (got.connected, got.clean) == (3, True), got.text


def refused(got):
    assert got.connected == 0, got.text
    # asyncio may close, or reset, before its alert has gone.
    assert got.down[0] in (EREFUSED, CLOSED, EIO), got.text


def test_amqtt_refuses_who_has_no_certificate(device, amqtt):
    refused(device(device="", version=4).go(amqtt))


def test_amqtt_refuses_the_certificate_of_another_ca(device, amqtt, pki):
    pki.make("device_of_other", issuer="other", extended="clientAuth", names="")
    refused(device(device="device_of_other", version=4).go(amqtt))


class Stall(Tap):
    """Passes the first bytes on, then nothing."""

    def __init__(self, left):
        self.left = left

    def server_bytes(self, data, device):
        device.sendall(data[: self.left])
        self.left -= min(self.left, len(data))


@pytest.mark.slow
def test_a_server_that_stalls_is_given_up_and_tried_again_later(device, pki, counted):
    """At each of these bytes at the same time, each with a device of its own."""
    context = server_context(pki.crt("server"), pki.key("server"), client_ca=pki.crt("ca"))
    places = (0, 1, 5, 60, 127, 128, 133, 200, 400, 800)
    with TlsBroker(context) as broker:
        proxies = [Proxy(broker.port, lambda place=place: Stall(place)) for place in places]
        devices = [device() for _ in places]
        began = time.monotonic()
        for proxy, one in zip(proxies, devices, strict=True):
            proxy.__enter__()
            one.begin(proxy.port)
        for place, one in zip(places, devices, strict=True):
            got = one.finish()
            assert got.down == [TIMED_OUT], (place, got.text)
            assert "does not finish the handshake" in got.text
            assert got.refusals == {"stall": 1}
            assert " retry " in got.text
            counted("impostors: stall")
        assert STALL_S - 1 < time.monotonic() - began < 2 * STALL_S
        for proxy in proxies:
            proxy.__exit__()
        assert devices[0].go(broker.port, hold=False).connected == 1
        assert broker.packets != []
