"""Parsing of migration files."""

import re

import pytest

from eventwriter.postgres.migrate.files import Migration, parse_migration, shipped_migrations, sort_by_version

SQL = "-- Flows.\n-- table: flows\n-- time column: at\nCREATE TABLE flows (at timestamptz);\n"


def test_file_contains_version_name_table_and_time_column() -> None:
    """Version and name are parsed from the file name, table and time column from comments."""
    assert Migration(12, "flows_again", "flows", "at", SQL) == parse_migration("0012_flows_again.sql", SQL)


def test_file_without_time_column_has_none() -> None:
    """A file without a time column creates an ordinary table."""
    migration = parse_migration("0001_flows.sql", "-- table: flows\nCREATE TABLE flows ();\n")

    assert migration.time_column is None


@pytest.mark.parametrize(
    ("name", "sql"),
    [("1_flows.sql", SQL), ("0001-flows.sql", SQL), ("0001_flows.sql", "CREATE TABLE flows ();")],
)
def test_invalid_file_name_or_missing_table_is_an_error(name: str, sql: str) -> None:
    """A wrong file name or a missing line with the table is an error."""
    with pytest.raises(ValueError, match="a migration is named"):
        parse_migration(name, sql)


def test_migrations_are_sorted_by_version() -> None:
    """The order is that of the versions, independent of the order of the files."""
    second, tenth = parse_migration("0002_b.sql", SQL), parse_migration("0010_a.sql", SQL)

    assert (second, tenth) == sort_by_version([tenth, second])


def test_duplicate_version_is_an_error() -> None:
    """Two files with the same version are an error."""
    with pytest.raises(ValueError, match="0001 b and 0001 a have the same version"):
        sort_by_version([parse_migration("0001_a.sql", SQL), parse_migration("0001_b.sql", SQL)])


def test_checksum_covers_comments() -> None:
    """A changed comment changes the checksum."""
    assert parse_migration("0001_a.sql", SQL).checksum != parse_migration("0001_a.sql", SQL + "-- more\n").checksum


def test_shipped_versions_have_no_gap() -> None:
    """The shipped files are numbered consecutively from 1."""
    versions = [migration.version for migration in shipped_migrations()]

    assert list(range(1, len(versions) + 1)) == versions
    assert {"eventwriter_ledger", "eventwriter_dead_letters", "timeseries_metrics", "netflow_metrics"} < {
        migration.table for migration in shipped_migrations()
    }


@pytest.mark.parametrize("migration", shipped_migrations(), ids=str)
def test_shipped_file_changes_only_its_table(migration: Migration) -> None:
    """Each file creates or changes only its table and its indexes, and the time column is a column of the table."""
    tables = re.findall(r"(?:CREATE|ALTER) TABLE (\w+)", migration.sql)
    indexed = re.findall(r"CREATE INDEX \w+ ON (\w+)", migration.sql)

    assert {migration.table} == {*tables, *indexed}
    if migration.time_column is not None:
        assert re.search(rf"^  {migration.time_column} timestamptz NOT NULL,$", migration.sql, re.MULTILINE)
