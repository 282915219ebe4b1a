"""TOML with places: every value of tomllib has its place, broken files never end in a traceback."""

import tomllib
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeuk.catalog import check_board
from edgeuk.document import SIZE_MAX, Document, read_document
from edgeuk.errors import ConfigError, Place
from edgeuk.gateway import load_device, load_gateway
from edgeuk.manifest import load_arch, load_component, load_driver

HERE = Path(__file__).parent
GOOD = """\
schema = 1
name = "meter" # a comment
board = "demo-m3"

[mqtt]
url = "mqtt://localhost:1883"

[servers]
main = "localhost:5020"

[[sensor]]
name = "air"
driver = "tmp105"
at = "i2c0:0x48"
every = "1s"
filter = [
    { median = 5 }, # another
    { delta = 0.25, heartbeat = "60s" },
]

[[sensor]]
name = "volt"
driver = "modbus"
at = "main/1"
register = "input:0"
every = "1s"
"""
PLACES = """\
a.b = [1, { c = "é", d = "x" }]
"q r" = 1
[t.u]
v = true
[[w]]
[[w]]
x.y = 0
[w.z]
k = 2
"""


def keys_of(value, key=()):
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for name, inner in items:
        yield (*key, name)
        if isinstance(inner, dict | list):
            yield from keys_of(inner, (*key, name))


@pytest.mark.parametrize("text", [GOOD, PLACES])
def test_every_key_of_tomllib_has_a_place(text):
    doc = Document(Path("x.toml"), text)
    assert doc.data == tomllib.loads(text, parse_float=Decimal)
    assert set(keys_of(doc.data)) == set(doc.spans)


@pytest.mark.parametrize(
    ("key", "place"),
    [
        (("a", "b", 0), Place(1, 8, 1)),
        (("a", "b", 1, "c"), Place(1, 17, 3)),
        (("a", "b", 1, "d"), Place(1, 26, 3)),  # columns are characters: é is one
        (("q r",), Place(2, 9, 1)),
        (("t", "u", "v"), Place(4, 5, 4)),
        (("w", 1, "x", "y"), Place(7, 7, 1)),
        (("w", 1, "z", "k"), Place(9, 5, 1)),
        (("w", 1, "nothing"), Place(6, 3, 1)),  # what is not there: the table around it
        (("nothing",), Place(1, 1, 1)),
    ],
)
def test_places_are_those_of_an_editor(key, place):
    assert Document(Path("x.toml"), PLACES).place(key) == place


def test_windows_line_ends_and_a_byte_order_mark_are_accepted(tmp_path):
    path = tmp_path / "x.toml"
    path.write_bytes(b"\xef\xbb\xbfa = 1\r\nb = [1,\r\n 2]\r\n")
    assert read_document(path).data == {"a": 1, "b": [1, 2]}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: None, "x.toml: error[E0101]: no such file"),
        (lambda p: p.mkdir(), "x.toml: error[E0101]: this is a folder"),
        (
            lambda p: p.write_bytes(b"a = 1\nb = '\xff'\n"),
            "x.toml:2:6: error[E0102]: byte 0xff is not UTF-8\nhint: save the file as UTF-8",
        ),
        (
            lambda p: p.write_bytes(b"#" * (SIZE_MAX + 1)),
            "x.toml: error[E0103]: the file is larger than 256 KiB",
        ),
        (lambda p: p.write_bytes(b"a\0b = 1"), "x.toml:1:2: error[E0104]: `=` is missing"),
        (lambda p: p.write_text("a = " + "[" * 9999), "x.toml:1:1: error[E0104]: nested too"),
        (lambda p: p.write_text("a = " + "9" * 9999), "error[E0104]: the number has too many"),
    ],
)
def test_a_file_that_cannot_be_read_is_explained(make, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make(Path("x.toml"))
    with pytest.raises(ConfigError) as error:
        read_document(Path("x.toml")).check()
    assert message in str(error.value)


def test_faults_are_data_too():
    doc = Document(Path("x.toml"), "a = 1\nb = 2\n")
    doc.fault("E0503", "twice", ("b",), hint="move it", also=("first here", ("a",)))
    with pytest.raises(ConfigError) as error:
        doc.check()
    assert error.value.as_dicts() == [
        {
            "file": "x.toml",
            "line": 2,
            "column": 5,
            "length": 1,
            "severity": "error",
            "code": "E0503",
            "what": "twice",
            "hint": "move it",
            "note": {
                "file": "x.toml",
                "line": 1,
                "column": 5,
                "length": 1,
                "what": "first here",
            },
        }
    ]


def test_passwords_are_not_shown():
    doc = Document(Path("x.toml"), 'password = "secret" # secret\n')
    doc.fault("E0403", "a password", ("password",), of_key=True)
    assert "secret" not in str(doc.faults[0])


TOKENS = st.sampled_from(
    [
        *"[]{}=\".,#\n\\ \0\r\t'\u2028\ufeff",
        *("[[", "]]", '"""', "'''", "\n[mqtt]\n", "name = 1\n", "1979-05-27", "sensor", "filter"),
        *("inf", "nan", "1e999999", "-1", "0x", "true"),
    ]
)
EDITS = st.lists(
    st.tuples(
        st.integers(0, len(GOOD)), st.integers(0, 30), st.one_of(TOKENS, st.text(max_size=4))
    ),
    min_size=1,
    max_size=6,
)


def mangle(text, edits):
    for start, length, new in edits:
        text = text[:start] + new + text[start + length :]
    return text


def faults_of(load, path):
    """The faults of a file; anything but a `ConfigError` fails the test."""
    try:
        load(path)
    except ConfigError as error:
        return error.faults if str(error) else ()
    return ()


def loaders(catalog):
    return {
        load_device: GOOD,
        load_driver: (HERE / "catalog/drivers/sim/driver.toml").read_text(),
        lambda p: load_gateway(p, catalog): GOOD,
        lambda p: load_component(p, "x"): (
            HERE / "catalog/firmware/pipeline/component.toml"
        ).read_text(),
        lambda p: load_arch(p, "x"): (HERE / "catalog/firmware/arch/armv7m/arch.toml").read_text(),
        lambda p: check_board(p, catalog): (HERE / "catalog/boards/demo-x86.toml").read_text(),
    }


@given(edits=EDITS)
@settings(
    max_examples=60,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_a_mangled_file_is_refused_with_places_not_a_traceback(edits, catalog, tmp_path):
    path = tmp_path / "x.toml"
    for load, good in loaders(catalog).items():
        text = mangle(good, edits)
        path.write_bytes(text.encode(errors="surrogatepass"))
        lines = text.count("\n") + 1
        assert all(0 <= fault.place.line <= lines for fault in faults_of(load, path))


WRONG = ["true", "-1", "9" * 30, "1e40", "nan", '""', '"\\u0000"', "[]", "[[{}]]", "{}", "12:00:00"]


@pytest.mark.parametrize("wrong", WRONG)
def test_every_value_may_be_of_every_wrong_kind(wrong, catalog, tmp_path):
    path = tmp_path / "x.toml"
    for load, good in loaders(catalog).items():
        lines = good.split("\n")
        for number, line in enumerate(lines):
            key, equals, _ = line.partition(" = ")
            header = line.strip("[]") if line.startswith("[") else ""
            new = f"{key} = {wrong}" if equals else f"{header} = {wrong}" if header else line
            path.write_text("\n".join([*lines[:number], new, *lines[number + 1 :]]))
            faults_of(load, path)


@given(raw=st.binary(max_size=200))
@settings(
    max_examples=40,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_random_bytes_are_refused(raw, catalog, tmp_path):
    path = tmp_path / "x.toml"
    path.write_bytes(raw)
    with pytest.raises(ConfigError):
        load_gateway(path, catalog)
