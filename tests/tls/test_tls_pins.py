"""Pinned keys ([tls] pins): one of the verified chain's must be among them; a certificate that is
only sent along does not count. So a key that its CA still vouches for can be revoked."""

import base64
import hashlib
from contextlib import ExitStack

import pytest
from tls_rig import Device, TlsBroker, server_context


@pytest.fixture
def pinned(images, pki, tmp_path):
    """Starts a device that trusts these keys only."""
    with ExitStack() as stack:

        def start(*names: str) -> Device:
            pins = b""
            for name in names:
                public = pki.run("ec", "-in", f"{name}.key", "-pubout", "-outform", "DER")
                pins += hashlib.sha256(public).digest()
            values = pki.values() | {"tls.pins": base64.b64encode(pins).decode()}
            return stack.enter_context(Device(images(), tmp_path, values))

        yield start


@pytest.fixture
def serve(pki):
    with ExitStack() as stack:

        def start(leaf: str, *more: str) -> TlsBroker:
            chain = pki.bundle(f"pins_{leaf}", leaf, *more)
            context = server_context(chain, pki.key(leaf))
            context.num_tickets = 0
            return stack.enter_context(TlsBroker(context))

        yield start


@pytest.mark.parametrize("names", [["server"], ["ca"], ["other", "server"], ["server", "other"]])
def test_a_pinned_key_anywhere_in_the_chain_will_do(pinned, serve, names):
    got = pinned(*names).go(serve("server").port, hold=False)
    assert (got.connected, got.refusals) == (1, {}), got.text


def test_an_issuer_that_is_pinned_will_do(pinned, serve, pki):
    pki.make("pin_sub", issuer="ca", ca=True)
    pki.make("by_pin_sub", issuer="pin_sub")
    got = pinned("pin_sub").go(serve("by_pin_sub", "pin_sub").port, hold=False)
    assert got.connected == 1, got.text


@pytest.mark.parametrize("more", [[], ["server"], ["server", "ca"]])
def test_a_good_certificate_of_another_key_is_refused(pinned, serve, pki, counted, more):
    """Also with the pinned one sent along, and right after a connection that was good."""
    pki.make("renewed", issuer="ca")
    one, good, bad = pinned("server"), serve("server"), serve("renewed", *more)
    for _ in range(2):
        assert one.go(good.port, hold=False).connected == 1
        got = one.go(bad.port)
        assert (got.connected, got.down, got.live) == (0, [-6], 0), got.text
        assert "refused: its certificate" in got.text
    assert got.refusals == {"pin": 2}, got.text
    assert bad.packets == []
    counted("impostors: pin", 2)
