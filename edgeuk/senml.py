"""SenML packs (RFC 8428), JSON or CBOR, in; resolved records out.

What the SDK needs to show and test readings: base fields are merged into each record (4.6), times
become seconds since 1970. Sum fields and data values are left out; the firmware sends none.
"""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import cbor2

from edgeuk.errors import EdgeukError

RELATIVE_BELOW = 1 << 28  # seconds; smaller times are relative to now (4.5.3)
CBOR_LABELS = {
    -1: "bver", -2: "bn", -3: "bt", -4: "bu", -5: "bv", -6: "bs",
    0: "n", 1: "u", 2: "v", 3: "vs", 4: "vb", 5: "s", 6: "t", 7: "ut", 8: "vd",
}  # fmt: skip


class SenmlError(EdgeukError):
    """A payload is not a SenML pack."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One resolved record; `name` has its base name in front, `time` is seconds since 1970."""

    name: str
    value: float | str | bool | None
    unit: str
    time: float
    quality: str  # "" is good; "simulated", "clamped"


def decode(payload: bytes, *, received: float | None = None) -> list[Reading]:
    """The records of one pack; `received` (seconds since 1970) resolves relative times, now if
    absent. Raises `SenmlError`."""
    now = time.time() if received is None else received
    return list(_resolve(_records(payload), now))


def _records(payload: bytes) -> list[Mapping[Any, Any]]:
    try:
        pack = json.loads(payload) if payload[:1] == b"[" else cbor2.loads(payload)
    except (ValueError, cbor2.CBORDecodeError) as e:
        raise SenmlError(f"neither SenML JSON nor CBOR: {e}") from None
    if not isinstance(pack, list) or not all(isinstance(record, Mapping) for record in pack):
        raise SenmlError("a SenML pack is an array of maps")
    return [{CBOR_LABELS.get(key, key): v for key, v in record.items()} for record in pack]


def _resolve(records: list[Mapping[Any, Any]], now: float) -> Iterator[Reading]:
    base_name, base_unit = "", ""
    base_time, base_value = Decimal(0), Decimal(0)
    for record in records:
        base_name = _text(record.get("bn", base_name))
        base_unit = _text(record.get("bu", base_unit))
        base_time = _number(record.get("bt", base_time))
        base_value = _number(record.get("bv", base_value))
        name = base_name + _text(record.get("n", ""))
        if not name:
            raise SenmlError("a record without a name")
        at = float(base_time + _number(record.get("t", 0)))
        value: float | str | bool | None = None
        if "v" in record:
            value = float(base_value + _number(record["v"]))
        elif "vs" in record or "vb" in record:
            value = record.get("vs", record.get("vb"))
        elif "s" not in record:
            continue  # base fields alone
        yield Reading(
            name,
            value,
            _text(record.get("u", base_unit)),
            at if at >= RELATIVE_BELOW else now + at,
            _text(record.get("q", "")),
        )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise SenmlError(f"no text: {value!r}")
    return value


def _number(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise SenmlError(f"not a number: {value!r}")
    number = Decimal(str(value)) if isinstance(value, float) else Decimal(value)
    if not number.is_finite():
        raise SenmlError(f"not a number: {value!r}")
    return number
