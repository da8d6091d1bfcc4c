"""
Places at which a test can kill the worker.

`EVENTWRITER_FAULT=after_commit:3` ends the process with SIGKILL the third time it
reaches that place, as a power cut would. Each process counts for itself. Without
the variable a fault point is a dictionary look-up per batch.
"""

import os
import signal
from collections.abc import Callable, Mapping

POINTS = ("before_copy", "before_commit", "after_commit", "after_ack")
"""In the order in which a batch passes them."""


def fault_points(environ: Mapping[str, str]) -> Callable[[str], None]:
    """
    Return the function to call at each fault point.

    Args:
        environ: May hold `EVENTWRITER_FAULT`, ``POINT:N``; N defaults to 1.
    """
    text = environ.get("EVENTWRITER_FAULT", "")
    point, _, count = text.partition(":")
    if point not in POINTS:
        return lambda _: None
    left = {point: int(count or 1)}

    def pass_by(name: str) -> None:
        if name in left:
            left[name] -= 1
            if left[name] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return pass_by
