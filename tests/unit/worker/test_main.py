"""How the end of a worker is classified."""

import errno
import os

import pytest

from eventwriter.worker.main import exhausted_resource


def with_context(cause: Exception) -> Exception:
    """Return an exception that was raised while `cause` was handled, as an event loop does when closing fails."""
    try:
        try:
            raise cause
        except Exception:
            raise RuntimeError("this event loop is already running") from None
    except RuntimeError as error:
        return error


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_exhausted_resource_is_found_in_cause(number: int) -> None:
    """An exhausted system resource is recognized directly and as the cause of another exception."""
    cause = OSError(number, os.strerror(number))

    assert [os.strerror(number)] * 2 == [exhausted_resource(cause), exhausted_resource(with_context(cause))]


def test_other_exceptions_are_crashes() -> None:
    """Other exceptions are not attributed to a system limit."""
    assert [None, None] == [
        exhausted_resource(with_context(ValueError())),
        exhausted_resource(OSError(errno.EBADF, "")),
    ]
