"""
What each SQLSTATE means for a batch: one literal table.

A code is looked up whole, then by its class (its first two characters), so the
exceptions to a class stand beside it.

Source: PostgreSQL documentation, appendix A, "PostgreSQL Error Codes".
"""

from collections.abc import Mapping
from enum import Enum


class Verdict(Enum):
    """What to do with the batch."""

    RETRY = "retry"
    """The server's state, not the batch: keep it, wait, try again, for ever."""
    AGAIN = "again"
    """Two transactions met: try again at once."""
    HALVE = "halve"
    """Too much for the statement's time limit: try with half."""
    DUPLICATE = "duplicate"
    """A key is there already: the table's conflict rule decides."""
    BISECT = "bisect"
    """A value in the batch is refused: find the guilty messages."""
    PARK = "park"
    """Table, column, privilege or login: an operator must act; no message is to blame."""
    UNKNOWN = "unknown"
    """Not in the table: try a few times, then park. Never drop."""


VERDICTS: Mapping[str, Verdict] = {
    "08": Verdict.RETRY,  # connection
    "53": Verdict.RETRY,  # out of memory, disk, connections
    "57": Verdict.RETRY,  # shutdown, starting up
    "58": Verdict.RETRY,  # the server's own I/O
    "55": Verdict.RETRY,  # lock not available, object in use
    "55000": Verdict.PARK,  # the object is not in the state for it: no waiting helps
    "25006": Verdict.RETRY,  # a standby that is not promoted yet
    "25P03": Verdict.RETRY,  # idle-in-transaction timeout: our own pause was too long
    "57014": Verdict.HALVE,  # statement timeout
    "40": Verdict.AGAIN,  # deadlock, serialization failure
    "23505": Verdict.DUPLICATE,
    "21": Verdict.BISECT,  # one statement would touch a row twice
    "22": Verdict.BISECT,  # data exception
    "23": Verdict.BISECT,  # not null, check, foreign key, exclusion
    "54": Verdict.BISECT,  # row or value too large for the server
    "42": Verdict.PARK,  # syntax, names, privileges
    "3D": Verdict.PARK,  # no such database
    "3F": Verdict.PARK,  # no such schema
    "28": Verdict.PARK,  # login
    "0A": Verdict.PARK,  # not supported by this server
    "44": Verdict.BISECT,  # a view's check option
    "P0": Verdict.BISECT,  # a trigger raised: about the row, as far as anybody knows
}


def verdict(sqlstate: str | None) -> Verdict:
    """Look a code up; None (libpq itself failed, there was no answer) is a lost connection."""
    if sqlstate is None:
        return Verdict.RETRY
    return VERDICTS.get(sqlstate) or VERDICTS.get(sqlstate[:2]) or Verdict.UNKNOWN
