"""Tables on a real server, looked after at any time that a test likes."""

import datetime as dt
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import psycopg
import pytest

from eventwriter.config.settings import StorageSettings
from eventwriter.postgres.migrate.files import shipped
from eventwriter.postgres.migrate.plan import Wish
from eventwriter.postgres.migrate.runner import migrate
from eventwriter.postgres.partitions.maintain import Task, maintain
from eventwriter.postgres.partitions.run import dry_run, run, time_columns
from eventwriter.postgres.partitions.steps import Note

HERE = "the test's server"


class Storage:
    """A database with tables that were made now, and their care at other times."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.conn: psycopg.Connection[Any] = psycopg.connect(dsn, autocommit=True)
        self.conn.execute("SET timezone TO 'UTC'")
        self.now = dt.datetime.now(dt.UTC)

    def migrate(self, *tables: str, **wish: Any) -> None:
        """Make tables; all where none is named."""
        files = [one for one in shipped() if not tables or one.table in tables]
        list(migrate(self.conn, HERE, Wish(**wish), files))

    def task(self, section: Mapping[str, Any], days: float = 0.0, *tables: str) -> Task:
        """Return a task for so many days from now."""
        columns = {name: column for name, column in time_columns().items() if not tables or name in tables}
        settings = StorageSettings.model_validate(section)
        return Task("public", columns, settings, self.now + dt.timedelta(days=days))

    def care(self, days: float = 0.0, **section: Any) -> list[Note]:
        """Look after the tables as if it were so many days from now."""
        return list(run(self.conn, HERE, maintain(self.task(section, days))))

    def said(self, days: float = 0.0, **section: Any) -> list[str]:
        """Look after the tables; return what was said."""
        return [note.text for note in self.care(days, **section)]

    def script(self, days: float = 0.0, **section: Any) -> str:
        """Return what a dry run prints."""
        return "\n".join(dry_run(self.conn, HERE, maintain(self.task(section, days))))

    def read(self, query: str) -> list[tuple[Any, ...]]:
        """Return what a query finds."""
        return self.conn.execute(query).fetchall()  # type: ignore[call-overload, no-any-return]

    def log(self, days: float, count: int = 1) -> None:
        """Write log lines of so many days from now."""
        at = self.now + dt.timedelta(days=days)
        self.conn.execute(
            "INSERT INTO logs (timestamp, body) SELECT %s, 'line ' || n FROM generate_series(1, %s) n", (at, count)
        )

    def partitions(self, table: str = "logs") -> list[str]:
        """Return the names of a table's partitions."""
        query = f"SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = '{table}'::regclass ORDER BY 1"
        return [row[0] for row in self.read(query)]

    def name(self, days: int, table: str = "logs") -> str:
        """Return what the partition of a day is called."""
        return f"{table}_p{self.now + dt.timedelta(days=days):%Y%m%d}"

    def where(self, table: str = "logs") -> dict[str, int]:
        """Return how many rows each partition has."""
        return dict(self.read(f"SELECT tableoid::regclass::text, count(*) FROM {table} GROUP BY 1"))


@pytest.fixture
def storage(database: str) -> Iterator[Storage]:
    """A database without tables."""
    with closing(psycopg.connect(database)):
        made = Storage(database)
    yield made
    made.conn.close()
