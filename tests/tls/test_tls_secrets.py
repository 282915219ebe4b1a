"""What is secret and stays in memory: of the device's process variables, heaps and stack are
searched, while a connection stands and after it. In the device configuration, where it lies, each
secret is once; nowhere else is what is not needed any more."""

import hashlib
import hmac
import ssl
import struct
import threading
from contextlib import suppress

import pytest
from tls_rig import CONNACK, Device, Peer, TlsBroker, read_packet, server_context
from tls_server13 import DATA, HANDSHAKE, TICKET, Server13, expand, message, vector

PASSWORD = "kX7-correct-horse-battery-staple"
KEY_AT = slice(7, 39)  # of the private key in its DER (RFC 5915, with a length of one byte)
COMPATIBLE = '[tls]\nprofile = "compatible"\nminimum_version = "1.2"\n'


class Holding(TlsBroker):
    """Keeps every connection open until it is let go; OpenSSL writes the secrets to `log`."""

    def __init__(self, pki, log, version):
        context = server_context(pki.crt("server"), pki.key("server"), client_ca=pki.crt("ca"))
        context.keylog_filename = str(log)
        context.maximum_version = version
        super().__init__(context, self._hold)
        self.log, self.stands, self.let_go = log, threading.Event(), threading.Event()

    def _hold(self, stream):
        read_packet(stream)  # SUBSCRIBE: CONNACK has been read
        self.stands.set()
        assert self.let_go.wait(30)

    def secrets(self):
        """Of the connection, by name (RFC 9850)."""
        lines = [line.split() for line in self.log.read_text().splitlines() if line[0] != "#"]
        return {name: bytes.fromhex(value) for name, _, value in lines}


def traffic_key(secret):
    """RFC 8446, 7.3; of AES-128."""
    info = struct.pack(">H", 16) + b"\x09tls13 key\0\1"
    return hmac.new(secret, info, hashlib.sha256).digest()[:16]


@pytest.fixture
def held(images, pki, tmp_path):
    """Of a connection: how often each secret is in memory while it stands, and after it."""

    def run(version, tls=""):
        values = pki.values() | {"mqtt.username": "u", "mqtt.password": PASSWORD}
        broker = Holding(pki, tmp_path / "log", version)
        with Device(images(tls), tmp_path, values) as device, broker:
            device.begin(broker.port)
            assert broker.stands.wait(30)
            assert PASSWORD.encode() in broker.packets[0]
            secrets = {"PASSWORD": PASSWORD.encode(), "KEY": pki.der("device", "key")[KEY_AT]}
            secrets |= broker.secrets()
            if "CLIENT_TRAFFIC_SECRET_0" in secrets:
                secrets["TRAFFIC_KEY"] = traffic_key(secrets["CLIENT_TRAFFIC_SECRET_0"])
            standing = {name: device.holds(secret) for name, secret in secrets.items()}
            broker.let_go.set()
            got = device.finish()
            assert got.handshakes == 1, got.text
            return standing, {name: device.holds(secret) for name, secret in secrets.items()}

    return run


ONCE = {"PASSWORD": 1, "KEY": 1}
OF_HANDSHAKE = ("SERVER_HANDSHAKE_TRAFFIC_SECRET", "CLIENT_HANDSHAKE_TRAFFIC_SECRET")
OF_CONNECTION = ("EXPORTER_SECRET", "SERVER_TRAFFIC_SECRET_0", "CLIENT_TRAFFIC_SECRET_0")


def test_only_the_keys_of_a_connection_that_stands_are_in_memory(held):
    standing, after = held(ssl.TLSVersion.TLSv1_3)
    nothing = ONCE | dict.fromkeys(OF_HANDSHAKE + OF_CONNECTION, 0)
    assert standing.pop("TRAFFIC_KEY") > 0  # this search finds what is there
    assert standing == nothing
    assert after == nothing | {"TRAFFIC_KEY": 0}


def test_of_1_2_stays_what_a_resumption_needs(held):
    standing, after = held(ssl.TLSVersion.TLSv1_2, COMPATIBLE)
    assert standing == after == ONCE | {"CLIENT_RANDOM": 1}  # that is the master secret


class Ticketing(Peer):
    """A scripted server that gives a ticket, which is known in OpenSSL's log only by its secrets'
    kin: it keeps the resumption master secret and the ticket's key (RFC 8446, 7.1, 4.6.1)."""

    def __init__(self, pki):
        super().__init__(self._serve_one)
        self.pki, self.master, self.ticket_key = pki, b"", b""

    def _serve_one(self, connection):
        server = Server13(connection, [self.pki.der("server")], self.pki.der("server", "key"))
        server.read_hello()
        server.flight()
        after = server.application_keys()
        server.transcript += server.read_client()  # Finished, as no certificate was asked for
        server.client = after
        self.master = server.resumption_master()
        self.ticket_key = expand(self.master, "resumption", b"n", 32)
        body = (3600).to_bytes(4, "big") + bytes(4) + vector(b"n", 1) + vector(b"t" * 32, 2)
        connection.sendall(
            server.server.seal(HANDSHAKE, message(TICKET, body + vector(b"", 2)))
            + server.server.seal(DATA, CONNACK)
        )
        with suppress(EOFError):
            while server.read_client():
                pass


def test_of_a_ticket_its_key_is_kept_and_not_what_that_was_made_of(images, pki, tmp_path):
    with Device(images(), tmp_path, pki.values()) as device, Ticketing(pki) as server:
        got = device.go(server.port, hold=False)
        assert (got.connected, got.live > 0) == (1, True), (got.text, server.errors)
        assert device.holds(server.ticket_key) == 1
        assert device.holds(server.master) == 0


def test_a_connection_that_is_refused_leaves_nothing_either(images, pki, tmp_path):
    """Its key has signed; its password has not gone anywhere."""
    pki.make("device_of_other", issuer="other", extended="clientAuth", names="")
    values = pki.values(device="device_of_other") | {"mqtt.password": PASSWORD}
    context = server_context(pki.crt("server"), pki.key("server"), client_ca=pki.crt("ca"))
    with Device(images(), tmp_path, values) as device, TlsBroker(context) as broker:
        got = device.go(broker.port)
        assert got.refusals == {"alert": 1}, got.text
        assert device.holds(PASSWORD.encode()) == 1
        assert device.holds(pki.der("device_of_other", "key")[KEY_AT]) == 1
