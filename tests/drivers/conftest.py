"""The fixture `load`, by which every driver test runs its driver: see driver_harness.py."""

from driver_harness import libraries, load

__all__ = ["libraries", "load"]
