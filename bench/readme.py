"""README.md's numbers, out of a results file: what stands between its two markers is written here,
so that no number there is typed by hand."""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bench.report import number

BEGIN, END = "<!-- measured: written by bench/run -->", "<!-- end of measured -->"
# {section/row} stands for a row's value, {section/row|} for that of what is beside it.
LINES = (
    (
        "`lm3s6965evb`: DHCP, DNS, MQTT 5, tmp105, five filters, SenML CBOR: flash, static RAM",
        "{size/lm3s6965evb flash}, {size/lm3s6965evb static RAM} B",
        "",
    ),
    (
        "`microbit`, readings over its serial port: flash, static RAM",
        "{size/microbit flash}, {size/microbit static RAM} B",
        "",
    ),
    (
        "`x86-microvm`, plain; with TLS: image",
        "{linux/image size}; {tls/x86-microvm ELF file with the default profile} B",
        "Linux, busybox, mosquitto_pub: {linux/image size|} B",
    ),
    (
        "least memory that works: plain; with TLS",
        "{linux/least memory}; "
        "{tls/x86-microvm memory in which it connects with the default profile} KiB",
        "{linux/least memory|} KiB",
    ),
    (
        "first message at the broker, over QEMU's floor",
        "{linux/first message over QEMU's floor} ms",
        "{linux/first message over QEMU's floor|} ms",
    ),
    (
        "entry to CONNACK by the image's own clock; on `x86-pc` a web service's first answer over "
        "QEMU's floor",
        "{boot/x86-microvm entry to CONNACK, guest's clock}; {http/first answer over the floor} ms",
        "",
    ),
    (
        "publishing at QoS 1, from the guest",
        "{publish/x86-microvm QoS 1 rate} /s",
        "libmosquitto in a Linux guest: {publish/libmosquitto, Linux guest QoS 1 rate} /s",
    ),
    (
        "build: cold, one file changed, nothing changed; boot, ten readings, broker restart on "
        "every board in QEMU",
        "{build/cold cache, x86-microvm}, {build/one source file changed, x86-microvm}, "
        "{build/nothing changed, x86-microvm}; {matrix/all} s",
        "",
    ),
    (
        "64 KB flashed through a virtual probe and booted; card image, of dd's speed",
        "{flash/64 KB through a virtual probe, until its first words} s; "
        "{flash/card image to a file, of dd's speed} %",
        "",
    ),
)
# Of every board with a network, B.
COLUMNS = (
    ("plain: flash", "{tls/B default profile adds flash|}"),
    ("static RAM", "{tls/B default profile adds static RAM|}"),
    (
        "TLS adds: flash, RAM",
        "{tls/B default profile adds flash}, {tls/B default profile adds static RAM}",
    ),
    (
        "compatible profile: flash, RAM",
        "{tls/B compatible profile adds flash}, {tls/B compatible profile adds static RAM}",
    ),
    ("handshake, ms", "{tls/B handshake}"),
    ("with a ticket", "{tls/B handshake with a ticket}"),
    ("start of QEMU to CONNACK, ms", "{network/B exec to CONNACK}"),
    ("idle, % of a core", "{idle/B share of one core}"),
)
REMARKS = (
    "Bytes; the gateway of `bench/gateways/second.toml`, on `lm3s6965evb` that of the first table. "
    "On Cortex-M3 TLS takes {tls/lm3s6965evb default profile adds stack} bytes of stack more. "
    "Handshakes with a client certificate; a Linux process with the same broker in the same run: "
    "{tls/Linux process handshake} ms, with a ticket {tls/Linux process handshake with a ticket}. "
    "`rpi4` over PPP; `frdm-k64f` in edgeuk's own model: the model's time, not the chip's."
)


def update(page: Path, about: Mapping[str, str], rows: Iterable[Mapping[str, Any]]) -> bool:
    """Replace what stands between the markers of `page`; False where it has none."""
    text = page.read_text()
    if BEGIN not in text:
        return False
    before, after = text[: text.index(BEGIN)], text[text.index(END) :]
    page.write_text(f"{before}{BEGIN}\n{tables(about, rows)}\n{after}")
    return True


def tables(about: Mapping[str, str], rows: Iterable[Mapping[str, Any]]) -> str:
    """What is measured on one board; what is measured on all."""
    known = values(rows)

    def fill(text: str) -> str:
        return re.sub(r"\{([^}]+)\}", lambda found: number(known.get(found[1])), text)

    where = (
        f"On {about['cores']} shared cores of {about['processor']}, QEMU {about['qemu']} without "
        f"hardware acceleration, {about['date'][:10]}."
    )
    lines = ["| | edgeuk | beside |", "|---|--:|--:|"]
    lines += [f"| {what} | {fill(ours)} | {fill(beside)} |" for what, ours, beside in LINES]
    boards = sorted(key[4:-10] for key in known if re.fullmatch(r"tls/[\w-]+ handshake", key))
    head = ["board", *(name for name, _ in COLUMNS)]
    wide = [f"| {' | '.join(head)} |", f"|---|{'--:|' * len(COLUMNS)}"]
    for board in boards:
        cells = [fill(text.replace("/B ", f"/{board} ")) for _, text in COLUMNS]
        wide.append(f"| {' | '.join([f'`{board}`', *cells])} |")
    return "\n".join([where, "", *lines, "", *wide, "", fill(REMARKS)])


def values(rows: Iterable[Mapping[str, Any]]) -> dict[str, float | None]:
    """By section and row; with a bar behind, of what is beside it."""
    known: dict[str, float | None] = {}
    for row in rows:
        key = f"{row['section']}/{row['what'].replace(' over PPP', '')}"
        if key.startswith("matrix/all "):  # of so many boards
            key = "matrix/all"
        known[key] = row["value"]
        known[f"{key}|"] = row["peer_value"]
    return known


def last(results: Path) -> str:
    """The tables of the newest results file that has all sections."""
    for path in sorted(results.glob("*.json"), reverse=True):
        content = json.loads(path.read_text())
        if {"size", "tls", "linux", "matrix"} <= {row["section"] for row in content["rows"]}:
            return tables(content["machine"], content["rows"])
    return ""
