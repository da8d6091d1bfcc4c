"""
The three error families, which decide what happens to a message or a slot.

`Retryable`: a dependency is not available (a server is unreachable, a disk is full); the
same work is retried. `Poison`: the message can never become rows; it becomes a dead letter.
`Fatal`: only an operator can fix it (a missing table, a refused login); the slot is parked
with a message that says what to do.

Foreign exceptions (from nats-py, psycopg and the operating system) are mapped to these
families once, at the boundary of the package that calls them.
"""

from collections.abc import Sequence

DETAIL_CHARACTERS_MAX = 500
"""Longest detail of a dead letter, which is logged and shown; the payload is stored separately."""


class EventwriterError(Exception):
    """
    Base class of all errors that eventwriter raises deliberately.

    The text of the exception is the message, followed by the hint where there is one, and is
    meant for an operator.

    Args:
        message: What failed, where and why.
        code: Stable identifier for programs and tests, in snake case.
        hint: What the operator should do.
    """

    default_code = "error"

    def __init__(self, message: str = "", *, code: str = "", hint: str | None = None) -> None:
        super().__init__(f"{message}; {hint}" if hint else message)
        self.message = message
        self.code = code or self.default_code
        self.hint = hint


class Retryable(EventwriterError):
    """The same work may succeed later; nothing is lost by waiting."""

    default_code = "retryable"


class Fatal(EventwriterError):
    """The work cannot succeed until an operator changes something."""

    default_code = "fatal"


DEAD_LETTER_REASONS = (
    "malformed", "missing_field", "bad_value", "unknown_shape", "too_large", "no_table", "rejected", "crash_loop",
)  # fmt: skip
"""Reasons of dead letters; a kind of another package may have more."""


class Poison(EventwriterError):
    """
    A message that can never become rows.

    Args:
        reason: The dead letter's reason, one of a closed set that labels metrics: `malformed`,
            `missing_field`, `bad_value`, `unknown_shape`, `too_large`, `no_table` (no table of the slot stores
            records of this shape), `rejected` (PostgreSQL rejected its rows), `crash_loop` (workers died
            while decoding it). It is also the error's code.
        detail: One sentence for the dead letter, truncated to `DETAIL_CHARACTERS_MAX`.
        sqlstate: PostgreSQL's error code, if PostgreSQL rejected the rows.
    """

    def __init__(self, reason: str, detail: str, sqlstate: str | None = None) -> None:
        if len(detail) > DETAIL_CHARACTERS_MAX:
            detail = detail[: DETAIL_CHARACTERS_MAX - 3] + "..."
        super().__init__(f"{reason}: {detail}", code=reason)
        self.reason = reason
        self.detail = detail
        self.sqlstate = sqlstate

    def without_origin(self) -> "Poison":
        """
        Return this error without traceback, cause and context.

        They refer to the frames that raised it, and thereby to the payload and to everything that was decoded from
        it. A batch keeps the error until it is settled: with them, a worker with 3,000 dead letters of 100 kB peaked at
        518 MiB, without them at 118 MiB.
        """
        self.__traceback__ = self.__cause__ = self.__context__ = None
        return self


class ConfigError(EventwriterError):
    """
    The configuration is invalid.

    Args:
        errors: All errors found, one sentence each.
        source: The configuration file, if any.
        warnings: What works, but is probably not intended.
    """

    default_code = "invalid_configuration"

    def __init__(self, errors: Sequence[str], source: str | None = None, warnings: Sequence[str] = ()) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors
        self.warnings = warnings
        self.source = source
