"""The kernel's files, compiled for the host with sanitizers and driven by test_kernel.c.

Expected values come from Python's own formatting, from RFC 8439, or from the rule tested.
"""

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
PANIC = 101  # EK_EXIT_PANIC


@pytest.fixture(scope="session")
def kernel(tmp_path_factory):
    program = tmp_path_factory.mktemp("kernel") / "kernel"
    firmware = ROOT / "firmware"
    sources = [*sorted((firmware / "kernel").glob("*.c")), Path(__file__).with_suffix(".c")]
    flags = ["-std=gnu11", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover"]
    warnings = ["-Wall", "-Wextra", "-Werror"]
    # gcc has no __FILE_NAME__ before version 12.
    names = ["-D__FILE_NAME__=__FILE__", "-Wno-builtin-macro-redefined"]
    (program.parent / "config.h").write_text("")
    includes = [f"-I{firmware}", f"-I{firmware}/include", f"-I{program.parent}"]
    argv = ["cc", *flags, *warnings, *names, *includes, *sources, "-o", program]
    subprocess.run(argv, check=True, timeout=120)

    def run(*args: str, stdin: str = "", status: int = 0) -> list[str]:
        done = subprocess.run(
            [program, *args], input=stdin, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == status, done.stdout + done.stderr
        assert done.stderr == ""
        return done.stdout.splitlines()

    return run


def formatted(kernel, cases: list[tuple[int, str, str, str]]) -> list[tuple[int, str]]:
    """What ek_format makes of (size, C type, format, argument)."""
    lines = kernel("format", stdin="".join("\t".join(map(str, c)) + "\n" for c in cases))
    return [(int(n), text) for n, _, text in (line.partition("\t") for line in lines)]


INTEGERS = {  # conversion -> C type, least, most
    "d": ("int", -(2**31), 2**31 - 1),
    "u": ("unsigned", 0, 2**32 - 1),
    "x": ("unsigned", 0, 2**32 - 1),
    "ld": ("long long", -(2**63), 2**63 - 1),
    "lu": ("unsigned long long", 0, 2**64 - 1),
    "lx": ("unsigned long long", 0, 2**64 - 1),
    "zu": ("unsigned long long", 0, 2**64 - 1),
}


@given(st.data())
@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_integers_are_formatted_as_python_formats_them(kernel, data):
    cases, expected = [], []
    for conversion, (ctype, low, high) in INTEGERS.items():
        edges = st.sampled_from([low, high, 0, 1, 10, min(high, 2**32 - 1)])
        value = data.draw(edges | st.integers(low, high))
        flag = data.draw(st.sampled_from(["", "5", "05", "20", "020"]))
        size = data.draw(st.integers(0, 40))
        cases.append((size, ctype, f"<%{flag}{conversion}>", value))
        text = f"<{format(value, flag + ('x' if 'x' in conversion else 'd'))}>"
        expected.append((len(text), text[: max(size - 1, 0)]))
    assert formatted(kernel, cases) == expected


def test_text_is_padded_on_the_left_and_cut_at_the_end(kernel):
    cases = [
        (40, "s", "a %s b", "word"),
        (40, "s", "%6s|", "word"),
        (40, "s", "%2s|", "word"),
        (5, "s", "%s", "longer"),
        (40, "int", "%d%%", "65"),
        (40, "s", "100%% of %s", "x"),
        (40, "unsigned long long", "%p", str(0xFEE00000)),
    ]
    texts = ["a word b", "  word|", "word|", "long", "65%", "100% of x", "0xfee00000"]
    assert [text for _, text in formatted(kernel, cases)] == texts


def test_a_log_line_has_a_time_and_at_most_160_bytes(kernel):
    assert kernel("log", "hello") == ["[   12.345678] hello"]
    (line,) = kernel("log", "x" * 200)
    assert len(line) == 160
    assert line.endswith("x...")
    (line,) = kernel("log", "x" * 145)
    assert len(line) == 160
    assert line.endswith("xxxx")


def test_timers_run_in_order_once_and_never_starve_the_loop(kernel):
    assert kernel("timers") == [
        "next 100",
        "again at 100",
        "second at 100",
        "moved at 150",
        "again at 200",
        "again at 300",
        *["late at 300"] * 16,  # bounded
        "round: 1",
    ]


def test_the_loop_sleeps_only_when_nobody_did_anything(kernel):
    busy = ["first", "second"]  # twice true, then false
    assert kernel("loop") == [
        *busy,
        *busy,
        "idle until 4000",
        "timer at 4000",
        *busy,  # because the timer ran, the loop comes round again
        *busy,
        f"idle until {2**64 - 1}",
    ]


def test_chacha20_gives_the_block_of_rfc_8439(kernel):
    # RFC 8439, 2.3.2
    key = "".join(f"{i:02x}" for i in range(32))
    counter_and_nonce = "01000000" + "000000090000004a00000000"
    (block,) = kernel("chacha", stdin=key + counter_and_nonce)
    assert block == (
        "10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e"
        "d2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e"
    )


def test_random_numbers_name_their_source_and_do_not_repeat(kernel):
    (line,) = kernel("random", "device")
    source, weak, data = line.split("\t")
    assert (source, weak) == ("fake", "0")
    blocks = [data[i : i + 64] for i in range(0, 192, 64)]
    assert len(set(blocks)) == 3
    assert kernel("random")[0].startswith("clock jitter (weak)\t1\t")


def test_a_source_that_repeats_itself_is_none(kernel):
    """As of processors whose generator gave nothing but ones after a sleep."""
    assert kernel("random", "stuck")[0].startswith("clock jitter (weak)\t1\t")


def test_a_source_that_its_driver_calls_weak_is_weak(kernel):
    assert kernel("random", "weak")[0].startswith("fake\t1\t")


def test_when_frames_come_counts_even_where_the_seed_is_weak(kernel):
    drawn = [kernel("random", "none", str(us))[0] for us in (1_000_000, 1_000_001)]
    assert drawn[0].startswith("clock jitter (weak)\t")
    assert drawn[0] != drawn[1]
    assert kernel("random", "none", "1000000")[0] == drawn[0]


def test_the_time_of_day_is_kept_as_the_time_of_boot(kernel):
    unknown, logged, known = kernel("clock")
    assert unknown == "0"
    assert logged == "[    5.000000] clock: 1700000000 s since 1970, from sntp"
    assert known == f"1 {1_700_000_000_123 - 5000}"


def test_a_panic_says_why_and_where_and_resets(kernel):
    said = ["[    0.000000] panic: asked to, 7", "[    0.000000]   at 0x1234"]
    assert kernel("panic", status=77) == said  # arch_reset()
    assert kernel("panic", "exit.on_panic", status=PANIC) == said
