"""A lab on loopback: labgrid's coordinator, our exporter, and the environment of a client. The
exporter has folders of its own, as on another machine; so nothing but its ports joins the two."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

from edgeuk.paths import data_roots
from edgeuk.run.broker import free_port

EXAMPLES = data_roots().boards.parent / "hil/labgrid"
START_S, END_S, RUN_S = 60, 20, 250


@contextmanager
def program(log, ready, *argv, env):
    """One that runs until the end of the block, once it has printed `ready`."""
    command = [sys.executable, "-u", "-m", *argv]
    with log.open("wb") as out:
        child = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, env=env, cwd=log.parent
        )
    try:
        end = time.monotonic() + START_S
        while child.poll() is None and ready not in log.read_text():
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.01)  # a file has no event
        assert child.poll() is None, log.read_text()
        yield
    finally:
        child.terminate()
        child.wait(END_S)


class Lab:
    """The environment of a client, and what programs say in it."""

    def __init__(self, env):
        self.env = env

    def run(self, *arguments, status=0, **env):
        argv = [sys.executable, "-m", *map(str, arguments)]
        done = subprocess.run(
            argv, env=self.env | env, capture_output=True, text=True, timeout=RUN_S, check=False
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    def say(self, *arguments):
        """labgrid's own client."""
        return self.run("labgrid.remote.client", "-p", "desk", *arguments)


@contextmanager
def lab(logs, exported, environment, **env):
    """Coordinator, exporter with the file `exported`, and a place `desk` that nobody has."""
    folder = Path(tempfile.mkdtemp(prefix="ek-"))  # sockets have short names
    address = f"127.0.0.1:{free_port()}"
    base = os.environ | {"LG_COORDINATOR": address, "LG_USERNAME": "tester", "LG_PLACE": "desk"}
    base |= {"LG_ENV": str(environment)} | env
    there, here = (base | {"XDG_RUNTIME_DIR": str(folder / name)} for name in ("there", "here"))
    for one in (there, here):
        Path(one["XDG_RUNTIME_DIR"]).mkdir()
    there["EDGEUK_CACHE"] = str(folder / "cache")
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        coordinator = ("labgrid.remote.coordinator", "--listen", address)
        stack.enter_context(
            program(logs / "coordinator", "Coordinator ready", *coordinator, env=base)
        )
        offer = ("edgeuk.labgrid.exporter", "--name", "lab", str(exported))
        stack.enter_context(program(logs / "exporter", "Exporter ready", *offer, env=there))
        made = Lab(here)
        made.say("create")
        made.say("add-match", "lab/desk/*")
        yield made
    assert "Traceback" not in (logs / "exporter").read_text()
