"""
What each SQLSTATE means for a batch: one literal table.

A code is looked up whole, then by its class (its first two characters), so the
exceptions to a class stand beside it. Every class of the source is here, also where
it means the same as not being known, so that a reader sees that it was thought of.

In doubt a message is not to blame: what may be the fault of a table, a trigger or
ourselves parks the slot, and loses nothing.

Source: PostgreSQL documentation, appendix A, "PostgreSQL Error Codes".
"""

from collections.abc import Mapping
from enum import Enum


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
