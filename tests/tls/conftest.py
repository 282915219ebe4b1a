"""One device image and one set of certificates for all tests of TLS."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from tls_pki import CLIENT, Pki
from tls_rig import Device

from edgeuk.build import build
from edgeuk.cache import write_changed
from edgeuk.catalog import find_board, load_catalog
from edgeuk.gateway import load_gateway
from edgeuk.manifest import load_component
from edgeuk.resolve import Image, resolve

FIRMWARE = Path(__file__).parent / "firmware"
# Bytes of the heap that a connection takes besides the buffers for records, on 64 bits, measured
# (tests/boot/test_tls.py does): with our certificate, and one between the server's and the root;
# in the compatible profile the server's is of RSA, 2048 bits. Tests have a tenth more than all.
HEAP, HEAP_COMPATIBLE = 5112, 12_176
TRIED = "tried"  # property of a test
GATEWAY = """\
schema = 1
name = "device"
{top}
[mqtt]
url = "mqtts://localhost:8883"
{tls}
[[sensor]]
name = "unused"
driver = "sim"
shape = "ramp"
low = 0
high = 1
period = "1h"
every = "1h"
"""


def with_driver(image: Image) -> Image:
    """`image` with firmware/driver.c in place of firmware/app."""
    # Components are named by their folder below firmware/.
    app = load_component(FIRMWARE / "component.toml", "../tests/tls/firmware")
    parts = tuple(
        replace(part, component=app) if part.component.name == "app" else part
        for part in image.components
    )
    return replace(image, components=parts)


def with_heap(sizes: dict[str, int]) -> dict[str, int]:
    """The measured minimum and a tenth."""
    buffers = sizes["tls_record_bytes"] + sizes["tls_send_bytes"]
    return {
        **sizes,
        "tls_heap_bytes": (buffers + HEAP) * 11 // 10,
        "tls_compatible_heap_bytes": (buffers + HEAP_COMPATIBLE) * 11 // 10,
    }


@pytest.fixture
def counted(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Notes what the test has tried, for the line at the end of the run."""

    def count(what: str, times: int = 1) -> None:
        record_property(TRIED, (what, times))

    return count


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How much was tried: impostors by the reason for which they were refused, and the rest."""
    total: Counter[str] = Counter()
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == TRIED:
                what, times = value
                total[what] += times
    if total:
        terminalreporter.write_sep("-", "TLS: what was refused, and what was tried")
        for what, times in sorted(total.items()):
            terminalreporter.write_line(f"{times:7} {what}")


@pytest.fixture(scope="session")
def images(shared: Path) -> Callable[..., Path]:
    """The device's program for `tls`, lines of the gateway file, and sizes of the board; built once
    each, for all workers."""
    catalog = load_catalog()
    known: dict[tuple[object, ...], Path] = {}

    def get(tls: str = "", top: str = "", **sizes: int) -> Path:
        key = (tls, top, *sizes.items())
        if key not in known:
            folder = shared / f"tls-host-{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}"
            path = folder / "gateway.toml"
            write_changed(path, GATEWAY.format(tls=tls, top=top).encode())
            board = find_board(catalog, "host")
            board = replace(board, sizes=with_heap({**board.sizes, **sizes}) | sizes)
            image = resolve(load_gateway(path, catalog), board, catalog)
            known[key] = build(with_driver(image), folder / "build").image
        return known[key]

    return get


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """With a root `ca`, a `server` and a `device` by it, and a root `other`."""
    pki = Pki(tmp_path_factory.mktemp("pki"))
    pki.make("ca", ca=True)
    pki.make("other", ca=True)
    pki.make("server", issuer="ca")
    pki.make("device", issuer="ca", extended=CLIENT, names="")
    return pki


@pytest.fixture
def device(
    images: Callable[..., Path], pki: Pki, tmp_path: Path
) -> Iterator[Callable[..., Device]]:
    """Starts devices: with the certificates that are asked for, of that image."""
    with ExitStack() as stack:

        def start(
            tls: str = "", version: int = 5, sizes: Mapping[str, int] | None = None, **identity: str
        ) -> Device:
            values = pki.values(**identity) | {"mqtt.version": str(version)}
            return stack.enter_context(Device(images(tls, **sizes or {}), tmp_path, values))

        yield start
