"""A mosquitto configuration in which a device is who its certificate says."""

import os
from collections.abc import Mapping
from pathlib import Path

PORT = 8883
READER = "reader"
CONF = """\
# Written by `edgeuk provision`; start it with: mosquitto -c {conf}
# Only those who show a certificate of this project's CA are let in, under the name in it.
{user}listener {port}
cafile {folder}/ca.crt
certfile {folder}/server.pem
keyfile {folder}/server.pem
require_certificate true
use_identity_as_username true
allow_anonymous false
acl_file {folder}/acl
"""
ACL = """\
# Written by `edgeuk provision`: who may do what. A name that is not here may do nothing.
# {reader} reads everything and may command: its certificate is {reader}.pem.
user {reader}
topic readwrite #
"""
ENTRY = """
user {name}
topic readwrite {topic}/#
"""


def conf(folder: Path, port: int = PORT) -> str:
    """mosquitto.conf(5): relative paths would be seen from where it is started."""
    # Started by root, mosquitto becomes `mosquitto`, who cannot read a folder of root's.
    user = "user root\n" if os.geteuid() == 0 else ""
    return CONF.format(conf=folder / "mosquitto.conf", folder=folder, port=port, user=user)


def acl(topics: Mapping[str, str]) -> str:
    """The access list: each device by its name, below its own topic."""
    entries = (ENTRY.format(name=name, topic=topic) for name, topic in sorted(topics.items()))
    return ACL.format(reader=READER) + "".join(entries)
