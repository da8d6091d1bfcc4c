"""Keys that somebody presses while a screen is shown."""

import os
import re
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

READ_BYTES_MAX = 64  # what is typed ahead in one go
SEQUENCE = re.compile(r"\x1b(?:\[[0-9;]*[@-~]|O.)?")
"""What an arrow or a function key sends: its letter is no key of ours."""


def rest(wait_s: float) -> str:
    """Wait where nobody can press a key."""
    time.sleep(wait_s)
    return ""


def pressed(fd: int, wait_s: float) -> str:
    """Wait so many seconds for keys and return all that were pressed; a terminal that is gone counts as q."""
    if not select.select([fd], [], [], wait_s)[0]:
        return ""
    try:
        # Not through sys.stdin: its buffer would take in every key, and `select` would not see those left in it.
        typed = os.read(fd, READ_BYTES_MAX)
    except OSError:
        typed = b""
    return SEQUENCE.sub("", typed.decode(errors="replace")).lower() if typed else "q"


@contextmanager
def keys() -> Iterator[Callable[[float], str]]:
    """Give a function that waits so many seconds for keys and returns those pressed, empty where none was."""
    if not sys.stdin.isatty():
        yield rest
        return
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    try:
        tty.setcbreak(fd)
        yield lambda wait_s: pressed(fd, wait_s)
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
