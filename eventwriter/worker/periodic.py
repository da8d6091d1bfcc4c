"""
Periodic tasks beside the pipeline.

Several workers may have the same task. An advisory lock in the database lets one of them run it at a time.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from eventwriter.errors import EventwriterError, Fatal

log = logging.getLogger(__name__)

FIRST_RUN_S = 5.0
"""Delay before the first run; short, so that a daemon that is restarted often still runs the task."""
_JITTER = 0.1
"""Share by which intervals vary, so that workers that started together do not run in step."""


async def run_every(interval_s: Callable[[], float], task: Callable[[], Awaitable[object]], failure: str) -> None:
    """
    Run a task forever.

    Args:
        interval_s: Called after each run; returns the seconds until the next.
        failure: Log message for a run that failed.
    """
    await asyncio.sleep(FIRST_RUN_S)
    while True:
        try:
            await task()
        except EventwriterError as error:
            # The pipeline reports outages, and tables that are missing.
            level = logging.WARNING if isinstance(error, Fatal) else logging.DEBUG
            log.log(level, "%s", failure, extra={"error": str(error)})
        await asyncio.sleep(interval_s() * random.uniform(1 - _JITTER, 1 + _JITTER))  # noqa: S311
