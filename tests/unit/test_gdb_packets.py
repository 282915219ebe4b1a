"""edgeuk/emulation/gdb_packets.py: packets of gdb's remote protocol, whole, in pieces and malformed
(GDB manual, appendix "gdb Remote Serial Protocol", Overview)."""

import random

import pytest

from edgeuk.emulation.gdb_packets import PACKET_MAX, Event, Packets, framed


def heard(data):
    return list(Packets().feed(data))


def test_a_packet_has_the_sum_of_its_bytes():
    assert framed(b"OK") == b"$OK#9a"  # the manual's own example
    assert framed(b"") == b"$#00"
    assert heard(b"$OK#9a$#00") == [b"OK", b""]
    assert heard(b"$OK#9A") == [b"OK"]


def test_pieces_become_whole():
    packets, found = Packets(), []
    for byte in b"+$m0,4#fd\x03-":
        found += packets.feed(bytes([byte]))
    assert found == [b"m0,4", Event.INTERRUPT, Event.AGAIN]


@pytest.mark.parametrize(
    ("data", "events"),
    [
        (b"$OK#9b", [Event.BROKEN]),
        (b"$OK#xx", [Event.BROKEN]),
        (b"$OK#-1", [Event.BROKEN]),
        (b"$OK# 9", [Event.BROKEN]),
        (b"$OK#+9", [Event.BROKEN]),
        (b"$OK#9", []),  # the rest may come
        (b"$OK", []),
        (b"OK#9a", []),
        (b"\x00\xff#+", []),
        (b"$m0,$OK#9a", [b"OK"]),  # cut short, and sent again
        (b"$OK#9a#9a$g#67", [b"OK", b"g"]),
        (b"$a\x03#64", [b"a\x03"]),  # no Ctrl-C within a packet
        (b"$" + b"m" * PACKET_MAX + framed(b"m" * PACKET_MAX)[-3:], [b"m" * PACKET_MAX]),
        (framed(b"m" * (PACKET_MAX + 1)), [Event.BROKEN]),
        (b"$" + b"m" * (PACKET_MAX + 1), [Event.BROKEN]),
        (b"$" + b"m" * 10 * PACKET_MAX + b"$g#67", [b"g"]),
    ],
)
def test_what_is_malformed_is_told_from_what_is_not(data, events):
    assert heard(data) == events


def test_any_bytes_are_survived_and_a_packet_behind_them_is_heard():
    rng = random.Random(20)  # prints nothing: the seed is here
    for _ in range(2000):
        packets = Packets()
        for _ in range(rng.randrange(4)):
            list(packets.feed(bytes(rng.choices(b"$#+-}*\x03m0,9af", k=rng.randrange(40)))))
        list(packets.feed(b"#00"))  # the end of what has begun
        assert list(packets.feed(b"#00$g#67"))[-1:] == [b"g"]


def test_a_flood_without_an_end_takes_no_memory():
    packets = Packets()
    for _ in range(100):
        list(packets.feed(b"$" + b"x" * 1000))
        assert len(packets._data) <= PACKET_MAX + 1001
