"""What an exporter offers, as its clients see it."""

import attr
from labgrid.factory import target_factory
from labgrid.resource.common import NetworkResource

_IS_TEXT = attr.validators.instance_of(str)
_MAY_BE_PORT = attr.validators.optional(attr.validators.instance_of(int))


@target_factory.reg_resource
@attr.s(eq=False)
class EdgeukVirtualBoard(NetworkResource):
    """A virtual board that runs at the exporter while a place with it is acquired."""

    port: int | None = attr.ib(default=None, validator=_MAY_BE_PORT)  # of its daemon, while it runs
    board: str = attr.ib(default="", validator=_IS_TEXT)
    chip: str = attr.ib(default="", validator=_IS_TEXT)


@target_factory.reg_resource
@attr.s(eq=False)
class EdgeukProbe(NetworkResource):
    """A debug probe at the exporter, served by `pyocd server` while a place with it is acquired."""

    port: int | None = attr.ib(default=None, validator=_MAY_BE_PORT)
    board: str = attr.ib(default="", validator=_IS_TEXT)
    chip: str = attr.ib(default="", validator=_IS_TEXT)
