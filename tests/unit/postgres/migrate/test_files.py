"""Reading the migrations that are shipped."""

import re

import pytest

from eventwriter.postgres.migrate.files import Migration, ordered, parsed, shipped

SQL = "-- Flows.\n-- table: flows\n-- time column: at\nCREATE TABLE flows (at timestamptz);\n"


def test_file_says_its_version_name_table_and_time_column() -> None:
    """Version and name come from the file's name, table and time column from its comments."""
    assert Migration(12, "flows_again", "flows", "at", SQL) == parsed("0012_flows_again.sql", SQL)


def test_file_without_time_column_stays_plain() -> None:
    """A file that names no time column makes no hypertable."""
    migration = parsed("0001_flows.sql", "-- table: flows\nCREATE TABLE flows ();\n")

    assert migration.time_column is None


@pytest.mark.parametrize(
    ("name", "sql"),
    [("1_flows.sql", SQL), ("0001-flows.sql", SQL), ("0001_flows.sql", "CREATE TABLE flows ();")],
)
def test_file_that_does_not_say_what_it_is_is_refused(name: str, sql: str) -> None:
    """A wrong name or a missing table line is a mistake of the release."""
    with pytest.raises(ValueError, match="a migration is named"):
        parsed(name, sql)


def test_order_is_by_version() -> None:
    """Files are applied by number, in whatever order the folder lists them."""
    second, tenth = parsed("0002_b.sql", SQL), parsed("0010_a.sql", SQL)

    assert (second, tenth) == ordered([tenth, second])


def test_same_version_twice_is_refused() -> None:
    """Two files of one number are a mistake of the release."""
    with pytest.raises(ValueError, match="0001 b and 0001 a have the same version"):
        ordered([parsed("0001_a.sql", SQL), parsed("0001_b.sql", SQL)])


def test_checksum_is_of_the_whole_file() -> None:
    """A change of a comment is a change."""
    assert parsed("0001_a.sql", SQL).checksum != parsed("0001_a.sql", SQL + "-- more\n").checksum


def test_shipped_versions_have_no_hole() -> None:
    """The release's files are numbered from 1 on."""
    versions = [migration.version for migration in shipped()]

    assert list(range(1, len(versions) + 1)) == versions
    assert {"eventwriter_ledger", "eventwriter_dead_letters", "timeseries_metrics", "netflow_metrics"} < {
        migration.table for migration in shipped()
    }


@pytest.mark.parametrize("migration", shipped(), ids=str)
def test_shipped_file_touches_the_table_that_it_names_only(migration: Migration) -> None:
    """Each file makes or changes its one table, and indexes on it; its time column is one of its columns."""
    made = re.findall(r"(?:CREATE|ALTER) TABLE (\w+)", migration.sql)
    indexed = re.findall(r"CREATE INDEX \w+ ON (\w+)", migration.sql)

    assert {migration.table} == {*made, *indexed}
    if migration.time_column is not None:
        assert re.search(rf"^  {migration.time_column} timestamptz NOT NULL,$", migration.sql, re.MULTILINE)
