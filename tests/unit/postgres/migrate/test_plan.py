"""What migrate decides, and the SQL that it writes."""

import datetime as dt

import pytest

from eventwriter.errors import Fatal
from eventwriter.postgres.migrate.files import parsed, shipped
from eventwriter.postgres.migrate.plan import (
    Place,
    Record,
    Result,
    Wish,
    decide,
    first_schema,
    hypertable,
    rendered,
    script,
    without_server,
)

NOW = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)

FLOWS = parsed("0003_flows.sql", "-- table: flows\n-- time column: at\nCREATE TABLE flows (at timestamptz);\n")
MORE = parsed("0007_flows_more.sql", "-- table: flows\nALTER TABLE flows ADD COLUMN more text;\n")
APPLIED = Record("flows", FLOWS.checksum, "applied")
FOUND = Record("flows", FLOWS.checksum, "found")


@pytest.mark.parametrize(
    ("migration", "records", "exists", "expected"),
    [
        pytest.param(FLOWS, {}, False, Result.APPLIED, id="nothing there"),
        pytest.param(FLOWS, {3: APPLIED}, True, Result.PRESENT, id="made before"),
        pytest.param(FLOWS, {}, True, Result.FOUND, id="somebody else's"),
        pytest.param(FLOWS, {3: FOUND}, True, Result.FOUND, id="somebody else's, seen before"),
        pytest.param(FLOWS, {3: APPLIED}, False, Result.APPLIED, id="made before, dropped since"),
        pytest.param(FLOWS, {3: FOUND}, False, Result.APPLIED, id="somebody else's, dropped since"),
        pytest.param(MORE, {3: APPLIED}, True, Result.APPLIED, id="a change of ours"),
        pytest.param(MORE, {3: FOUND}, True, Result.FOUND, id="a change of somebody else's"),
        pytest.param(MORE, {2: Record("other", "", "applied")}, True, Result.FOUND, id="another table is ours"),
    ],
)
def test_decision(migration: object, records: dict[int, Record], exists: bool, expected: Result) -> None:
    """Only what is missing, or ours and behind, is applied."""
    assert expected == decide(migration, records, exists)  # type: ignore[arg-type]


def test_changed_file_is_refused() -> None:
    """A file that is not the one that was applied is refused by name, with both checksums."""
    with pytest.raises(Fatal) as caught:
        decide(FLOWS, {3: Record("flows", "0123456789abcdef", "applied")}, True)

    assert (
        f"migration 0003 flows was changed after it was applied here (checksum {FLOWS.checksum[:12]}, in the database"
        " 0123456789ab); install the released file and put the change into a new one"
    ) == str(caught.value)


def test_changed_file_of_a_table_that_is_not_ours_is_of_no_matter() -> None:
    """Where nothing was applied there is nothing to disagree with."""
    assert Result.FOUND is decide(FLOWS, {3: Record("flows", "0123456789abcdef", "found")}, True)


def test_script_makes_the_table_then_records_it() -> None:
    """One version is its file, and its row in the record of migrations."""
    assert (
        "-- table: flows\n"
        "-- time column: at\n"
        "CREATE TABLE flows (at timestamptz);\n"
        "DELETE FROM eventwriter_migrations WHERE table_name = 'flows' AND version >= 3;\n"
        "INSERT INTO eventwriter_migrations (version, name, table_name, checksum, outcome)"
        f" VALUES (3, 'flows', 'flows', '{FLOWS.checksum}', 'applied');"
    ) == script(FLOWS, Result.APPLIED, Place("public", None, None), {})


def test_script_makes_a_hypertable_where_timescale_is() -> None:
    """With TimescaleDB the table is cut by its time column before it is recorded."""
    lines = script(FLOWS, Result.APPLIED, Place("public", "ext", None), {}).splitlines()

    assert (
        'SELECT "ext".create_hypertable(\'"public"."flows"\', \'at\'::name,'
        " create_default_indexes => false, if_not_exists => true);"
    ) == lines[3]


def test_names_and_intervals_are_quoted() -> None:
    """Whatever the schema and the interval are called, they stay a name and a text."""
    place = Place("a\"b'c", "ex t", "1 day'; DROP")

    assert (
        'SELECT "ex t".create_hypertable(\'"a""b\'\'c"."flows"\', \'at\'::name,'
        " chunk_time_interval => INTERVAL '1 day''; DROP', create_default_indexes => false, if_not_exists => true);"
    ) == hypertable("flows", "at", place)


def test_found_table_is_recorded_once_and_not_touched() -> None:
    """Of a table that is not ours only the record says something, once."""
    sql = script(FLOWS, Result.FOUND, Place("public", "ext", None), {})

    assert "CREATE" not in sql
    assert "create_hypertable" not in sql
    assert "'found'" in sql
    assert not script(FLOWS, Result.FOUND, Place("public", "ext", None), {3: FOUND})


def test_nothing_is_written_for_what_is_there() -> None:
    """A version that is applied has no SQL."""
    assert not script(FLOWS, Result.PRESENT, Place("public", None, None), {3: APPLIED})


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
    """Tables go where the search path looks first, by name."""
    assert expected == first_schema(search_path)


def test_script_for_psql_says_what_is_left_alone() -> None:
    """Each version has its line, also where there is nothing to run."""
    text = "\n".join(rendered(Place("public", None, None), [(FLOWS, Result.FOUND)], {3: FOUND}, True))

    assert text.endswith("\n-- 0003 flows: found, left as it is")
    assert "CREATE SCHEMA" not in text


def test_without_a_server_the_script_is_for_an_empty_database() -> None:
    """Every table is made, in the schema that was asked for."""
    text = "\n".join(without_server(Wish(schema="flows db"), NOW))

    assert text.startswith('BEGIN;\nCREATE SCHEMA IF NOT EXISTS "flows db";\n')
    assert text.count("COMMIT;") == text.count("BEGIN;") == 1 + len(shipped())
    assert "create_hypertable" not in text
