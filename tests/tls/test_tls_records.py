"""A device with a small buffer for records: what servers send it in one, and how much of it."""

import socket
import ssl

import pytest
from tls_gnutls import GnuTls, load
from tls_pki import Pki
from tls_rig import (
    CONNACK,
    Peer,
    Proxy,
    SServer,
    Tap,
    TlsBroker,
    read_packet,
    server_context,
    wait_until,
)
from tls_server13 import DATA, EXTENSIONS, Server13, extension, message, vector

RECORD = 2048
LIMIT = {"1.3": RECORD - 1, "1.2": RECORD}  # in 1.3 the type of a record counts (RFC 8449, 4)
# As `lm3s6965evb` has it. tests/tls/firmware/driver.c takes packets of 2048 bytes.
SMALL = {"tls_record_bytes": RECORD, "tls_send_bytes": 1024}
ERANGE = -10
PUBACK, SUBSCRIBE = 0x40, 0x82
GNUTLS = load()
PRIORITIES = {
    "1.3": "NORMAL:-VERS-ALL:+VERS-TLS1.3",
    "1.2": "NORMAL:-VERS-ALL:+VERS-TLS1.2",
}
COMPATIBLE = '[tls]\nprofile = "compatible"\nminimum_version = "1.2"\n'
PROFILES = {"1.3": "", "1.3, compatible": COMPATIBLE, "1.2": COMPATIBLE}
CONNACK_311 = CONNACK[:1] + b"\2\0\0"


def publish(packet_bytes: int) -> bytes:
    """A message to the device that is so many bytes as a packet of MQTT 5.0."""
    topic = b"to/device"
    left = packet_bytes - 1
    left -= 1 if left <= 128 else 2 if left <= 16_385 else 3
    body = len(topic).to_bytes(2, "big") + topic + b"\0"
    body += b"x" * (left - len(body))
    size, length = len(body), b""
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    packet = b"\x30" + length + bytes([size]) + body
    assert len(packet) == packet_bytes
    return packet


@pytest.fixture
def server(pki):
    return server_context(pki.crt("server"), pki.key("server"), client_ca=pki.crt("ca"))


def test_the_largest_packet_that_a_broker_may_send_fits_a_record(device, server):
    """The board's sizes are checked for it (E0508)."""
    sizes = []

    def after(stream):
        stream.sendall(publish(RECORD))
        stream.sendall(publish(40))
        sizes.append(stream.recv(64))

    with TlsBroker(server, after) as broker:
        got = device(sizes=SMALL).go(broker.port)
    assert (got.connected, got.messages, got.refusals) == (1, 2, {}), got.text


class Sizes(Tap):
    """Notes how long the server's records are."""

    def __init__(self, into: list[int]) -> None:
        self.into, self.rest = into, b""

    def server_bytes(self, data: bytes, device: socket.socket) -> None:
        self.rest += data
        while len(self.rest) >= 5 and len(self.rest) >= 5 + int.from_bytes(self.rest[3:5], "big"):
            size = int.from_bytes(self.rest[3:5], "big")
            self.into.append(size)
            self.rest = self.rest[5 + size :]
        device.sendall(data)


@pytest.mark.parametrize("profile", PROFILES)
def test_openssl_sends_only_records_that_fit(device, server, profile):
    """By RFC 6066. A message of 60 KB, and 300 small ones that it is given at once, as a broker's
    queue after a reconnect; in the second connection, which is resumed, too."""
    server.maximum_version = ssl.TLSVersion.TLSv1_2 if profile == "1.2" else server.maximum_version
    sizes: list[int] = []

    def after(stream: ssl.SSLSocket) -> None:
        read_packet(stream)  # SUBSCRIBE
        stream.sendall(publish(60_000) + publish(40) * 300)

    with (
        TlsBroker(server, after, CONNACK_311) as broker,
        Proxy(broker.port, lambda: Sizes(sizes)) as way,
    ):
        got = device(PROFILES[profile], version=4, sizes=SMALL).go(way.port, count=2)
    assert (got.connected, got.messages, got.refusals) == (2, 600, {}), got.text
    assert [session[0] for session in broker.sessions] == [f"TLSv{profile[:3]}"] * 2
    # Besides the text, its type and a tag; in 1.2 a nonce and a tag.
    assert RECORD < max(sizes) <= RECORD + 24
    assert got.resumptions == 1


@pytest.mark.parametrize("profile", PROFILES)
def test_both_limits_are_asked_for_in_one_hello(device, pki, profile):
    """RFC 8449, 5; s_server says what it has read."""
    shown = ["-cert", "server.crt", "-key", "server.key", "-tlsextdebug", "-msg"]
    with SServer(pki.folder, *shown, "-tls1_2" if profile == "1.2" else "-tls1_3") as peer:
        one = device(PROFILES[profile], version=4, sizes=SMALL)
        one.begin(peer.port, hold=False)
        wait_until(lambda: "MQTT" in peer.text)
        peer.write(CONNACK_311)
        got = one.finish()
    assert got.connected == 1, got.text
    assert peer.text.count('TLS client extension "max fragment length" (id=1), len=1') == 1
    assert "001c00020800" in "".join(peer.text.split())  # OpenSSL has no name for it


def test_neither_is_asked_for_where_every_record_fits(device, pki):
    shown = ["-cert", "server.crt", "-key", "server.key", "-tlsextdebug", "-msg"]
    with SServer(pki.folder, *shown) as peer:
        one = device()
        one.begin(peer.port, hold=False)
        wait_until(lambda: "MQTT" in peer.text)
        peer.write(CONNACK)
        got = one.finish()
    assert got.connected == 1, got.text
    assert "(id=1)" not in peer.text
    assert "001c0002" not in "".join(peer.text.split())


class Plain(Peer):
    """A server that knows neither limit, or answers with `extensions`; after CONNACK it sends
    `data` in one record."""

    def __init__(self, pki: Pki, data: bytes = b"", extensions: bytes = b"") -> None:
        super().__init__(self._talk)
        self.pki, self.data, self.extensions = pki, data, extensions

    def _talk(self, connection: socket.socket) -> None:
        server = Server13(connection, [self.pki.der("server")], self.pki.der("server", "key"))
        server.change[EXTENSIONS] = lambda _: message(EXTENSIONS, vector(self.extensions, 2))
        server.read_hello()
        server.flight()
        server.finish()
        v5 = server.read_client()[8] == 5  # CONNECT
        connection.sendall(server.server.seal(DATA, CONNACK if v5 else CONNACK_311))
        self.after(server)

    def after(self, server: Server13) -> None:
        if self.data:
            server.stream.sendall(server.server.seal(DATA, self.data))
        while server.read_client():
            pass


@pytest.mark.parametrize("packet", [RECORD + 1, RECORD + 100, 4 * RECORD])
def test_a_larger_record_ends_the_connection_and_is_counted(device, pki, counted, packet):
    """Of a server that knows neither limit."""
    with Plain(pki, publish(packet)) as peer:
        got = device(sizes=SMALL).go(peer.port)
    assert (got.connected, got.refusals) == (1, {"record": 1}), got.text
    assert got.down == [ERANGE]
    assert "sent a record larger than 2048 bytes" in got.text
    counted("impostors: record")


ALPN = extension(16, vector(vector(b"mqtt", 1), 2))


class Retaining(Plain):
    """Has a large message for who subscribes. `kinds` are the packets of each connection until it
    has answered a message of QoS 1."""

    def __init__(self, pki: Pki) -> None:
        super().__init__(pki, publish(RECORD + 1))
        self.kinds: list[list[int]] = []

    def after(self, server: Server13) -> None:
        self.kinds.append([])
        asks = b"\x32" + vector(vector(b"to/device", 2) + b"\0\1", 1)
        server.stream.sendall(server.server.seal(DATA, asks))
        while PUBACK not in self.kinds[-1]:
            text = server.read_client()
            while text:
                self.kinds[-1].append(text[0])
                text = text[2 + text[1] :]
        if SUBSCRIBE in self.kinds[-1]:
            super().after(server)


def test_what_brings_such_a_record_is_not_subscribed_to_again(device, pki):
    with Retaining(pki) as peer:
        got = device(version=4, sizes=SMALL).go(peer.port, count=2, hold=2)
    assert got.down[0] == ERANGE, (got.text, peer.errors)
    assert [SUBSCRIBE in kinds for kinds in peer.kinds] == [True, False]
    assert (got.connected, got.refusals) == (2, {"record": 1}), got.text


GRANTED = extension(1, b"\3")  # 2048 bytes (RFC 6066, 4)
LIMITED = extension(28, b"\x40\1")
ILLEGAL, UNSUPPORTED = "alert 022f", "alert 026e"
ANSWERS = {  # board's records in and out, extensions of the server -> the alert it gets
    "granted": (RECORD, 2048, GRANTED, ""),
    "granted_behind_others": (RECORD, 2048, ALPN + GRANTED, ""),
    "limited": (RECORD, 2048, LIMITED, ""),
    "other": (RECORD, 2048, extension(1, b"\4"), ILLEGAL),
    "other_behind_others": (RECORD, 2048, ALPN + extension(1, b"\1"), ILLEGAL),
    "other_after_ours": (RECORD, 2048, GRANTED + extension(1, b"\4"), ILLEGAL),
    "empty": (RECORD, 2048, extension(1, b""), ILLEGAL),
    "long": (RECORD, 2048, extension(1, b"\3\3"), ILLEGAL),
    "both": (RECORD, 2048, GRANTED + LIMITED, ILLEGAL),  # RFC 8449, 5
    "larger_board": (8192, 2048, extension(1, b"\4"), ""),
    "larger_board_other": (8192, 2048, GRANTED, ILLEGAL),
    "unasked": (16_384, 2048, GRANTED, UNSUPPORTED),
    # The limit would bind us too, and our certificate may be larger.
    "we_send_4096": (RECORD, 4096, GRANTED, UNSUPPORTED),
    "both_4096": (8192, 4096, extension(1, b"\4"), ""),
    "we_send_8192": (8192, 8192, extension(1, b"\4"), UNSUPPORTED),
    "both_1024": (1024, 1024, extension(1, b"\2"), ""),
    "we_send_more": (1024, 2048, extension(1, b"\2"), UNSUPPORTED),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_the_answer_must_be_what_was_asked(device, pki, name):
    largest, sent, extensions, alert = ANSWERS[name]
    with Plain(pki, extensions=extensions) as peer:
        sizes = {"tls_record_bytes": largest, "tls_send_bytes": sent}
        got = device(sizes=sizes).go(peer.port, hold=False)
    assert got.connected == int(not alert), got.text
    assert got.refusals == ({"protocol": 1} if alert else {}), got.text
    wait_until(lambda: alert in str(peer.errors))


@pytest.mark.skipif(not GNUTLS, reason="GnuTLS is not installed")
@pytest.mark.parametrize("version", PRIORITIES)
def test_a_server_that_keeps_to_the_limit_sends_as_much_as_it_likes(device, pki, version):
    """Retained messages of 12 KB and of 60 KB to a client of MQTT 3.1.1, which has no other way to
    say what it can take: they are passed over, and what comes behind them arrives."""
    seen = []

    def serve(connection: socket.socket) -> None:
        stream = GnuTls(
            GNUTLS, connection, pki.crt("server"), pki.key("server"), PRIORITIES[version]
        )
        stream.receive()  # CONNECT
        stream.send(CONNACK_311)
        stream.receive()  # SUBSCRIBE
        seen.extend(stream.send(publish(size)) for size in (12_000, 60_000))
        stream.send(publish(40) * 3)
        stream.close()

    with Peer(serve) as peer:
        one = device(COMPATIBLE if version == "1.2" else "", version=4, sizes=SMALL)
        got = one.go(peer.port)
    assert (got.connected, got.messages, got.refusals) == (1, 3, {}), (got.text, peer.errors)
    assert [max(sizes) for sizes in seen] == [LIMIT[version]] * 2
    assert [sum(sizes) for sizes in seen] == [12_000, 60_000]
