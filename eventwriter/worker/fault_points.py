"""
Places at which a test can kill the worker.

`EVENTWRITER_FAULT=after_commit:3` ends the process with SIGKILL the third time it
reaches that place, as a power cut would. Each process counts for itself. Without
the variable a fault point is a dictionary look-up per batch.
"""

import ctypes
import os
import signal
from collections.abc import Callable, Mapping

from eventwriter.model import Message, Record

POINTS = ("before_copy", "before_commit", "after_commit", "after_ack")
"""In the order in which a batch passes them."""


Decoder = Callable[[Message], list[Record]]

DEADLY: Mapping[str, Callable[[], object]] = {
    "abort": os.abort,
    "segv": lambda: ctypes.string_at(0),
    "hang": lambda: _spin(),
}
"""Ways in which a payload can end a worker."""


def _spin() -> None:
    while True:
        pass


def deadly(environ: Mapping[str, str], decode: Decoder) -> Decoder:
    """
    Return the decoder, or in tests one that dies of marked payloads.

    Args:
        environ: May hold `EVENTWRITER_FAULT_PAYLOAD`, ``WAY:MARK``: a payload that holds the text MARK
            ends the process in that way (`abort`, `segv`, `hang`).
    """
    way, _, mark = environ.get("EVENTWRITER_FAULT_PAYLOAD", "").partition(":")
    if way not in DEADLY or not mark:
        return decode
    marked = mark.encode()

    def die_of_marked(message: Message) -> list[Record]:
        if marked in message.payload:
            DEADLY[way]()
        return decode(message)

    return die_of_marked


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
