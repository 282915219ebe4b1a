"""Board x86-pc in QEMU's pc and q35: the web service of examples/http-hello, started by the command
line that newcomers find; virtio over PCI in all its forms; a gateway with a broker.

Interrupts are seen at work by requests to a machine that sleeps: without them an answer would wait
for the next timer, 250 ms at most and often.
"""

import os
import re
import socket
import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from boot_rig import Built, collect, has_readings, readings

from edgeuk import device_config
from edgeuk.build import build
from edgeuk.catalog import find_board
from edgeuk.errors import ToolError
from edgeuk.gateway import load_gateway
from edgeuk.resolve import resolve
from edgeuk.run.broker import free_port
from edgeuk.run.emulator import environment, find
from edgeuk.run.process import Process

EXAMPLE = Path(__file__).parents[2] / "examples/http-hello/gateway.toml"
# As it is known, but for the port on this machine, and with the console where it can be read.
LITERAL = (
    "qemu-system-x86_64 -no-acpi -no-reboot -device virtio-net-pci,netdev=net0 "
    "-netdev user,id=net0,hostfwd=tcp::8080-:8080 -kernel my-http-server.img"
)
QUIET = ("-display", "none", "-serial", "stdio", "-monitor", "none")
STATIC = {"net.address": "10.0.2.15", "net.prefix": "24", "net.gateway": "10.0.2.2"}
CARDS = {
    "transitional": "",
    "modern-only": ",disable-legacy=on",
    "legacy-only": ",disable-modern=on",
    "modern-line": ",disable-legacy=on,vectors=0",
    "legacy-line": ",disable-modern=on,vectors=0",
}
LIMIT_S = 60.0
REQUESTS = 9
# A packet and its answer through a sleeping machine take about a millisecond; a timer 250.
ANSWER_S = 0.1


@pytest.fixture(scope="module")
def service(tmp_path_factory, catalog) -> Built:
    folder = tmp_path_factory.mktemp("http-hello")
    image = resolve(load_gateway(EXAMPLE, catalog), find_board(catalog, "x86-pc"), catalog)
    return Built(image, build(image, folder))


@contextmanager
def running(
    command: str, image: Path, *extra: str, env: Mapping[str, str] | None = None
) -> Iterator[tuple[Process, int]]:
    """The machine, listening, and its port on this machine; "tcp::8080" and the image's name in
    `command` are replaced."""
    port = free_port()
    command = command.replace("tcp::8080", f"tcp:127.0.0.1:{port}")
    argv = command.replace("my-http-server.img", str(image)).split()
    with Process([*argv, *QUIET, *extra], env=env) as machine:
        machine.wait_line("net: 10.0.2.15", LIMIT_S)
        yield machine, port


class Client:
    """One connection to the service."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), LIMIT_S)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def get(self, path: str) -> tuple[str, dict[str, str], str]:
        """Status line, fields by lower-case name, content."""
        self._socket.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._more()
        head, _, content = data.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        fields = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        while len(content) < int(fields["content-length"]):
            content += self._more()
        return status, fields, content.decode()

    def _more(self) -> bytes:
        data = self._socket.recv(4096)
        assert data, "the service ended the connection"
        return data


def assert_greets(port: int, path: str = "/some/path") -> None:
    with Client(port) as client:
        status, _, content = client.get(path)
    assert (status, content) == ("HTTP/1.1 200 OK", f"Hello from Unikernel! Path: {path}")


def test_the_known_command_line_boots_the_service(service):
    with running(LITERAL, service.result.image) as (_, port):
        assert_greets(port)


def test_the_known_command_line_boots_it_under_kvm(service):
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        pytest.skip("this machine has no /dev/kvm, or not for us")
    command = LITERAL.replace("-no-acpi", "-enable-kvm -no-acpi")
    with running(command, service.result.image) as (_, port):
        assert_greets(port)


@pytest.mark.parametrize("kvm", ["", "-enable-kvm "])
def test_the_command_line_of_a_qemu_that_dropped_no_acpi_boots_the_service(service, kvm):
    try:
        newer = find("qemu-system-x86_64", 9)
    except ToolError as e:
        pytest.skip(str(e))
    if kvm and not os.access("/dev/kvm", os.R_OK | os.W_OK):
        pytest.skip("this machine has no /dev/kvm, or not for us")
    command = LITERAL.replace("-no-acpi", f"{kvm}-machine acpi=off")
    command = command.replace("qemu-system-x86_64", " ".join(newer.command))
    with running(command, service.result.image, env=environment(newer)) as (_, port):
        assert_greets(port)


def test_the_image_has_neither_mqtt_nor_a_pipeline_and_is_small(service):
    names = {part.part for part in service.result.sizes.parts}
    assert not names & {"component/mqtt", "component/pipeline", "component/app"}
    assert service.result.flash_bytes <= 64 * 1024
    assert service.result.image.stat().st_size <= 64 * 1024


@pytest.mark.parametrize("card", CARDS.values(), ids=CARDS)
@pytest.mark.parametrize("machine", ["pc", "q35"])
def test_every_kind_of_card_wakes_a_machine_that_sleeps(service, machine, card):
    command = LITERAL.replace("-no-acpi", f"-machine {machine},acpi=off -m 2M -vga none")
    command = command.replace("netdev=net0", f"netdev=net0{card},romfile=", 1)
    with running(command, service.result.image) as (_, port), Client(port) as client:
        times = []
        for number in range(REQUESTS):
            time.sleep(0.05 + 0.013 * number)  # out of step with the machine's timers
            start = time.monotonic()
            client.get(f"/{number}")
            times.append(time.monotonic() - start)
    assert statistics.median(times) < ANSWER_S, times


@pytest.mark.parametrize("machine", ["pc", "q35"])
def test_an_intel_card_serves_and_wakes_a_machine_that_sleeps(service, machine):
    command = LITERAL.replace("-no-acpi", f"-machine {machine},acpi=off -m 2M -vga none")
    command = command.replace("virtio-net-pci,netdev=net0", "e1000e,netdev=net0,romfile=")
    with running(command, service.result.image) as (_, port):
        times = []
        with Client(port) as client:
            for number in range(REQUESTS):
                time.sleep(0.05 + 0.013 * number)
                start = time.monotonic()
                client.get(f"/{number}")
                times.append(time.monotonic() - start)
        assert statistics.median(times) < ANSWER_S, times
        for number in range(40):
            assert_greets(port, f"/{number}")


def test_of_two_kinds_of_card_the_virtual_one_is_taken(service):
    command = LITERAL.replace("-no-acpi", "-no-acpi -nic none -device e1000e,romfile=")
    with running(command, service.result.image) as (_, port):
        assert_greets(port)


@pytest.mark.parametrize("machine", ["pc", "q35"])
def test_a_gateway_with_an_intel_card_survives_a_pulled_cable(
    gateways, boot, broker, monitor, machine
):
    sensor = '[[sensor]]\nname = "wave"\ndriver = "sim"\nshape = "ramp"\nlow = 0\nhigh = 1000\n'
    built = gateways("x86-pc", sensor + 'period = "100s"\nevery = "100ms"\n')
    qemu = built.image.board.qemu
    args = tuple(a.replace("virtio-net-pci", "e1000e") for a in qemu.args)
    board = replace(built.image.board, qemu=replace(qemu, args=args))
    built = replace(built, image=replace(built.image, board=board))
    values = {"mqtt.port": str(broker.port)}
    running = boot(built, values, extra=("-machine", f"{machine},acpi=off"))
    collect(monitor, has_readings("wave", 20))
    running.qmp("set_link", name="net0", up=False)
    running.wait_line("link down", 30)
    running.qmp("set_link", name="net0", up=True)
    running.wait_line("link up", 30)
    found = readings(collect(monitor, has_readings("wave", 40)), "wave")
    assert len({r.value for r in found}) == len(found)


def test_a_card_behind_a_bridge_and_one_among_others_are_found(service):
    command = LITERAL.replace(
        "-device virtio-net-pci,netdev=net0",
        "-machine q35 -device pcie-root-port,id=rp0,chassis=1 -device virtio-balloon-pci "
        "-device virtio-rng-pci -device virtio-net-pci,netdev=net0,bus=rp0",
    )
    with running(command, service.result.image) as (machine, port):
        assert_greets(port)
        assert "entropy device" in machine.wait_line("edgeuk x86-pc", LIMIT_S)


def test_a_machine_without_a_card_says_so_and_lives(service):
    argv = ["qemu-system-x86_64", "-no-reboot", "-nic", "none", *QUIET]
    with Process([*argv, "-kernel", str(service.result.image)]) as machine:
        machine.wait_line("no network device", LIMIT_S)
        assert machine.poll() is None


def test_a_client_that_comes_before_the_address_need_not_come_again(service):
    port = free_port()
    command = LITERAL.replace("tcp::8080", f"tcp:127.0.0.1:{port}")
    argv = command.replace("my-http-server.img", str(service.result.image)).split()
    with Process([*argv, *QUIET]) as machine:
        start = time.monotonic()
        while time.monotonic() < start + LIMIT_S:
            with suppress(ConnectionRefusedError):  # QEMU is not there yet
                assert_greets(port)
                break
        # QEMU would send the first packet again after 6 s.
        assert time.monotonic() - start < 5, machine.tail()


def test_a_static_address_comes_from_the_device_configuration(service, tmp_path):
    blob = tmp_path / "config.bin"
    blob.write_bytes(device_config.encode({"name": "hello", **STATIC}))
    base = service.image.board.memory["config"].base
    extra = ("-device", f"loader,file={blob},addr={base:#x},force-raw=on")
    with running(LITERAL, service.result.image, *extra) as (machine, port):
        assert "static" in machine.wait_line("net: 10.0.2.15", LIMIT_S)
        assert_greets(port)


def test_many_clients_at_a_time_and_many_after_each_other_are_served(service):
    with running(LITERAL, service.result.image) as (_, port):
        for number in range(40):  # more than there are control blocks
            assert_greets(port, f"/{number}")
        clients = [Client(port) for _ in range(8)]
        for number, client in enumerate(clients):
            assert client.get(f"/client/{number}")[2].endswith(f"/client/{number}")
        assert_greets(port, "/one-more")  # the connection that waits longest makes room
        for client in clients:
            client.__exit__()


@pytest.mark.parametrize("extra", [(), ("-machine", "q35,acpi=off")], ids=["pc", "q35"])
def test_a_gateway_publishes_from_a_pc(gateways, boot, broker, monitor, extra):
    sensor = '[[sensor]]\nname = "wave"\ndriver = "sim"\nshape = "ramp"\nlow = 0\nhigh = 1000\n'
    built = gateways("x86-pc", sensor + 'period = "100s"\nevery = "100ms"\n')
    machine = boot(built, {"mqtt.port": str(broker.port)}, extra=extra)
    found = readings(collect(monitor, has_readings("wave", 30)), "wave")
    assert len({r.value for r in found}) == len(found)
    assert re.search(r"entropy device", "\n".join(machine.lines))
