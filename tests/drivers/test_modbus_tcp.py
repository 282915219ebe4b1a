"""The Modbus TCP client: the tables of host.py and the C that reads them, compiled together with
sanitizers, against a stream, a clock and a server played by the test.

Expected frames and values: MODBUS Application Protocol V1.1b3, Messaging on TCP/IP V1.0b, and
Python's struct and fractions.
"""

import random
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import pytest

from edgeuk.drivers.modbus_tcp.host import ORDERS, WIDTHS, check, plan
from edgeuk.plan import Plan, SensorSpec

ROOT = Path(__file__).parents[2]
DRIVER = ROOT / "edgeuk/drivers/modbus_tcp"
SCRIPT = Path(__file__).with_name("modbus_tcp") / "script.c"
COMPILER = shutil.which("gcc") or shutil.which("cc") or shutil.which("clang")
FLAGS = ["-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-fno-sanitize-recover=all"]
FLAGS += ["-fsanitize=address,undefined"]
TYPES = list(WIDTHS)
OK, ETIMEDOUT, EPROTO, ECLOSED, EREFUSED, ERANGE = 0, -3, -6, -7, -8, -10

pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C compiler on this machine")


class Client:
    """The compiled client, at the other end of two pipes."""

    def __init__(self, program: Path) -> None:
        self._process = subprocess.Popen(
            [str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def tell(self, line: str) -> list[str]:
        """What the client did in answer to `line`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        done = []
        while (text := self._process.stdout.readline().rstrip("\n")) != ".":
            assert text or self._process.poll() is None, "the client died"
            done.append(text)
        return done

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(timeout=10) == 0
        assert self._process.stdout is not None
        self._process.stdout.close()


def sensor(name: str, register: str, at: str = "main/1", **props: object) -> SensorSpec:
    return SensorSpec(name, at, 1000, 0, {"register": register, **props})


def compile_client(folder: Path, what: Plan) -> Path:
    polls = ", ".join(f"&{poll.symbol}" for poll in what.polls)
    code = what.c_code + f"static const struct modbus_tcp *const polls[] = {{{polls}}};\n"
    (folder / "tables.h").write_text(code)
    program = folder / "client"
    sources = [SCRIPT, DRIVER / "modbus_tcp.c", DRIVER / "convert.c"]
    includes = [f"-I{ROOT / 'firmware/include'}", f"-I{DRIVER}", f"-I{folder}"]
    subprocess.run(
        [
            str(COMPILER),
            *FLAGS,
            "-fsanitize=address,undefined",
            *includes,
            *map(str, sources),
            "-o",
            str(program),
        ],
        check=True,
        timeout=60,
    )
    return program


Make = Callable[[Sequence[SensorSpec]], Client]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Plan], Path]:
    """Compiles each set of tables once."""
    known: dict[str, Path] = {}

    def program(what: Plan) -> Path:
        if what.c_code not in known:
            known[what.c_code] = compile_client(tmp_path_factory.mktemp("client"), what)
        return known[what.c_code]

    return program


@pytest.fixture
def make(programs: Callable[[Plan], Path]) -> Iterator[Make]:
    clients = []

    def build(sensors: Sequence[SensorSpec]) -> Client:
        assert [check(s) for s in sensors] == [[] for _ in sensors]
        client = Client(programs(plan(sensors)))
        client.tell("config server.main=10.0.0.5:5020")
        clients.append(client)
        return client

    yield build
    for client in clients:
        client.close()


@pytest.fixture
def client(make: Make) -> Client:
    """Two input registers of unit 1 (request 0), and a coil of unit 2 (request 1)."""
    return make(
        [
            sensor("a", "input:10", timeout="500ms"),
            sensor("b", "input:11", type="i16", timeout="500ms"),
            sensor("c", "coil:3", at="main/2"),
        ]
    )


@pytest.fixture
def asked(client: Client) -> Client:
    """The same, connected, with request 0 under way as transaction 1."""
    assert client.tell("poll 0") == ["open 0 10.0.0.5 5020"]
    assert client.tell("opened 0") == ["write 0 0001000000060104000a0002"]
    return client


def log_free(lines: Sequence[str]) -> list[str]:
    return [line for line in lines if not line.startswith("log ")]


def failed(status: int) -> list[str]:
    return [f"report 0 0 {status}", f"report 1 0 {status}"]


def test_a_poll_connects_asks_and_reports(asked: Client) -> None:
    answer = asked.tell("received 0 000100000007010404002afffe")
    assert answer == ["report 0 42 0", "report 1 -2 0"]


def test_an_answer_in_single_bytes_is_put_together(asked: Client) -> None:
    frame = "000100000007010404002afffe"
    lines = [asked.tell(f"received 0 {frame[i : i + 2]}") for i in range(0, len(frame), 2)]
    assert [text for done in lines for text in done] == ["report 0 42 0", "report 1 -2 0"]


def test_one_request_at_a_time_on_a_connection(asked: Client) -> None:
    assert asked.tell("poll 1") == []
    lines = asked.tell("received 0 000100000007010404002afffe")
    assert lines[2:] == ["write 0 000200000006020100030001"]
    assert asked.tell("received 0 00020000000402010101") == ["report 2 1 0"]


def test_a_poll_that_overruns_is_ignored(asked: Client) -> None:
    assert asked.tell("poll 0") == []


def test_a_silent_server_is_asked_again_then_reported(asked: Client) -> None:
    assert asked.tell("advance 500") == ["write 0 0002000000060104000a0002"]
    assert log_free(asked.tell("advance 500")) == failed(ETIMEDOUT)


def test_an_answer_to_an_earlier_attempt_is_dropped(asked: Client) -> None:
    asked.tell("advance 500")
    assert asked.tell("received 0 000100000007010404002afffe") == []
    assert asked.tell("received 0 0002000000070104040001ffff") == [
        "report 0 1 0",
        "report 1 -1 0",
    ]


def test_an_answer_of_another_unit_is_dropped(asked: Client) -> None:
    assert asked.tell("received 0 000100000007090404002afffe") == []


def test_an_answer_after_the_report_is_dropped(asked: Client) -> None:
    asked.tell("advance 1000")
    assert asked.tell("received 0 000200000007010404002afffe") == []


@pytest.mark.parametrize(
    "frame",
    [
        "000100000007010304002afffe",  # another function
        "0001000000050104020001",  # too few registers
        "0001000000090104060001000200ff",  # too many
        "000100000007010402002afffe",  # the count contradicts the length
        "000100000004010404ff",  # the length contradicts the count
        "00010000000401840201",  # an exception with a tail
        "000100000003018502",  # the exception of another function
    ],
)
def test_a_wrong_answer_is_reported_and_the_connection_kept(asked: Client, frame: str) -> None:
    assert log_free(asked.tell(f"received 0 {frame}")) == failed(EPROTO)
    assert asked.tell("poll 0") == ["write 0 0002000000060104000a0002"]


@pytest.mark.parametrize(
    "header",
    [
        "00010001000701",  # not protocol 0
        "00010000000001",  # no unit
        "00010000000201",  # shorter than an exception
        "00010000010001",  # longer than an ADU: 6 + 256
        "00010000ffff01",
        "485454502f312e31",  # not Modbus at all
    ],
)
def test_a_frame_without_bounds_ends_the_connection(asked: Client, header: str) -> None:
    assert asked.tell(f"received 0 {header}") == ["close 0", "open 0 10.0.0.5 5020"]
    asked.tell("opened 0")
    lines = asked.tell(f"received 0 {header}")
    assert lines[0] == "close 0"
    assert log_free(lines)[1:] == failed(EPROTO)


@pytest.mark.parametrize("code", [1, 2, 3, 4, 5, 6, 8, 10, 11, 99])
def test_an_exception_is_refused_and_named_once(asked: Client, code: int) -> None:
    names = {1: "illegal function", 2: "illegal data address", 11: "gateway target silent"}
    lines = asked.tell(f"received 0 0001000000030184{code:02x}")
    assert log_free(lines) == failed(EREFUSED)
    assert len(lines) == 3
    assert names.get(code, "") in lines[0]
    asked.tell("poll 0")
    assert asked.tell(f"received 0 0002000000030184{code:02x}") == failed(EREFUSED)
    asked.tell("poll 0")
    lines = asked.tell("received 0 000300000007010404002afffe")
    assert "answers again after 2 failures" in lines[0]


def test_a_close_while_asked_is_tried_once_more(asked: Client) -> None:
    assert asked.tell("received 0 00010000") == []
    assert asked.tell(f"closed 0 {ECLOSED}") == ["open 0 10.0.0.5 5020"]
    assert asked.tell("opened 0") == ["write 0 0002000000060104000a0002"]
    assert log_free(asked.tell(f"closed 0 {ECLOSED}")) == failed(ECLOSED)


def test_a_close_while_idle_is_no_failure(asked: Client) -> None:
    asked.tell("received 0 000100000007010404002afffe")
    assert asked.tell(f"closed 0 {ECLOSED}") == []
    assert asked.tell("poll 0") == ["open 0 10.0.0.5 5020"]


def test_without_a_connection_everyone_hears_of_it_and_the_next_attempt_waits(
    client: Client,
) -> None:
    client.tell("poll 0")
    client.tell("poll 1")
    lines = client.tell(f"closed 0 {EREFUSED}")
    assert log_free(lines) == [*failed(EREFUSED), f"report 2 0 {EREFUSED}"]
    assert len(lines) == 4  # one line on the console
    wait_ms = 250
    for _ in range(8):
        assert client.tell(f"advance {wait_ms - 1}") == []
        assert client.tell("poll 0") == failed(EREFUSED)
        client.tell("advance 1")
        assert client.tell("poll 0") == ["open 0 10.0.0.5 5020"]
        assert client.tell(f"closed 0 {EREFUSED}") == failed(EREFUSED)
        wait_ms = min(2 * wait_ms, 10_000)
    client.tell(f"advance {wait_ms}")
    client.tell("poll 0")
    client.tell("opened 0")
    lines = client.tell("received 0 000100000007010404002afffe")
    assert "answers again after 18 failures" in lines[0]
    assert lines[1:] == ["report 0 42 0", "report 1 -2 0"]


def test_a_server_that_never_answers_gets_a_new_connection(asked: Client) -> None:
    asked.tell("advance 1000")
    asked.tell("poll 0")
    assert asked.tell("advance 500") == ["close 0", "open 0 10.0.0.5 5020"]


@pytest.mark.parametrize("address", ["", ":502", "h:0", "h:65536", "h:5x", "h:", "h" * 64])
def test_an_unusable_server_address_is_reported(client: Client, address: str) -> None:
    client.tell(f"config server.main={address}")
    assert log_free(client.tell("poll 0"))[0] in ("report 0 0 -1", "report 0 0 -5")


def test_the_port_defaults_to_502(client: Client) -> None:
    client.tell("config server.main=meter.local")
    assert client.tell("poll 0") == ["open 0 meter.local 502"]


def test_random_bytes_do_no_harm(client: Client, request: pytest.FixtureRequest) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(1500):
        client.tell(f"poll {rng.randrange(2)}")
        client.tell("advance 600")
        for line in client.tell("poll 0") + client.tell("poll 1"):
            if line.startswith("open"):
                client.tell("opened 0")
        good = bytes.fromhex("000100000007010404002afffe")
        data = bytearray(good[: rng.randrange(1, 14)] if rng.random() < 0.7 else rng.randbytes(9))
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        lines = client.tell(f"received 0 {data.hex()}")
        if any(line.startswith("open") for line in lines):
            client.tell("opened 0")


# Values


def rounded(exact: Fraction) -> int:
    """Half away from zero."""
    size = int(abs(exact) + Fraction(1, 2))
    return -size if exact < 0 else size


def reorder(big_endian: bytes, order: int) -> bytes:
    words = [big_endian[i : i + 2] for i in range(0, len(big_endian), 2)]
    if order & 1:
        words.reverse()
    return b"".join(word[::-1] if order & 2 else word for word in words)


def exact_value(kind: str, raw: bytes) -> Fraction | None:
    formats = {"u16": ">H", "i16": ">h", "u32": ">I", "i32": ">i", "u64": ">Q", "i64": ">q"}
    number = struct.unpack(formats.get(kind) or {"float32": ">f", "float64": ">d"}[kind], raw)[0]
    try:
        return Fraction(number)
    except (ValueError, OverflowError):
        return None  # not a number, infinite


def edge_cases(kind: str) -> list[bytes]:
    size = 2 * WIDTHS[kind]
    raw = [
        b"\0" * size,
        b"\xff" * size,
        b"\x80" + b"\0" * (size - 1),
        b"\x7f" + b"\xff" * (size - 1),
    ]
    if kind.startswith("float"):
        form = ">f" if kind == "float32" else ">d"
        numbers = [0.1, 0.5, -0.5, 1.5, 2.5, -2.5, 1e-40, 9.2233720368547758e18, 1e30, -0.0, 230.4]
        raw += [struct.pack(form, n) for n in [*numbers, -9.2233720368547758e18, float("inf")]]
    return raw


def test_every_type_in_every_order_converts_exactly(make: Make) -> None:
    client = make([sensor("a", "input:0")])
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    scales = [(1, 1), (-1, 1), (1, 10), (1, 3), (1000, 1), (7, 4294967295), (2147483647, 3)]
    for kind in TYPES[1:]:
        values = edge_cases(kind) + [rng.randbytes(2 * WIDTHS[kind]) for _ in range(40)]
        if kind == "float32":  # of everyday size, since random ones seldom are
            values += [struct.pack(">f", rng.uniform(-1e6, 1e6)) for _ in range(40)]
        for raw in values:
            order = rng.choice(list(ORDERS.values()))
            num, den = rng.choice(scales)
            exact = exact_value(kind, raw)
            counts = None if exact is None else rounded(exact * num / den)
            fits = counts is not None and -(1 << 63) <= counts < 1 << 63
            data = b"\xaa\xaa" + reorder(raw, order)
            line = f"convert {TYPES.index(kind)} {order} 1 {num} {den} {data.hex()}"
            expected = f"0 {counts}" if fits else f"{ERANGE} 0"
            assert client.tell(line) == [expected], (kind, raw.hex(), order, num, den)


def test_bits_are_counted_from_the_lowest_of_the_first_byte(make: Make) -> None:
    client = make([sensor("a", "coil:0")])
    data = bytes.fromhex("cd6b05")  # the example of 6.1: coils 20 to 38
    wanted = [1, 0, 1, 1, 0, 0, 1, 1, 1, 1, 0, 1, 0, 1, 1, 0, 1, 0, 1]
    got = [client.tell(f"convert 0 0 {i} 1 1 {data.hex()}") for i in range(19)]
    assert got == [[f"0 {bit}"] for bit in wanted]


# Tables


def requests(sensors: Sequence[SensorSpec]) -> list[tuple[str, ...]]:
    return [poll.channels for poll in plan(sensors).polls]


def test_near_registers_share_a_request_and_far_ones_do_not() -> None:
    near = [sensor("a", "input:20"), sensor("b", "input:0", type="u32"), sensor("c", "input:10")]
    assert requests(near) == [("a",), ("b", "c")]  # 20 is 9 behind 11; 10 is 8 behind 2


@pytest.mark.parametrize(
    "other",
    [
        sensor("b", "input:1", at="main/2"),
        sensor("b", "input:1", at="other/1"),
        sensor("b", "holding:1"),
        sensor("b", "input:1", merge=False),
        sensor("b", "input:2", merge_gap=0),
        sensor("b", "input:1", timeout="2s"),
        SensorSpec("b", "main/1", 2000, 0, {"register": "input:1"}),
    ],
)
def test_what_differs_in_more_than_the_register_is_not_merged(other: SensorSpec) -> None:
    assert requests([sensor("a", "input:0"), other]) == [("a",), ("b",)]


def test_a_request_holds_at_most_125_registers_or_2000_bits() -> None:
    registers = [sensor(f"r{i}", f"input:{i}") for i in range(126)]
    assert [len(r) for r in requests(registers)] == [125, 1]
    bits = [sensor(f"b{i}", f"coil:{i}") for i in range(2001)]
    assert [len(r) for r in requests(bits)] == [2000, 1]


def test_channels_are_numbered_through_all_polls() -> None:
    made = plan([sensor("a", "input:5"), sensor("b", "input:0"), sensor("c", "coil:0")], 7)
    assert [poll.channels for poll in made.polls] == [("b", "a"), ("c",)]
    assert ".channel = 7," in made.c_code
    assert ".channel = 9," in made.c_code
    assert made.servers == ("main",)
    assert made.tcp_streams == 1


def test_scale_and_decimals_make_one_fraction() -> None:
    made = plan([SensorSpec("v", "main/1", 1000, 2, {"register": "input:0", "scale": 0.1})])
    assert "{.num = 10, .den = 1u, .offset = 0, .type = MODBUS_TCP_U16" in made.c_code


@pytest.mark.parametrize(
    ("props", "key", "words"),
    [
        ({}, "register", "missing"),
        ({"register": "30001"}, "register", 'write "input:0"'),
        ({"register": "40010"}, "register", 'write "holding:9"'),
        ({"register": "inputs:0"}, "register", "did you mean `input`?"),
        ({"register": "input:65536"}, "register", "above 65535"),
        ({"register": "input:65535", "type": "u32"}, "register", "input:65534"),
        ({"register": "input:-1"}, "register", "not a register"),
        ({"register": "coil:0", "type": "u16"}, "type", "one bit"),
        ({"register": "input:0", "type": "bool"}, "type", "16 bits"),
        ({"register": "input:0", "type": "float"}, "type", "did you mean `float"),
        ({"register": "input:0", "word_order": "BACD"}, "word_order", "CDAB words swapped"),
        ({"register": "input:0", "scale": 0}, "scale", "every reading 0"),
        ({"register": "input:0", "scale": 0.1234567890123}, "scale", "32 bits"),
        ({"register": "input:0", "timeout": "fast"}, "timeout", "not a time"),
        ({"register": "input:0", "timeout": "1ms"}, "timeout", "not a time"),
        ({"register": "input:0", "retries": 11}, "retries", "0 to 10"),
        ({"register": "input:0", "merge": "no"}, "merge", "true or false"),
    ],
)
def test_a_fault_of_a_sensor_is_named(props: dict[str, object], key: str, words: str) -> None:
    problems = check(SensorSpec("x", "main/1", 1000, 0, props))
    assert [p.key for p in problems] == [key]
    assert words in problems[0].message + problems[0].hint


@pytest.mark.parametrize("at", ["", "main/256", "main/", "/1", "main/1/2", "1/1"])
def test_a_wrong_place_is_named(at: str) -> None:
    assert [p.key for p in check(sensor("x", "input:0", at=at))] == ["at"]


def test_all_faults_of_a_sensor_are_told_at_once() -> None:
    bad = SensorSpec("x", "?", 1, 0, {"register": "?", "type": "?", "scale": "?", "retries": -1})
    assert [p.key for p in check(bad)] == ["at", "register", "type", "scale", "retries"]
