"""Whom the device names to the server and holds its certificate against: a name, or an address."""

import pytest
from tls_rig import TlsBroker, server_context

NAMES = {"localhost": "localhost", "127.0.0.1": None}  # RFC 6066, 3: no addresses


@pytest.mark.parametrize("host", NAMES)
def test_a_name_is_sent_and_an_address_is_not(device, pki, host):
    seen = []
    context = server_context(pki.crt("server"), pki.key("server"), client_ca=pki.crt("ca"))
    context.sni_callback = lambda stream, name, context: seen.append(name)
    with TlsBroker(context) as broker:
        got = device().go(broker.port, host=host, hold=False, count=2)
    assert (got.connected, got.resumptions, got.clean) == (2, 1, True), got.text
    assert seen == [NAMES[host]] * 2


FOR = {  # subject, names of the certificate, host, whether it is the right one
    "address": ("x", "IP:127.0.0.1", "127.0.0.1", True),
    "second_address": ("x", "DNS:b.test,IP:192.0.2.1,IP:127.0.0.1", "127.0.0.1", True),
    "address_is_no_name": ("x", "IP:127.0.0.1", "localhost", False),
    "name_of_digits": ("x", "DNS:127.0.0.1", "127.0.0.1", False),
    "subject_of_digits": ("127.0.0.1", "", "127.0.0.1", False),
    "wildcard_of_digits": ("x", "DNS:*.0.0.1", "127.0.0.1", False),
    "uri_of_address": ("x", "URI:https://127.0.0.1/", "127.0.0.1", False),
    "next_address": ("x", "IP:127.0.0.2", "127.0.0.1", False),
    "mapped_address": ("x", "IP:::ffff:127.0.0.1", "127.0.0.1", False),
    "short_form": ("x", "IP:127.0.0.1", "127.1", False),
    "octal": ("x", "IP:127.0.0.1", "127.0.0.01", False),
}


@pytest.mark.parametrize("name", FOR)
def test_an_address_is_held_against_the_addresses_of_the_certificate_alone(device, pki, name):
    subject, names, host, right = FOR[name]
    made = pki.make(f"for_{name}", issuer="ca", subject=subject, names=names)
    with TlsBroker(server_context(pki.crt(made), pki.key(made))) as broker:
        got = device().go(broker.port, host=host, hold=False)
    assert got.connected == right, got.text
    assert got.refusals == ({} if right else {"name": 1}), got.text
    assert len(broker.packets) == right
