"""The build time: $SOURCE_DATE_EPOCH, never later than now nor earlier than edgeuk's release; it
goes into images with TLS and into no other."""

import time
from datetime import datetime
from pathlib import Path

import pytest

from edgeuk import __released__, build_time
from edgeuk.catalog import find_board, load_catalog
from edgeuk.cli.common import load_image
from edgeuk.errors import UsageError
from edgeuk.gateway import load_gateway
from edgeuk.generate import generate
from edgeuk.resolve import resolve

NOW = 4_000_000_000
VARIABLE = "SOURCE_DATE_EPOCH"
RELEASED = int(datetime.fromisoformat(f"{__released__}T00:00:00+00:00").timestamp())
GATEWAY = """\
schema = 1
name = "meter"
[mqtt]
url = "{scheme}://localhost"
[[sensor]]
name = "wave"
driver = "sim"
shape = "sine"
every = "1s"
"""


@pytest.mark.parametrize(
    ("text", "built_s"),
    [
        ("", RELEASED),
        ("0", RELEASED),  # what some systems set for every build
        ("315532800", RELEASED),
        (str(RELEASED - 1), RELEASED),
        (str(RELEASED + 1), RELEASED + 1),
        (str(NOW), NOW),
        (str(NOW + 86_400), NOW + 86_400),  # another machine's clock
    ],
)
def test_the_build_time_is_the_variables_but_not_before_the_release(text, built_s, monkeypatch):
    monkeypatch.setenv(VARIABLE, text)
    assert build_time.build_time(NOW) == built_s


def test_without_the_variable_it_is_the_release(monkeypatch):
    """Which is not in the future: devices would not believe their clocks."""
    monkeypatch.delenv(VARIABLE, raising=False)
    assert build_time.build_time() == RELEASED <= time.time()


FUTURE = (
    "$SOURCE_DATE_EPOCH is in the future: 2096-10-03 07:06 UTC, and this machine's clock says "
    "2096-10-02 07:06 [E0433]"
)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (str(NOW + 86_401), FUTURE),
        ("2026-11-21", "$SOURCE_DATE_EPOCH is no time: '2026-11-21' [E0433]"),
        ("-1", "$SOURCE_DATE_EPOCH is no time: '-1' [E0433]"),
        ("1e9", "$SOURCE_DATE_EPOCH is no time: '1e9' [E0433]"),
        (" 1", "$SOURCE_DATE_EPOCH is no time: ' 1' [E0433]"),
        ("1\n", r"$SOURCE_DATE_EPOCH is no time: '1\n' [E0433]"),
        ("٣", "$SOURCE_DATE_EPOCH is no time: '٣' [E0433]"),
        ("9" * 11, "$SOURCE_DATE_EPOCH is no time: '99999999999' [E0433]"),  # milliseconds
        ("x" * 50, f"$SOURCE_DATE_EPOCH is no time: '{'x' * 36}...' [E0433]"),
    ],
)
def test_a_variable_that_is_no_time_or_in_the_future_is_refused(text, what, monkeypatch):
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(UsageError) as error:
        build_time.build_time(NOW)
    assert error.value.what == what
    assert "git log -1 --pretty=%ct" in error.value.hint


def image(folder: Path, scheme: str):
    path = folder / "gateway.toml"
    path.write_text(GATEWAY.format(scheme=scheme))
    catalog = load_catalog()
    return resolve(load_gateway(path, catalog), find_board(catalog, "x86-pc"), catalog)


def test_it_is_in_images_with_tls_and_in_no_other(tmp_path):
    text = generate(image(tmp_path, "mqtts"), built_s=RELEASED).devices_c
    when = f"// the build time: {__released__} 00:00:00 UTC\n"
    assert f"{when}const uint32_t tls_built_s = {RELEASED}u;\n" in text
    plain = image(tmp_path, "mqtt")
    assert generate(plain, built_s=RELEASED) == generate(plain)


def test_check_finds_it_where_it_matters(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, "tomorrow")
    image(tmp_path, "mqtt")
    load_image(tmp_path / "gateway.toml", "")
    image(tmp_path, "mqtts")
    with pytest.raises(UsageError, match="is no time: 'tomorrow'"):
        load_image(tmp_path / "gateway.toml", "")
