"""The Python part of drivers: their host.py, loaded from the driver's folder (see plan.py)."""

import importlib.util
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

from edgeuk.manifest import Driver
from edgeuk.plan import Plan, Problem, SensorSpec


def driver_check(driver: Driver, sensor: SensorSpec) -> list[Problem]:
    """The faults that the driver's host.py finds in a sensor; none without a host.py."""
    problems: list[Problem] = _host(driver.folder).check(sensor) if driver.has_host else []
    return problems


def driver_plan(driver: Driver, sensors: Sequence[SensorSpec], first_channel: int) -> Plan:
    """What the driver's host.py makes of all its sensors; they must have passed `driver_check`."""
    plan: Plan = _host(driver.folder).plan(sensors, first_channel)
    return plan


def host_props(props: Mapping[str, Any]) -> dict[str, Any]:
    """Properties as host.py takes them: as TOML gives them, so no Decimal. Thirteen digits are
    exact both ways, and a factor or a limit has no more."""
    return {k: float(v) if isinstance(v, Decimal) else v for k, v in props.items()}


def _host(folder: Path) -> ModuleType:
    name = f"edgeuk.drivers.{folder.name}.host"
    module = sys.modules.get(name)
    if module is None or module.__file__ != str(folder / "host.py"):
        spec = importlib.util.spec_from_file_location(name, folder / "host.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return module
