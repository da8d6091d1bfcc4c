"""
Chores: what a worker does at intervals beside its line, and what must never hold the line up.

Several workers may have the same one; an advisory lock in the database lets one of them
at it, and the others find it done.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from eventwriter.errors import EventwriterError, Fatal

log = logging.getLogger(__name__)

FIRST_S = 5.0
"""Until the first time: a daemon that is restarted more often than the interval must come to it as well."""
_JITTER = 0.1
"""Share by which intervals vary, so that workers that began together do not go on together."""


async def at_intervals(chore: Callable[[], Awaitable[object]], interval_s: Callable[[], float], what: str) -> None:
    """
    Do a chore for ever.

    Args:
        interval_s: Asked after each time: seconds until the next.
        what: What was not done where it fails, for the log.
    """
    await asyncio.sleep(FIRST_S)
    while True:
        try:
            await chore()
        except EventwriterError as error:
            # An outage is the line's to report, and a table that is gone is too.
            level = logging.WARNING if isinstance(error, Fatal) else logging.DEBUG
            log.log(level, "%s", what, extra={"error": str(error)})
        await asyncio.sleep(interval_s() * random.uniform(1 - _JITTER, 1 + _JITTER))  # noqa: S311
