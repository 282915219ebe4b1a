"""What a lab has around a Raspberry Pi 4, in front of one that QEMU runs: a power switch and a
relay in the network cable (HTTP), a serial port (TCP), and a card that a multiplexer moves between
two folders, its two sides. As the Pi's firmware does, the board takes its files off the card."""

import os
import re
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from edgeuk.catalog import find_board, load_catalog
from edgeuk.flash import card
from edgeuk.run.qemu import Qemu

BOARD = "rpi4"
SLOTS = {2: card.START + card.SELECT, 3: card.START + card.SELECT + card.SLOT}
# The command of the USB-SD-Mux; the card is in one folder or in the other.
MUX = """#!/bin/sh
here="$1/$2/card.img"
test -e "$here" || mv "$1"/*/card.img "$here"
echo "mux $2" >>"$1/log"
"""
# In the place of SSH: the commands run here, after what a connection needs has been feigned.
SSH = """#!/bin/sh
for word; do
    case "$last" in -O) exit 0 ;; esac
    case "$word" in ControlPath=*) control="${word#ControlPath=}" ;; esac
    case "$word" in -MN) master=1 ;; esac
    last="$word"
done
test -n "$master" && exec touch "$control"
while test "$1" != elsewhere; do shift; done
shift
test "$1" = -- && shift
echo "ssh $*" >>"$RACK/log"
exec sh -c "$*"
"""


def own_address():
    """This machine's, on the way to others; no packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.77", 9))  # RFC 5737
        except OSError:
            pytest.skip("this machine has no address but loopback")
        return probe.getsockname()[0]


class Rack:
    """A context manager; `folder/log` says what happened, in order."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "log").write_text("")
        for side in ("host", "dut"):
            (folder / side).mkdir()
        (folder / "dut/card.img").write_bytes(b"\0")  # a new card
        self.programs = folder / "programs"
        self.programs.mkdir()
        for name, text in (("usbsdmux", MUX), ("ssh", SSH)):
            (self.programs / name).write_text(text)
            (self.programs / name).chmod(0o755)
        self.path = f"{self.programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        self._board = find_board(load_catalog(), BOARD)
        self._machine = None
        self._plugged = True
        self._listeners = set()
        rack = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                rack.power(self.path.endswith("1"))
                self.answer()

            def do_PUT(self):
                rack.cable(self.rfile.read(int(self.headers["Content-Length"])) == b"in")
                self.answer()

            def answer(self):
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self._http = HTTPServer(("127.0.0.1", 0), Handler)
        self._serial = socket.create_server(("127.0.0.1", 0))
        # One thread for all: QEMU ends with the thread that has started it.
        self._threads = [
            threading.Thread(target=f, daemon=True)
            for f in (self._http.serve_forever, self._accept)
        ]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._http.shutdown()
        self._threads[0].join(10)
        self._http.server_close()
        with suppress(OSError):
            self._serial.shutdown(socket.SHUT_RDWR)
        self._threads[1].join(10)
        self._serial.close()
        for port in self._listeners:
            port.close()
        if self._machine:
            self._machine.__exit__(None, None, None)

    def offers(self):
        """What its exporter's file says."""
        url = f"http://127.0.0.1:{self._http.server_port}"
        usb = "busnum: 1, devnum: 2, vendor_id: 0x0424, model_id: 0x4041"
        disk = f"path: {self.folder}/host/card.img, control_path: {self.folder}"
        serial = self._serial.getsockname()[1]
        output = "body_asserted: in, body_deasserted: out"
        return f"""\
desk:
  NetworkPowerPort: {{model: simplerest, host: '{url}/{{value}}', index: 0}}
  NetworkSerialPort: {{host: 127.0.0.1, port: {serial}, protocol: raw}}
  NetworkUSBSDMuxDevice: {{host: elsewhere, {usb}, {disk}}}
  HttpDigitalOutput: {{url: '{url}/cable', {output}}}
"""

    def power(self, on):
        """The switch."""
        if on == (self._machine is not None):
            return
        self._say("power " + ("on" if on else "off"))
        if self._machine:
            self._machine.__exit__(None, None, None)
            self._machine = None
        elif (self.folder / "dut/card.img").exists():  # else there is nothing to boot
            self._machine = self._boot()

    def cable(self, plugged):
        """The relay."""
        self._say("cable " + ("in" if plugged else "out"))
        self._plugged = plugged
        if self._machine:
            self._machine.qmp("set_link", name="net0", up=plugged)

    def log(self):
        return (self.folder / "log").read_text().splitlines()

    def _boot(self):
        select = self._files(card.START, "select")
        lines = select["autoboot.txt"].read_text().splitlines()
        slot = int(lines[lines.index("tryboot_a_b=1") + 1].removeprefix("boot_partition="))
        files = self._files(SLOTS[slot], "slot")
        text = files["config.txt"].read_text()
        kernel = re.search(r"^kernel=(\S+)$", text, re.M)[1]
        name, address = re.search(r"^initramfs (\S+) (0x[0-9a-f]+)$", text, re.M).groups()
        region = replace(self._board.memory["config"], base=int(address, 16))
        board = replace(self._board, memory={**self._board.memory, "config": region})
        blob = files[name].read_bytes()
        machine = Qemu(board, files[kernel], blob, netdev="user,id=net0", on_line=self._print)
        return machine.__enter__()

    def _files(self, offset, name):
        """Of one of the card's file systems, by mtools."""
        folder = self.folder / name
        subprocess.run(["rm", "-rf", str(folder)], check=True)
        folder.mkdir()
        image = f"{self.folder}/dut/card.img@@{offset}"
        subprocess.run(["mcopy", "-s", "-i", image, "::*", str(folder)], check=True, timeout=60)
        return {p.relative_to(folder).as_posix().lower(): p for p in folder.rglob("*")}

    def _accept(self):
        with suppress(OSError):
            while True:
                self._listeners.add(self._serial.accept()[0])

    def _print(self, line):
        for port in set(self._listeners):
            try:
                port.sendall(line.encode() + b"\r\n")
            except OSError:
                self._listeners.discard(port)

    def _say(self, what):
        with (self.folder / "log").open("a") as file:
            file.write(what + "\n")
