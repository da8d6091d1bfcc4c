"""Session of `eventwriter-ctl dlq`: settings, connection, dead-letter table and filters."""

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
from eventwriter.cli.main import config_path, silence_logs
from eventwriter.config import durations
from eventwriter.config.load import load
from eventwriter.config.settings import PostgresSettings, Settings
from eventwriter.errors import Fatal
from eventwriter.postgres.dead_letters.record import DEAD_LETTERS
from eventwriter.postgres.dead_letters.store import DeadLetter, DeadLetterFilter
from eventwriter.postgres.errors import Rejected
from eventwriter.postgres.schema.catalog import read_columns
from eventwriter.postgres.session import PostgresSession


@dataclass(frozen=True, slots=True)
class DlqSession:
    """State shared by all dlq commands."""

    settings: Settings
    postgres: PostgresSession
    table: str
    """The dead-letter table, qualified and quoted."""
    filters: DeadLetterFilter
    stream: str | None = None
    """Stream entry or JetStream stream that the options select."""

    @property
    def streams(self) -> list[str]:
        """Names of the configured stream entries and of their JetStream streams."""
        names = [name for entry in self.settings.streams for name in (entry.name, entry.stream_name)]
        return list(dict.fromkeys(names))


@asynccontextmanager
async def open_session(options: Mapping[str, Any]) -> AsyncIterator[DlqSession]:
    """
    Connect and open the dead-letter table.

    Args:
        options: Options of the command.

    Raises:
        ConfigError, Fatal: An option or the configuration is invalid, or PostgreSQL rejected a statement.
        Retryable: The server is unreachable.
    """
    silence_logs()
    settings = settings_of(options)
    filters = filters_of(settings, options, clock.now_ns())
    postgres = PostgresSession(settings.postgres)
    try:
        async with postgres.transaction() as conn:
            table, columns = await read_columns(conn, schema_of(settings, options.get("schema")), DEAD_LETTERS.name)
        missing = set(DeadLetter.__slots__) - {column.name for column in columns}
        if missing:
            raise Fatal(f"table {table} lacks {', '.join(sorted(missing))}: run `eventwriter migrate`")
        yield DlqSession(settings, postgres, table, filters, options.get("stream"))
    except Rejected as rejected:
        raise Fatal(f"PostgreSQL at {postgres.target} rejected the statement: {rejected}") from rejected
    finally:
        await postgres.close()


def settings_of(options: Mapping[str, Any]) -> Settings:
    """Return the settings, with the connection given by `--dsn`."""
    settings = load(config_path(options.get("config"), os.environ), os.environ).settings
    if options.get("dsn") is None:
        daemon_mismatch.warn(settings, options.get("config"))
        return settings
    # With an explicit DSN there is no mismatch to warn about.
    postgres = PostgresSettings.model_validate(
        {"dsn": options["dsn"], "runtime_params": settings.postgres.runtime_params}
    )
    return settings.model_copy(update={"postgres": postgres})


def schema_of(settings: Settings, option: str | None) -> str | None:
    """
    Return the schema of the dead-letter table; None to use the search path.

    Raises:
        Fatal: The configuration uses several schemas.
    """
    if option is not None:
        return option
    schemas = {entry.schema_name for entry in settings.streams}
    if len(schemas) > 1:
        known = ", ".join(sorted(name or "the search path" for name in schemas))
        raise Fatal(f"the stream entries use several schemas, each with its own dead letters: {known};"
                    " select one with --schema")  # fmt: skip
    return schemas.pop() if schemas else None


def filters_of(settings: Settings, options: Mapping[str, Any], now_ns: int) -> DeadLetterFilter:
    """Return the filters given by the options."""
    stream = options.get("stream")
    filters = DeadLetterFilter(
        reason=options.get("reason"),
        state=options.get("state"),
        since=instant(options["since"], "--since", now_ns) if options.get("since") else None,
        before=instant(options["before"], "--before", now_ns) if options.get("before") else None,
        ids=tuple(options.get("numbers") or ()),
    )
    entry = next((entry for entry in settings.streams if entry.name == stream), None)
    if entry is None:
        return dataclasses.replace(filters, stream=stream)
    return dataclasses.replace(filters, stream=entry.stream_name, consumers=durables(settings, entry))


def instant(text: str, option: str, now_ns: int) -> dt.datetime:
    """
    Parse a time: a duration before now, or ISO 8601 (UTC without an offset).

    Raises:
        Fatal: The text is neither.
    """
    now = dt.datetime.fromtimestamp(now_ns / 1e9, dt.UTC)
    try:
        return now - dt.timedelta(seconds=durations.parse_duration(text, 1.0))
    except (ValueError, OverflowError):
        pass
    try:
        time = dt.datetime.fromisoformat(text)
    except ValueError:
        raise Fatal(
            f"{option} {text!r}: give a duration such as 2h or 7d, or a time such as 2026-01-31T12:00Z"
        ) from None
    return time if time.tzinfo else time.replace(tzinfo=dt.UTC)
