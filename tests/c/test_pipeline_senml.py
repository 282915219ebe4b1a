"""SenML packs of the firmware, read with cbor2 and json and held against RFC 8428.

`resolve` below is section 4.6 of the RFC; it shares nothing with the SDK's own reader.
"""

import io
import json
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline_peer import INT64_MAX, INT64_MIN, Peer

# RFC 8428, table 4, and our extension.
LABELS = {-1: "bver", -2: "bn", -3: "bt", -4: "bu", -5: "bv", -6: "bs"}
LABELS |= {
    0: "n",
    1: "u",
    2: "v",
    3: "vs",
    4: "vb",
    5: "s",
    6: "t",
    7: "ut",
    8: "vd",
    "q": "q",
}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-:./_]*")  # 4.5.1
ABSOLUTE_FROM = 2**28  # 4.5.3
BOOT_MS = 1_700_000_000_123

Record = tuple[str, str, int, int, int, int]  # name, unit, value, decimals, time_us, quality


@pytest.fixture(scope="module", params=["cbor", "json"])
def peer(request: pytest.FixtureRequest) -> Iterator[Peer]:
    with Peer(request.param) as peer:
        peer.encoding = request.param
        yield peer


def from_cbor(pack: bytes) -> list[dict[str, Any]]:
    stream = io.BytesIO(pack)
    records = cbor2.load(stream)
    assert stream.read() == b""
    # Numbers are integers or decimal fractions, texts are texts: no float anywhere.
    assert cbor2.dumps(records, canonical=False) == pack, "not in the shortest form"
    return [{LABELS[k]: v for k, v in r.items()} for r in records]


def from_json(pack: bytes) -> list[dict[str, Any]]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len({k for k, _ in pairs}) == len(pairs)
        return dict(pairs)

    return json.loads(pack.decode(), parse_float=Decimal, object_pairs_hook=unique)


def resolve(records: list[dict[str, Any]], now: Decimal) -> list[dict[str, Any]]:
    """RFC 8428, 4.6: base fields into the records, times absolute."""
    base: dict[str, Any] = {}
    resolved = []
    for record in records:
        base |= {k: record[k] for k in ("bn", "bt", "bu", "bv") if k in record}
        out = {k: v for k, v in record.items() if not k.startswith("b")}
        out["n"] = base.get("bn", "") + record.get("n", "")
        assert NAME.fullmatch(out["n"]), out["n"]
        if "u" not in out and "bu" in base:
            out["u"] = base["bu"]
        assert not isinstance(out["v"], float)
        out["v"] = Decimal(out["v"]) + Decimal(base.get("bv", 0))
        time = Decimal(record.get("t", 0)) + Decimal(base.get("bt", 0))
        out["t"] = time if time >= ABSOLUTE_FROM else now + time
        resolved.append(out)
    return resolved


def read(peer: Peer, pack: bytes, now: Decimal = Decimal(0)) -> list[dict[str, Any]]:
    parse: Callable[[bytes], list[dict[str, Any]]]
    parse = from_cbor if peer.encoding == "cbor" else from_json
    return resolve(parse(pack), now)


def exact(value: int, decimals: int) -> Decimal:
    return Decimal(f"{value}e-{decimals}")


def expected(records: list[Record], base: str, origin_ms: int) -> list[dict[str, Any]]:
    """What the resolved pack must say; `origin_ms`: SenML time of boot."""
    flags = {0: None, 1: "simulated", 2: "clamped", 3: "simulated,clamped"}
    out = []
    for name, unit, value, decimals, time_us, quality in records:
        fields = {"n": base + name, "u": unit, "v": exact(value, decimals)}
        fields |= {"t": exact(origin_ms + time_us // 1000, 3), "q": flags[quality]}
        out.append({k: v for k, v in fields.items() if v not in (None, "")})
    return out


def set_clock(peer: Peer, known: bool, boot_ms: int = BOOT_MS, now_us: int = 0) -> None:
    peer.ask("clock", int(known), boot_ms)
    peer.ask("now", now_us)


INT64 = st.integers(INT64_MIN, INT64_MAX) | st.integers(-3000, 3000)
RECORDS = st.lists(
    st.tuples(
        st.text("abcXYZ019-:./_", min_size=1, max_size=12).filter(lambda n: n[0] not in "-:./_"),
        st.sampled_from(["", "Cel", "%RH", "m/s", "°", '"\\\t\x01\x1f']),
        INT64,
        st.integers(0, 18),
        st.integers(0, 10**13),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=40,
).map(lambda records: sorted(records, key=lambda r: r[4]))


@settings(max_examples=200, deadline=None)
@given(records=RECORDS)
def test_records_come_out_as_they_went_in(peer, records):
    set_clock(peer, True)
    count, pack = peer.senml(10_000, "site/a/", records)
    assert count == len(records)
    assert read(peer, pack) == expected(records, "site/a/", BOOT_MS)


@settings(max_examples=200, deadline=None)
@given(records=RECORDS, later_us=st.integers(0, 10**12))
def test_without_a_time_of_day_times_are_relative_to_now(peer, records, later_us):
    now_us = records[-1][4] + later_us
    set_clock(peer, False, now_us=now_us)
    count, pack = peer.senml(10_000, "", records)
    assert count == len(records)
    received = Decimal(1_800_000_000)
    origin_ms = int(received) * 1000 - now_us // 1000
    assert read(peer, pack, received) == expected(records, "", origin_ms)


@pytest.mark.parametrize(
    ("boot_ms", "absolute"),
    [(2**28 * 1000 - 1, False), (2**28 * 1000, True), (0, False), (-(10**15), False)],
)
def test_a_time_that_would_read_as_relative_is_sent_as_relative(peer, boot_ms, absolute):
    set_clock(peer, True, boot_ms, now_us=5_000_000)
    _, pack = peer.senml(200, "", [("a", "", 1, 0, 2_000_000, 0), ("a", "", 1, 0, 5_000_000, 0)])
    now = Decimal(1_900_000_000)
    times = [r["t"] for r in read(peer, pack, now)]
    known = [exact(boot_ms, 3) + 2, exact(boot_ms, 3) + 5]
    assert times == (known if absolute else [now - 3, now])


def test_a_reading_taken_before_the_time_was_known_is_dated_later(peer):
    set_clock(peer, False, now_us=3_000_000)
    record = [("a", "", 1, 0, 1_000_000, 0)]
    assert read(peer, peer.senml(99, "", record)[1], Decimal(2**30))[0]["t"] == 2**30 - 2
    set_clock(peer, True, 1_600_000_000_000, now_us=9_000_000)
    assert read(peer, peer.senml(99, "", record)[1])[0]["t"] == 1_600_000_001


def test_no_size_is_overrun_and_what_fits_is_a_whole_pack(peer):
    set_clock(peer, True)
    records = [(f"s{i}", "Cel", i * 12345 - 99999, 2, i * 1_234_567, i % 4) for i in range(30)]
    whole = len(peer.senml(10_000, "b/", records)[1])
    sizes = {n: len(peer.senml(10_000, "b/", records[:n])[1]) for n in range(1, 31)}
    for size in range(whole + 3):
        count, pack = peer.senml(size, "b/", records)
        assert len(pack) <= size
        assert count == max((n for n, needed in sizes.items() if needed <= size), default=0)
        if count:
            assert read(peer, pack) == expected(records[:count], "b/", BOOT_MS)
        else:
            assert pack == b""


@pytest.mark.parametrize("count", [23, 24, 25, 254, 255])
def test_the_head_of_the_array_fits_the_count(peer, count):
    set_clock(peer, True)
    records = [(f"s{i}", "", i, 0, 0, 0) for i in range(count)]
    needed = len(peer.senml(10_000, "", records)[1])
    assert peer.senml(needed, "", records)[0] == count
    fitted, pack = peer.senml(needed - 1, "", records)
    assert fitted == count - 1
    assert len(read(peer, pack)) == count - 1


def test_a_pack_has_at_most_255_records(peer):
    set_clock(peer, True)
    assert peer.senml(10_000, "", [("a", "", 1, 0, 0, 0)] * 256)[0] == 255


def test_numbers_at_every_length_of_a_cbor_head(peer):
    set_clock(peer, True)
    edges = [24, 2**8, 2**16, 2**32, INT64_MAX]
    numbers = [sign * (edge + off) for edge in edges for off in (-2, -1, 0) for sign in (1, -1)]
    records = [("a", "", n, 0, 0, 0) for n in [*numbers, INT64_MIN]]
    assert read(peer, peer.senml(9999, "", records)[1]) == expected(records, "", BOOT_MS)


@pytest.mark.parametrize(
    ("base", "name"),
    [
        ("/sites/north/", "sites/north/a"),  # a name begins with a letter or digit
        ("$SYS/Ü b+#/", "SYS/___b__/a"),  # every byte outside the set becomes "_"
        ("__-", "a"),
        ("", "a"),
    ],
)
def test_base_names_are_mended(peer, base, name):
    set_clock(peer, True)
    assert read(peer, peer.senml(99, base, [("a", "", 1, 0, 0, 0)])[1])[0]["n"] == name


def test_cbor_bytes_of_a_pack():
    """Labels and numbers by hand, from RFC 8428 table 4 and RFC 8949 3.4.4."""
    with Peer("cbor") as peer:
        set_clock(peer, True, 1_700_000_000_000)
        records = [("t", "Cel", 2350, 2, 0, 1), ("h", "%RH", -40, 1, 500_000, 0)]
        _, pack = peer.senml(200, "x/", records)
    first = "a62162782f221a6553f100006174016343656c"
    first += "02c4822018eb61716973696d756c61746564"
    second = "a40061680163255248022306c4822005"
    assert pack.hex() == "82" + first + second


def test_json_text_of_a_pack():
    with Peer("json") as peer:
        set_clock(peer, True, 1_700_000_000_000)
        records = [("t", "Cel", -5, 2, 0, 3), ("h", "", INT64_MIN, 9, 500_000, 0)]
        _, pack = peer.senml(300, "x/", records)
    assert pack.decode() == (
        '[{"bn":"x/","bt":1700000000,"n":"t","u":"Cel","v":-0.05,"q":"simulated,clamped"},'
        '{"n":"h","v":-9223372036.854775808,"t":0.5}]'
    )
