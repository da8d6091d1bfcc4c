"""
Errors of PostgreSQL: what each SQLSTATE means, and the mapping to the error families.

`VERDICTS` lists every SQLSTATE class of the source, also those that mean the same as an unknown
code. A code is looked up as a whole first and then by its class, its first two characters, so
that exceptions can be listed next to their class.

If an error may be caused by a table, a trigger or eventwriter itself, it is not attributed to a
message: the slot is parked and nothing is lost.

Source: PostgreSQL documentation, appendix A, "PostgreSQL Error Codes".
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

import psycopg

from eventwriter.errors import EventwriterError, Fatal, Retryable


def primary_message(error: psycopg.Error) -> str:
    """Return the server's primary message, or libpq's message folded into one line."""
    primary = error.diag.message_primary
    return primary or "; ".join(part.strip() for part in str(error).splitlines() if part.strip())


class Verdict(Enum):
    """What to do with a batch after an error."""

    RETRY = "retry"
    """The state of the server, not the batch, is the cause: retry with backoff without a limit."""
    AGAIN = "again"
    """Two transactions conflicted: retry immediately a few times, then as `RETRY`."""
    HALVE = "halve"
    """A limit of the server was exceeded: write half of the batch."""
    DUPLICATE = "duplicate"
    """A unique key exists already: the table's conflict rule decides."""
    BISECT = "bisect"
    """A value was rejected: bisect the batch to find the messages that cause it."""
    PARK = "park"
    """Table, column, privilege or login: an operator must act; no message is the cause."""
    UNKNOWN = "unknown"
    """Cause unknown: retry a few times, then park; never drop a message."""


VERDICTS: Mapping[str, Verdict] = {
    "00": Verdict.UNKNOWN,  # success, warning, no data: errors only if a trigger raises them as such
    "01": Verdict.UNKNOWN,
    "02": Verdict.UNKNOWN,
    "03": Verdict.UNKNOWN,  # statement not complete: a fault of ours or of a proxy
    "08": Verdict.RETRY,  # connection
    "08P01": Verdict.BISECT,  # a value's bytes end too early (from a proxy it is FATAL and means a lost connection)
    "09": Verdict.BISECT,  # a trigger's action failed
    "0A": Verdict.PARK,  # not supported by this server
    "0B": Verdict.UNKNOWN,  # transaction not begun
    "0F": Verdict.UNKNOWN,  # large objects
    "0L": Verdict.PARK,  # grants
    "0P": Verdict.PARK,  # roles
    "0Z": Verdict.PARK,  # wrong exception handler in a trigger
    "10": Verdict.BISECT,  # XQuery in a trigger
    "20": Verdict.BISECT,  # CASE without a branch for the value, in a trigger
    "21": Verdict.BISECT,  # one statement would touch a row twice
    "22": Verdict.BISECT,  # data exception
    "23": Verdict.BISECT,  # not null, check, foreign key, exclusion
    "23505": Verdict.DUPLICATE,
    "24": Verdict.PARK,  # cursors, in a trigger
    "25": Verdict.UNKNOWN,  # transaction state: a proxy mixes transactions up
    "25006": Verdict.RETRY,  # a standby that is not promoted yet
    "25P03": Verdict.RETRY,  # idle-in-transaction timeout: our own pause was too long
    "25P04": Verdict.HALVE,  # transaction timeout
    "26": Verdict.UNKNOWN,  # prepared statements
    "27": Verdict.PARK,  # a BEFORE trigger changes the row that it was called for
    "28": Verdict.PARK,  # login
    "2B": Verdict.PARK,  # dependent privileges
    "2D": Verdict.PARK,  # COMMIT within a trigger
    "2F": Verdict.PARK,  # a trigger without RETURN, or with a forbidden statement
    "34": Verdict.PARK,  # cursors, in a trigger
    "38": Verdict.BISECT,  # a trigger in another language raised an error, presumably about the row
    "39": Verdict.PARK,  # a trigger in another language violates its protocol
    "3B": Verdict.UNKNOWN,  # savepoints
    "3D": Verdict.PARK,  # database does not exist
    "3F": Verdict.PARK,  # schema does not exist
    "40": Verdict.AGAIN,  # deadlock, serialization failure
    "40002": Verdict.BISECT,  # a constraint failed at COMMIT
    "42": Verdict.PARK,  # syntax, names, privileges
    "44": Verdict.BISECT,  # a view's check option
    "53": Verdict.RETRY,  # disk, connections
    "53200": Verdict.HALVE,  # out of memory, or out of locks if a batch writes many partitions
    "53400": Verdict.HALVE,  # temp_file_limit
    "54": Verdict.BISECT,  # row or value too large for the server
    "55": Verdict.RETRY,  # lock not available, object in use
    "55000": Verdict.PARK,  # object not in prerequisite state: waiting does not help
    "55P02": Verdict.PARK,  # a parameter of `runtime_params` cannot be changed at run time
    "57": Verdict.RETRY,  # shutdown, starting up
    "57014": Verdict.HALVE,  # statement timeout
    "58": Verdict.RETRY,  # I/O error of the server
    "72": Verdict.AGAIN,  # snapshot too old
    "F0": Verdict.RETRY,  # configuration file error, while it is being edited
    "HV": Verdict.UNKNOWN,  # foreign tables, which a trigger may write
    "HV00N": Verdict.RETRY,  # the foreign server is unreachable
    "P0": Verdict.BISECT,  # a trigger raised an error, presumably about the row
    "XX": Verdict.UNKNOWN,  # internal error; corrupted data or index
}

_ABOUT_ROWS = frozenset({Verdict.BISECT, Verdict.DUPLICATE})


def verdict_for(sqlstate: str | None, fatal: bool = False) -> Verdict:
    """
    Return the verdict for a SQLSTATE.

    Args:
        sqlstate: None if the error comes from libpq, which means a lost connection.
        fatal: Whether the server or a proxy ended the connection with this error; no row is then the cause.
    """
    if sqlstate is None:
        return Verdict.RETRY
    verdict = VERDICTS.get(sqlstate) or VERDICTS.get(sqlstate[:2]) or Verdict.UNKNOWN
    return Verdict.RETRY if fatal and verdict in _ABOUT_ROWS else verdict


def verdict_without_rows(verdict: Verdict) -> Verdict:
    """
    Return the verdict for a step that writes no rows, such as SET or the update of the ledger.

    A value that is rejected there does not come from a message, and half a batch would not help.
    """
    if verdict in _ABOUT_ROWS:
        return Verdict.PARK
    return Verdict.RETRY if verdict is Verdict.HALVE else verdict


CONNECTION_LOST = "connection_lost"

CODES: Mapping[str, tuple[str, str | None]] = {
    "08": (CONNECTION_LOST, None),
    "22": ("value_rejected", None),
    "23": ("constraint_violated", None),
    "23505": ("duplicate_key", None),
    "25006": ("read_only_server", "connect to the primary, for example with postgres.target_session_attrs=read-write"),
    "25P03": ("idle_in_transaction_timeout", None),
    "28": ("login_refused", "check postgres.user, password and pg_hba.conf"),
    "3D000": ("database_missing", "create it, or correct postgres.database"),
    "3F000": ("schema_missing", "create it, or correct the schema in the configuration"),
    "40": ("transaction_conflict", None),
    "42501": ("privilege_missing", "grant the privilege to the role that eventwriter logs in as"),
    "42703": ("column_missing", None),
    "42P01": ("table_missing", 'run "eventwriter migrate"'),
    "53": ("server_resources_exhausted", None),
    "53100": ("disk_full", "free disk space on the database server"),
    "53200": ("out_of_memory", None),
    "53300": ("too_many_connections", "raise max_connections, or the CONNECTION LIMIT of the role or the database"),
    "55P03": ("lock_timeout", None),
    "57014": ("statement_timeout", None),
    "57P03": ("server_starting", None),
    "57P": ("server_shutdown", None),
    "58": ("server_io_error", None),
}
"""SQLSTATE, or its first two or three characters, to the code of the error and the hint for the operator."""


def code_and_hint(sqlstate: str | None, default: str) -> tuple[str, str | None]:
    """Return an error's code and hint; `default` is the code of a SQLSTATE that is not listed."""
    if sqlstate is None:
        return CONNECTION_LOST, None
    keys = (sqlstate, sqlstate[:3], sqlstate[:2])
    return next((CODES[key] for key in keys if key in CODES), (default, None))


class Rejected(EventwriterError):
    """
    PostgreSQL rejected a statement for a reason other than its own state; nothing was written.

    Attributes:
        verdict: What the SQLSTATE means for the batch.
        sqlstate: PostgreSQL's error code.
        detail: PostgreSQL's message in one line, with the table and column if it names them.
        constraint: The violated constraint or index.
        at: Index of the batch's table that was being written; None for another step.
        line: Row of that table, counted from 1, if PostgreSQL names it.
    """

    default_code = "postgres_rejected"

    def __init__(self, verdict: Verdict, sqlstate: str, detail: str) -> None:
        code, hint = code_and_hint(sqlstate, self.default_code)
        super().__init__(f"{detail} (SQLSTATE {sqlstate})", code=code, hint=hint)
        self.verdict = verdict
        self.sqlstate = sqlstate
        self.detail = detail
        self.constraint: str | None = None
        self.at: int | None = None
        self.line: int | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """
    Step of a transaction in which an error occurred.

    Attributes:
        writes_rows: Whether rows were being written, or checked at COMMIT.
        at: Index of the batch's table; None for another step.
        statement: SQL command for messages, if the step belongs to a batch.
    """

    writes_rows: bool
    at: int | None = None
    statement: str | None = None


ANY_STEP = Step(writes_rows=True)
"""A statement outside a batch, whose caller interprets the verdict."""

_SEVERITIES_FATAL = ("FATAL", "PANIC")
_COPY_CONTEXT = re.compile(r'COPY .+, \D+ (\d+)(?:, \D+ ("?[^":]+"?))?(?:: .*)?$')
"""``COPY things, line 17, column v: "x"``; "line" and "column" are in the server's language."""


def map_error(error: psycopg.Error, target: str, step: Step = ANY_STEP) -> Retryable | Rejected:
    """
    Map an error of the server or of the connection to an error family.

    Args:
        target: The server, as named in messages.
    """
    verdict = _verdict_of(error, step)
    if verdict is Verdict.RETRY:
        code, hint = code_and_hint(error.sqlstate, "postgres_unavailable")
        return Retryable(f"PostgreSQL at {target}: {primary_message(error)}", code=code, hint=hint)
    context = (error.diag.context or "").splitlines()
    copied = next((match for line in context if (match := _COPY_CONTEXT.match(line))), None)
    column = error.diag.column_name or (copied[2] if copied else None)
    detail = primary_message(error) + "".join(_location(error, column, context))
    rejected = Rejected(verdict, error.sqlstate or "none", detail)
    rejected.constraint, rejected.at = error.diag.constraint_name, step.at
    rejected.line = int(copied[1]) if copied and step.at is not None else None
    return rejected


def _verdict_of(error: psycopg.Error, step: Step) -> Verdict:
    verdict = verdict_for(error.sqlstate, error.diag.severity_nonlocalized in _SEVERITIES_FATAL)
    if error.sqlstate is None and not isinstance(error, psycopg.OperationalError | psycopg.InternalError):
        verdict = Verdict.UNKNOWN  # raised by psycopg itself, not a lost connection: waiting alone does not help
    return verdict if step.writes_rows else verdict_without_rows(verdict)


def _location(error: psycopg.Error, column: str | None, context: list[str]) -> Iterator[str]:
    """Yield where the error occurred, without the lines of COPY and DETAIL, which quote values."""
    names = (("table", error.diag.table_name), ("column", column))
    if location := ", ".join(f"{label} {name}" for label, name in names if name):
        yield f" ({location})"
    if context and not context[0].startswith("COPY "):
        yield f" [{context[0]}]"


_LOGIN_SIGNS = ("authentication failed", "no pg_hba.conf entry", "pg_hba.conf rejects", "no password supplied")
_TLS_SIGNS = ("certificate", "private key file", "does not support ssl", "ssl error", "sslmode")
_PREAMBLE = re.compile(
    r"^connection failed: connection to server (?:at|on) .*? failed: (?!.*connection to server)"
    r"|; Is the server running.*$"
)
"""libpq's words around the reason, if it tried a single address; the message names the address already."""
_QUOTED = re.compile(r"\"[^\"]*\"|'[^'\s]*'")


def map_connect_error(error: psycopg.Error, target: str) -> Retryable | Fatal:
    """
    Map a failed connection attempt to an error family.

    libpq does not pass the SQLSTATE of a refused login on, so its message is searched as well,
    except for the quoted parts, which are names of hosts, roles and files.
    """
    text = primary_message(error)
    unquoted = _QUOTED.sub('""', text).lower()
    text = _PREAMBLE.sub("", text)
    if missing := re.search(r'(database|role) "" does not exist', unquoted):
        hint = "create it, or correct postgres.database and postgres.user"
        return Fatal(f"PostgreSQL at {target}: {text}", code=f"{missing[1]}_missing", hint=hint)
    if verdict_for(error.sqlstate) is Verdict.PARK or any(sign in unquoted for sign in _LOGIN_SIGNS):
        hint = "check postgres.user, password and pg_hba.conf"
        return Fatal(f"PostgreSQL at {target} refused the login: {text}", code="login_refused", hint=hint)
    if any(sign in unquoted for sign in _TLS_SIGNS):
        hint = "check postgres.sslmode, sslrootcert, sslcert and sslkey, and whether the server supports TLS"
        return Fatal(f"TLS to PostgreSQL at {target} failed: {text}", code="tls_failed", hint=hint)
    return Retryable(f"cannot reach PostgreSQL at {target}: {text}", code="postgres_unreachable")
