"""The decoder of serial frames: whatever pieces the line comes in, and whatever was lost on it, the
frames that arrived whole come out, in order, and text is text. Seeds are hypothesis's own, printed
with a failure. COBS is checked against the examples of its authors."""

import binascii
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeuk.serial_frames import DATA, STATUS, Decoder, Frame, decode, encode, stuff, unstuff

TEXTS = st.text(st.characters(min_codepoint=0x20) | st.just("\n")).map(
    lambda t: t.encode(errors="replace")
)
PAYLOADS = st.binary(max_size=600) | st.binary(max_size=20).map(lambda b: b * 40)
FRAMES = st.builds(Frame, st.integers(1, 8), st.integers(0, 65535), PAYLOADS)


def feed(decoder, data, cuts=()):
    """Everything that comes out when `data` arrives cut at `cuts`: text joined, and frames."""
    edges = [0, *sorted(c % (len(data) + 1) for c in cuts), len(data)]
    out = [x for a, b in itertools.pairwise(edges) for x in decoder.feed(data[a:b])]
    text = b"".join(x for x in out if isinstance(x, bytes))
    return text, [x for x in out if isinstance(x, Frame)]


@pytest.mark.parametrize(
    ("plain", "stuffed"),  # Cheshire and Baker, Consistent Overhead Byte Stuffing
    [
        (b"\0", b"\1\1"),
        (b"\0\0", b"\1\1\1"),
        (b"\x11\x22\0\x33", b"\3\x11\x22\2\x33"),
        (b"\x11\0\0\0", b"\2\x11\1\1\1"),
        (bytes(range(1, 255)), b"\xff" + bytes(range(1, 255))),
        (bytes(range(255)), b"\1\xff" + bytes(range(1, 255))),
        (bytes(range(1, 256)), b"\xff" + bytes(range(1, 255)) + b"\2\xff"),
        (bytes([*range(2, 256), 0]), b"\xff" + bytes(range(2, 256)) + b"\1\1"),
    ],
)
def test_stuffing_is_that_of_its_authors(plain, stuffed):
    assert stuff(plain) == stuffed
    assert unstuff(stuffed) == plain


@given(st.binary(max_size=1200))
def test_what_is_stuffed_has_no_zero_and_comes_back(plain):
    assert b"\0" not in stuff(plain)
    assert unstuff(stuff(plain)) == plain


def test_the_crc_is_the_documented_one():
    assert binascii.crc_hqx(b"123456789", 0xFFFF) == 0x29B1  # CRC-16/IBM-3740's check value
    assert encode(Frame(DATA, 0x0102, b"a")) == b"\0\7\1\1\2a\xdf\xa1\0"


@given(st.lists(TEXTS | FRAMES, max_size=8), st.lists(st.integers(0, 10_000), max_size=12))
def test_text_and_frames_come_out_in_whatever_pieces_they_arrive(parts, cuts):
    line = b"".join(encode(p) if isinstance(p, Frame) else p for p in parts)
    text, frames = feed(Decoder(), line, cuts)
    assert frames == [p for p in parts if isinstance(p, Frame)]
    assert text == b"".join(p for p in parts if isinstance(p, bytes))


@given(st.binary(max_size=200), st.lists(FRAMES, min_size=1, max_size=4))
def test_whatever_came_before_the_next_frame_is_read(garbage, frames):
    _, found = feed(Decoder(), garbage + b"".join(map(encode, frames)))
    assert found[-len(frames) :] == frames


@given(st.lists(FRAMES, min_size=2, max_size=5), st.data())
def test_a_byte_that_is_lost_or_changed_costs_no_more_than_its_frame_and_a_neighbour(frames, data):
    line = b"".join(map(encode, frames))
    at = data.draw(st.integers(0, len(line) - 1))
    put = data.draw(st.just(b"") | st.integers(0, 255).map(lambda v: bytes([v])))
    _, found = feed(Decoder(), line[:at] + put + line[at + 1 :])
    kept = [f for f in found if f in frames]
    assert len(kept) >= len(frames) - 2
    assert [f for f in found if f not in frames] == []


@given(st.binary(max_size=500))
def test_no_bytes_at_all_stop_the_decoder(data):
    decoder = Decoder()
    feed(decoder, data)
    frame = Frame(STATUS, 1, b"online here")
    assert feed(decoder, b"\0" + encode(frame))[1] == [frame]


def test_missing_numbers_are_counted_and_a_boot_is_not_a_loss():
    decoder = Decoder()
    for sequence in (7, 8, 11, 12, 0, 1, 65535):
        feed(decoder, encode(Frame(DATA, sequence, b"x")))
    assert decoder.lost == 2 + 65533
    again = Decoder()
    for sequence in (65534, 65535, 0):
        feed(again, encode(Frame(DATA, sequence, b"x")))
    assert again.lost == 0


def test_damaged_frames_are_counted_and_not_shown():
    decoder = Decoder()
    bad = bytearray(encode(Frame(DATA, 1, b"payload")))
    bad[8] ^= 1
    text, frames = feed(decoder, bytes(bad) + b"\0")
    assert (text, frames, decoder.damaged) == (b"", [], 1)


def test_text_is_not_held_back_by_a_zero_that_began_no_frame():
    decoder = Decoder()
    assert feed(decoder, b"\0[    1.0] app: here\n")[0] == b"[    1.0] app: here\n"


@pytest.mark.parametrize("piece", [b"", b"\1", b"\5abc", b"\2a\0b", b"\6\1\0\0ab"])
def test_what_is_no_frame_is_none(piece):
    assert decode(piece) is None
