"""When an image was built, as far as that may be in it: the same input gives the same bytes.

$SOURCE_DATE_EPOCH says it (https://reproducible-builds.org/specs/source-date-epoch/). Else, and
where that is earlier, it is the day on which this edgeuk was released. A device that does not know
the time of day takes it as later than this.
"""

import os
import re
import time
from datetime import UTC, datetime

from edgeuk import __released__
from edgeuk.errors import UsageError

VARIABLE = "SOURCE_DATE_EPOCH"
SLACK_S = 86_400  # what clocks of two machines may differ by
RELEASED_S = int(datetime.fromisoformat(__released__).replace(tzinfo=UTC).timestamp())
_HINT = f"seconds since 1970: {VARIABLE}=$(git log -1 --pretty=%ct); or unset it"


def build_time(now_s: float | None = None) -> int:
    """Seconds since 1970. Raises `UsageError` where the variable is no such time."""
    text = os.environ.get(VARIABLE, "")
    if not text:
        return RELEASED_S
    if not re.fullmatch("[0-9]{1,10}", text):
        shown = text if len(text) < 40 else text[:36] + "..."
        raise UsageError(f"${VARIABLE} is no time: {shown!r} [E0433]", hint=_HINT)
    now_s = time.time() if now_s is None else now_s
    if int(text) > now_s + SLACK_S:
        when, now = (f"{datetime.fromtimestamp(s, UTC):%Y-%m-%d %H:%M}" for s in (int(text), now_s))
        what = f"${VARIABLE} is in the future: {when} UTC, and this machine's clock says {now}"
        raise UsageError(f"{what} [E0433]", hint=_HINT)
    return max(int(text), RELEASED_S)
