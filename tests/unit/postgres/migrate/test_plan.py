"""Decisions and SQL of `eventwriter migrate`."""

import datetime as dt

import pytest

from eventwriter.errors import Fatal
from eventwriter.postgres.migrate.files import Migration, parse_migration, shipped_migrations
from eventwriter.postgres.migrate.plan import (
    MigrateOptions,
    Record,
    Result,
    Target,
    decide,
    empty_database_script,
    first_schema,
    hypertable_sql,
    render_script,
    version_sql,
)

NOW = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)

FLOWS = parse_migration("0003_flows.sql", "-- table: flows\n-- time column: at\nCREATE TABLE flows (at timestamptz);\n")
MORE = parse_migration("0007_flows_more.sql", "-- table: flows\nALTER TABLE flows ADD COLUMN more text;\n")
APPLIED = Record("flows", FLOWS.checksum, "applied")
FOUND = Record("flows", FLOWS.checksum, "found")


@pytest.mark.parametrize(
    ("migration", "records", "exists", "expected"),
    [
        pytest.param(FLOWS, {}, False, Result.APPLIED, id="missing table"),
        pytest.param(FLOWS, {3: APPLIED}, True, Result.PRESENT, id="applied"),
        pytest.param(FLOWS, {}, True, Result.FOUND, id="foreign table"),
        pytest.param(FLOWS, {3: FOUND}, True, Result.FOUND, id="foreign table, recorded"),
        pytest.param(FLOWS, {3: APPLIED}, False, Result.APPLIED, id="dropped table"),
        pytest.param(FLOWS, {3: FOUND}, False, Result.APPLIED, id="dropped foreign table"),
        pytest.param(MORE, {3: APPLIED}, True, Result.APPLIED, id="change of our table"),
        pytest.param(MORE, {3: FOUND}, True, Result.FOUND, id="change of a foreign table"),
        pytest.param(MORE, {2: Record("other", "", "applied")}, True, Result.FOUND, id="only another table is ours"),
    ],
)
def test_only_missing_and_outdated_tables_are_applied(
    migration: Migration, records: dict[int, Record], exists: bool, expected: Result
) -> None:
    """A version is applied if its table is missing, or is ours and lacks the version."""
    assert expected == decide(migration, records, exists)


def test_changed_file_is_an_error() -> None:
    """A file that differs from the applied one is an error with both checksums."""
    with pytest.raises(Fatal) as caught:
        decide(FLOWS, {3: Record("flows", "0123456789abcdef", "applied")}, True)

    assert "migration_changed" == caught.value.code
    assert all(text in caught.value.message for text in ("0003 flows", FLOWS.checksum[:12], "0123456789ab"))


def test_changed_file_of_a_foreign_table_is_ignored() -> None:
    """The checksum is compared only if the version was applied."""
    assert Result.FOUND is decide(FLOWS, {3: Record("flows", "0123456789abcdef", "found")}, True)


def test_sql_of_a_version_creates_the_table_and_records_it() -> None:
    """The SQL of a version consists of its file and its record."""
    assert (
        "-- table: flows\n"
        "-- time column: at\n"
        "CREATE TABLE flows (at timestamptz);\n"
        "DELETE FROM eventwriter_migrations WHERE table_name = 'flows' AND version >= 3;\n"
        "INSERT INTO eventwriter_migrations (version, name, table_name, checksum, outcome)"
        f" VALUES (3, 'flows', 'flows', '{FLOWS.checksum}', 'applied');"
    ) == version_sql(FLOWS, Result.APPLIED, Target("public", None, None), {})


def test_sql_of_a_version_creates_a_hypertable_with_timescaledb() -> None:
    """With TimescaleDB the table becomes a hypertable before it is recorded."""
    lines = version_sql(FLOWS, Result.APPLIED, Target("public", "ext", None), {}).splitlines()

    assert (
        'SELECT "ext".create_hypertable(\'"public"."flows"\', \'at\'::name,'
        " create_default_indexes => false, if_not_exists => true);"
    ) == lines[3]


def test_names_and_intervals_are_quoted() -> None:
    """Quotes within the schema and the interval do not end the identifier and the literal."""
    target = Target("a\"b'c", "ex t", "1 day'; DROP")

    assert (
        'SELECT "ex t".create_hypertable(\'"a""b\'\'c"."flows"\', \'at\'::name,'
        " chunk_time_interval => INTERVAL '1 day''; DROP', create_default_indexes => false, if_not_exists => true);"
    ) == hypertable_sql("flows", "at", target)


def test_foreign_table_is_recorded_once_and_left_unchanged() -> None:
    """A foreign table is recorded once and is not changed."""
    sql = version_sql(FLOWS, Result.FOUND, Target("public", "ext", None), {})

    assert "CREATE" not in sql
    assert "create_hypertable" not in sql
    assert "'found'" in sql
    assert not version_sql(FLOWS, Result.FOUND, Target("public", "ext", None), {3: FOUND})


def test_applied_version_has_no_sql() -> None:
    """An applied version needs no statements."""
    assert not version_sql(FLOWS, Result.PRESENT, Target("public", None, None), {3: APPLIED})


@pytest.mark.parametrize(
    ("search_path", "expected"),
    [
        ("platform, ag_catalog", "platform"),
        ('"$user", public', "public"),
        ("$user,public", "public"),
        (' "Mixed Case" ,public', "Mixed Case"),
        ("", None),
        ('"$user"', None),
    ],
)
def test_first_schema_of_a_search_path(search_path: str, expected: str | None) -> None:
    """The first schema is the first name of the path except for $user."""
    assert expected == first_schema(search_path)


def test_script_lists_versions_without_statements() -> None:
    """The script has a comment for each version, also if nothing is to be executed."""
    text = "\n".join(render_script(Target("public", None, None), [(FLOWS, Result.FOUND)], {3: FOUND}, True))

    assert text.endswith("\n-- 0003 flows: existing table, left unchanged")
    assert "CREATE SCHEMA" not in text


def test_script_for_an_empty_database_creates_every_table() -> None:
    """Without a server the script creates the schema and all tables."""
    text = "\n".join(empty_database_script(MigrateOptions(schema="flows db"), NOW))

    assert text.startswith('BEGIN;\nCREATE SCHEMA IF NOT EXISTS "flows db";\n')
    assert text.count("COMMIT;") == text.count("BEGIN;") == 1 + len(shipped_migrations())
    assert "create_hypertable" not in text
