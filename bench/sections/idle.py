"""Processor time of a gateway that sends one reading a second: QEMU's, all threads."""

import time
from collections.abc import Iterator

from bench.images import GATEWAYS, Bench, cards, command, make, modem_of
from bench.report import Row, failed, row
from bench.tap import Tap
from bench.vm import EXIT, MESSAGE, Vm
from edgeuk.errors import EdgeukError

BOOT_S, WATCH_S = 20.0, 5.0


def measure(bench: Bench) -> Iterator[Row]:
    """A row per network device; two watches of five seconds at most."""
    for board, image in cards(GATEWAYS / "second.toml"):
        what = f"{board} share of one core"
        try:
            elf = make(bench, image).image
        except EdgeukError as e:
            note = failed(f"{board} does not build", e)
            yield Row("idle", what, "%", None, note=note)
            continue
        shares = []
        for _ in range(min(bench.rounds, 2)):
            tap = Tap(bench.broker, "bench/second/data")
            modem = modem_of(image)
            with Vm(command(bench, image, elf, modem=modem), tap, modem) as vm:
                if vm.wait(MESSAGE, BOOT_S):
                    shares.append(_share(vm))
            tap.close()
        yield row("idle", what, "%", shares)


def _share(vm: Vm) -> float:
    """Percent over WATCH_S; the watch is the wait for an end that does not come."""
    before, started = vm.cpu_s(), time.monotonic()
    if vm.wait(EXIT, WATCH_S):
        raise RuntimeError(f"the machine ended: {vm.console!r}")
    return 100 * (vm.cpu_s() - before) / (time.monotonic() - started)
