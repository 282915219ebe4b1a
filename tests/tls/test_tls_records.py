"""A device with a small buffer for records: what servers send it in one, and how much of it."""

import socket

import pytest
from tls_gnutls import GnuTls, load
from tls_rig import CONNACK, Peer, TlsBroker, server_context

RECORD = 2048
LIMIT = {"1.3": RECORD - 1, "1.2": RECORD}  # in 1.3 the type of a record counts (RFC 8449, 4)
SMALL = {"tls_record_bytes": RECORD}  # tests/tls/firmware/driver.c takes packets of 2048 bytes
ERANGE = -10
GNUTLS = load()
PRIORITIES = {
    "1.3": "NORMAL:-VERS-ALL:+VERS-TLS1.3",
    "1.2": "NORMAL:-VERS-ALL:+VERS-TLS1.2",
}
COMPATIBLE = '[tls]\nprofile = "compatible"\nminimum_version = "1.2"\n'


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


@pytest.mark.parametrize("packet", [RECORD + 1, RECORD + 100, 4 * RECORD])
def test_a_larger_record_ends_the_connection_and_is_counted(device, server, packet):
    with TlsBroker(server, lambda stream: stream.sendall(publish(packet))) as broker:
        got = device(sizes=SMALL).go(broker.port)
    assert (got.connected, got.refusals) == (1, {"record": 1}), got.text
    assert got.down == [ERANGE]
    assert "sent a record larger than 2048 bytes" in got.text


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
        stream.send(CONNACK[:1] + b"\2\0\0")
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
