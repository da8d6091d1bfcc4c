"""How texts are written in SQL that is printed as well as run."""

import datetime as dt

from eventwriter.config.settings import DAY_S


def literal(text: str) -> str:
    """Quote an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def instant(at: dt.datetime) -> str:
    """Write an instant, in UTC."""
    return literal(at.astimezone(dt.UTC).isoformat(sep=" "))


def interval(duration_s: float) -> str:
    """Write a duration as PostgreSQL's interval, in days where it is whole days."""
    days = duration_s / DAY_S
    return f"INTERVAL '{days:.0f} days'" if days == int(days) else f"INTERVAL '{duration_s:.0f} seconds'"
