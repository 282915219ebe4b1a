"""edgeuk: one description of an IoT gateway becomes one image that is the whole machine."""

__version__ = "0.1.0"
