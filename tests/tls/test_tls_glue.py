"""firmware/tls with mbedTLS on a simulated network (c/world.h): a recorded handshake is replayed
with a cut, a stall and a changed bit in every place, in pieces, without room to write, and with
every allocation failing once. The fuzzer feeds it what no server would send."""

import os
import re
import time

import pytest
from tls_build import CLANG, Library
from tls_fuzzing import fuzzer, identity, recording_broker, replayer, write_seeds

# Every so many bytes are tried, from SEED on; six times as many bits.
PLACES = int(os.environ.get("EDGEUK_TLS_PLACES", "11"))
SEED = int(os.environ.get("EDGEUK_TLS_SEED", "1"))
pytestmark = pytest.mark.skipif(not CLANG, reason="clang is not installed")


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return Library(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def own(pki):
    return identity(pki)


@pytest.fixture(scope="module")
def replay(library, pki, own):
    """Runs the program in one of its modes, after a recording with OpenSSL."""
    program, now = str(replayer(library)), str(int(time.time()))

    def run(*mode: str) -> str:
        said = library.run([program, str(own), now, *mode])
        print(said)
        return said

    with recording_broker(pki) as broker:
        run("live", str(broker.port))
    return run


def tried(said, what):
    """How often that was tried."""
    return int(re.findall(rf"^{what} (\d+):", said, re.M)[0])


def test_a_flight_cut_at_every_byte_is_the_end_of_it(replay, counted):
    """Told and counted as "cut"."""
    said = replay("cut", "0", "1")
    assert "-7=" in said
    counted("flights cut", tried(said, "cut"))


def test_a_flight_that_stalls_ends_after_15_seconds(replay, counted):
    """After each message, and at bytes between; told and counted as "stall"."""
    said = replay("stall", str(SEED), str(PLACES))
    assert "-3=" in said
    counted("flights that stall", tried(said, "stall"))


def test_no_changed_bit_goes_unnoticed(replay, counted):
    counted("changed bits", tried(replay("flip", str(SEED), str(PLACES * 6)), "flip"))


def test_a_flight_may_come_in_any_pieces(replay):
    replay("pieces", str(SEED), "30")


def test_a_stream_that_takes_little_at_a_time_will_do(replay):
    replay("room")


def test_an_allocation_that_fails_is_named_as_the_reason(replay):
    """Never as a wrong digest or a bad certificate, and nothing is left behind."""
    replay("memory")


def test_a_heap_that_is_too_small_is_named_as_the_reason_whatever_its_size(replay, counted):
    """From none to the least that will do."""
    said = replay("sweep", str(SEED), str(PLACES * 8))
    too_small, least = map(int, re.findall(r"(\d+) sizes.*: (\d+)", said)[0])
    assert too_small > 10
    assert least > 16_384  # a record
    counted("heaps that are too small", too_small)


def test_guessable_random_numbers_end_it_before_a_byte_is_sent(replay):
    """In a production image: named as the reason, and counted, each time."""
    replay("weak")


def test_a_server_of_any_bytes_does_no_harm(library, pki, own, tmp_path, monkeypatch):
    write_seeds(pki, tmp_path / "corpus")
    monkeypatch.setenv("EDGEUK_TLS_FOLDER", str(own))
    monkeypatch.setenv("EDGEUK_TLS_NOW", str(int(time.time())))
    options = ["-runs=15000", f"-seed={SEED}", "-max_len=4000", f"-artifact_prefix={tmp_path}/"]
    library.run([str(fuzzer(library)), *options, str(tmp_path / "corpus")])
