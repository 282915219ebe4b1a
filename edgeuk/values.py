"""What the text of a value means: durations, SenML names and units, network addresses.

Each `parse_` returns the value or None; `tables` and the loaders say what is wrong.
"""

import re
from collections.abc import Iterable
from decimal import Decimal
from difflib import get_close_matches

DAY_MS = 86_400_000
UNIT_MS = {"ms": 1, "s": 1000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": DAY_MS}
_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?) ?([a-z]+)")
_HOST_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-:./_]{0,62}")  # SenML names (RFC 8428, 4.5.1)

# Units of RFC 8428, 12.1, and the additions of RFC 8798 (SenML units, then secondary units).
_UNITS = """m kg g s A K cd mol Hz rad sr N Pa J W C V F Ohm S Wb T H Cel lm lx Bq Gy Sv kat m2 m3 l
    m/s m/s2 m3/s l/s W/m2 cd/m2 bit bit/s lat lon pH dB dBW Bspl count / % %RH %EL EL 1/s 1/min
    beat/min beats S/m
    B VA VAs var vars J/m kg/m3 deg NTU
    ms min h MHz kW kVA kvar Ah Wh kWh varh kvarh kVAh Wh/km KiB GB Mbit/s B/s MB/s mV mA dBm
    ug/m3 mm/h m/h ppm /100 /1000 hPa mm cm km km/h"""
UNITS = frozenset(_UNITS.split())
USUAL_UNITS = {
    "°C": "Cel", "degC": "Cel", "celsius": "Cel", "Celsius": "Cel", "c": "Cel", "kelvin": "K",
    "rh": "%RH", "RH": "%RH", "%rh": "%RH", "volt": "V", "volts": "V", "amp": "A", "amps": "A",
    "watt": "W", "watts": "W", "hertz": "Hz", "ohm": "Ohm", "Ω": "Ohm", "m³": "m3", "m²": "m2",
    "L": "l", "lux": "lx", "mbar": "hPa", "kWH": "kWh", "kwh": "kWh", "sec": "s", "°": "deg",
    "µg/m3": "ug/m3", "rpm": "1/min", "percent": "%RH",
}  # fmt: skip


def is_number(value: object) -> bool:
    """Whether it is a finite number; true and false are not."""
    if isinstance(value, Decimal):
        return value.is_finite() and (not value or abs(value.adjusted()) <= 40)
    return isinstance(value, int) and not isinstance(value, bool)


def nearest(name: object, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """The hint for an unknown name: the one that was probably meant, else what there is."""
    names = sorted(known)
    lower = {n.lower(): n for n in reversed(names)}
    near = get_close_matches(str(name).lower(), lower, n=1, cutoff=cutoff)
    if near:
        return f"did you mean `{lower[near[0]]}`?"
    if not names:
        return ""
    shown = ", ".join(f"`{n}`" for n in names[:12])
    return f"known: {shown}{', ...' if len(names) > 12 else ''}"


def unit_hint(unit: str) -> str:
    """How SenML writes a unit that it does not know by this name."""
    if usual := USUAL_UNITS.get(unit):
        return f"SenML writes it `{usual}`"
    near = nearest(unit, UNITS, cutoff=0.75)
    if near.startswith("did"):
        return near
    return f"`x-{unit}` sends it as your own unit; RFC 8428, 12.1 lists the known ones"


def parse_duration(text: str) -> int | None:
    """Milliseconds of "500ms", "1.5s", "5m", "1h"; None if it is no whole number of them."""
    match = _DURATION.fullmatch(text)
    if not match or match[2] not in UNIT_MS:
        return None
    ms = Decimal(match[1]) * UNIT_MS[match[2]]
    return int(ms) if ms == int(ms) else None


def show_duration(ms: int) -> str:
    """The shortest way to write it: 90000 is "90s", 60000 is "1m"."""
    for unit in ("h", "m", "s"):
        if ms and ms % UNIT_MS[unit] == 0:
            return f"{ms // UNIT_MS[unit]}{unit}"
    return f"{ms}ms"


def is_host(text: str) -> bool:
    """Whether it can be a host name or an IPv4 address."""
    if re.fullmatch(r"[0-9.]+", text):
        return parse_ipv4(text) is not None
    return len(text) <= 253 and all(_HOST_LABEL.fullmatch(part) for part in text.split("."))


def parse_ipv4(text: str) -> int | None:
    """The address as a number."""
    if not re.fullmatch(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}", text):
        return None
    parts = [int(p) for p in text.split(".")]
    if max(parts) > 255 or any(len(p) > 1 and p[0] == "0" for p in text.split(".")):
        return None
    return int.from_bytes(bytes(parts), "big")


def parse_endpoint(text: str, default_port: int | None = None) -> tuple[str, int] | None:
    """Host and port of "host:port"; the port may be absent where there is a default."""
    host, colon, port = text.partition(":")
    if not colon:
        return (host, default_port) if default_port and is_host(host) else None
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        return None
    return (host, int(port)) if is_host(host) else None
