"""
What each SQLSTATE means for a batch: one literal table.

A code is looked up whole, then by its class (its first two characters), so the
exceptions to a class stand beside it. Every class of the source is here, also where
it means the same as not being known, so that a reader sees that it was thought of.

In doubt a message is not to blame: what may be the fault of a table, a trigger or
ourselves parks the slot, and loses nothing.

Source: PostgreSQL documentation, appendix A, "PostgreSQL Error Codes".
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

import psycopg

from eventwriter.errors import EventwriterError, Retryable


def one_line(error: psycopg.Error) -> str:
    """Return the server's primary message, or libpq's words folded into one line."""
    primary = error.diag.message_primary
    return primary or "; ".join(part.strip() for part in str(error).splitlines() if part.strip())


class Verdict(Enum):
    """What to do with the batch."""

    RETRY = "retry"
    """The server's state, not the batch: keep it, wait, try again, for ever."""
    AGAIN = "again"
    """Two transactions met: try again at once, a few times, then as `RETRY`."""
    HALVE = "halve"
    """Too much for a limit of the server: try with half."""
    DUPLICATE = "duplicate"
    """A key is there already: the table's conflict rule decides."""
    BISECT = "bisect"
    """A value in the batch is refused: find the guilty messages."""
    PARK = "park"
    """Table, column, privilege or login: an operator must act; no message is to blame."""
    UNKNOWN = "unknown"
    """Nobody can say: try a few times, then park. Never drop."""


VERDICTS: Mapping[str, Verdict] = {
    "00": Verdict.UNKNOWN,  # success, a warning, no data: no errors, unless a trigger raises them as such
    "01": Verdict.UNKNOWN,
    "02": Verdict.UNKNOWN,
    "03": Verdict.UNKNOWN,  # statement not complete: our own, or a proxy's fault
    "08": Verdict.RETRY,  # connection
    "08P01": Verdict.BISECT,  # a value's bytes end too early (from a proxy it is FATAL, and a lost connection)
    "09": Verdict.BISECT,  # a trigger's action failed
    "0A": Verdict.PARK,  # not supported by this server
    "0B": Verdict.UNKNOWN,  # transaction not begun
    "0F": Verdict.UNKNOWN,  # large objects
    "0L": Verdict.PARK,  # grants
    "0P": Verdict.PARK,  # roles
    "0Z": Verdict.PARK,  # a trigger's exception handler is wrong
    "10": Verdict.BISECT,  # XQuery in a trigger
    "20": Verdict.BISECT,  # CASE without a branch for the value, in a trigger
    "21": Verdict.BISECT,  # one statement would touch a row twice
    "22": Verdict.BISECT,  # data exception
    "23": Verdict.BISECT,  # not null, check, foreign key, exclusion
    "23505": Verdict.DUPLICATE,
    "24": Verdict.PARK,  # cursors, in a trigger
    "25": Verdict.UNKNOWN,  # transaction state: somebody between us and the server mixes transactions up
    "25006": Verdict.RETRY,  # a standby that is not promoted yet
    "25P03": Verdict.RETRY,  # idle-in-transaction timeout: our own pause was too long
    "25P04": Verdict.HALVE,  # transaction timeout
    "26": Verdict.UNKNOWN,  # prepared statements
    "27": Verdict.PARK,  # a BEFORE trigger changes the row that it stands before
    "28": Verdict.PARK,  # login
    "2B": Verdict.PARK,  # dependent privileges
    "2D": Verdict.PARK,  # COMMIT within a trigger
    "2F": Verdict.PARK,  # a trigger without RETURN, or with a forbidden statement
    "34": Verdict.PARK,  # cursors, in a trigger
    "38": Verdict.BISECT,  # a trigger in another language raised: about the row, as far as anybody knows
    "39": Verdict.PARK,  # a trigger in another language breaks the rules
    "3B": Verdict.UNKNOWN,  # savepoints
    "3D": Verdict.PARK,  # no such database
    "3F": Verdict.PARK,  # no such schema
    "40": Verdict.AGAIN,  # deadlock, serialization failure
    "40002": Verdict.BISECT,  # a constraint failed at COMMIT
    "42": Verdict.PARK,  # syntax, names, privileges
    "44": Verdict.BISECT,  # a view's check option
    "53": Verdict.RETRY,  # disk, connections
    "53200": Verdict.HALVE,  # out of memory, or of locks where a batch touches many partitions
    "53400": Verdict.HALVE,  # temp_file_limit
    "54": Verdict.BISECT,  # row or value too large for the server
    "55": Verdict.RETRY,  # lock not available, object in use
    "55000": Verdict.PARK,  # the object is not in the state for it: no waiting helps
    "55P02": Verdict.PARK,  # a parameter of `runtime_params` that cannot be set
    "57": Verdict.RETRY,  # shutdown, starting up
    "57014": Verdict.HALVE,  # statement timeout
    "58": Verdict.RETRY,  # the server's own I/O
    "72": Verdict.AGAIN,  # snapshot too old
    "F0": Verdict.RETRY,  # the server's configuration file, while somebody writes it
    "HV": Verdict.UNKNOWN,  # foreign tables, which a trigger may write
    "HV00N": Verdict.RETRY,  # the foreign server is away
    "P0": Verdict.BISECT,  # a trigger raised: about the row, as far as anybody knows
    "XX": Verdict.UNKNOWN,  # internal error; corrupted data or index
}

_BY_ROWS = frozenset({Verdict.BISECT, Verdict.DUPLICATE})


def verdict(sqlstate: str | None, fatal: bool = False) -> Verdict:
    """
    Look a code up.

    Args:
        sqlstate: None where there was no answer: libpq itself failed, and that is a lost connection.
        fatal: The server, or a proxy, ended the connection with it; that blames no row.
    """
    if sqlstate is None:
        return Verdict.RETRY
    found = VERDICTS.get(sqlstate) or VERDICTS.get(sqlstate[:2]) or Verdict.UNKNOWN
    return Verdict.RETRY if fatal and found in _BY_ROWS else found


def beside_rows(found: Verdict) -> Verdict:
    """
    Return what a verdict becomes where no row was being written: in SET, in the ledger.

    A value that is refused there is not a message's, and half a batch would not help.
    """
    if found in _BY_ROWS:
        return Verdict.PARK
    return Verdict.RETRY if found is Verdict.HALVE else found


_SEVERITIES_FATAL = ("FATAL", "PANIC")
_COPY_CONTEXT = re.compile(r'COPY .+, \D+ (\d+)(?:, \D+ ("?[^":]+"?))?(?:: .*)?$')
"""``COPY things, line 17, column v: "x"``; line and column are words of the server's language."""


class Rejected(EventwriterError):
    """
    PostgreSQL refused the batch for a reason other than its own state; nothing was written.

    Attributes:
        verdict: What the SQLSTATE means.
        sqlstate: PostgreSQL's code.
        detail: PostgreSQL's own message, one line, with table and column where it named them.
        constraint: The constraint or index that was violated.
        at: Which of the load's tables was being written; None where it was another step.
        line: Which of that table's rows, from 1, where PostgreSQL said so.
    """

    def __init__(self, verdict: Verdict, sqlstate: str, detail: str) -> None:
        super().__init__(f"{detail} (SQLSTATE {sqlstate})")
        self.verdict = verdict
        self.sqlstate = sqlstate
        self.detail = detail
        self.constraint: str | None = None
        self.at: int | None = None
        self.line: int | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """
    Where in a batch's transaction it was.

    Attributes:
        blames_rows: Whether rows were being written, or checked at COMMIT.
        at: Which of the load's tables; None for another step.
    """

    blames_rows: bool
    at: int | None = None


ANY = Step(blames_rows=True)
"""A statement outside a batch: the caller knows what it asked."""


def outcome(error: psycopg.Error, target: str, step: Step = ANY) -> Retryable | Rejected:
    """
    Map an error of the server, or of the connection to it, to a family.

    Args:
        target: Where the server is, for people.
    """
    fatal = error.diag.severity_nonlocalized in _SEVERITIES_FATAL
    judged = verdict(error.sqlstate, fatal)
    if error.sqlstate is None and not isinstance(error, psycopg.OperationalError | psycopg.InternalError):
        judged = Verdict.UNKNOWN  # psycopg's own objection, not a lost connection: waiting alone will not help
    if not step.blames_rows:
        judged = beside_rows(judged)
    if judged is Verdict.RETRY:
        return Retryable(f"PostgreSQL at {target}: {one_line(error)}")
    context = (error.diag.context or "").splitlines()
    copied = next((found for line in context if (found := _COPY_CONTEXT.match(line))), None)
    column = error.diag.column_name or (copied[2] if copied else None)
    detail = one_line(error) + "".join(_where(error, column, context))
    rejected = Rejected(judged, error.sqlstate or "none", detail)
    rejected.constraint, rejected.at = error.diag.constraint_name, step.at
    rejected.line = int(copied[1]) if copied and step.at is not None else None
    return rejected


def _where(error: psycopg.Error, column: str | None, context: list[str]) -> Iterator[str]:
    """Say where it was; not the lines of COPY and DETAIL, which quote values."""
    named = ", ".join(f"{what} {name}" for what, name in (("table", error.diag.table_name), ("column", column)) if name)
    if named:
        yield f" ({named})"
    if context and not context[0].startswith("COPY "):
        yield f" [{context[0]}]"
