"""Standard error that is full, closed, or has no reader."""

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
from eventwriter.observe.stderr import StderrWriter, log_stream


@dataclass
class Pipe:
    """Both ends of a pipe."""

    reader: int
    writer: int

    def read(self) -> bytes:
        """Return the bytes in the pipe without blocking."""
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
    """A pipe with the default size of 64 KiB."""
    one = Pipe(*os.pipe())
    yield one
    for fd in (one.reader, one.writer):
        try:
            os.close(fd)
        except OSError:
            continue


def test_line_is_written_immediately(pipe: Pipe) -> None:
    """A line is written unbuffered, with unencodable characters escaped."""
    writer = StderrWriter(pipe.writer)

    writer.write("grün \ud800\n")

    assert ("grün \\ud800\n".encode(), 0) == (pipe.read(), writer.lost)


def test_full_pipe_loses_lines_and_does_not_block(pipe: Pipe) -> None:
    """Lines that do not fit into a full pipe are lost; once it is read, lines are written again."""
    writer = StderrWriter(pipe.writer)
    for _ in range(40):
        writer.write("x" * 3999 + "\n")
    lost = writer.lost
    assert lost >= 20

    whole = len(pipe.read()) // 4000
    writer.write("again\n")

    assert (40, b"again\n", lost) == (lost + whole, pipe.read(), writer.lost)


def test_long_line_does_not_block(pipe: Pipe) -> None:
    """A line of one megabyte to a pipe without a reader is lost without blocking."""
    writer = StderrWriter(pipe.writer)

    writer.write("x" * 2**20)

    assert 1 == writer.lost


def test_broken_pipe_loses_lines(pipe: Pipe) -> None:
    """A line to a pipe that the reader has closed is lost without an exception."""
    os.close(pipe.reader)
    writer = StderrWriter(pipe.writer)

    writer.write("x\n")

    assert 1 == writer.lost


def test_full_disk_loses_lines() -> None:
    """Lines that a full disk rejects are not buffered."""
    fd = os.open("/dev/full", os.O_WRONLY)
    writer = StderrWriter(fd)
    for _ in range(1000):
        writer.write("x" * 1000)
    os.close(fd)

    assert 1000 == writer.lost


def test_lost_lines_are_reported_by_the_next_line(pipe: Pipe) -> None:
    """The first line that can be written again is followed by the number of lost lines."""
    handler = logs.StderrHandler("text", None)
    handler.stream = cast("StringIO", writer := StderrWriter(pipe.writer))
    writer.lost = 3

    for word in ("first", "second"):
        handler.emit(logging.LogRecord("x", logging.INFO, "f.py", 1, word, (), None))

    lines = [line[13:] for line in pipe.read().decode().splitlines()]
    assert [
        "INFO    supervisor: first",
        "WARNING supervisor: log lines were lost: stderr could not be written lines=3",
        "INFO    supervisor: second",
    ] == lines


def test_replaced_stderr_is_used() -> None:
    """If `sys.stderr` was replaced by another object, that object gets the lines."""
    replaced = StringIO()

    assert replaced is log_stream(replaced)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_files_are_opened_on_dev_null(closed: str) -> None:
    """A new socket does not get descriptor 0, 1 or 2, and printing does not fail."""
    script = (
        "from eventwriter.observe.stderr import keep_standard_files; keep_standard_files();"
        "import os, sys, socket; fd = socket.socket().fileno(); print('x', file=sys.stderr); print('y', flush=True);"
        "[os.fstat(n) for n in range(3)]; sys.exit(0 if fd > 2 else 1)"
    )

    done = subprocess.run(["/bin/sh", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, script], check=False)

    assert 0 == done.returncode
