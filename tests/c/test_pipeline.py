"""Polls, queue and batches of the real pipeline under a clock that the test moves.

pipeline/host.c has three sensors: 0 (channel `air`, every 1000 ms, reports at once), 1 (`humidity`
and `count`, every 300 ms from 100 ms on, reports later) and 2 (`filtered`, every 700 ms from 50 ms
on, reports later). The queue has 8 places, a batch lasts 100 ms.
"""

from collections import deque
from collections.abc import Iterator

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline_peer import BLOCK, DROP_NEWEST, DROP_OLDEST, Peer

AIR, HUMIDITY, COUNT, FILTERED = range(4)
PLACES = 8
MS = 1000
EIO, EINVAL, ETIMEDOUT = -2, -1, -3


@pytest.fixture
def peer() -> Iterator[Peer]:
    with Peer() as peer:
        yield peer


def answer_at_once(peer: Peer, sensor: int, status: int = 0, takes_us: int = 0) -> None:
    peer.ask("sensor", sensor, 0, status, 0, takes_us)


def polls(events: list[str], sensor: int) -> list[int]:
    return [int(e.split("@")[1]) for e in events if e.startswith(f"{sensor}@")]


def report(peer: Peer, channel: int, value: int, status: int = 0) -> list[str]:
    return peer.events("report", channel, value, 0, status)


def values(pack: bytes) -> list[int]:
    return [r[2] for r in cbor2.loads(pack)]


def test_polls_come_at_start_plus_phase_plus_whole_periods(peer):
    for sensor in (0, 2):
        answer_at_once(peer, sensor)
    peer.ask("now", 12_345)
    events = peer.events("start") + peer.events("advance", 3_500 * MS)
    assert polls(events, 0) == [12_345 + n * 1000 * MS for n in range(4)]
    assert polls(events, 2) == [12_345 + (50 + n * 700) * MS for n in range(5)]
    # Sensor 1 never answers: of its 12 times it is polled at the first, and anew after ten.
    assert polls(events, 1) == [12_345 + (100 + n * 3000) * MS for n in range(2)]
    assert peer.stats()["skipped"] == 10


def test_polls_do_not_drift_however_late_the_loop_comes_round(peer):
    for sensor, takes_us in ((0, 123), (2, 45_678)):
        answer_at_once(peer, sensor, takes_us=takes_us)
    answer_at_once(peer, 1)
    events = peer.events("start")
    for step_ms in (333, 17, 650, 999, 1) * 60:
        events += peer.events("advance", step_ms * MS)
    at = polls(events, 0)
    assert len(at) == 121  # both ends of 120 s
    # Late by at most one poll of each of the other two, and not later at the end.
    assert all(0 <= t - n * 1000 * MS <= 50_000 for n, t in enumerate(at))


def test_missed_periods_are_counted_and_not_made_up_for(peer):
    for sensor in (1, 2):
        answer_at_once(peer, sensor)
    answer_at_once(peer, 0, takes_us=3_400 * MS)
    events = peer.events("start")  # the first poll takes 3.4 s
    assert polls(events, 0) == [0]
    assert polls(events, 1) == [3_400 * MS]
    assert polls(events, 2) == [3_400 * MS]
    answer_at_once(peer, 0)
    events = peer.events("advance", 1_000 * MS)
    # Each was polled once, late, and from then on at its own times again. Lost: sensor 0 at 1000
    # and 2000 ms, sensor 1 at 100, 400, ... 3100, sensor 2 at 50, ... 2150.
    assert polls(events, 0) == [3_400 * MS, 4_000 * MS]
    assert polls(events, 1) == [3_700 * MS, 4_000 * MS, 4_300 * MS]
    assert polls(events, 2) == [3_550 * MS, 4_250 * MS]
    assert peer.stats()["skipped"] == 2 + 11 + 4


def test_a_sensor_that_has_not_answered_is_not_polled_again(peer):
    peer.events("start")
    assert polls(peer.events("advance", 100 * MS), 1) == [100 * MS]
    assert polls(peer.events("advance", 600 * MS), 1) == []
    assert peer.stats()["skipped"] == 2
    report(peer, HUMIDITY, 1)
    assert polls(peer.events("advance", 300 * MS), 1) == []  # one of its two channels is missing
    report(peer, COUNT, 2)
    assert polls(peer.events("advance", 300 * MS), 1) == [1_300 * MS]


def test_a_sensor_that_never_answers_is_asked_anew_and_counted(peer):
    answer_at_once(peer, 0)
    answer_at_once(peer, 2)
    events = peer.events("start") + peer.events("advance", 3_200 * MS)
    assert polls(events, 1) == [100 * MS, 3_100 * MS]
    assert f"pipeline: humidity: status {ETIMEDOUT}" in events
    assert peer.stats()["errors"] == 2  # its two channels
    report(peer, HUMIDITY, 1)
    report(peer, COUNT, 1)
    report(peer, COUNT, 1)  # too many: still a reading, and nothing breaks
    assert peer.stats()["errors"] == 2


def test_a_failing_sensor_is_logged_once_and_once_when_it_is_back(peer):
    answer_at_once(peer, 0, status=EIO)
    events = peer.events("start") + peer.events("advance", 3_000 * MS)
    assert events.count(f"pipeline: air: status {EIO}") == 1
    assert peer.stats()["errors"] >= 4
    answer_at_once(peer, 0)
    events = peer.events("advance", 2_000 * MS)
    assert events.count("pipeline: air: works again") == 1


def test_a_sensor_with_one_bad_channel_of_two_does_not_flood_the_log(peer):
    peer.events("start")
    events = peer.events("advance", 100 * MS)
    for _ in range(5):
        events += report(peer, HUMIDITY, 1) + report(peer, COUNT, 0, EIO)
        events += peer.events("advance", 300 * MS)
    assert [e for e in events if e.startswith("pipeline:")] == [f"pipeline: count: status {EIO}"]
    stats = peer.stats()
    assert stats["errors"] == 5


def test_init_is_tried_again_at_the_next_poll(peer):
    peer.ask("sensor", 0, EIO, 0, 0, 0)
    events = peer.events("start") + peer.events("advance", 1_000 * MS)
    assert events.count("init 0") == 2
    assert polls(events, 0) == []
    answer_at_once(peer, 0)
    events = peer.events("advance", 2_000 * MS)
    assert events.count("init 0") == 1
    assert polls(events, 0) == [2_000 * MS, 3_000 * MS]
    assert "pipeline: air: works again" in events


def test_filters_are_applied_in_order_and_what_they_hold_back_is_counted(peer):
    peer.ask("clock", 1, 1_700_000_000_000)
    for value in (9000, 8495, 8400, 8405, -4100):  # clamp to -4000..8500, then delta 10
        report(peer, FILTERED, value)
    count, pack = peer.encode(500)
    assert count == 3
    assert [(r[2].as_tuple() if hasattr(r[2], "as_tuple") else r[2], r.get("q")) for r in
            cbor2.loads(pack)] == [((0, (8, 5), -1), "clamped"), ((0, (8, 4), -1), None),
                                   (-4, "clamped")]  # fmt: skip
    stats = peer.stats()
    assert (stats["readings"], stats["filtered"], stats["queue_length"]) == (5, 2, 3)


def test_ready_comes_once_per_batch(peer):
    report(peer, COUNT, 1)
    assert peer.events("advance", 99 * MS) == []
    report(peer, COUNT, 2)
    assert peer.events("advance", 1 * MS) == ["ready"]
    assert peer.events("advance", 1_000 * MS) == []  # nobody took them; nothing new, no nagging
    report(peer, COUNT, 3)
    assert peer.events("advance", 100 * MS) == ["ready"]


def test_a_half_full_queue_does_not_wait_for_the_batch(peer):
    for value in range(PLACES // 2):
        report(peer, COUNT, value)
    assert peer.events("advance", 0) == ["ready"]


def test_readings_stay_until_they_are_taken(peer):
    for value in range(5):
        report(peer, COUNT, value)
    assert peer.encode(500)[0] == 5
    count, pack = peer.encode(30)
    assert 0 < count < 5
    assert values(pack) == list(range(count))
    peer.ask("take", count)
    rest, pack = peer.encode(500)
    assert values(pack) == list(range(count, 5))
    peer.ask("take", rest)
    assert peer.encode(500) == (0, b"")
    stats = peer.stats()
    assert (stats["sent"], stats["queue_length"], stats["queue_max"]) == (5, 0, 5)


def test_a_reading_that_cannot_fit_is_dropped_and_those_behind_it_leave(peer):
    report(peer, HUMIDITY, 2**60)
    report(peer, COUNT, 1)
    size = 31  # base name, base time, name and 1; not a unit and ten more bytes
    peer.ask("now", 1000)
    count, pack = peer.encode(size)
    assert (count, values(pack)) == (1, [1])
    assert peer.stats()["dropped"] == 1
    assert peer.encode(0) == (0, b"")
    assert peer.stats()["dropped"] == 2


@pytest.mark.parametrize(
    ("policy", "left"),
    [(DROP_OLDEST, range(4, 12)), (DROP_NEWEST, range(8)), (BLOCK, range(8))],
)
def test_a_full_queue_drops_by_its_policy(peer, policy, left):
    peer.ask("policy", policy)
    for value in range(12):
        report(peer, COUNT, value)
    assert values(peer.encode(500)[1]) == list(left)
    stats = peer.stats()
    assert (stats["dropped"], stats["queue_length"], stats["queue_max"]) == (4, 8, 8)


def test_block_does_not_begin_a_poll_without_room_for_its_answers(peer):
    peer.ask("policy", BLOCK)
    for sensor in (0, 1, 2):
        peer.ask("sensor", sensor, 0, 0, 1, 0)  # all report when the test says so
    peer.events("start")
    events = peer.events("advance", 100 * MS)  # all three have begun: four places are promised
    assert len(events) == 2
    for value in range(4):
        report(peer, COUNT, value)  # two are the answer to sensor 1, in place of humidity
    assert peer.stats()["queue_length"] == 4
    # 4 used, 2 promised, sensor 1 wants 2: it fits exactly.
    assert polls(peer.events("advance", 300 * MS), 1) == [400 * MS]
    report(peer, HUMIDITY, 1)
    report(peer, COUNT, 1)
    # 6 used, 2 promised.
    assert polls(peer.events("advance", 300 * MS), 1) == []
    assert peer.stats()["skipped"] == 1
    report(peer, AIR, 1)
    report(peer, FILTERED, 1)
    assert peer.stats()["dropped"] == 0
    assert polls(peer.events("advance", 600 * MS), 1) == []
    peer.ask("take", peer.encode(500)[0])
    assert polls(peer.events("advance", 300 * MS), 1) == [1_600 * MS]
    assert peer.stats()["dropped"] == 0


def test_held_readings_that_were_dropped_meanwhile_count_as_sent_once_they_are_taken(peer):
    for value in range(PLACES):
        report(peer, COUNT, value)
    assert peer.encode(500)[0] == PLACES  # under way, then three more push out the oldest
    for value in range(PLACES, PLACES + 3):
        report(peer, COUNT, value)
    assert peer.stats()["dropped"] == 3
    peer.ask("take", PLACES)
    stats = peer.stats()
    assert (stats["sent"], stats["dropped"], stats["queue_length"]) == (PLACES, 0, 3)
    assert values(peer.encode(500)[1]) == [8, 9, 10]


OPERATION = st.sampled_from(["push", "push", "push", "encode", "take", "fewer"])


@settings(max_examples=150, deadline=None)
@given(policy=st.sampled_from([DROP_OLDEST, DROP_NEWEST]), operations=st.lists(OPERATION))
def test_every_reading_is_sent_dropped_or_waiting(policy, operations):
    """Against a deque: also when held readings are dropped before they are taken."""
    with Peer() as peer:
        peer.ask("policy", policy)
        queue: deque[int] = deque()
        held: list[int] = []
        sent = pushed = 0
        for operation in operations:
            if operation == "push":
                if len(queue) == PLACES and policy == DROP_OLDEST:
                    queue.popleft()
                if len(queue) < PLACES:
                    queue.append(pushed)
                report(peer, COUNT, pushed)
                pushed += 1
            elif operation == "encode":
                count, pack = peer.encode(500)
                held = list(queue)
                assert count == len(held)
                assert (values(pack) if count else []) == held
            else:
                taken = held if operation == "take" else held[: len(held) // 2]
                peer.ask("take", len(taken))
                sent += len(taken)
                queue = deque(v for v in queue if v not in taken)
                held = held[len(taken) :]
            stats = peer.stats()
            assert stats["queue_length"] == len(queue)
            assert stats["sent"] == sent
            assert stats["readings"] == sent + stats["dropped"] + len(queue)
