"""Settings of one device: broker, network, servers. gateway.toml and device.toml both have them.

What is read becomes dotted keys of the device configuration (docs/device-config-spec.md), only
those that the file gives.
"""

import base64
import re

from edgeuk import pem
from edgeuk.tables import Table
from edgeuk.values import DAY_MS, is_host, nearest, parse_endpoint, parse_ipv4

DEVICE_NAME = "[A-Za-z0-9][A-Za-z0-9_-]{0,62}"
SERVER_NAME = "[A-Za-z][A-Za-z0-9_-]{0,31}"
MQTT_PORT = 1883
MQTTS_PORT = 8883
MODBUS_PORT = 502
NTP_PORT = 123
TLS_KEYS = ("profile", "minimum_version", "verify")  # of [tls], compiled in
SERVICE_KEYS = ("sources", "listeners", "connections")  # of [service], compiled in
YEAR_MS = 365 * DAY_MS
PASSWORD_HINT = "put it in a device file (`--device FILE`), which is kept out of version control"

Settings = dict[str, str]


def read_name(root: Table, *, required: bool) -> str:
    """The device's name: host name, client identifier and default topic."""
    return root.text(
        "name",
        None if required else "",
        pattern=DEVICE_NAME,
        meaning="a name",
        hint="letters, digits, - and _, at most 63, a letter or digit first",
    )


def read_settings(root: Table, *, secrets: bool) -> Settings:
    """[mqtt], [network], [servers], [modem], [service]; passwords only where `secrets` are allowed.

    In a gateway file [mqtt] and [service] have more keys, which the caller reads: they are
    compiled in.
    """
    values: Settings = {}
    mqtt = root.table("mqtt")
    _read_mqtt(mqtt, values, secrets)
    mqtt.close(known=() if secrets else ("qos",), hints={"host": _URL_HINT, "port": _URL_HINT})
    _read_network(root.table("network"), values)
    _read_servers(root.table("servers"), values)
    _read_modem(root.table("modem"), values, secrets)
    _read_tls(root, values, secrets)
    service = root.table("service")
    if "port" in service:
        values["service.port"] = str(service.integer("port", low=1, high=65_535))
    service.known.add("port")
    service.close(known=() if secrets else SERVICE_KEYS)
    return values


_URL_HINT = 'host and port are in the url: url = "mqtt://host:1883"'


def _read_mqtt(table: Table, values: Settings, secrets: bool) -> None:
    if url := table.text("url", ""):
        _read_url(table, url, values)
    if topic := table.text("topic", "", max_length=128):
        _check_topic(table, topic)
        values["mqtt.topic"] = topic
    for name in ("username", "client_id"):
        if text := table.text(name, "", max_length=128):
            values[f"mqtt.{name}"] = text
    if "password" in table and not secrets:
        table.known.add("password")
        what = "a password does not belong into the gateway file"
        table.fault("E0403", what, "password", of_key=True, hint=PASSWORD_HINT)
    elif password := table.text("password", "", max_length=256):
        values["mqtt.password"] = password
    if "version" in table:
        version = table.choice("version", (5, 4), 5, hint="5 is MQTT 5.0, 4 is MQTT 3.1.1")
        values["mqtt.version"] = str(version)
    if "keep_alive" in table:
        ms = table.duration_ms("keep_alive", 60_000, low=1000, high=65_535_000, whole_s=True)
        values["mqtt.keep_alive_s"] = str(ms // 1000)
    if "session_expiry" in table:
        ms = table.duration_ms("session_expiry", 3_600_000, low=0, high=YEAR_MS, whole_s=True)
        values["mqtt.session_expiry_s"] = str(ms // 1000)
    table.known |= {"version", "keep_alive", "session_expiry"}


def _read_url(table: Table, url: str, values: Settings) -> None:
    scheme, separator, rest = url.partition("://")
    example = 'such as url = "mqtt://broker.example:1883"'
    if not separator:
        what, hint = f"`{url}` is not a broker's URL", f'url = "mqtt://{url}"'
        table.fault("E0401", what, "url", hint=hint if parse_endpoint(url, 1) else example)
    elif scheme not in ("mqtt", "mqtts"):
        what = f"`{scheme}` is no way to a broker"
        table.fault("E0401", what, "url", hint=f'url = "mqtt://{rest}"')
    elif "@" in rest:
        what = "user name and password do not belong into the URL"
        hint = f"username = ...; {PASSWORD_HINT}"
        table.fault("E0403", what, "url", hint=hint)
    elif endpoint := parse_endpoint(
        rest.removesuffix("/"), MQTT_PORT if scheme == "mqtt" else MQTTS_PORT
    ):
        values["mqtt.host"], values["mqtt.port"] = endpoint[0], str(endpoint[1])
        if scheme == "mqtts":
            values["mqtt.tls"] = "1"
        _check_port(table, scheme, *endpoint)
    else:
        if scheme == "mqtts":
            example = f'such as url = "mqtts://broker.example:{MQTTS_PORT}"'
        table.fault("E0401", f"`{rest}` is not host and port", "url", hint=example)


def _check_port(table: Table, scheme: str, host: str, port: int) -> None:
    """Each of the two has a port of its own; what listens there speaks nothing else."""
    other, right = ("mqtt", MQTTS_PORT) if scheme == "mqtts" else ("mqtts", MQTT_PORT)
    if port == (MQTT_PORT if scheme == "mqtts" else MQTTS_PORT):
        what = f"{port} is the usual port of {other}://, and this is {scheme}://"
        table.fault("W0401", what, "url", hint=f'url = "{scheme}://{host}:{right}"')


def _check_topic(table: Table, topic: str) -> None:
    if wild := re.search(r"[+#]", topic):
        what = f"`{wild[0]}` in a topic is for those who subscribe"
        table.fault("E0408", what, "topic", hint=f'topic = "{re.sub("/?[+#]", "", topic)}"')
    elif topic.startswith("/") or topic.endswith("/") or "//" in topic:
        what = "the topic has an empty level"
        plain = "/".join(p for p in topic.split("/") if p)
        table.fault("E0408", what, "topic", hint=f'topic = "{plain}"' if plain else "")
    elif topic.startswith("$"):
        table.fault("E0408", "topics that begin with `$` are the broker's own", "topic")


def _read_network(table: Table, values: Settings) -> None:
    address = _read_address(table, values)
    for name in ("gateway", "dns"):
        text = table.text(name, "")
        if not text:
            continue
        number = parse_ipv4(text)
        if number is None:
            table.fault("E0407", f"`{text}` is not an IPv4 address", name)
            continue
        values[f"net.{name}"] = text
        if name == "gateway" and address and number >> address[1] != address[0] >> address[1]:
            what = f"gateway {text} is outside of the device's own network"
            also = ("the network is given here", (*table.key, "address"))
            table.fault("E0407", what, name, also=also)
    if "gateway" in table and "address" not in table:
        hint = 'address = "192.168.1.20/24", or remove `gateway`'
        table.fault("E0410", "a gateway without an address: DHCP gives both", "gateway", hint=hint)
    if ntp := table.text("ntp", ""):
        if parse_endpoint(ntp, NTP_PORT) is None:
            hint = 'such as ntp = "pool.ntp.org"; a port other than 123 behind a colon'
            table.fault("E0407", f"`{ntp}` is not a time server", "ntp", hint=hint)
        else:
            values["net.ntp"] = ntp
    if hostname := table.text("hostname", ""):
        if not is_host(hostname):
            table.fault("E0407", f"`{hostname}` is not a host name", "hostname")
        else:
            values["net.hostname"] = hostname
    table.close()


def _read_address(table: Table, values: Settings) -> tuple[int, int] | None:
    """The address and how many bits of it are the host's."""
    text = table.text("address", "")
    if not text or text == "dhcp":
        return None
    address, slash, prefix = text.partition("/")
    number = parse_ipv4(address)
    if number is None:
        table.fault("E0407", f"`{text}` is not an IPv4 address", "address", hint=_ADDRESS)
    elif not slash:
        hint = f'address = "{address}/24"'
        table.fault("E0407", "the length of the network's prefix is missing", "address", hint=hint)
    elif not re.fullmatch("[0-9]{1,2}", prefix) or not 1 <= int(prefix) <= 30:
        table.fault("E0407", f"`/{prefix}` is not a prefix of 1 to 30 bits", "address")
    else:
        values["net.address"], values["net.prefix"] = address, prefix
        return number, 32 - int(prefix)
    return None


_ADDRESS = 'such as address = "192.168.1.20/24"'


def _read_modem(table: Table, values: Settings, secrets: bool) -> None:
    """What a cellular modem is told; boards without one do not look at it."""
    shapes = {
        "apn": ("[A-Za-z0-9.-]{1,100}", "an access point's name", 'such as apn = "iot.example"'),
        "number": ("[0-9*#+]{1,32}", "a number to dial", "digits, *, # and +"),
    }
    for name, (pattern, meaning, hint) in shapes.items():
        if text := table.text(name, "", pattern=pattern, meaning=meaning, hint=hint):
            values[f"modem.{name}"] = text
    if user := table.text("user", "", max_length=128):
        values["modem.user"] = user
    if "password" in table and not secrets:
        table.known.add("password")
        what = "a password does not belong into the gateway file"
        table.fault("E0403", what, "password", of_key=True, hint=PASSWORD_HINT)
    elif password := table.text("password", "", max_length=128):
        values["modem.password"] = password
    table.close()


def _read_tls(root: Table, values: Settings, secrets: bool) -> None:
    """Files, as PEM or DER, beside the file that names them; their DER becomes the value."""
    table = root.table("tls")
    for name in ("ca", "cert", "key"):
        path = table.text(name, "")
        if not path:
            continue
        if name == "key" and not secrets:
            what = "a private key does not belong into the gateway file"
            table.fault("E0403", what, name, of_key=True, hint=PASSWORD_HINT)
            continue
        try:
            der = _der((root.doc.path.parent / path).read_bytes(), name)
        except (OSError, ValueError):
            continue  # edgeuk/identity/check.py says what is wrong with it
        values[f"tls.{name}"] = base64.b64encode(der).decode()
    if pins := _pins(table):
        values["tls.pins"] = base64.b64encode(pins).decode()
    compiled_in = "the image is built with it: it belongs into the gateway file"
    table.close(
        known=() if secrets else TLS_KEYS,
        hints=dict.fromkeys(TLS_KEYS, compiled_in) if secrets else {},
    )


def _pins(table: Table) -> bytes:
    """SHA-256 hashes of public keys (SubjectPublicKeyInfo), one behind the other."""
    pins = b""
    for index, text in enumerate(table.texts("pins")):
        kind, slash, value = text.partition("/")
        try:
            digest = base64.b64decode(value, validate=True) if slash else b""
        except ValueError:
            digest = b""
        if kind != "sha256" or len(digest) != 32:
            what = f"`{text}` is not the pin of a public key"
            table.fault("E0207", what, "pins", index, hint=_PIN_HINT)
        pins += digest
    return pins


_PIN_HINT = (
    '"sha256/..." with the base64 of: openssl x509 -in FILE -noout -pubkey | '
    "openssl pkey -pubin -outform DER | openssl dgst -sha256 -binary | base64"
)


def _der(data: bytes, name: str) -> bytes:
    """The certificates, one behind the other, or the first private key of a PEM file; a DER file
    as it is."""
    if pem.is_der(data):
        return data
    keys = pem.private_keys(data)[:1]
    found = [pem.decode(key) for key in keys] if name == "key" else pem.certificates(data)
    if not found:
        raise ValueError("neither PEM nor DER")
    return b"".join(found)


def _read_servers(table: Table, values: Settings) -> None:
    for name in table.data:
        if not re.fullmatch(SERVER_NAME, name):
            hint = "letters, digits, - and _, at most 32, a letter first"
            what = f"`{name}` is not a server's name"
            table.fault("E0207", what, name, of_key=True, hint=hint)
            continue
        text = table.text(name)
        if name in table.bad:
            continue
        if endpoint := parse_endpoint(text, MODBUS_PORT):
            values[f"server.{name}"] = f"{endpoint[0]}:{endpoint[1]}"
        else:
            hint = f'such as {name} = "192.168.1.50:502"'
            table.fault("E0401", f"`{text}` is not host and port", name, hint=hint)


def check_known_servers(root: Table, names: set[str], where: str) -> None:
    """Report servers of a device file that its gateway does not have."""
    table = root.table("servers")
    for name in table.data:
        if name not in names:
            what = f"{where} has no server `{name}`"
            table.fault("E0305", what, name, of_key=True, hint=nearest(name, names))
