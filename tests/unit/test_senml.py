"""edgeuk/senml.py: packs of RFC 8428 in, resolved records out. Packs and the values expected of
them are the RFC's own examples (section 5.1), or follow its rules cited beside them."""

import json
from decimal import Decimal

import cbor2
import pytest

from edgeuk.senml import Reading, SenmlError, decode

NOW = 1_800_000_000.0  # seconds since 1970


def test_a_single_record_is_resolved():
    pack = b'[{"n":"urn:dev:ow:10e2073a01080063","u":"Cel","v":23.1}]'  # 5.1.1
    assert decode(pack, received=NOW) == [
        Reading("urn:dev:ow:10e2073a01080063", 23.1, "Cel", NOW, "")
    ]


def test_base_fields_are_merged_into_all_that_follow():
    pack = b"""[
      {"bn":"urn:dev:ow:10e2073a01080063:","bt":1.276020076001e+09, "bu":"A","bver":5,
       "n":"voltage","u":"V","v":120.1},
      {"n":"current","t":-5,"v":1.2},
      {"n":"current","t":-4,"v":1.3},
      {"n":"current","v":1.7}
    ]"""  # 5.1.2, shortened
    name = "urn:dev:ow:10e2073a01080063:"
    assert [(r.name, r.value, r.unit) for r in decode(pack)] == [
        (name + "voltage", 120.1, "V"),
        (name + "current", 1.2, "A"),
        (name + "current", 1.3, "A"),
        (name + "current", 1.7, "A"),
    ]
    expected = [1276020076.001, 1276020071.001, 1276020072.001, 1276020076.001]
    assert [r.time for r in decode(pack)] == expected


def test_a_base_may_change_within_a_pack():
    pack = [{"bn": "a/", "n": "x", "v": 1}, {"bn": "b/", "bu": "V", "n": "x", "v": 2}]  # 4.6
    found = decode(json.dumps(pack).encode(), received=NOW)
    assert [(r.name, r.unit) for r in found] == [("a/x", ""), ("b/x", "V")]


def test_a_base_value_is_added():
    pack = [{"bn": "a/", "bv": 20, "n": "x", "v": 1.5}, {"n": "y", "v": -0.5}]  # 4.1, base value
    assert [r.value for r in decode(json.dumps(pack).encode())] == [21.5, 19.5]


@pytest.mark.parametrize(
    ("base", "time", "expected"),
    [
        (0, 0, NOW),  # without a time: now (4.5.3)
        (0, -10, NOW - 10),
        (0, 2**28 - 1, NOW + 2**28 - 1),
        (0, 2**28, 2**28),  # from here on since 1970
        (1_700_000_000, -10, 1_699_999_990),  # the sum counts
    ],
)
def test_small_times_are_relative_to_now(base, time, expected):
    pack = json.dumps([{"bt": base, "n": "x", "t": time, "v": 1}]).encode()
    assert [r.time for r in decode(pack, received=NOW)] == [expected]


def test_cbor_labels_are_integers():
    pack = cbor2.dumps([{-2: "a/", -3: 1_700_000_000, -4: "V", 0: "x", 2: 120, 6: -5}])  # table 4
    assert decode(pack) == [Reading("a/x", 120.0, "V", 1_699_999_995.0, "")]


def test_cbor_decimal_fractions_are_exact():
    pack = cbor2.dumps([{0: "x", 2: Decimal("230.25")}])
    assert b"\xc4\x82" in pack  # tag 4, array of two (RFC 8949, 3.4.4)
    assert [r.value for r in decode(pack)] == [230.25]


def test_strings_booleans_and_quality_are_kept():
    pack = [{"n": "a", "vs": "open"}, {"n": "b", "vb": False}, {"n": "c", "v": 1, "q": "clamped"}]
    found = decode(json.dumps(pack).encode())
    assert [(r.value, r.quality) for r in found] == [("open", ""), (False, ""), (1.0, "clamped")]


def test_base_fields_alone_make_no_record():
    assert decode(b'[{"bn":"a/","bt":1700000000},{"n":"x","v":1}]')[0].name == "a/x"


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"", "neither SenML JSON nor CBOR"),
        (b"[{", "neither SenML JSON nor CBOR"),
        (b"online", "neither SenML JSON nor CBOR"),
        (b"\xff\xff\xff", "neither SenML JSON nor CBOR"),
        (b"{}", "neither SenML JSON nor CBOR"),
        (b"[1]", "an array of maps"),
        (cbor2.dumps("text"), "an array of maps"),
        (b'[{"v":1}]', "a record without a name"),
        (b'[{"n":7,"bn":8,"v":1}]', "no text"),
        (b'[{"n":"x","v":"1"}]', "not a number"),
        (b'[{"n":"x","v":true}]', "not a number"),
        (b'[{"n":"x","v":1,"t":"now"}]', "not a number"),
        (b'[{"n":"x","v":NaN}]', "not a number"),
        (b'[{"n":"x","v":1,"u":5}]', "no text"),
    ],
)
def test_what_is_no_pack_is_said(payload, why):
    with pytest.raises(SenmlError, match=why):
        decode(payload)
