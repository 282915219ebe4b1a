"""A driver's own rules, for the tests of the checker: registers begin with `input:`."""

from edgeuk.plan import Problem, SensorSpec


def check(sensor: SensorSpec) -> list[Problem]:
    register = str(sensor.props.get("register", ""))
    if register.startswith("input:"):
        return []
    return [Problem("register", f"`{register}` is not a register", 'register = "input:0"')]
