"""Keys at a terminal."""

import os
import pty
import tty
from collections.abc import Iterator

import pytest

from eventwriter.cli.ctl.watch import pressed

WAIT_S = 5.0


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Both ends of a terminal: the person's, and the program's, which gets each key at once."""
    person, program = pty.openpty()
    tty.setcbreak(program)
    yield person, program
    os.close(program)
    os.close(person)


@pytest.mark.parametrize(
    ("typed", "keys"),
    [
        pytest.param(b"lq", "lq", id="both of two keys"),
        pytest.param(b"Q", "q", id="capitals are the same keys"),
        pytest.param(b"\x1b[Dm", "m", id="an arrow's letter is no key"),
        pytest.param(b"\x1b[15~", "", id="nor a function key's"),
    ],
)
def test_every_key_that_was_typed_comes(terminal: tuple[int, int], typed: bytes, keys: str) -> None:
    """One look at the terminal returns all keys typed until then."""
    person, program = terminal
    os.write(person, typed)

    assert keys == pressed(program, WAIT_S)


def test_terminal_that_is_gone_ends_the_screen() -> None:
    """Where nobody can press a key any more it is as if q was pressed: a screen for nobody would never end."""
    reader, writer = os.pipe()
    os.close(writer)

    assert "q" == pressed(reader, WAIT_S)
    os.close(reader)
