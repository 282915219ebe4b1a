"""The compatible profile: TLS 1.2 and RSA, and what is refused there all the same."""

import os
import socket
import ssl
import struct
import time
from contextlib import suppress

import pytest
from tls_rig import (
    CONNACK,
    LIMIT_S,
    Peer,
    Proxy,
    SServer,
    Tap,
    TlsBroker,
    read_packet,
    server_context,
    wait_until,
)
from tls_server13 import DATA, HANDSHAKE, P256, TICKET, Server13, extension, message

from edgeuk.run.broker import free_port
from edgeuk.run.process import Process

PROFILE = '[tls]\nprofile = "compatible"\nminimum_version = "1.2"\n'
EPROTO, EREFUSED = -6, -8
NO_EXTENDED_SECRET = 1  # SSL_OP_NO_EXTENDED_MASTER_SECRET of OpenSSL's ssl.h
MOSQUITTO = """\
user root
log_type all
listener {port} 127.0.0.1
cafile {pki}/ca.crt
certfile {pki}/server.crt
keyfile {pki}/server.key
require_certificate true
allow_anonymous true
"""


@pytest.fixture
def connects(device, pki):
    def check(context, versions):
        with TlsBroker(context) as broker:
            got = device(PROFILE).go(broker.port, hold=False)
        assert (got.connected, got.clean) == (1, True), got.text
        assert broker.sessions[0][0] in versions
        return broker.sessions[0][1]

    return check


@pytest.mark.parametrize(
    ("version", "key"), [("TLSv1.2", "P-256"), ("TLSv1.3", "P-256"), ("TLSv1.3", "rsa:2048")]
)
def test_both_versions_and_both_kinds_of_keys_will_do(connects, pki, key, version):
    name = pki.make(f"of_{key.replace(':', '')}", issuer="ca", key=key,
                    usage="digitalSignature,keyEncipherment")  # fmt: skip
    context = server_context(pki.crt(name), pki.key(name), client_ca=pki.crt("ca"))
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    if version == "TLSv1.2":
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    assert "CHACHA20" in connects(context, [version])  # preferred


@pytest.mark.parametrize("key", ["P-256", "rsa:2048"])
@pytest.mark.parametrize("cipher", ["AESGCM", "CHACHA20"])
def test_both_ciphers_will_do_in_1_2(connects, pki, key, cipher):
    name = pki.make(f"of_{key.replace(':', '')}", issuer="ca", key=key,
                    usage="digitalSignature,keyEncipherment")  # fmt: skip
    context = server_context(pki.crt(name), pki.key(name), client_ca=pki.crt("ca"))
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(cipher)
    assert cipher.removesuffix("GCM") in connects(context, ["TLSv1.2"])


def test_the_cipher_that_all_must_have_will_do_in_1_3(device, pki):
    """RFC 8446, 9.1."""
    options = ["-cert", "server.crt", "-key", "server.key", "-tls1_3"]
    cipher = ["-ciphersuites", "TLS_AES_128_GCM_SHA256"]
    with SServer(pki.folder, *options, *cipher) as server:
        one = device(PROFILE)
        one.begin(server.port, hold=False)
        wait_until(lambda: "MQTT" in server.text)
        server.write(CONNACK)
        got = one.finish()
    assert (got.connected, got.clean) == (1, True), got.text
    assert "TLS_AES_128_GCM_SHA256" in server.text


def test_a_server_of_1_2_with_an_rsa_key_will_do(device, pki):
    pki.make("of_rsa", issuer="ca", key="rsa:2048", usage="digitalSignature,keyEncipherment")
    shown = ["-cert", "of_rsa.crt", "-key", "of_rsa.key", "-Verify", "1", "-CAfile", "ca.crt"]
    with SServer(pki.folder, *shown, "-tls1_2", "-sigalgs", "RSA+SHA256:ECDSA+SHA256") as server:
        one = device(PROFILE)
        one.begin(server.port, hold=False)
        wait_until(lambda: "MQTT" in server.text)
        server.write(CONNACK)
        got = one.finish()
    assert (got.connected, got.clean) == (1, True), got.text


def test_a_server_of_1_2_that_signs_with_pss_is_connected_to_by_the_second_attempt(device, pki):
    """mbedTLS offers PSS for 1.3, where RSA has nothing else, and cannot take it in 1.2. What has
    gone well is kept to; when the server learns 1.3, it takes a second attempt again."""
    pki.make("of_rsa", issuer="ca", key="rsa:2048", usage="digitalSignature,keyEncipherment")
    context = server_context(pki.crt("of_rsa"), pki.key("of_rsa"), client_ca=pki.crt("ca"))
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    one = device(PROFILE)
    with TlsBroker(context) as broker:
        got = one.go(broker.port, count=4, hold=False)
        assert (got.connected, got.refusals) == (3, {"protocol": 1}), got.text
        assert {version for version, *_ in broker.sessions} == {"TLSv1.2"}
        port = broker.port
    context = server_context(pki.crt("of_rsa"), pki.key("of_rsa"), client_ca=pki.crt("ca"))
    with TlsBroker(context, port=port) as broker:
        got = one.go(port, count=3, hold=False)
        assert (got.connected, got.refusals) == (2, {"protocol": 1, "alert": 1}), got.text
        assert broker.sessions[-1][0] == "TLSv1.3"


WEAK = {
    "tls1.1": ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
    "cbc": ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA"],
    "no_forward_secrecy": ["-tls1_2", "-cipher", "AES128-GCM-SHA256"],
    "null": ["-tls1_2", "-cipher", "ECDHE-ECDSA-NULL-SHA:@SECLEVEL=0"],
}


@pytest.mark.parametrize("name", WEAK)
def test_a_server_with_only_weak_ciphers_or_versions_is_not_talked_to(device, pki, counted, name):
    with SServer(pki.folder, "-cert", "server.crt", "-key", "server.key", *WEAK[name]) as server:
        got = device(PROFILE).go(server.port)
    assert (got.connected, got.handshakes, got.live) == (0, 0, 0), got.text
    reason = "version" if name == "tls1.1" else "alert"
    assert (got.down, got.refusals) == ([EREFUSED], {reason: 1}), got.text
    counted(f"impostors: {reason}")


REFUSED = {
    "c_other": ({"issuer": "other"}, "ca"),
    "c_expired": ({"issuer": "ca", "days": (-9, -1)}, "expired"),
    "c_name": ({"issuer": "ca", "names": "DNS:elsewhere.test"}, "name"),
    "c_use": ({"issuer": "ca", "extended": "clientAuth"}, "usage"),
    "c_rsa1024": ({"issuer": "ca", "key": "rsa:1024"}, "weak"),
    "c_self": ({}, "self"),
    "c_early": ({"issuer": "ca", "days": (1, 9)}, "early"),
    "c_sha1": ({"issuer": "ca", "digest": "sha1"}, "signature"),
}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("name", REFUSED)
def test_an_impostor_is_refused_in_either_version(device, pki, counted, name, version):
    how, reason = REFUSED[name]
    pki.make(name, **how)
    context = server_context(pki.crt(name), pki.key(name), level=0)
    context.maximum_version = version
    with TlsBroker(context) as broker:
        got = device(PROFILE).go(broker.port)
    assert broker.packets == [], "the device sent CONNECT to an impostor"
    assert (got.connected, got.handshakes, got.live) == (0, 0, 0), got.text
    assert got.refusals == {reason: 1}, got.text
    assert "127.0.0.1 refused: its certificate " in got.text
    counted(f"impostors: {reason}")


def test_a_renegotiation_is_refused(device, pki, counted):
    """RFC 5246, 7.4.1.1 would let it pass; nobody of whom we are a client needs it."""
    options = ["-cert", "server.crt", "-key", "server.key", "-tls1_2"]
    with SServer(pki.folder, *options) as server:
        one = device(PROFILE)
        one.begin(server.port)
        wait_until(lambda: "MQTT" in server.text)
        server.write(b"r\n")  # HelloRequest
        got = one.finish()
    assert (got.handshakes, got.down, got.clean) == (1, [EPROTO], True), got.text
    assert "127.0.0.1 refused: it wants another handshake" in got.text
    assert got.refusals == {"renegotiate": 1}
    counted("impostors: renegotiate")


class Splitting(Peer):
    """Gives tickets until CONNACK's first encrypted byte is 0, as a HelloRequest's is, and then
    sends only that much of it, until that is taken for one or is not."""

    def __init__(self, pki):
        super().__init__(self._serve_one)
        self.pki, self.tickets = pki, 0

    def _serve_one(self, connection):
        server = Server13(connection, [self.pki.der("server")], self.pki.der("server", "key"))
        server.read_hello()
        server.retry(extension(51, struct.pack(">H", P256)))  # key_share: not X25519
        server.flight()
        server.finish()
        ours, ticket = server.server, b"\0\0\x0e\x10" + bytes(4) + b"\1n\0\1t\0\0"
        while (sealed := ours.seal(DATA, CONNACK))[5] or not self.tickets:
            ours.sequence -= 1
            connection.sendall(ours.seal(HANDSHAKE, message(TICKET, ticket)))
            self.tickets += 1
        server.read_client()  # CONNECT
        connection.sendall(sealed[:6])
        connection.settimeout(0.3)
        with suppress(TimeoutError):
            connection.recv(1)
        connection.sendall(sealed[6:])
        connection.settimeout(LIMIT_S)
        with suppress(EOFError):
            while server.read_client():
                pass


def test_a_record_that_comes_in_pieces_is_not_taken_for_a_renegotiation(device, pki):
    """mbedTLS decrypts a record where the last message was read."""
    with Splitting(pki) as server:
        got = device(PROFILE).go(server.port, hold=False)
    print(f"after {server.tickets} tickets")
    assert (got.connected, got.refusals) == (1, {}), (got.text, server.errors)


@pytest.fixture
def old(pki):
    """A server of TLS 1.2."""
    context = server_context(pki.crt("server"), pki.key("server"), client_ca=pki.crt("ca"))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


def reused(broker):
    return [session[2] for session in broker.sessions]


@pytest.mark.parametrize("tickets", [True, False])
def test_a_session_of_1_2_is_resumed(device, old, tickets):
    """By its ticket, or by its number where the server gives none; both sides say so, and nothing
    grows."""
    old.options |= 0 if tickets else ssl.OP_NO_TICKET
    with TlsBroker(old) as broker:
        one = device(PROFILE)
        first = one.go(broker.port, count=5, hold=False)
        got = one.go(broker.port, count=20, hold=False)
    assert (got.connected, got.handshakes, got.resumptions) == (20, 25, 24), got.text
    assert (got.live, got.failures, got.peak) == (first.live, 0, first.peak)
    assert reused(broker) == [False] + [True] * 24
    assert {version for version, *_ in broker.sessions} == {"TLSv1.2"}
    assert "is known by its ticket, TLSv1.2" in got.text


def test_s_server_says_that_it_has_resumed(device, pki):
    shown = ["-cert", "server.crt", "-key", "server.key", "-Verify", "1", "-CAfile", "ca.crt"]
    with SServer(pki.folder, *shown, "-tls1_2") as server:
        one = device(PROFILE)
        for count in (1, 2):
            one.begin(server.port, hold=False)
            wait_until(lambda count=count: server.text.count("MQTT") == count)
            server.write(CONNACK)
            got = one.finish()
    assert (got.connected, got.resumptions) == (1, 1), got.text
    assert server.text.count("Reused session-id") == 1


# Its own `tls_version` is the oldest that it takes.
ONLY_12 = """\
openssl_conf = all
[all]
ssl_conf = ssl
[ssl]
system_default = newest
[newest]
MaxProtocol = TLSv1.2
"""


def test_mosquitto_of_1_2_resumes(device, pki):
    port = free_port()
    conf = pki.folder / "mosquitto.conf"
    conf.write_text(MOSQUITTO.format(port=port, pki=pki.folder))
    openssl = pki.folder / "openssl.cnf"
    openssl.write_text(ONLY_12)
    with Process(["env", f"OPENSSL_CONF={openssl}", "mosquitto", "-c", str(conf)]) as broker:
        broker.wait_line("running", LIMIT_S)
        got = device(PROFILE).go(port, count=3, hold=False)
    assert (got.connected, got.handshakes, got.resumptions) == (3, 3, 2), got.text
    assert "known by its ticket, TLSv1.2" in got.text


def test_a_session_of_1_2_does_not_outlive_the_certificate(device, old):
    with TlsBroker(old) as broker:
        one = device(PROFILE)
        got = one.go(broker.port, count=2, hold=False)
        assert (got.connected, got.resumptions) == (2, 1), got.text
        one.set_time(4_000_000_000)  # 2096
        got = one.go(broker.port)
    assert (got.connected, got.resumptions) == (0, 1), got.text
    assert "its certificate has expired" in got.text


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_of_1_2_is_offered_for_a_day(device, old, version):
    """RFC 5246, F.1.4: from the handshake that made its keys. One of 1.3 for as long as the server
    says, by the time since boot."""
    old.maximum_version = version
    now, hour = int(time.time()), 3600
    with TlsBroker(old) as broker:
        one = device(PROFILE)
        for after in (0, 23 * hour, 25 * hour, 26 * hour, hour):  # the last by a clock set back
            one.set_time(now + after)
            got = one.go(broker.port, hold=False)
            assert got.connected == 1, got.text
    is_13 = version == ssl.TLSVersion.TLSv1_3
    assert reused(broker) == [False, True, is_13, True, is_13]


def garbage(stream):
    os.write(stream.fileno(), b"\x17\3\3\0\x20" + bytes(32))


def reset(stream):
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.close()


ENDS = {  # -> whether the session may be resumed then
    "close_notify": (lambda stream: None, True),
    "end": (lambda stream: stream.shutdown(socket.SHUT_RDWR), True),
    "reset": (reset, True),
    "wrong_record": (garbage, False),
}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("name", ENDS)
def test_a_session_that_ended_badly_is_not_resumed(device, old, name, version):
    """RFC 5246, 7.2.2, RFC 8446, 6.2. An alert to us: test_tls_liars.py."""
    end, again = ENDS[name]

    def after(stream: ssl.SSLSocket) -> None:
        read_packet(stream)  # SUBSCRIBE: CONNACK has been read
        end(stream)

    old.maximum_version = version
    with TlsBroker(old, after) as broker:
        got = device(PROFILE).go(broker.port, count=2)
    assert (got.connected, got.resumptions) == (2, int(again)), got.text
    assert got.refusals == ({} if again else {"protocol": 2}), got.text
    assert reused(broker) == [False, again]


def test_a_server_that_has_forgotten_gets_a_full_handshake_and_then_1_3(device, pki, old):
    """Other keys for tickets. A session is offered in a ClientHello of 1.2 alone, so what comes of
    that is not kept: otherwise a server that has learned 1.3 would never speak it with us."""
    one = device(PROFILE)
    with TlsBroker(old) as broker:
        got = one.go(broker.port, count=2, hold=False)
        port = broker.port
    assert reused(broker) == [False, True], got.text
    new = server_context(pki.crt("server"), pki.key("server"), client_ca=pki.crt("ca"))
    with TlsBroker(new, port=port) as broker:
        got = one.go(port, count=4, hold=False)
    assert (got.connected, got.refusals) == (4, {}), got.text
    versions = [(version, again) for version, _, again in broker.sessions]
    assert versions == [
        ("TLSv1.2", False),
        ("TLSv1.3", False),
        ("TLSv1.3", True),
        ("TLSv1.3", True),
    ]


def test_a_server_that_has_given_up_1_2_is_connected_to_by_the_second_attempt(device, pki, old):
    one = device(PROFILE)
    with TlsBroker(old) as broker:
        assert one.go(broker.port, hold=False).connected == 1
        port = broker.port
    new = server_context(pki.crt("server"), pki.key("server"), client_ca=pki.crt("ca"))
    new.minimum_version = ssl.TLSVersion.TLSv1_3
    with TlsBroker(new, port=port) as broker:
        got = one.go(port, count=2, hold=False)
    assert (got.connected, got.refusals) == (1, {"version": 1}), got.text


def test_a_session_without_an_extended_master_secret_is_not_kept(device, old):
    """RFC 7627, 5.2. The connection itself will do."""
    old.options |= NO_EXTENDED_SECRET
    with TlsBroker(old) as broker:
        got = device(PROFILE).go(broker.port, count=3, hold=False)
    assert (got.connected, got.resumptions) == (3, 0), got.text
    assert reused(broker) == [False] * 3


class Unbound(Tap):
    """Takes the extension extended_master_secret out of a ServerHello."""

    def server_bytes(self, data: bytes, device: socket.socket) -> None:
        at = data.find(b"\0\x17\0\0")
        if data[0] == 22 and data[5] == 2 and 0 < at < 200:
            end = 5 + int.from_bytes(data[3:5], "big")
            hello = bytearray(data[:at] + data[at + 4 : end])
            hello[3:5] = (end - 9).to_bytes(2, "big")  # of the record
            hello[6:9] = (int.from_bytes(hello[6:9], "big") - 4).to_bytes(3, "big")
            lengths = 5 + 4 + 34 + 1 + hello[43] + 3  # of the extensions
            short = int.from_bytes(hello[lengths : lengths + 2], "big") - 4
            hello[lengths : lengths + 2] = short.to_bytes(2, "big")
            data = bytes(hello) + data[end:]
        device.sendall(data)


def test_a_resumption_without_an_extended_master_secret_is_broken_off(device, old):
    """RFC 7627, 5.3: at once, by the alert handshake_failure."""
    taps = [Tap, Unbound]
    with TlsBroker(old) as broker, Proxy(broker.port, lambda: taps.pop(0)()) as way:
        got = device(PROFILE).go(way.port, count=2, hold=False)
        wait_until(lambda: b"\x15\x03\x03\0\2\2\x28" in way.said)
    assert (got.connected, got.resumptions, got.refusals) == (1, 0, {"protocol": 1}), got.text
