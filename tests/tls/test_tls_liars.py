"""Servers that break TLS 1.3's rules, each in one place (tls_server13.py): the device ends the
connection, sends no CONNECT, loses no memory, and takes the next good server."""

import re
import struct

import pytest
from tls_rig import CONNACK, Peer
from tls_server13 import (
    ALERT,
    CCS,
    CERTIFICATE,
    DATA,
    EXTENSIONS,
    FINISHED,
    HANDSHAKE,
    KEY_UPDATE,
    P256,
    REQUEST,
    SERVER_HELLO,
    TICKET,
    VERIFY,
    Server13,
    extension,
    message,
    record,
    vector,
)

# Why a server is refused that does this; "protocol" where nothing is said.
REASON = {
    "certificate_flipped": "weak",
    "legacy_version_1.3": "version",
    "fatal_alert": "alert",
    "sealed_alert": "alert",
    "farewell": "cut",
    "endless_message": "cut",  # the server's end, since the device reads on
    "too_long": "record",
    "sealed_too_long": "record",
}
VERSION = extension(43, b"\x03\x04")
CHOSEN = extension(41, b"\0\0")  # pre_shared_key: the first that was offered
GOOD_POINT = bytes.fromhex(  # the generator of P-256 (SEC 2, 2.4.2)
    "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)


def share(point, group=P256):
    return extension(51, struct.pack(">H", group) + vector(point, 2))


def own(server):
    """The key share of a right ServerHello, whose private key the server has."""
    server.server_hello()
    return [share(server.point)]


class Liar(Peer):
    """Serves every connection by `lie`; `connects` counts MQTT CONNECTs, which must not come."""

    def __init__(self, pki, lie, key="server"):
        super().__init__(self._serve_one)
        self.chain, self.key = [pki.der("server")], pki.der(key, "key")
        self.lie, self.connects = lie, 0

    def _serve_one(self, connection):
        server = Server13(connection, self.chain, self.key)
        server.read_hello()
        self.lie(server)
        server.finish()
        while text := server.read_client():  # a liar that is believed gets a CONNECT
            if text[:1] == b"\x10":
                self.connects += 1
                connection.sendall(server.server.seal(DATA, CONNACK))


@pytest.fixture
def found_out(device, pki, counted):
    def check(lie, reason="protocol", key="server"):
        with Liar(pki, lie, key) as liar, Liar(pki, Server13.flight) as honest:
            one = device()
            got = one.go(liar.port)
            assert (got.connected, got.handshakes, got.live) == (0, 0, 0), got.text
            assert liar.connects == 0
            # By what it says: a time-out would be counted as "stall".
            assert got.refusals == {reason: 1}, got.text
            assert re.search(r"tls: 127\.0\.0\.1(:? )", got.text), "nothing on the console"
            again = one.go(honest.port, hold=False)
            assert again.connected == 1, again.text
        counted(f"impostors: {reason}")
        return got

    return check


def test_the_server_of_these_tests_is_right_when_it_does_not_lie(device, pki):
    with Liar(pki, Server13.flight) as honest:
        got = device().go(honest.port, hold=False)
    assert got.connected == 1, (got.text, honest.errors)
    assert honest.connects == 1


def test_a_stolen_certificate_without_its_key_is_of_no_use(found_out, pki):
    got = found_out(Server13.flight, key="other")
    assert got.down == [-6]


def changed(kind, how, order=None):
    def lie(server):
        server.change[kind] = how
        server.order = order or server.order
        server.flight()

    return lie


def ordered(*order):
    return changed(0, bytes, order)


def hello(**parts):
    """A ServerHello of other parts, then all as if it were right."""

    def lie(server):
        server.send_hello(server.server_hello(**parts))
        server.derive()
        for one in server.messages():
            server.stream.sendall(server.server.seal(HANDSHAKE, one))

    return lie


def flipped(at):
    return lambda m: m[:at] + bytes([m[at] ^ 1]) + m[at + 1 :]


def foreign_context(server):
    server.change[VERIFY] = lambda m: message(
        VERIFY, server.verify(b"TLS 1.3, client CertificateVerify")
    )
    server.flight()


def other_scheme(scheme):
    def lie(server):
        server.change[VERIFY] = lambda m: message(
            VERIFY, server.verify(b"TLS 1.3, server CertificateVerify", scheme)
        )
        server.flight()

    return lie


MESSAGES = {
    "no_certificate": ordered(EXTENSIONS, FINISHED),
    "no_verify": ordered(EXTENSIONS, CERTIFICATE, FINISHED),
    "no_finished": ordered(EXTENSIONS, CERTIFICATE, VERIFY, TICKET),
    "verify_first": ordered(EXTENSIONS, VERIFY, CERTIFICATE, FINISHED),
    "no_extensions": ordered(CERTIFICATE, VERIFY, FINISHED),
    "extensions_twice": ordered(EXTENSIONS, EXTENSIONS, CERTIFICATE, VERIFY, FINISHED),
    "certificate_twice": ordered(EXTENSIONS, CERTIFICATE, CERTIFICATE, VERIFY, FINISHED),
    "request_late": ordered(EXTENSIONS, CERTIFICATE, REQUEST, VERIFY, FINISHED),
    "verify_twice": ordered(EXTENSIONS, CERTIFICATE, VERIFY, VERIFY, FINISHED),
    "unknown_message": ordered(EXTENSIONS, 99, CERTIFICATE, VERIFY, FINISHED),
    "ticket_early": ordered(EXTENSIONS, TICKET, CERTIFICATE, VERIFY, FINISHED),
    "key_update_early": ordered(EXTENSIONS, KEY_UPDATE, CERTIFICATE, VERIFY, FINISHED),
    "hello_again": ordered(EXTENSIONS, SERVER_HELLO, CERTIFICATE, VERIFY, FINISHED),
    "empty_chain": changed(CERTIFICATE, lambda m: message(CERTIFICATE, bytes(4))),
    "empty_certificate": changed(
        CERTIFICATE, lambda m: message(CERTIFICATE, b"\0" + vector(bytes(5), 3))
    ),
    "certificate_context": changed(CERTIFICATE, lambda m: message(CERTIFICATE, b"\1x" + m[5:])),
    "certificate_cut": changed(CERTIFICATE, lambda m: message(CERTIFICATE, m[4:-9])),
    "certificate_tail": changed(CERTIFICATE, lambda m: message(CERTIFICATE, m[4:] + bytes(9))),
    "certificate_flipped": changed(CERTIFICATE, flipped(200)),
    "signature_flipped": changed(VERIFY, flipped(20)),
    "signature_empty": changed(VERIFY, lambda m: message(VERIFY, m[4:6] + bytes(2))),
    "signature_cut": changed(VERIFY, lambda m: message(VERIFY, m[4:-9])),
    "signature_of_client": foreign_context,
    "signature_sha384": other_scheme(0x0503),
    "signature_rsa": other_scheme(0x0804),
    "signature_sha1": other_scheme(0x0203),
    "finished_flipped": changed(FINISHED, flipped(10)),
    "finished_short": changed(FINISHED, lambda m: message(FINISHED, m[4:-1])),
    "finished_long": changed(FINISHED, lambda m: message(FINISHED, m[4:] + b"\0")),
    "finished_empty": changed(FINISHED, lambda m: message(FINISHED, b"")),
    "early_data_granted": changed(
        EXTENSIONS, lambda m: message(EXTENSIONS, vector(extension(42, b""), 2))
    ),
    "unasked_alpn": changed(
        EXTENSIONS,
        lambda m: message(EXTENSIONS, vector(extension(16, vector(vector(b"h2", 1), 2)), 2)),
    ),
    "extensions_cut": changed(EXTENSIONS, lambda m: message(EXTENSIONS, b"\0\5\0")),
    "share_in_extensions": changed(
        EXTENSIONS, lambda m: message(EXTENSIONS, vector(share(GOOD_POINT), 2))
    ),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_a_wrong_message_is_found_out(found_out, name):
    found_out(MESSAGES[name], REASON.get(name, "protocol"))


HELLOS = {
    "1.2": {"extensions": []},
    "1.2_downgrade": {"extensions": [], "random": bytes(24) + b"DOWNGRD\1"},
    "1.1_downgrade": {"version": 0x0302, "extensions": [], "random": bytes(24) + b"DOWNGRD\0"},
    "ssl3": {"version": 0x0300, "extensions": []},
    "legacy_version_1.3": {"version": 0x0304},
    "version_1.5": {"extensions": [extension(43, b"\x03\x06"), share(GOOD_POINT)]},
    "version_1.2_named": {"extensions": [extension(43, b"\x03\x03"), share(GOOD_POINT)]},
    "cipher_not_offered": {"cipher": 0x1302},
    "cipher_of_1.2": {"cipher": 0xC02B},
    "cipher_null": {"cipher": 0},
    "compressed": {"compression": 1},
    "another_session": {"session": bytes(32)},
    "session_too_long": {"session": bytes(33)},
    "no_share": {"extensions": [VERSION]},
    "share_of_x25519": {"extensions": [VERSION, share(bytes(32), 0x1D)]},
    "share_of_p384": {"extensions": [VERSION, share(b"\4" + bytes(96), 0x18)]},
    "point_nowhere": {"extensions": [VERSION, share(b"\4" + bytes(63) + b"\1")]},
    "point_zero": {"extensions": [VERSION, share(b"\4" + bytes(64))]},
    "point_infinite": {"extensions": [VERSION, share(b"\0")]},
    "point_compressed": {"extensions": [VERSION, share(b"\2" + GOOD_POINT[1:33])]},
    "point_short": {"extensions": [VERSION, share(GOOD_POINT[:-1])]},
    "point_long": {"extensions": [VERSION, share(GOOD_POINT + b"\0")]},
    "point_empty": {"extensions": [VERSION, share(b"")]},
    "unasked_psk": {"extensions": [VERSION, share(GOOD_POINT), extension(41, b"\0\0")]},
    "shares_twice": {"extensions": [VERSION, share(GOOD_POINT), share(GOOD_POINT)]},
    "wrong_place": {"extensions": [VERSION, share(GOOD_POINT), extension(0, b"")]},
}


@pytest.mark.parametrize("name", HELLOS)
def test_a_wrong_server_hello_is_found_out(found_out, name):
    found_out(hello(**HELLOS[name]), REASON.get(name, "protocol"))


def after_hello(data):
    """ServerHello, then these bytes, not encrypted."""

    def lie(server):
        server.send_hello(server.server_hello())
        server.derive()
        server.stream.sendall(data)
        server.stream.sendall(b"".join(server.server.seal(HANDSHAKE, m) for m in server.messages()))

    return lie


def instead(data):
    return lambda server: server.stream.sendall(data)


def sealed(kind, body, padding=0):
    """In place of EncryptedExtensions, a record that holds this."""

    def lie(server):
        server.send_hello(server.server_hello())
        server.derive()
        server.stream.sendall(server.server.seal(kind, body, padding))

    return lie


def replayed(server):
    """The record of EncryptedExtensions twice."""
    server.send_hello(server.server_hello())
    server.derive()
    sealed_once = server.server.seal(HANDSHAKE, server.build(EXTENSIONS))
    server.stream.sendall(sealed_once + sealed_once)


RECORDS = {
    "garbage": instead(bytes(range(256)) * 4),
    "http": instead(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
    "mqtt": instead(CONNACK + bytes(8)),
    "unknown_type": instead(record(99, bytes(20))),
    "empty_handshake": instead(record(HANDSHAKE, b"")),
    "heartbeat": instead(record(24, b"\1\xff\xff")),
    "data_first": instead(record(DATA, b"hello" * 8)),
    "ssl2": instead(b"\x80\x2e\x01\x03\x01" + bytes(60)),
    "too_long": instead(b"\x16\x03\x03\xff\xff" + bytes(2000)),
    "above_our_buffer": instead(b"\x16\x03\x03\x3f\xff" + bytes(16383)),
    "endless_message": instead(record(HANDSHAKE, b"\2\xff\xff\xff" + bytes(1000))),
    "alert_of_one_byte": instead(record(ALERT, b"\2")),
    "alert_of_three": instead(record(ALERT, b"\2\x28\0")),
    "fatal_alert": instead(record(ALERT, b"\2\x28")),
    "farewell": instead(record(ALERT, b"\1\0")),
    "hello_twice": lambda s: [s.send_hello(s.server_hello()) for _ in range(2)],
    "client_hello_back": lambda s: s.stream.sendall(record(HANDSHAKE, s.hello)),
    "plain_extensions": after_hello(record(HANDSHAKE, message(EXTENSIONS, bytes(2)))),
    "plain_finished": after_hello(record(HANDSHAKE, message(FINISHED, bytes(32)))),
    "plain_data": after_hello(record(DATA, b"x" * 40)),
    "data_of_15": after_hello(record(DATA, b"x" * 15)),
    "data_empty": after_hello(record(DATA, b"")),
    "ccs_of_two": after_hello(record(CCS, b"\2")),
    "ccs_long": after_hello(record(CCS, b"\1\1")),
    "ccs_empty": after_hello(record(CCS, b"")),
    "sealed_nothing": sealed(0, b"", 20),
    "sealed_data": sealed(DATA, CONNACK),
    "sealed_alert": sealed(ALERT, b"\2\x28"),
    "sealed_type_0": sealed(0, b"", 0),
    "sealed_too_long": sealed(HANDSHAKE, bytes(16385)),
    "replayed": replayed,
}


@pytest.mark.parametrize("name", RECORDS)
def test_a_wrong_record_is_found_out(found_out, name):
    found_out(RECORDS[name], REASON.get(name, "protocol"))


def retry_then(how, *extensions):
    def lie(server):
        server.retry(*extensions)
        how(server)

    return lie


RETRIES = {
    "with_cookie": retry_then(Server13.flight, extension(44, vector(b"a", 2))),
    "same_group": retry_then(Server13.flight, extension(51, struct.pack(">H", P256))),
    "another_group": retry_then(Server13.flight, extension(51, struct.pack(">H", 0x1D))),
}  # fmt: skip


@pytest.mark.parametrize("name", RETRIES)
def test_a_wrong_retry_request_is_found_out(found_out, name):
    found_out(RETRIES[name])


def fragments(server):
    """Every message in records of some bytes."""
    server.send_hello(server.server_hello())
    server.derive()
    for one in server.messages():
        for at in range(0, len(one), 16):
            server.stream.sendall(server.server.seal(HANDSHAKE, one[at : at + 16]))


def together(server):
    server.send_hello(server.server_hello())
    server.derive()
    server.stream.sendall(server.server.seal(HANDSHAKE, b"".join(server.messages()), 50))


def byte_by_byte(server):
    server.send_hello(server.server_hello())
    server.derive()
    for byte in b"".join(server.server.seal(HANDSHAKE, one) for one in server.messages()):
        server.stream.sendall(bytes([byte]))


def with_ccs(server):
    """RFC 8446, D.4: one change_cipher_spec at any time is to be passed over."""
    server.send_hello(server.server_hello())
    server.derive()
    for one in server.messages():
        server.stream.sendall(record(CCS, b"\1"))
        server.stream.sendall(server.server.seal(HANDSHAKE, one))


@pytest.mark.parametrize("how", [fragments, together, byte_by_byte, with_ccs])
def test_a_flight_in_other_pieces_is_the_same(device, pki, how):
    with Liar(pki, how) as liar:
        got = device().go(liar.port, hold=False)
    assert got.connected == 1, (got.text, liar.errors)


def afterwards(kind, body, times=1):
    """A good handshake, then this before CONNACK."""

    def lie(server):
        server.flight()
        server.finish()
        for _ in range(times):
            server.stream.sendall(server.server.seal(kind, body))
        server.finish = lambda: None

    return lie


def flipped(server):
    """A good handshake, then a record that was changed on the way."""
    server.flight()
    server.finish()
    sealed = server.server.seal(DATA, CONNACK)
    server.stream.sendall(sealed[:-1] + bytes([sealed[-1] ^ 1]))
    server.finish = lambda: None


HOUR = (3600).to_bytes(4, "big")  # a ticket's lifetime
TICKET_BODY = HOUR + bytes(4) + vector(b"n", 1) + vector(b"t" * 32, 2) + vector(b"", 2)
LATER = {  # -> why the connection ends, "": it goes on; None: by the server's farewell
    "tickets": (afterwards(HANDSHAKE, message(TICKET, TICKET_BODY), 200), ""),
    "empty_data": (afterwards(DATA, b"", 3), ""),
    "data_between": (afterwards(HANDSHAKE, message(TICKET, TICKET_BODY)[:9]), "protocol"),
    "short_ticket": (afterwards(HANDSHAKE, message(TICKET, b"\0")), "protocol"),
    "request": (afterwards(HANDSHAKE, message(REQUEST, b"\0\0\0")), "protocol"),
    "hello": (afterwards(HANDSHAKE, message(SERVER_HELLO, bytes(40))), "protocol"),
    "hello_request": (afterwards(HANDSHAKE, message(0, b"")), "renegotiate"),
    "finished": (afterwards(HANDSHAKE, message(FINISHED, bytes(32))), "protocol"),
    "key_update": (afterwards(HANDSHAKE, message(KEY_UPDATE, b"\0")), "protocol"),
    "fatal_alert": (afterwards(ALERT, b"\2\x28"), "alert"),
    "farewell": (afterwards(ALERT, b"\1\0"), None),
    "type_99": (afterwards(99, b"x"), "protocol"),
    "flipped": (flipped, "protocol"),
}


@pytest.mark.parametrize("name", LATER)
def test_what_comes_after_the_handshake_is_looked_at_too(device, pki, counted, name):
    lie, reason = LATER[name]
    with Liar(pki, lie) as liar:
        got = device().go(liar.port, hold=False)
    assert (got.handshakes, got.connected) == (1, int(reason == "")), got.text
    assert got.refusals == ({reason: 1} if reason else {}), got.text
    assert got.clean, got.text
    if reason:
        counted(f"impostors: {reason}")


def left(server):
    """After a record's head and some of it."""
    server.flight()
    server.finish()
    server.stream.sendall(server.server.seal(DATA, CONNACK)[:9])
    server.stream.close()


def left_early(server):
    server.send_hello(server.server_hello())
    server.stream.close()


@pytest.mark.parametrize(("how", "amid"), [(left, "a record"), (left_early, "the handshake")])
def test_a_server_that_goes_amid_something_is_noted(device, pki, counted, how, amid):
    """At every byte: test_tls_glue.py."""
    with Liar(pki, how) as liar:
        got = device().go(liar.port)
    assert (got.connected, got.live, got.refusals) == (0, 0, {"cut": 1}), got.text
    assert f"tls: 127.0.0.1 went amid {amid}" in got.text
    counted("impostors: cut")


def test_a_ticket_is_not_kept_when_the_server_ends_it_by_an_alert(device, pki):
    """RFC 8446, 6.2."""
    give = LATER["tickets"][0]

    def refuse(server):
        give(server)
        server.stream.sendall(server.server.seal(ALERT, b"\2\x28"))

    with Liar(pki, give) as good, Liar(pki, refuse) as liar:
        one = device()
        assert one.go(good.port, hold=False).live > 0
        got = one.go(liar.port)
    assert (got.handshakes, got.live, got.refusals) == (2, 0, {"alert": 1}), got.text


def test_a_ticket_does_not_make_an_impostor_a_friend(device, pki):
    """Who takes the ticket of another server but does not know what is in it gets nowhere, nor does
    one who goes on as if there were none, with a certificate that will not do."""

    def take(server):
        server.send_hello(server.server_hello(extensions=[VERSION, *own(server), CHOSEN]))
        server.derive()
        server.order = (EXTENSIONS, FINISHED)
        for one in server.messages():
            server.stream.sendall(server.server.seal(HANDSHAKE, one))

    honest = Liar(pki, LATER["tickets"][0])
    taker, thief = Liar(pki, take), Liar(pki, Server13.flight, key="other")
    with honest, taker, thief:
        one = device()
        for liar in (taker, thief):
            assert one.go(honest.port, hold=False).connected == 1
            got = one.go(liar.port)
            assert (got.connected, liar.connects, got.resumptions) == (0, 0, 0), got.text
