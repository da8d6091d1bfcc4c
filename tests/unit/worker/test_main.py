"""What ends a worker."""

import errno
import os

import pytest

from eventwriter.worker.main import nothing_left


def chained(first: Exception) -> Exception:
    """Return what an event loop makes of an error when its own end fails as well."""
    try:
        try:
            raise first
        except Exception:
            raise RuntimeError("this event loop is already running") from None
    except RuntimeError as error:
        return error


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_limit_of_the_system_is_said_in_a_sentence(number: int) -> None:
    """Also where it is only what another exception began with."""
    first = OSError(number, os.strerror(number))

    assert [os.strerror(number)] * 2 == [nothing_left(first), nothing_left(chained(first))]


def test_anything_else_is_a_mistake_of_ours() -> None:
    """It is worth a stack."""
    assert [None, None] == [nothing_left(chained(ValueError())), nothing_left(OSError(errno.EBADF, "x"))]
