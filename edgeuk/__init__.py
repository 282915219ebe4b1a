"""edgeuk: one description of an IoT gateway becomes one image that is the whole machine."""

__version__ = "0.1.0"
__released__ = "2026-11-21"  # UTC; of the first commit until there is one. See build_time.py
