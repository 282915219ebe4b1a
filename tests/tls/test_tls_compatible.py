"""The compatible profile: TLS 1.2 and RSA, and what is refused there all the same."""

import ssl

import pytest
from tls_rig import CONNACK, SServer, TlsBroker, server_context, wait_until

PROFILE = '[tls]\nprofile = "compatible"\nminimum_version = "1.2"\n'
EPROTO, EREFUSED = -6, -8


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
        context.maximum_version = ssl.TLSVersion.TLSv1_3
        got = one.go(broker.port, count=3, hold=False)
        assert (got.connected, got.refusals) == (2, {"protocol": 1, "alert": 1}), got.text
        assert broker.sessions[-1][0] == "TLSv1.3"


WEAK = {
    "tls1.1": ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
    "cbc": ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA"],
    "no_forward_secrecy": ["-tls1_2", "-cipher", "AES128-GCM-SHA256"],
    "null": ["-tls1_2", "-cipher", "ECDHE-ECDSA-NULL-SHA:@SECLEVEL=0"],
}


@pytest.mark.parametrize("name", WEAK)
def test_a_server_with_only_weak_ciphers_or_versions_is_not_talked_to(device, pki, name):
    with SServer(pki.folder, "-cert", "server.crt", "-key", "server.key", *WEAK[name]) as server:
        got = device(PROFILE).go(server.port)
    assert (got.connected, got.handshakes, got.live) == (0, 0, 0), got.text
    assert got.down[0] in (EREFUSED, EPROTO), got.text


REFUSED = {
    "c_other": ({"issuer": "other"}, "ca"),
    "c_expired": ({"issuer": "ca", "days": (-9, -1)}, "expired"),
    "c_name": ({"issuer": "ca", "names": "DNS:elsewhere.test"}, "name"),
    "c_use": ({"issuer": "ca", "extended": "clientAuth"}, "usage"),
    "c_rsa1024": ({"issuer": "ca", "key": "rsa:1024"}, "weak"),
}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("name", REFUSED)
def test_an_impostor_is_refused_in_either_version(device, pki, name, version):
    how, reason = REFUSED[name]
    pki.make(name, **how)
    context = server_context(pki.crt(name), pki.key(name), level=0)
    context.maximum_version = version
    with TlsBroker(context) as broker:
        got = device(PROFILE).go(broker.port)
    assert broker.packets == [], "the device sent CONNECT to an impostor"
    assert (got.connected, got.handshakes, got.live) == (0, 0, 0), got.text
    assert got.refusals == {reason: 1}, got.text


def test_a_renegotiation_is_not_followed(device, pki):
    options = ["-cert", "server.crt", "-key", "server.key", "-tls1_2"]
    with SServer(pki.folder, *options) as server:
        one = device(PROFILE)
        one.begin(server.port)
        wait_until(lambda: "MQTT" in server.text)
        server.write(b"r\n")  # HelloRequest
        wait_until(lambda: "ENEGOTIAT" in server.text.upper() or "rror" in server.text, 5)
        server.write(CONNACK)
    got = one.finish()
    assert got.handshakes == 1, got.text  # and no second one
    assert got.clean
