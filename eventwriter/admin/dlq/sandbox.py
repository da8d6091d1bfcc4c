"""
Runs a function in a child process, for messages that may kill the process that decodes them.

Used by commands that handle messages which killed workers. The child only computes and never
touches a connection.
"""

import contextlib
import os
import selectors
import signal
import sys
import traceback
from collections.abc import Callable

SANDBOX_S_MAX = 10.0
"""A decoder needs milliseconds; one that takes this long hangs."""
_READ_BYTES = 65536


def run_in_child(act: Callable[[], bytes], limit_s: float = SANDBOX_S_MAX) -> tuple[bytes, str | None]:
    """
    Run a function in a child process.

    Args:
        act: Function to run; its result is sent back.
        limit_s: Seconds without output after which the child is killed.

    Returns:
        The result and None, or an empty result and a description of how the child failed.
    """
    inner, outer = os.pipe()
    child = os.fork()
    if child == 0:
        _run_child(act, outer)
    os.close(outer)
    try:
        answer, finished = _read(inner, limit_s)
    finally:
        os.close(inner)
    if not finished:
        os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if not finished:
        return b"", f"it did not finish within {limit_s:g} s"
    if code < 0:
        return b"", f"it was killed by {signal.Signals(-code).name}"
    return (answer, None) if code == 0 else (b"", "it raised an unexpected exception")


def _run_child(act: Callable[[], bytes], outer: int) -> None:
    """Write the result of `act` to the pipe and exit, in the child."""
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
    """Read until the end of the pipe; return False if nothing arrived for `limit_s` seconds."""
    found = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(inner, selectors.EVENT_READ)
        while selector.select(limit_s):
            part = os.read(inner, _READ_BYTES)
            if not part:
                return bytes(found), True
            found += part
    return bytes(found), False
