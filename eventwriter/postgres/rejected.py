"""
A refusal of PostgreSQL in our words: whose fault it is, and what the server said, on one line.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg

from eventwriter.errors import EventwriterError, Retryable
from eventwriter.postgres.connect import one_line
from eventwriter.postgres.sqlstate import Verdict, beside_rows, verdict

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
