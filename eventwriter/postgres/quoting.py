"""
SQL identifiers and literals as text.

`migrate --dry-run` prints the same statements that `migrate` executes, and COPY, LOCK and SET
accept no parameters. Such statements are therefore built as text, with these functions; all
other values are passed as query parameters.
"""

import datetime as dt
from collections.abc import Iterable

from eventwriter.config.settings import DAY_S


def quote_ident(name: str) -> str:
    """Return an SQL identifier in double quotes."""
    return '"' + name.replace('"', '""') + '"'


def quote_idents(names: Iterable[str]) -> str:
    """Return a comma-separated list of quoted identifiers."""
    return ", ".join(map(quote_ident, names))


def quote_literal(text: str) -> str:
    """Return an SQL string literal; requires `standard_conforming_strings`, which is on by default."""
    return "'" + text.replace("'", "''") + "'"


def timestamp_literal(at: dt.datetime) -> str:
    """Return a time zone aware instant as an SQL literal in UTC."""
    return quote_literal(at.astimezone(dt.UTC).isoformat(sep=" "))


def interval_literal(duration_s: float) -> str:
    """Return a duration as a PostgreSQL interval, in days if it is a whole number of days."""
    days = duration_s / DAY_S
    return f"INTERVAL '{days:.0f} days'" if days == int(days) else f"INTERVAL '{duration_s:.0f} seconds'"


def quote_search_path(path: str) -> str:
    """
    Return a schema search path with each name quoted.

    Args:
        path: Comma-separated names as in `runtime_params`, quoted or not; each is taken literally.
    """
    return quote_idents(part.strip().strip('"') for part in path.split(","))
