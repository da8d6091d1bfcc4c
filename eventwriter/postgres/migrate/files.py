"""
The shipped migrations: numbered SQL files, each for one table.

A file starts with comment lines, two of which are parsed: `-- table: NAME`, and
`-- time column: NAME` for a table that is partitioned by time. A released file is never changed;
changes are made by new files.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources

_FILE_NAME = re.compile(r"(\d{4})_(\w+)\.sql")
_HEADER = re.compile(r"^-- (table|time column): (\w+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Migration:
    """
    One SQL file.

    Attributes:
        table: The table that it creates or changes.
        time_column: Column by which the table is partitioned; None for an ordinary table.
    """

    version: int
    name: str
    table: str
    time_column: str | None
    sql: str

    def __str__(self) -> str:
        return f"{self.version:04} {self.name}"

    @property
    def checksum(self) -> str:
        """Hexadecimal SHA-256 of the file."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def parse_migration(file_name: str, sql: str) -> Migration:
    """
    Parse one file.

    Raises:
        ValueError: The file name does not have the form `0001_name.sql`, or no line names the table.
    """
    match = _FILE_NAME.fullmatch(file_name)
    header = dict(_HEADER.findall(sql))
    if match is None or "table" not in header:
        raise ValueError(f"{file_name}: a migration is named 0001_name.sql and has a line '-- table: NAME'")
    return Migration(int(match[1]), match[2], header["table"], header.get("time column"), sql)


def sort_by_version(migrations: Iterable[Migration]) -> tuple[Migration, ...]:
    """
    Return migrations in the order of their versions.

    Raises:
        ValueError: Two migrations have the same version.
    """
    by_version: dict[int, Migration] = {}
    for migration in migrations:
        if migration.version in by_version:
            raise ValueError(f"{migration} and {by_version[migration.version]} have the same version")
        by_version[migration.version] = migration
    return tuple(by_version[version] for version in sorted(by_version))


def shipped_migrations() -> tuple[Migration, ...]:
    """Return the migrations of this release in order."""
    folder = resources.files("eventwriter.postgres.migrate.sql")
    files = [file for file in folder.iterdir() if file.name.endswith(".sql")]
    return sort_by_version(parse_migration(file.name, file.read_text(encoding="utf-8")) for file in files)


def time_columns() -> dict[str, str]:
    """Return the time columns of the tables that are partitioned by time, by table."""
    return {m.table: m.time_column for m in shipped_migrations() if m.time_column is not None}
