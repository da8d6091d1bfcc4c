"""Where `eventwriter-ctl dlq` works: the settings, the connection, the table of letters, and which are meant."""

import dataclasses
import datetime as dt
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from eventwriter import clock
from eventwriter.admin.dlq.replay import durables
from eventwriter.cli import daemon_mismatch
from eventwriter.cli.main import config_path, hush
from eventwriter.config import durations
from eventwriter.config.load import load
from eventwriter.config.settings import PostgresSettings, Settings
from eventwriter.errors import Fatal
from eventwriter.postgres.dead_letters.record import DEAD_LETTERS
from eventwriter.postgres.dead_letters.store import Filters, Letter
from eventwriter.postgres.errors import Rejected
from eventwriter.postgres.schema.catalog import read_columns
from eventwriter.postgres.session import PostgresSession


@dataclass(frozen=True, slots=True)
class Desk:
    """What every command has."""

    settings: Settings
    postgres: PostgresSession
    table: str
    """The letters' table, qualified and quoted."""
    filters: Filters


@asynccontextmanager
async def opened(given: Mapping[str, Any]) -> AsyncIterator[Desk]:
    """
    Connect, and find the table.

    Args:
        given: The command's options.

    Raises:
        ConfigError, Fatal: A mistake, or a refusal.
        Retryable: The server is not there.
    """
    hush()
    settings = settings_of(given)
    filters = filters_of(settings, given, clock.now_ns())
    postgres = PostgresSession(settings.postgres)
    try:
        async with postgres.transaction() as conn:
            table, columns = await read_columns(conn, schema_of(settings, given.get("schema")), DEAD_LETTERS.name)
        missing = set(Letter.__slots__) - {column.name for column in columns}
        if missing:
            raise Fatal(f"table {table} lacks {', '.join(sorted(missing))}: run eventwriter migrate")
        yield Desk(settings, postgres, table, filters)
    except Rejected as rejected:
        raise Fatal(f"PostgreSQL at {postgres.target} refused: {rejected}") from rejected
    finally:
        await postgres.close()


def settings_of(given: Mapping[str, Any]) -> Settings:
    """Return the configuration, with the connection that was given by hand."""
    settings = load(config_path(given.get("config"), os.environ), os.environ).settings
    if given.get("dsn") is None:
        daemon_mismatch.warn(settings, given.get("config"))
        return settings
    # Whoever gives a DSN has said whom to ask.
    postgres = PostgresSettings.model_validate(
        {"dsn": given["dsn"], "runtime_params": settings.postgres.runtime_params}
    )
    return settings.model_copy(update={"postgres": postgres})


def schema_of(settings: Settings, asked: str | None) -> str | None:
    """
    Return the schema of the letters' table; None where the search path says.

    Raises:
        Fatal: The configuration has several.
    """
    if asked is not None:
        return asked
    schemas = {entry.schema_name for entry in settings.streams}
    if len(schemas) > 1:
        known = ", ".join(sorted(name or "the search path's" for name in schemas))
        raise Fatal(f"the entries of streams write to several schemas, each with its dead letters: {known};"
                    " say which with --schema")  # fmt: skip
    return schemas.pop() if schemas else None


def filters_of(settings: Settings, given: Mapping[str, Any], now_ns: int) -> Filters:
    """Read which letters are meant."""
    stream = given.get("stream")
    found = Filters(
        reason=given.get("reason"),
        state=given.get("state"),
        since=instant(given["since"], "--since", now_ns) if given.get("since") else None,
        before=instant(given["before"], "--before", now_ns) if given.get("before") else None,
        ids=tuple(given.get("numbers") or ()),
    )
    entry = next((each for each in settings.streams if each.name == stream), None)
    if entry is None:
        return dataclasses.replace(found, stream=stream)
    return dataclasses.replace(found, stream=entry.stream_name, consumers=durables(settings, entry))


def instant(text: str, option: str, now_ns: int) -> dt.datetime:
    """
    Read a time: a duration that lies back, or ISO 8601 (UTC where it has no offset).

    Raises:
        Fatal: It is neither.
    """
    now = dt.datetime.fromtimestamp(now_ns / 1e9, dt.UTC)
    try:
        return now - dt.timedelta(seconds=durations.parse_duration(text, 1.0))
    except (ValueError, OverflowError):
        pass
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        raise Fatal(f"{option} {text!r}: write how far back, like 2h or 7d, or a time like 2026-01-31T12:00Z") from None
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)
