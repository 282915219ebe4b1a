"""Who is not the broker is refused: by the certificates that it shows, for a reason that the
console names and the statistics count, and before a byte of MQTT has gone. OpenSSL is the peer."""

import ssl
from pathlib import Path

import pytest
from tls_rig import SServer, TlsBroker, server_context

EPROTO, EREFUSED = -6, -8
# What the console says -> the name of the reason in the statistics.
REASONS = {
    "is for another name": "name",
    "is not signed by our CA": "ca",
    "is signed by itself": "self",
    "has expired": "expired",
    "is not yet valid": "early",
    "is not for servers": "usage",
    "is not for signing": "usage",
    "is signed with an unknown algorithm": "signature",
    "cannot be read here": "weak",
}
OTHER_NAMES = {
    "another_name": "DNS:elsewhere.test",
    "longer_name": "DNS:localhost.elsewhere.test",
    "shorter_name": "DNS:ocalhost",
    "wildcard_alone": "DNS:*",
    "wildcard_below": "DNS:*.localhost",
    "another_address": "DNS:elsewhere.test,IP:127.0.0.2",
    "longer_address": "DNS:elsewhere.test,IP:0:0:0:0:0:ffff:127.0.0.1",
    "mail": "email:root@localhost",
    "address_of_web": "URI:https://localhost/",
}
NAME = "is for another name"
UNTRUSTED = "is not signed by our CA"
ITSELF = "is signed by itself"
UNREADABLE = "cannot be read here"
ALGORITHM = "is signed with an unknown algorithm"
# What it shows: how its certificate is made, what the console says of it.
LEAVES = {
    "other_ca": ({"issuer": "other"}, UNTRUSTED),
    "self_signed": ({}, ITSELF),
    "self_signed_as_ca": ({"subject": "ca"}, ITSELF),
    "expired": ({"issuer": "ca", "days": (-9, -1)}, "has expired"),
    "not_yet_valid": ({"issuer": "ca", "days": (1, 9)}, "is not yet valid"),
    "for_clients": ({"issuer": "ca", "extended": "clientAuth"}, "is not for servers"),
    "for_mail": ({"issuer": "ca", "extended": "emailProtection"}, "is not for servers"),
    "no_signing": ({"issuer": "ca", "usage": "keyAgreement"}, "is not for signing"),
    "sha1": ({"issuer": "ca", "digest": "sha1"}, ALGORITHM),
    "sha384": ({"issuer": "ca", "digest": "sha384"}, ALGORITHM),
    "unknown_extension": ({"issuer": "ca", "extra": "1.2.3.4=critical,DER:0500"}, UNREADABLE),
    "no_names": ({"issuer": "ca", "subject": "localhost", "names": ""}, NAME),  # RFC 9525, 6.3
    **{name: ({"issuer": "ca", "names": names}, NAME) for name, names in OTHER_NAMES.items()},
}  # fmt: skip


@pytest.fixture
def refused(device, counted):
    """Has the device refuse a server that shows these certificates."""

    def check(
        reason: str, certificate: Path, key: Path, host: str = "127.0.0.1", **identity: str
    ) -> None:
        with TlsBroker(server_context(certificate, key, level=0)) as broker:
            got = device(**identity).go(broker.port, host=host)
        assert broker.packets == [], "the device sent CONNECT to an impostor"
        assert (got.connected, got.handshakes) == (0, 0), got.text
        assert got.refusals == {REASONS[reason]: 1}, got.text
        assert got.down == [EPROTO], got.text
        assert (got.live, got.failures) == (0, 0), got.text
        assert f"refused: its certificate {reason}" in got.text
        counted(f"impostors: {REASONS[reason]}")

    return check


@pytest.mark.parametrize("name", LEAVES)
def test_a_certificate_that_does_not_do_is_refused(pki, refused, name):
    how, reason = LEAVES[name]
    pki.make(name, **how)
    host = "localhost" if "address" not in name else "127.0.0.1"
    refused(reason, pki.crt(name), pki.key(name), host)


# Issuers of a server's certificate that may not issue, and what is said.
ISSUERS = {
    "leaf": ({"issuer": "ca"}, UNTRUSTED),
    "no_ca_flag": ({"issuer": "ca", "usage": "keyCertSign"}, UNTRUSTED),
    "no_cert_sign": ({"issuer": "ca", "ca": True, "usage": "digitalSignature"}, UNTRUSTED),
    "of_other": ({"issuer": "other", "ca": True}, UNTRUSTED),
    "old": ({"issuer": "ca", "ca": True, "days": (-9, -1)}, "has expired"),
    "young": ({"issuer": "ca", "ca": True, "days": (1, 9)}, "is not yet valid"),
    "weak": ({"issuer": "ca", "ca": True, "digest": "sha1"}, ALGORITHM),
    "of_p384": ({"issuer": "ca", "ca": True, "key": "secp384r1"}, UNREADABLE),
    "of_rsa": ({"issuer": "ca", "ca": True, "key": "rsa:2048"}, UNREADABLE),
}


@pytest.mark.parametrize("name", ISSUERS)
def test_an_issuer_that_may_not_issue_is_refused(pki, refused, name):
    how, reason = ISSUERS[name]
    pki.make(f"issuer_{name}", **how)
    pki.make(f"by_{name}", issuer=f"issuer_{name}")
    chain = pki.bundle(f"by_{name}", f"by_{name}", f"issuer_{name}")
    refused(reason, chain, pki.key(f"by_{name}"))


def test_a_chain_longer_than_its_root_allows_is_refused(pki, refused):
    pki.make("short", ca=True, extra="basicConstraints=critical,CA:TRUE,pathlen:0")
    pki.make("short_issuer", issuer="short", ca=True)
    pki.make("by_short", issuer="short_issuer")
    chain = pki.bundle("by_short", "by_short", "short_issuer")
    refused(UNTRUSTED, chain, pki.key("by_short"), ca="short")


def test_a_root_that_has_expired_vouches_for_nobody(pki, refused):
    """One that begins only tomorrow does: that we hold it says that the clock is wrong."""
    pki.make("old_root", ca=True, days=(-9, -1))
    pki.make("by_old_root", issuer="old_root")
    refused("has expired", pki.crt("by_old_root"), pki.key("by_old_root"), ca="old_root")


def test_a_chain_without_its_middle_is_refused(pki, refused):
    pki.make("middle", issuer="ca", ca=True)
    pki.make("by_middle", issuer="middle")
    refused(UNTRUSTED, pki.crt("by_middle"), pki.key("by_middle"))


def test_a_good_certificate_with_a_foreign_one_behind_does_not_vouch_for_it(pki, refused):
    """The first certificate is the server's, whatever follows it."""
    pki.make("of_other_leaf", issuer="other")
    chain = pki.bundle("foreign_first", "of_other_leaf", "server", "ca")
    refused(UNTRUSTED, chain, pki.key("of_other_leaf"))


# Servers that have a good certificate, but would speak another TLS than ours; the alert is theirs.
WEAKER = {
    "tls1.2": ["-tls1_2"],
    "tls1.1": ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
    "tls1.0": ["-tls1", "-cipher", "ALL:@SECLEVEL=0"],
    "chacha_only": ["-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"],
    "aes256_only": ["-ciphersuites", "TLS_AES_256_GCM_SHA384"],
    "p384_only": ["-groups", "P-384"],
    "x25519_only": ["-groups", "X25519"],
}


@pytest.mark.parametrize("name", WEAKER)
def test_a_server_that_speaks_only_something_else_is_not_talked_to(device, pki, counted, name):
    options = ["-cert", "server.crt", "-key", "server.key", *WEAKER[name]]
    with SServer(pki.folder, *options) as server:
        got = device().go(server.port)
    assert (got.connected, got.handshakes, got.live) == (0, 0, 0), got.text
    assert got.down == [EREFUSED], got.text
    # protocol_version, handshake_failure
    alert, reason = (70, "version") if name.startswith("tls1") else (40, "alert")
    assert f"refuses us: alert {alert}" in got.text
    assert got.refusals == {reason: 1}, got.text
    counted(f"impostors: {reason}")


@pytest.mark.parametrize("key", ["rsa:1024", "rsa:2048", "secp384r1", "secp256k1", "prime192v1"])
def test_a_key_of_another_kind_than_p256_is_of_no_use(device, pki, counted, key):
    """The server has no signature scheme in common with us: RFC 8446, 4.4.2.2 and 6.2."""
    name = pki.make(key.replace(":", ""), issuer="ca", key=key)
    with TlsBroker(server_context(pki.crt(name), pki.key(name), level=0)) as broker:
        got = device().go(broker.port)
    assert broker.packets == []
    assert (got.connected, got.handshakes, got.live) == (0, 0, 0), got.text
    # OpenSSL has keys of these two that no scheme of 1.3 is for, and so falls back to 1.2.
    reason = "version" if key in ("secp256k1", "prime192v1") else "alert"
    assert (got.down, got.refusals) == ([EREFUSED], {reason: 1}), got.text
    counted(f"impostors: {reason}")


def test_a_client_certificate_that_is_refused_is_no_connection(device, pki):
    """With 1.3 the handshake is over for us before the server looks at our certificate."""
    pki.make("device_of_other", issuer="other", extended="clientAuth", names="")
    context = server_context(pki.crt("server"), pki.key("server"), client_ca=pki.crt("ca"))
    with TlsBroker(context) as broker:
        for identity, alert in (("device_of_other", 48), ("", 116)):
            got = device(device=identity).go(broker.port)
            assert (got.handshakes, got.connected) == (1, 0), got.text
            assert f"refuses us: alert {alert}" in got.text
            assert (got.down, got.refusals) == ([EREFUSED], {"alert": 1})
    assert broker.packets == []
    assert all(isinstance(e, ssl.SSLError) for e in broker.errors)
