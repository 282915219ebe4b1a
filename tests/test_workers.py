"""tests/conftest.py: with several workers, a file that compiles for itself stays on one of them."""

import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

HERE = Path(__file__).parent
TESTS = """
import pytest

@pytest.mark.parametrize("number", range(8))
def test_worker(number, worker_id, record_property):
    record_property("worker", worker_id)
"""


def test_files_that_compile_stay_on_one_worker(tmp_path):
    shutil.copy(HERE.parent / "pyproject.toml", tmp_path)
    for name in ("c/test_one.py", "drivers/test_two.py", "unit/test_three.py"):
        file = tmp_path / "tests" / name
        file.parent.mkdir(parents=True)
        file.write_text(TESTS)
    shutil.copy(HERE / "conftest.py", tmp_path / "tests")
    options = ("-n", "2", "--dist", "loadscope", "-p", "no:cacheprovider", "--junit-xml", "r.xml")
    command = [sys.executable, "-m", "pytest", *options]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=120)
    workers = {}
    for case in ET.parse(tmp_path / "r.xml").getroot().iter("testcase"):
        worker = case.find("properties/property").get("value")
        workers.setdefault(case.get("classname"), set()).add(worker)
    assert len(workers["tests.c.test_one"]) == len(workers["tests.drivers.test_two"]) == 1
    assert len(workers["tests.unit.test_three"]) == 2
