"""Standard error that is full, closed, or read by nobody."""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from typing import cast

import pytest

from eventwriter.observe import logging as logs
from eventwriter.observe.stderr import Lines, lines_to


@dataclass
class Pipe:
    """A pipe: where lines go, and where they come out."""

    reader: int
    writer: int

    def read(self) -> bytes:
        """Return what has come."""
        os.set_blocking(self.reader, False)
        found = bytearray()
        while True:
            try:
                part = os.read(self.reader, 65536)
            except BlockingIOError:
                return bytes(found)
            if not part:
                return bytes(found)
            found += part


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """A pipe of the usual 64 KiB."""
    one = Pipe(*os.pipe())
    yield one
    for fd in (one.reader, one.writer):
        try:
            os.close(fd)
        except OSError:
            continue


def test_line_goes_out_at_once(pipe: Pipe) -> None:
    """Nothing is kept back, whatever characters it has."""
    lines = Lines(pipe.writer)

    lines.write("grün \ud800\n")

    assert ("grün \\ud800\n".encode(), 0) == (pipe.read(), lines.lost)


def test_full_pipe_loses_lines_and_does_not_block(pipe: Pipe) -> None:
    """A reader that stands still costs lines; when it goes on, so do they."""
    lines = Lines(pipe.writer)
    for _ in range(40):
        lines.write("x" * 3999 + "\n")
    lost = lines.lost
    assert lost >= 20

    whole = len(pipe.read()) // 4000
    lines.write("again\n")

    assert (40, b"again\n", lost) == (lost + whole, pipe.read(), lines.lost)


def test_long_line_does_not_block(pipe: Pipe) -> None:
    """A traceback of a megabyte into a pipe that nobody reads is lost, and nothing waits for it."""
    lines = Lines(pipe.writer)

    lines.write("x" * 2**20)

    assert 1 == lines.lost


def test_broken_pipe_loses_lines(pipe: Pipe) -> None:
    """A reader that is gone is no error."""
    os.close(pipe.reader)
    lines = Lines(pipe.writer)

    lines.write("x\n")

    assert 1 == lines.lost


def test_full_disk_loses_lines() -> None:
    """What a full disk refuses is not kept for the next time."""
    fd = os.open("/dev/full", os.O_WRONLY)
    lines = Lines(fd)
    for _ in range(1000):
        lines.write("x" * 1000)
    os.close(fd)

    assert 1000 == lines.lost


def test_lost_lines_are_told_when_one_can_be_written(pipe: Pipe) -> None:
    """The first line after a gap is followed by how many are missing."""
    handler = logs.StderrHandler("text", None)
    handler.stream = cast("StringIO", lines := Lines(pipe.writer))
    lines.lost = 3

    for word in ("first", "second"):
        handler.emit(logging.LogRecord("x", logging.INFO, "f.py", 1, word, (), None))

    said = [line[13:] for line in pipe.read().decode().splitlines()]
    assert [
        "INFO    supervisor: first",
        "WARNING supervisor: log lines were lost: stderr could not be written lines=3",
        "INFO    supervisor: second",
    ] == said


def test_object_in_stderrs_place_is_respected() -> None:
    """Who captures output in Python gets it."""
    mine = StringIO()

    assert mine is lines_to(mine)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_files_are_opened_to_nothing(closed: str) -> None:
    """No socket gets their numbers, and whoever prints does not fail."""
    script = (
        "from eventwriter.observe.stderr import keep_standard_files; keep_standard_files();"
        "import os, sys, socket; fd = socket.socket().fileno(); print('x', file=sys.stderr); print('y', flush=True);"
        "[os.fstat(n) for n in range(3)]; sys.exit(0 if fd > 2 else 1)"
    )

    done = subprocess.run(["/bin/sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, script], check=False)

    assert 0 == done.returncode
