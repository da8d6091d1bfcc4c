"""`eventwriter migrate` on a real server."""

import json
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from eventwriter.cli.main import cli, run_command
from eventwriter.clock import utc_now
from eventwriter.errors import Fatal
from eventwriter.kinds.registry import KINDS
from eventwriter.model import Origin
from eventwriter.postgres.dead_letters.record import DEAD_LETTERS
from eventwriter.postgres.ledger.epochs import open_ledger
from eventwriter.postgres.ledger.ranges import Newest
from eventwriter.postgres.ledger.store import LedgerKey
from eventwriter.postgres.migrate.files import parse_migration, shipped_migrations
from eventwriter.postgres.migrate.plan import MigrateOptions, empty_database_script
from eventwriter.postgres.migrate.runner import dry_run, migrate
from eventwriter.postgres.schema.catalog import bind, read_columns
from eventwriter.tables.table import Table

Connection = psycopg.Connection[Any]

SERVER = "the test's server"
LINES_FIRST = [f"{migration}: applied" for migration in shipped_migrations()]
LINES_PARTITIONED = [
    line + (f" (partitioned by {migration.time_column}, 1d each)" if migration.time_column else "")
    for line, migration in zip(LINES_FIRST, shipped_migrations(), strict=True)
]
LINES_AGAIN = [f"{migration}: already applied" for migration in shipped_migrations()]

SHAPE_SQL = """
SELECT c.relname, c.relkind::text, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
       pg_get_expr(d.adbin, d.adrelid), pg_get_indexdef(i.indexrelid)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
LEFT JOIN pg_index i ON i.indexrelid = c.oid
WHERE n.nspname = %s ORDER BY 1, 2, a.attnum
"""


@pytest.fixture
def conn(database: str) -> Iterator[Connection]:
    with closing(psycopg.connect(database, autocommit=True)) as connection:
        yield connection


def run(conn: Connection, options: MigrateOptions | None = None) -> list[str]:
    return list(migrate(conn, SERVER, options or MigrateOptions(plain=True)))


def shape(conn: Connection, schema: str = "public") -> list[tuple[Any, ...]]:
    """Return all columns, defaults and indexes of a schema."""
    return conn.execute(SHAPE_SQL, (schema,)).fetchall()


@dataclass(frozen=True)
class Result:
    """Exit code and output of a command."""

    exit_code: int
    stdout: str
    stderr: str


class Command:
    """The command `eventwriter migrate`."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *args: str, before: Sequence[str] = ()) -> Result:
        code = run_command(cli, [*before, "migrate", *args], "eventwriter")
        out, err = self._capsys.readouterr()
        return Result(code, out, err)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


def test_first_run_creates_every_table(conn: Connection) -> None:
    """On an empty database each version is applied, reported with a line, and recorded."""
    assert LINES_FIRST == run(conn)
    tables = {row[0] for row in shape(conn) if row[1] == "r"}
    assert {migration.table for migration in shipped_migrations()} | {"eventwriter_migrations"} == tables
    recorded = conn.execute("SELECT version, name, checksum, outcome FROM eventwriter_migrations ORDER BY 1").fetchall()
    assert [(m.version, m.name, m.checksum, "applied") for m in shipped_migrations()] == recorded


def test_second_run_changes_nothing(conn: Connection) -> None:
    """Applied versions are reported as such, and neither tables nor records change."""
    run(conn)
    before = shape(conn), conn.execute("SELECT * FROM eventwriter_migrations ORDER BY 1").fetchall()

    assert LINES_AGAIN == run(conn)
    assert before == (shape(conn), conn.execute("SELECT * FROM eventwriter_migrations ORDER BY 1").fetchall())


def test_existing_table_of_another_program_is_left_unchanged(conn: Connection) -> None:
    """A table that existed before is not changed by any run, and is recorded as found."""
    conn.execute("CREATE TABLE logs (line text); CREATE VIEW events AS SELECT 1 AS one")
    theirs = [row for row in shape(conn) if row[0] in ("logs", "events")]

    for _ in range(2):
        assert {"0006 events: existing table, left unchanged", "0011 logs: existing table, left unchanged"} < set(
            run(conn)
        )
    assert theirs == [row for row in shape(conn) if row[0] in ("logs", "events")]
    assert [("events",), ("logs",)] == conn.execute(
        "SELECT table_name FROM eventwriter_migrations WHERE outcome = 'found' ORDER BY 1"
    ).fetchall()


def test_tables_with_a_time_column_are_partitioned(conn: Connection) -> None:
    """Each has a default partition, the current one and those ahead, and columns and keys like an ordinary table."""
    run(conn)
    assert LINES_PARTITIONED == run(conn, MigrateOptions(schema="cut"))

    partitioned = {migration.table for migration in shipped_migrations() if migration.time_column}
    counts = conn.execute(
        "SELECT p.relname, count(*) FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent WHERE p.relkind = 'p'"
        " GROUP BY 1"
    ).fetchall()
    assert dict.fromkeys(partitioned, 9) == dict(counts)

    def normalised_shape(schema: str) -> set[tuple[Any, ...]]:
        tables = {migration.table for migration in shipped_migrations()}
        indexes = {f"{name}{end}" for name in tables for end in ("_pkey", "_time", "_device", "_service", "_trace")}
        return {
            (name, *row, str(index).replace(f"ON ONLY {schema}.", "ON ").replace(f"ON {schema}.", "ON "))
            for name, _, *row, index in shape(conn, schema)
            if name in tables | indexes
        }

    assert normalised_shape("public") == normalised_shape("cut")


def test_dropped_table_is_created_again(conn: Connection) -> None:
    """Migrate creates a dropped table again, as the hint for a missing table says."""
    run(conn)
    before = shape(conn)
    conn.execute("DROP TABLE logs")

    expected = [line.replace("already applied", "applied") if "0011 logs" in line else line for line in LINES_AGAIN]
    assert expected == run(conn)
    assert before == shape(conn)


def test_recreated_table_gets_its_later_versions(conn: Connection) -> None:
    """All versions of a table that is created again are applied."""
    first = parse_migration("0001_flows.sql", "-- table: flows\nCREATE TABLE flows (a int);\n")
    second = parse_migration("0002_flows_b.sql", "-- table: flows\nALTER TABLE flows ADD COLUMN b int;\n")
    list(migrate(conn, SERVER, MigrateOptions(), [first]))
    assert ["0001 flows: already applied", "0002 flows_b: applied"] == list(
        migrate(conn, SERVER, MigrateOptions(), [first, second])
    )
    conn.execute("DROP TABLE flows")

    assert ["0001 flows: applied", "0002 flows_b: applied"] == list(
        migrate(conn, SERVER, MigrateOptions(), [first, second])
    )
    assert ["a", "b"] == [row[2] for row in shape(conn) if row[0] == "flows"]


def test_failed_version_is_rolled_back(conn: Connection) -> None:
    """A failed version leaves nothing behind, and earlier versions stay."""
    good = parse_migration("0001_flows.sql", "-- table: flows\nCREATE TABLE flows (a int);\n")
    bad = parse_migration(
        "0002_hosts.sql", "-- table: hosts\nCREATE TABLE hosts (a int);\nCREATE INDEX h ON hosts (b);\n"
    )

    with pytest.raises(Fatal) as caught:
        list(migrate(conn, SERVER, MigrateOptions(), [good, bad]))

    assert "column_missing" == caught.value.code
    assert {"flows", "eventwriter_migrations"} == {row[0] for row in shape(conn) if row[1] == "r"}
    assert [(1,)] == conn.execute("SELECT version FROM eventwriter_migrations").fetchall()


def test_changed_file_stops_the_run(conn: Connection) -> None:
    """A file that was changed after it was applied stops the run."""
    run(conn)
    conn.execute("UPDATE eventwriter_migrations SET checksum = 'f00' WHERE version = 5")

    with pytest.raises(Fatal) as caught:
        run(conn)

    assert "migration_changed" == caught.value.code


def test_versions_of_a_newer_release_are_listed(conn: Connection) -> None:
    """Versions that another release applied are reported and left unchanged."""
    run(conn)
    conn.execute("INSERT INTO eventwriter_migrations VALUES (99, 'later', 'later', '', 'applied')")

    assert [*LINES_AGAIN, "0099 later: applied by another release of eventwriter, left unchanged"] == run(conn)


def test_record_table_of_another_program_is_an_error(conn: Connection) -> None:
    """A table eventwriter_migrations with other columns is not written."""
    conn.execute("CREATE TABLE eventwriter_migrations (id int)")

    with pytest.raises(Fatal) as caught:
        run(conn)
    with pytest.raises(Fatal) as caught_dry:
        list(dry_run(conn, SERVER, MigrateOptions()))

    assert ["foreign_table"] * 2 == [caught.value.code, caught_dry.value.code]


def test_concurrent_runs_apply_each_version_once(database: str) -> None:
    """Concurrent runs wait for one another; none fails, and each version is applied by one of them."""
    lines: list[list[str]] = []
    start = threading.Barrier(4)

    def run_once() -> None:
        with closing(psycopg.connect(database, autocommit=True)) as conn:
            start.wait()
            lines.append(run(conn, MigrateOptions(schema="platform", plain=True)))

    threads = [threading.Thread(target=run_once) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 4 == len(lines)
    applied = sorted(line for run_lines in lines for line in run_lines if line.endswith(": applied"))
    assert LINES_FIRST == applied


def test_schema_with_special_characters_is_created(conn: Connection) -> None:
    """Any schema name works, and no table is created elsewhere."""
    odd = "Odd \"schema'; --"

    assert LINES_PARTITIONED == run(conn, MigrateOptions(schema=odd))
    assert LINES_AGAIN == run(conn, MigrateOptions(schema=odd))
    assert [] == shape(conn)
    assert {migration.table for migration in shipped_migrations()} < {row[0] for row in shape(conn, odd)}


def test_tables_are_created_in_the_first_schema_of_the_search_path(conn: Connection) -> None:
    """Without the option --schema, tables are created in the connection's current schema."""
    conn.execute("CREATE SCHEMA platform; SET search_path TO platform, public")

    run(conn)

    assert [] == shape(conn)
    assert shape(conn, "platform")


def test_search_path_without_an_existing_schema_is_an_error(conn: Connection) -> None:
    """If no schema of the search path exists, the hint asks for --schema."""
    conn.execute("SET search_path TO nowhere")

    with pytest.raises(Fatal) as caught:
        run(conn)

    assert ("schema_missing", "name a schema with --schema") == (caught.value.code, caught.value.hint)


def test_dry_run_changes_nothing_and_its_script_does_the_same(conn: Connection) -> None:
    """The dry run changes nothing, and its script creates the tables that migrate creates."""
    text = "\n".join(dry_run(conn, SERVER, MigrateOptions(schema="by hand")))
    assert not conn.execute("SELECT FROM pg_namespace WHERE nspname = 'by hand'").fetchall()

    conn.execute(text)
    run(conn, MigrateOptions(schema="by itself"))

    def normalised_shape(schema: str) -> list[tuple[Any, ...]]:
        return [(*row[:-1], str(row[-1]).replace(schema, "")) for row in shape(conn, schema)]

    assert normalised_shape("by itself") == normalised_shape("by hand")
    assert LINES_AGAIN == run(conn, MigrateOptions(schema="by hand"))
    assert "CREATE TABLE logs" not in "\n".join(dry_run(conn, SERVER, MigrateOptions(schema="by hand")))


def test_script_for_an_empty_database_creates_every_table(conn: Connection) -> None:
    """The script that is printed without a server creates all tables of an empty database."""
    conn.execute("\n".join(empty_database_script(MigrateOptions(), utc_now())))

    assert LINES_AGAIN == run(conn)


async def test_ledger_and_dead_letters_fit_the_writer(database: str, conn: Connection) -> None:
    """The tables of ledger and dead letters need no conversion and cause no warning."""
    run(conn)
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as own:
        target, real = await read_columns(own, None, "eventwriter_dead_letters")
        binding = bind(DEAD_LETTERS, real, target)
        key = LedgerKey(Origin("S", 10**18, 0), "d", "f")
        ledger = await open_ledger(own, "eventwriter_ledger", key)
        recorded = [await ledger.record(own, [(1, 4)], Newest(3, 10**18)) for _ in range(2)]

    assert () == binding.warnings
    assert (None,) * len(DEAD_LETTERS.columns) == binding.converters == binding.null_as
    assert [True, False] == recorded


TABLES = {table.name: table for kind in KINDS.values() for table in (*kind.tables, *kind.also)}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
async def test_tables_fit_the_row_builders(database: str, conn: Connection, table: Table) -> None:
    """Each table has exactly the columns of its row builder, needs no conversion and causes no warning."""
    run(conn)
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as own:
        target, real = await read_columns(own, None, table.name)
    binding = bind(table, real, target)

    assert () == binding.warnings
    expected = [column.name for column in table.columns if not column.derived]
    assert expected == [table.columns[at].name for at in binding.positions]
    assert (None,) * len(expected) == binding.converters == binding.null_as
    assert {"created_at"} == {column.name for column in real} - set(expected)


STAND_IN = """
CREATE TABLE asked (relation text, time_column text, chunk interval, indexes boolean, if_not_exists boolean);
CREATE FUNCTION create_hypertable(relation regclass, time_column_name name, chunk_time_interval interval DEFAULT NULL,
    create_default_indexes boolean DEFAULT true, if_not_exists boolean DEFAULT false) RETURNS void LANGUAGE sql
BEGIN ATOMIC
  INSERT INTO @extschema@.asked VALUES ((SELECT concat_ws('.', relnamespace::regnamespace, relname)
    FROM pg_class WHERE oid = relation), time_column_name, chunk_time_interval, create_default_indexes,
                                        if_not_exists);
END;
"""


@pytest.fixture
def stand_in(conn: Connection) -> Iterator[None]:
    """An extension named timescaledb that records its calls; PostgreSQL 18 loads it from any folder."""
    if conn.info.server_version < 180000:
        pytest.skip("needs PostgreSQL 18")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "extension")
        folder.mkdir()
        Path(folder, "timescaledb.control").write_text("default_version = '1'\n")
        Path(folder, "timescaledb--1.sql").write_text(STAND_IN)
        for path in (Path(name), folder):
            path.chmod(0o755)
        conn.execute(f"SET extension_control_path TO '{name}:$system'")
        ours = "SELECT FROM pg_available_extensions WHERE name = 'timescaledb' AND default_version = '1'"
        if not conn.execute(ours).fetchall():
            pytest.skip("the server does not see this machine's files")
        yield


@pytest.mark.usefixtures("stand_in")
def test_hypertables_are_created_with_timescaledb(conn: Connection) -> None:
    """With TimescaleDB each table with a time column becomes a hypertable; ledger and dead letters do not."""
    conn.execute("CREATE SCHEMA ext; CREATE EXTENSION timescaledb SCHEMA ext")

    lines = run(conn, MigrateOptions(schema="Deep", chunk_interval="1 day"))

    timed = [migration for migration in shipped_migrations() if migration.time_column]
    assert {f"{migration}: applied (hypertable on {migration.time_column})" for migration in timed} < set(lines)
    assert {"0001 eventwriter_ledger: applied", "0002 eventwriter_dead_letters: applied"} < set(lines)
    asked = conn.execute(
        "SELECT relation, time_column, chunk::text, indexes, if_not_exists FROM ext.asked ORDER BY 1"
    ).fetchall()
    assert sorted((f'"Deep".{m.table}', m.time_column, "1 day", False, True) for m in timed) == asked


@pytest.mark.usefixtures("stand_in")
def test_plain_option_creates_ordinary_tables(conn: Connection) -> None:
    """With --plain no hypertables are created, and a note says that the chunk interval is not used."""
    conn.execute("CREATE EXTENSION timescaledb")

    assert ["the chunk interval is not used, because no hypertables are created", *LINES_FIRST] == run(
        conn, MigrateOptions(plain=True, chunk_interval="1 day")
    )
    assert [] == conn.execute("SELECT FROM asked").fetchall()


@pytest.mark.usefixtures("stand_in")
def test_tables_are_partitioned_if_timescaledb_is_not_preloaded(conn: Connection) -> None:
    """TimescaleDB that is not preloaded is not used, and a note says so."""
    assert [
        "TimescaleDB is available but not in shared_preload_libraries: no hypertables are created",
        *LINES_PARTITIONED,
    ] == run(conn, MigrateOptions())


def test_hypertables_of_timescaledb(conn: Connection) -> None:
    """On a server with TimescaleDB the tables are hypertables after the first and the second run."""
    if not conn.execute("SELECT FROM pg_available_extensions WHERE name = 'timescaledb'").fetchall():
        pytest.skip("this server has no TimescaleDB")

    run(conn, MigrateOptions())
    run(conn, MigrateOptions())

    hypertables = conn.execute("SELECT hypertable_name FROM timescaledb_information.hypertables").fetchall()
    assert {migration.table for migration in shipped_migrations() if migration.time_column} == {
        row[0] for row in hypertables
    }


@pytest.mark.parametrize("interval", ["soon", "-1 day", "0"])
def test_invalid_chunk_interval_is_an_error(conn: Connection, interval: str) -> None:
    """An invalid or negative time span is an error before any table is created."""
    with pytest.raises(Fatal) as caught:
        run(conn, MigrateOptions(chunk_interval=interval))

    assert "invalid_interval" == caught.value.code
    assert [] == shape(conn)


def test_command_prints_a_line_for_each_version(command: Command, database: str) -> None:
    """`eventwriter migrate` reports each version and exits with 0 at every run."""
    first, again = command("--dsn", database), command("--dsn", database)

    assert (0, LINES_PARTITIONED, "") == (first.exit_code, first.stdout.splitlines(), first.stderr)
    assert (0, LINES_AGAIN, "") == (again.exit_code, again.stdout.splitlines(), again.stderr)


def test_command_uses_the_configuration(command: Command, database: str, conn: Connection, tmp_path: Path) -> None:
    """Server and schema are those of the configuration file, and options override them."""
    config = tmp_path / "eventwriter.json"
    config.write_text(
        json.dumps({"postgres": {"dsn": database, "runtime_params": {"search_path": "platform, public"}}})
    )

    results = [
        command("--config", str(config), "--all"),
        command("--all", before=["--config", str(config)]),
        command("--config", str(config), "--schema", "other", "--all"),
    ]

    assert [(0, LINES_PARTITIONED), (0, LINES_AGAIN), (0, LINES_PARTITIONED)] == [
        (result.exit_code, result.stdout.splitlines()) for result in results
    ]
    assert shape(conn, "platform")
    assert shape(conn, "other")
    assert [] == shape(conn)


def test_command_creates_the_tables_of_configured_kinds(command: Command, database: str, tmp_path: Path) -> None:
    """Only tables that a stream entry writes are created, besides those of eventwriter itself."""
    config = tmp_path / "eventwriter.json"
    streams = [{"name": "ORDERS", "kind": "json", "subject": "orders.>", "table": "orders"}, "TELEMETRY"]
    config.write_text(json.dumps({"postgres": {"dsn": database}, "streams": streams}))

    result = command("--config", str(config))

    tables = {line.split(": ")[0].partition(" ")[2] for line in result.stdout.splitlines()}
    assert {"timeseries_metrics"} == {name for name in tables if not name.startswith("eventwriter_")}
    assert {"eventwriter_ledger", "eventwriter_dead_letters"} < tables


def test_command_prints_sql_and_changes_nothing(command: Command, database: str, conn: Connection) -> None:
    """`--dry-run` prints SQL on stdout and changes nothing."""
    result = command("--dsn", database, "--dry-run")

    assert (0, "") == (result.exit_code, result.stderr)
    assert "CREATE TABLE eventwriter_ledger (" in result.stdout
    assert [] == shape(conn)


def test_command_without_a_server(command: Command) -> None:
    """An unreachable server is an error of one line and exit code 3; a dry run prints the SQL for an empty database."""
    dsn = "host=127.0.0.1 port=1 user=anna password=hush dbname=metrics"

    result, dry = command("--dsn", dsn), command("--dsn", dsn, "--dry-run")

    assert 3 == result.exit_code
    assert result.stderr.startswith("eventwriter: cannot reach PostgreSQL at 127.0.0.1:1/metrics as anna: ")
    assert 1 == result.stderr.count("\n")
    assert "hush" not in result.stderr + dry.stderr
    assert 0 == dry.exit_code
    assert dry.stdout.startswith('BEGIN;\nCREATE SCHEMA IF NOT EXISTS "public";')


@pytest.mark.parametrize(
    ("more", "exit_code", "hint"),
    [
        pytest.param("user=nobody_here", 3, "create it, or correct postgres.database and postgres.user", id="role"),
        pytest.param("dbname=no_db", 3, "create it, or correct postgres.database and postgres.user", id="database"),
        pytest.param(
            "options='-c default_transaction_read_only=on'",
            2,
            "connect to the primary, for example with postgres.target_session_attrs=read-write",
            id="read-only",
        ),
    ],
)
def test_command_on_a_refusing_server(command: Command, database: str, more: str, exit_code: int, hint: str) -> None:
    """A refused login has exit code 3, a read-only server 2, each with one line that ends with a hint."""
    result = command("--dsn", make_conninfo(database, **conninfo_to_dict(more)))

    assert exit_code == result.exit_code
    assert result.stderr.endswith(f"; {hint}\n")
    assert 1 == result.stderr.count("\n")


def test_command_with_an_invalid_connection_string(command: Command) -> None:
    """An invalid connection string has exit code 2 and is not quoted."""
    result = command("--dsn", "hush")

    assert 2 == result.exit_code
    assert "hush" not in result.stderr
    assert 1 == result.stderr.count("\n")


def test_command_without_privilege(command: Command, database: str, conn: Connection) -> None:
    """A role without the privilege to create tables has exit code 2 and a hint with the privileges."""
    role = f"reader_of_{conn.info.dbname}"
    conn.execute(f"CREATE ROLE {role} LOGIN")

    result = command("--dsn", make_conninfo(database, user=role))

    conn.execute(f"DROP ROLE {role}")
    assert 2 == result.exit_code
    assert "GRANT USAGE, CREATE ON SCHEMA" in result.stderr
    assert 1 == result.stderr.count("\n")
