"""kernel/device_config.c and device_data.c on the host with sanitizers: which copy is used, and
that nothing damaged is ever believed. The blobs are built here by docs/device-config-spec.md."""

import random
import struct
import subprocess
import zlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OK, NONE = 0, -5
COPY = 4096
ABSENT = (NONE, "(none)", 1883, b"")
NOTHING = ": no name, no broker"
FLAGS = ["-std=gnu11", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover"]
FLAGS += ["-Wall", "-Wextra", "-Werror", "-D__FILE_NAME__=__FILE__", "-Wno-builtin-macro-redefined"]


class Reader:
    """The compiled files; `read` gives status, name, port, tls.key and what the device says."""

    def __init__(self, folder: Path) -> None:
        (folder / "config.h").write_text("")
        self.program = folder / "reader"
        names = ("device_config.c", "device_data.c", "format.c")
        sources = [*(ROOT / "firmware/kernel" / n for n in names), Path(__file__).with_suffix(".c")]
        includes = [f"-I{folder}", f"-I{ROOT}/firmware", f"-I{ROOT}/firmware/include"]
        argv = ["cc", *FLAGS, *includes, *sources, "-o", self.program]
        subprocess.run(argv, check=True, timeout=120)

    def read_all(self, blobs: list[bytes]) -> list[tuple[tuple[int, str, int, bytes], str]]:
        text = "".join(b.hex() + "\n" for b in blobs)
        done = subprocess.run(
            [self.program], input=text, capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        results = []
        for line in done.stdout.splitlines():
            status, name, port, key, report = line.split("\t")
            text = bytes.fromhex(name).decode("latin-1")
            results.append(((int(status), text, int(port), bytes.fromhex(key)), report))
        assert len(results) == len(blobs)
        return results

    def read(self, blob: bytes) -> tuple[tuple[int, str, int, bytes], str]:
        return self.read_all([blob])[0]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    return Reader(tmp_path_factory.mktemp("device-config"))


def entry(key: bytes, data: bytes) -> bytes:
    return key + b"\0" + struct.pack("<H", len(data)) + data


def blob(
    text: bytes, data: bytes = b"", *, sequence: int = 1, flags: int = 0, length=None
) -> bytes:
    rest = struct.pack("<HHII", len(text + data), len(text), sequence, flags)
    if length is not None:
        rest = struct.pack("<HHII", *length, sequence, flags)
    rest += text + data
    return b"EKC2" + struct.pack("<I", zlib.crc32(rest)) + rest


def pair(one: bytes, two: bytes) -> bytes:
    return one.ljust(COPY, b"\xff") + two


A, B = blob(b"name=a\0", sequence=7), blob(b"name=b\0", sequence=8)
KEY = entry(b"tls.key", b"\0\1\2")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (blob(b"name=a\0mqtt.port=8883\0"), (OK, "a", 8883, b"")),
        (blob(b"name=a\0name=b\0"), (OK, "a", 1883, b"")),  # the first counts
        (blob(b"name=\0mqtt.port=\0"), (OK, "", 1883, b"")),
        (blob(b"\0\0=\0name\0name=x=y\0"), (OK, "x=y", 1883, b"")),
        (blob(b"names=a\0mqtt.port=0x10\0"), (OK, "(none)", 1883, b"")),
        (blob(b"mqtt.port=4294967295\0"), (OK, "(none)", 2**32 - 1, b"")),
        (blob(b"mqtt.port=4294967296\0"), (OK, "(none)", 1883, b"")),
        (blob(b""), (OK, "(none)", 1883, b"")),
        (blob(b"board=test\0name=a\0"), (OK, "a", 1883, b"")),
        (blob(b"name=a\0") + b"\xff" * 100, (OK, "a", 1883, b"")),  # a page holds more
        (blob(b"name=" + b"a" * 4070 + b"\0"), (OK, "a" * 4070, 1883, b"")),  # 4096 in all
        (blob(b"name=a\0", KEY), (OK, "a", 1883, b"\0\1\2")),
        (blob(b"", entry(b"tls.keys", b"no") + KEY), (OK, "(none)", 1883, b"\0\1\2")),
        (blob(b"", entry(b"tls.key", b"")), (OK, "(none)", 1883, b"")),
        (blob(b"tls.key=text\0"), (OK, "(none)", 1883, b"")),  # text is no data
        (blob(b"", KEY[:-1]), (OK, "(none)", 1883, b"")),  # reaches beyond the end
        (blob(b"", KEY[:9]), (OK, "(none)", 1883, b"")),
        (blob(b"", b"tls.key"), (OK, "(none)", 1883, b"")),
        (blob(b"", entry(b"a", b"x" * 9)[:-1] + KEY[:0]), (OK, "(none)", 1883, b"")),
    ],
)
def test_a_whole_configuration_is_used(reader, data, expected):
    assert reader.read(data) == (expected, "")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xff" * 64, "missing"),
        (b"EKC1" + A[4:], "missing"),
        (A[:19], "missing"),
        (A[:-1], "damaged"),
        (blob(b"name=a"), "damaged"),  # not terminated
        (blob(b"name=" + b"a" * 4071 + b"\0"), "damaged"),  # 4097 bytes
        (b"EKC2" + b"\xff" * 16 + b"name=a\0", "damaged"),
        (blob(b"name=a\0", length=(7, 8)), "damaged"),  # more text than payload
        (blob(b"name=a\0", length=(8, 7)), "damaged"),
        (blob(b"name=a\0", flags=4), "damaged"),  # a later version's
        (blob(b"name=a\0", flags=2), "another device's"),  # encrypted
        (blob(b"name=a\0", flags=1), "damaged"),  # a seal that is not there
        (blob(b"board=other\0name=a\0"), "another board's"),
        (blob(b"board=tes\0name=a\0"), "another board's"),
    ],
)
def test_what_is_not_for_this_device_is_refused_and_said(reader, data, reason):
    assert reader.read(data) == (ABSENT, f"; config: copy 1 is {reason}{NOTHING}")


def test_no_bytes_at_all_are_said_too(reader):
    assert reader.read(b"") == (ABSENT, f"; config: copy 1 is missing{NOTHING}")


def test_where_nobody_checks_seals_a_sealed_one_is_used(reader):
    assert reader.read(blob(b"name=a\0", flags=1) + bytes(64)) == ((OK, "a", 1883, b""), "")


@pytest.mark.parametrize(
    ("region", "name", "report"),
    [
        (pair(A, B), "b", ""),  # the higher sequence number
        (pair(B, A), "b", ""),
        (pair(A, blob(b"name=c\0", sequence=7)), "a", ""),  # equal: the first
        (pair(blob(b"name=h\0", sequence=2**32 - 1), A), "h", ""),
        (pair(A, b"\xff" * 64), "a", "; config: copy 2 is missing"),
        (pair(b"", B), "b", "; config: copy 1 is missing"),
        (pair(A, B[:-2] + b"x\0"), "a", "; config: copy 2 is damaged"),
        (pair(A[:-2] + b"x\0", B), "b", "; config: copy 1 is damaged"),
        (
            pair(A, blob(b"board=x\0", sequence=9)),
            "a",
            "; config: copy 2 is another board's",
        ),
        (A.ljust(COPY, b"\xff"), "a", ""),  # no room for a second
    ],
)
def test_of_two_copies_the_newer_whole_one_is_used(reader, region, name, report):
    assert reader.read(region) == ((OK, name, 1883, b""), report)


def test_two_damaged_copies_are_none(reader):
    region = pair(A[:-2] + b"x\0", B[:-2] + b"x\0")
    assert reader.read(region) == (ABSENT, f"; config: copy 1 is damaged{NOTHING}")


def test_no_flipped_bit_is_ever_believed(reader):
    """Every bit of one copy; then the other copy is used."""
    good = blob(b"mqtt.port=8883\0name=a\0", KEY, sequence=9)
    spoilt = []
    for bit in range(8 * len(good)):
        data = bytearray(good)
        data[bit // 8] ^= 1 << bit % 8
        spoilt.append(bytes(data))
    for values, report in reader.read_all(spoilt):
        assert values == ABSENT
        assert report.endswith(NOTHING)
    for values, report in reader.read_all([pair(data, A) for data in spoilt]):
        assert values == (OK, "a", 1883, b"")
        assert report in ("; config: copy 1 is damaged", "; config: copy 1 is missing")


def test_no_cut_copy_is_ever_believed(reader):
    """As a write that was interrupted leaves it: erased behind the cut, or with the old bytes."""
    new = blob(b"mqtt.port=8883\0name=new\0", KEY, sequence=9)
    erased = [pair(new[:n], A) for n in range(len(new))]
    for values, _ in reader.read_all(erased):
        assert values == (OK, "a", 1883, b"")
    old = blob(b"mqtt.port=8884\0name=old\0", entry(b"tls.key", b"\3\4\5"), sequence=8)
    mixed = [new[:n] + old[n:] for n in range(len(new) + 1)]
    whole = {(OK, "old", 8884, b"\3\4\5"), (OK, "new", 8883, b"\0\1\2"), ABSENT}
    assert {values for values, _ in reader.read_all(mixed)} == whole


def test_mutated_configurations_do_no_harm(reader, request):
    seed = int(request.config.getoption("--seed", None) or random.randrange(2**32))
    print(f"seed {seed}")
    rng = random.Random(seed)
    good = blob(b"name=a\0mqtt.port=8883\0mqtt.host=broker\0", entry(b"tls.ca", b"ca") + KEY)
    blobs = []
    for _ in range(4000):
        data = bytearray(good[: rng.randrange(len(good) + 1)] if rng.random() < 0.3 else good)
        for _ in range(rng.randrange(4)):
            if data:
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        if rng.random() < 0.6 and len(data) >= 20:  # make the checksum right again, to get past it
            end = 20 + int.from_bytes(data[8:10], "little")
            data[4:8] = struct.pack("<I", zlib.crc32(data[8:end]))
        blobs.append(bytes(data))
    for data, (values, report) in zip(blobs, reader.read_all(blobs), strict=True):
        length, text = struct.unpack("<HH", data[8:12].ljust(4, b"\0"))
        flags = int.from_bytes(data[16:20], "little")
        whole = (
            len(data) >= 20
            and data[:4] == b"EKC2"
            and 20 + length + 64 * (flags & 1) <= len(data)
            and zlib.crc32(data[8 : 20 + length]) == int.from_bytes(data[4:8], "little")
            and flags in (0, 1)
            and text <= length
            and (text == 0 or data[20 + text - 1] == 0)
        )
        assert (values[0] == OK) == whole, data.hex()
        assert (report == "") == whole
        if not whole:
            assert values == ABSENT, data.hex()
