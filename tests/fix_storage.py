"""Tables of a real server, maintained at a time of the test's choice."""

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import psycopg
import pytest

from eventwriter.config.settings import PostgresSettings, StorageSettings
from eventwriter.postgres.migrate.files import shipped_migrations, time_columns
from eventwriter.postgres.migrate.plan import MigrateOptions
from eventwriter.postgres.migrate.runner import migrate
from eventwriter.postgres.partitions.executor import DryRunExecutor, Executor, Report, SessionExecutor
from eventwriter.postgres.partitions.maintain import Task, maintain
from eventwriter.postgres.session import PostgresSession

SERVER = "the test's server"

Maintenance = Callable[[Task, Executor], Awaitable[None]]


def run_maintenance(dsn: str, task: Task, maintenance: Maintenance = maintain, attempts: int = 1) -> list[Report]:
    """Run a maintenance over a connection of its own and return its reports."""
    reports: list[Report] = []

    async def run() -> None:
        session = PostgresSession(PostgresSettings.model_validate({"dsn": dsn}))
        try:
            await maintenance(task, SessionExecutor(session, reports.append, attempts))
        finally:
            await session.close()

    asyncio.run(run())
    return reports


class Storage:
    """A database with migrated tables, which can be maintained as if it were another day."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.conn: psycopg.Connection[Any] = psycopg.connect(dsn, autocommit=True)
        self.conn.execute("SET timezone TO 'UTC'")
        self.now = dt.datetime.now(dt.UTC)

    def migrate(self, *tables: str, **options: Any) -> None:
        """Create tables, or all tables if none is named."""
        migrations = [migration for migration in shipped_migrations() if not tables or migration.table in tables]
        list(migrate(self.conn, SERVER, MigrateOptions(**options), migrations))

    def task(self, section: Mapping[str, Any], days: float = 0.0, *tables: str) -> Task:
        """Return a maintenance task for a number of days from now."""
        columns = {name: column for name, column in time_columns().items() if not tables or name in tables}
        settings = StorageSettings.model_validate(section)
        return Task("public", columns, settings, self.now + dt.timedelta(days=days))

    def maintain(self, days: float = 0.0, **section: Any) -> list[Report]:
        """Maintain the tables as of a number of days from now."""
        return run_maintenance(self.dsn, self.task(section, days))

    def changes(self, days: float = 0.0, **section: Any) -> list[Report]:
        """Maintain the tables and return the reports of changes."""
        return [report for report in self.maintain(days, **section) if report.changed]

    def script(self, days: float = 0.0, **section: Any) -> str:
        """Return what a dry run prints."""
        lines: list[str] = []

        async def run() -> None:
            session = PostgresSession(PostgresSettings.model_validate({"dsn": self.dsn}))
            await maintain(self.task(section, days), DryRunExecutor(session, lines.append))
            await session.close()

        asyncio.run(run())
        return "\n".join(lines)

    def read(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        return self.conn.execute(query).fetchall()  # type: ignore[call-overload, no-any-return]

    def log(self, days: float, count: int = 1) -> None:
        """Insert log rows with the time of a number of days from now."""
        at = self.now + dt.timedelta(days=days)
        self.conn.execute(
            "INSERT INTO logs (timestamp, body) SELECT %s, 'line ' || n FROM generate_series(1, %s) n", (at, count)
        )

    def partitions(self, table: str = "logs") -> list[str]:
        """Return the names of a table's partitions."""
        query = f"SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = '{table}'::regclass ORDER BY 1"
        return [row[0] for row in self.read(query)]

    def name(self, days: int, table: str = "logs") -> str:
        """Return the name of a day's partition."""
        return f"{table}_p{self.now + dt.timedelta(days=days):%Y%m%d}"

    def row_counts(self, table: str = "logs") -> dict[str, int]:
        """Return the number of rows by partition."""
        return dict(self.read(f"SELECT tableoid::regclass::text, count(*) FROM {table} GROUP BY 1"))


@pytest.fixture
def storage(database: str) -> Iterator[Storage]:
    """A database without tables."""
    storage = Storage(database)
    yield storage
    storage.conn.close()
