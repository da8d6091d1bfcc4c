"""
Trying, in a process of its own, what may kill the process that does it.

For commands that touch messages which killed workers. Not for the daemon, whose
processes are its supervisor's to fork: the child does nothing but compute.
"""

import contextlib
import os
import selectors
import signal
import sys
import traceback
from collections.abc import Callable

TRIAL_S_MAX = 10.0
"""A decoder needs milliseconds; what takes longer hangs."""
_READ_BYTES = 65536


def trial(act: Callable[[], bytes], limit_s: float = TRIAL_S_MAX) -> tuple[bytes, str | None]:
    """
    Do `act` in a child process.

    Args:
        limit_s: After which the child is killed; seconds without a byte of the answer.

    Returns:
        What it returned, and None; or nothing, and in words what became of the child.
    """
    inner, outer = os.pipe()
    child = os.fork()
    if child == 0:
        _answer(act, outer)
    os.close(outer)
    try:
        answer, ended = _read(inner, limit_s)
    finally:
        os.close(inner)
    if not ended:
        os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if not ended:
        return b"", f"it did not end within {limit_s:g} s"
    if code < 0:
        return b"", f"it was killed by {signal.Signals(-code).name}"
    return (answer, None) if code == 0 else (b"", "it ended in an unforeseen exception")


def _answer(act: Callable[[], bytes], outer: int) -> None:
    """Be the child: write what `act` returns, and exit whatever happens."""
    code = 1
    try:
        answer = memoryview(act())
        while answer:
            answer = answer[os.write(outer, answer) :]
        code = 0
    finally:
        if (error := sys.exc_info()[1]) is not None:
            with contextlib.suppress(OSError, ValueError):
                traceback.print_exception(error)
        os._exit(code)


def _read(inner: int, limit_s: float) -> tuple[bytes, bool]:
    """Read to the end; False where nothing came for `limit_s` seconds."""
    found = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(inner, selectors.EVENT_READ)
        while selector.select(limit_s):
            part = os.read(inner, _READ_BYTES)
            if not part:
                return bytes(found), True
            found += part
    return bytes(found), False
