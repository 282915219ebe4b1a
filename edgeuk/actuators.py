"""[[actuator]] tables of a gateway file: what commands over MQTT switch on and off."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgeuk.catalog import Catalog
from edgeuk.manifest import check_props
from edgeuk.sensors import At, read_at
from edgeuk.tables import Table
from edgeuk.values import DAY_MS, NAME, nearest

STATES = ("off", "on")
ON_DISCONNECT = ("keep", "off", "on")
HOLD_MS = 10_000
NAMES_MAX = 255  # actuators of one gateway; counted in a byte


@dataclass(frozen=True, slots=True)
class Actuator:
    """One actuator; `props` checked against its driver, with the defaults filled in."""

    name: str
    driver: str
    at: At | None
    initial: bool  # from boot to the first command
    on_disconnect: str  # keep, off, on: what it becomes without a broker
    hold_ms: int  # how long after that
    obey_retained: bool  # also commands that the broker kept
    props: Mapping[str, Any]
    optional: bool = False  # left out on boards that cannot have it


def read_actuator(table: Table, catalog: Catalog) -> Actuator | None:
    """One [[actuator]]; None where its driver is unknown."""
    name = _name(table)
    driver_name = table.text("driver", hint="`edgeuk drivers` lists them")
    driver = catalog.drivers.get(driver_name)
    initial = table.choice("initial", STATES, "off") == "on"
    on_disconnect = table.choice("on_disconnect", ON_DISCONNECT, "keep") or "keep"
    hold_ms = table.duration_ms("hold", HOLD_MS, low=0, high=DAY_MS)
    if "hold" in table and on_disconnect == "keep" and not {"hold", "on_disconnect"} & table.bad:
        what = "`hold` without `on_disconnect`: it keeps its state however long the broker is away"
        table.fault("W0701", what, "hold", of_key=True, hint='on_disconnect = "off"')
    obey_retained = table.boolean("obey_retained", False)
    optional = table.boolean("optional", False)
    if not driver or driver.cls != "actuator":
        known = [d.name for d in catalog.drivers.values() if d.cls == "actuator"]
        hint = nearest(driver_name, known)
        if driver:
            what = f"`{driver_name}` is not an actuator but of class {driver.cls}"
            table.fault("E0406", what, "driver", hint=hint)
        elif "driver" not in table.bad:
            table.fault("E0301", f"unknown driver `{driver_name}`", "driver", hint=hint)
        return None
    at = read_at(table, driver, set())
    props = check_props(table, driver.props, f"driver `{driver.name}`")
    table.close()
    return Actuator(
        name,
        driver.name,
        at,
        initial,
        on_disconnect,
        hold_ms,
        obey_retained,
        props,
        optional,
    )


def _name(table: Table) -> str:
    hint = "letters, digits and - : . _, at most 63, a letter or digit first"
    name = table.text("name", pattern=NAME.pattern, meaning="a SenML name", hint=hint)
    if "/" in name and "name" not in table.bad:
        what = f"`{name}` cannot be the end of a topic: commands go to <topic>/set/<name>"
        table.fault("E0207", what, "name", hint=f"such as `{name.replace('/', '-')}`")
    return name
