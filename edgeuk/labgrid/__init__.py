"""Boards in a lab that labgrid manages: importing this registers resources and drivers.

An environment file says `imports: [edgeuk.labgrid]`; the exporter is `python -m
edgeuk.labgrid.exporter`. Only these files need the package `labgrid`, and nothing imports them
unasked.
"""

from edgeuk.labgrid.card import EdgeukCardDriver
from edgeuk.labgrid.drivers import EdgeukProbeDriver, EdgeukVirtualBoardDriver, FlashProtocol
from edgeuk.labgrid.resources import EdgeukProbe, EdgeukVirtualBoard

__all__ = [
    "EdgeukCardDriver",
    "EdgeukProbe",
    "EdgeukProbeDriver",
    "EdgeukVirtualBoard",
    "EdgeukVirtualBoardDriver",
    "FlashProtocol",
]
