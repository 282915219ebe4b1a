"""What the device speaks with OpenSSL: versions, ciphers, groups, chains, key updates, sizes of
records; and that nothing of it grows over many connections."""

import itertools
import os
import ssl

import pytest
from tls_rig import CONNACK, LIMIT_S, SServer, TlsBroker, read_packet, server_context, wait_until

GOOD = ("TLSv1.3", "TLS_AES_128_GCM_SHA256")
SHOWN = ["-cert", "server.crt", "-key", "server.key"]
RECONNECTS = int(os.environ.get("EDGEUK_TLS_RECONNECTS", "2000"))
WARM = 20  # connections, until nothing grows any more
EPROTO, CLOSED = -6, -7  # ek_status


@pytest.fixture
def broker(pki):
    context = server_context(pki.crt("server"), pki.key("server"), client_ca=pki.crt("ca"))
    with TlsBroker(context) as running:
        yield running


def test_both_show_their_certificates_and_the_newest_version_is_spoken(device, broker):
    got = device().go(broker.port)
    assert (got.connected, got.handshakes, got.refusals, got.clean) == (1, 1, {}, True), got.text
    assert [session[:2] for session in broker.sessions] == [GOOD]
    assert broker.packets[0][:8] == b"\x10" + broker.packets[0][1:2] + b"\0\x04MQTT"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_many_reconnects_take_no_memory(device, pki):
    """Two thousand: twelve hours of a bad link. Every fourth is a full handshake, as the one before
    it got no ticket; the others are resumed. EDGEUK_TLS_RECONNECTS: another multiple of four."""
    context = server_context(pki.crt("server"), pki.key("server"), client_ca=pki.crt("ca"))

    numbers = itertools.count(1)

    def at_hello(*_):
        """OpenSSL has taken this connection's number of tickets by now: it is the next one's."""
        context.num_tickets = 0 if next(numbers) % 4 == 3 else 2

    context.sni_callback = at_hello
    with TlsBroker(context) as broker:
        one = device()
        first = one.go(broker.port, count=WARM, hold=False)
        resident = one.rss_kib()
        got = one.go(broker.port, LIMIT_S + RECONNECTS / 3, count=RECONNECTS, hold=False)
    every = WARM + RECONNECTS
    assert (got.connected, got.handshakes, got.resumptions) == (RECONNECTS, every, every * 3 // 4)
    assert [session[2] for session in broker.sessions] == [False, True, True, True] * (every // 4)
    assert (got.live, got.failures, got.peak) == (0, 0, first.peak)
    grown = one.rss_kib() - resident
    print(f"{RECONNECTS} reconnects, heap peak {got.peak}, resident {resident} KiB, {grown:+} KiB")
    # Of the process; the sanitizers keep freed memory for a while.
    assert grown < 256


def test_resumed_connections_take_no_memory_either(device, broker):
    one = device()
    first = one.go(broker.port, count=5, hold=False)
    got = one.go(broker.port, count=50, hold=False)
    assert (got.connected, got.handshakes, got.resumptions) == (50, 55, 54), got.text
    assert (got.live, got.failures, got.peak) == (first.live, 0, first.peak)
    assert [session[2] for session in broker.sessions] == [False] + [True] * 54


def test_a_ticket_is_offered_once(device, broker):
    """RFC 8446, C.4: also where the server sends no new one."""
    one = device()
    assert one.go(broker.port, hold=False).connected == 1
    broker.context.num_tickets = 0
    got = one.go(broker.port, count=3, hold=False)
    assert (got.connected, got.resumptions, got.live) == (3, 1, 0), got.text
    assert [session[2] for session in broker.sessions] == [False, True, False, False]


def test_a_ticket_does_not_outlive_the_certificate(device, broker):
    one = device()
    got = one.go(broker.port, count=2, hold=False)
    assert (got.connected, got.resumptions) == (2, 1), got.text
    one.set_time(4_000_000_000)  # 2096
    got = one.go(broker.port)
    assert (got.connected, got.resumptions) == (0, 1), got.text
    assert "its certificate has expired" in got.text
    assert got.refusals == {"expired": 1}


# Certificates behind the server's own, each by the next; the last by the root.
CHAINS = {
    "one": ["sub1"],
    "two": ["sub2", "sub1"],
    "three": ["sub3", "sub2", "sub1"],
    "root_too": ["sub1", "ca"],
    "with_a_stranger": ["other", "sub1"],
    "cross_signed": ["sub1", "sub1_by_other"],
}


@pytest.fixture(scope="module")
def chains(pki):
    issuer = "ca"
    for name in ("sub1", "sub2", "sub3"):
        issuer = pki.make(name, issuer=issuer, ca=True)
        pki.make(f"by_{name}", issuer=name)
    pki.make("sub1_by_other", issuer="other", ca=True, subject="sub1", key_of="sub1")
    return pki


@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_leads_to_the_root(device, chains, name):
    deepest = max(part for part in CHAINS[name] if part[:3] == "sub" and part[3:].isdigit())
    chain = chains.bundle(f"chain_{name}", f"by_{deepest}", *CHAINS[name])
    shipped = {"tls_heap_bytes": 0}  # it has room for three between the server's and the root
    with TlsBroker(server_context(chain, chains.key(f"by_{deepest}"))) as broker:
        got = device(sizes=shipped).go(broker.port)
    assert (got.connected, got.clean) == (1, True), got.text


@pytest.mark.parametrize(
    "options",
    [
        ["-groups", "P-256"],
        ["-groups", "X25519:P-384:P-256"],
        ["-ciphersuites", "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256"],
        ["-num_tickets", "0"],
        ["-num_tickets", "10"],
        ["-no_middlebox"],
        ["-alpn", "mqtt"],
        ["-max_send_frag", "512"],
        ["-Verify", "1", "-CAfile", "ca.crt"],
        ["-Verify", "1", "-CAfile", "ca.crt", "-client_sigalgs", "RSA-PSS+SHA256:ECDSA+SHA256"],
        ["-record_padding", "512"],
    ],
    ids=lambda options: "".join(options[:2]),
)
def test_s_server_with_other_options_is_spoken_with(device, pki, options):
    with SServer(pki.folder, *SHOWN, "-tls1_3", *options) as server:
        one = device()
        one.begin(server.port, hold=False)
        wait_until(lambda: "MQTT" in server.text)
        server.write(CONNACK)
        got = one.finish()
    assert (got.connected, got.clean) == (1, True), got.text


def test_a_key_update_ends_the_connection_as_the_library_knows_none(device, pki):
    """RFC 8446, 4.6.3, demands it; mbedTLS 3.6 lacks it. The device is to find that at once, not
    to take what follows under old keys."""
    with SServer(pki.folder, *SHOWN, "-tls1_3") as server:
        one = device()
        one.begin(server.port)
        wait_until(lambda: "MQTT" in server.text)
        server.write(b"K\n")
        got = one.finish()
    assert (got.connected, got.down, got.clean) == (0, [EPROTO], True), got.text
    assert got.refusals == {"protocol": 1}


@pytest.mark.parametrize("size", [1, 255, 256, 257, 1000, 1900])
def test_messages_of_every_size_arrive(device, pki, size):
    topic = b"to/device"

    def after(stream: ssl.SSLSocket) -> None:
        read_packet(stream)  # SUBSCRIBE
        length = 2 + len(topic) + 1 + size
        head = (
            bytes([0x30, length & 127 | 128, length >> 7])
            if length > 127
            else bytes([0x30, length])
        )
        stream.sendall(head + len(topic).to_bytes(2, "big") + topic + b"\0" + b"x" * size)

    with TlsBroker(server_context(pki.crt("server"), pki.key("server")), after) as broker:
        got = device().go(broker.port)
    assert f"device: message of {size} bytes" in got.text
    assert got.clean


def test_a_record_larger_than_our_buffer_ends_the_connection_and_harms_nothing(device, pki, broker):
    with TlsBroker(
        server_context(pki.crt("server"), pki.key("server")), lambda s: s.sendall(bytes(16000))
    ) as large:
        one = device()
        got = one.go(large.port)
        assert got.connected == 1, got.text
        assert got.down != [CLOSED]
        assert got.clean
    assert one.go(broker.port).connected == 1
