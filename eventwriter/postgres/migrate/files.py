"""
The migrations as they are shipped: numbered SQL files, each about one table.

A file begins with comment lines; two of them are read: `-- table: NAME`, and
`-- time column: NAME` where the table is to be a hypertable if TimescaleDB is there.
A file that was released is never changed: a change is a new file.
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
    """One SQL file."""

    version: int
    name: str
    table: str
    """The one table that it makes or changes."""
    time_column: str | None
    """What a hypertable is cut by; None for a table that stays plain."""
    sql: str

    def __str__(self) -> str:
        return f"{self.version:04} {self.name}"

    @property
    def checksum(self) -> str:
        """Hexadecimal SHA-256 of the file."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def parsed(file_name: str, sql: str) -> Migration:
    """
    Read one file.

    Raises:
        ValueError: Its name is not `0001_name.sql`, or no line names its table.
    """
    match = _FILE_NAME.fullmatch(file_name)
    header = dict(_HEADER.findall(sql))
    if match is None or "table" not in header:
        raise ValueError(f"{file_name}: a migration is named 0001_name.sql and has a line '-- table: NAME'")
    return Migration(int(match[1]), match[2], header["table"], header.get("time column"), sql)


def ordered(migrations: Iterable[Migration]) -> tuple[Migration, ...]:
    """
    Put migrations in the order of their versions.

    Raises:
        ValueError: Two have the same version.
    """
    by_version: dict[int, Migration] = {}
    for migration in migrations:
        if migration.version in by_version:
            raise ValueError(f"{migration} and {by_version[migration.version]} have the same version")
        by_version[migration.version] = migration
    return tuple(by_version[version] for version in sorted(by_version))


def shipped() -> tuple[Migration, ...]:
    """Return the migrations of this release, in order."""
    folder = resources.files("eventwriter.postgres.migrate.sql")
    files = [file for file in folder.iterdir() if file.name.endswith(".sql")]
    return ordered(parsed(file.name, file.read_text(encoding="utf-8")) for file in files)
