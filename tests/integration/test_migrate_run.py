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
from eventwriter.errors import Fatal
from eventwriter.kinds.registry import KINDS
from eventwriter.model import Origin
from eventwriter.postgres.dead_letters.record import DEAD_LETTERS
from eventwriter.postgres.ledger.epochs import StreamEnd, open_ledger
from eventwriter.postgres.ledger.ranges import Newest
from eventwriter.postgres.ledger.store import LedgerKey
from eventwriter.postgres.migrate.files import parsed, shipped
from eventwriter.postgres.migrate.plan import Wish, without_server
from eventwriter.postgres.migrate.runner import dry_run, migrate
from eventwriter.postgres.partitions.run import now
from eventwriter.postgres.schema.catalog import bind, read_columns
from eventwriter.tables.table import Table

Connection = psycopg.Connection[Any]

HERE = "the test's server"
LINES_FIRST = [f"{migration}: applied" for migration in shipped()]
LINES_CUT = [
    line + (f" (partitioned by {migration.time_column}, 1d each)" if migration.time_column else "")
    for line, migration in zip(LINES_FIRST, shipped(), strict=True)
]
LINES_AGAIN = [f"{migration}: already there" for migration in shipped()]

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


def run(conn: Connection, wish: Wish | None = None) -> list[str]:
    return list(migrate(conn, HERE, wish or Wish(plain=True)))


def shape(conn: Connection, schema: str = "public") -> list[tuple[Any, ...]]:
    """All columns, defaults and indexes of a schema."""
    return conn.execute(SHAPE_SQL, (schema,)).fetchall()


@dataclass(frozen=True)
class Said:
    exit_code: int
    stdout: str
    stderr: str


class Command:
    """The command `eventwriter migrate`."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *args: str, before: Sequence[str] = ()) -> Said:
        code = run_command(cli, [*before, "migrate", *args], "eventwriter")
        out, err = self._capsys.readouterr()
        return Said(code, out, err)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


def test_first_run_makes_every_table_and_says_so(conn: Connection) -> None:
    """On an empty database each version is applied, with a line each, and recorded."""
    assert LINES_FIRST == run(conn)
    made = {row[0] for row in shape(conn) if row[1] == "r"}
    assert {migration.table for migration in shipped()} | {"eventwriter_migrations"} == made
    recorded = conn.execute("SELECT version, name, checksum, outcome FROM eventwriter_migrations ORDER BY 1").fetchall()
    assert [(m.version, m.name, m.checksum, "applied") for m in shipped()] == recorded


def test_second_run_changes_nothing(conn: Connection) -> None:
    """Whatever was applied is there already, and neither tables nor records are touched."""
    run(conn)
    before = shape(conn), conn.execute("SELECT * FROM eventwriter_migrations ORDER BY 1").fetchall()

    assert LINES_AGAIN == run(conn)
    assert before == (shape(conn), conn.execute("SELECT * FROM eventwriter_migrations ORDER BY 1").fetchall())


def test_table_of_somebody_else_is_left_as_it_is(conn: Connection) -> None:
    """A table of that name that was there before is not touched, in no run, and the record says so."""
    conn.execute("CREATE TABLE logs (line text); CREATE VIEW events AS SELECT 1 AS one")
    theirs = [row for row in shape(conn) if row[0] in ("logs", "events")]

    for _ in range(2):
        assert {"0006 events: found, left as it is", "0011 logs: found, left as it is"} < set(run(conn))
    assert theirs == [row for row in shape(conn) if row[0] in ("logs", "events")]
    assert [("events",), ("logs",)] == conn.execute(
        "SELECT table_name FROM eventwriter_migrations WHERE outcome = 'found' ORDER BY 1"
    ).fetchall()


def test_tables_with_a_time_are_partitioned_on_plain_postgres(conn: Connection) -> None:
    """Each has a default partition, one for today and those ahead, and the columns and keys of an ordinary table."""
    run(conn)
    assert LINES_CUT == run(conn, Wish(schema="cut"))

    cut = {migration.table for migration in shipped() if migration.time_column}
    counted = conn.execute(
        "SELECT p.relname, count(*) FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent WHERE p.relkind = 'p'"
        " GROUP BY 1"
    ).fetchall()
    assert dict.fromkeys(cut, 9) == dict(counted)

    def told(schema: str) -> set[tuple[Any, ...]]:
        tables = {migration.table for migration in shipped()}
        indexes = {f"{name}{end}" for name in tables for end in ("_pkey", "_time", "_device", "_service", "_trace")}
        return {
            (name, *row, str(index).replace(f"ON ONLY {schema}.", "ON ").replace(f"ON {schema}.", "ON "))
            for name, _, *row, index in shape(conn, schema)
            if name in tables | indexes
        }

    assert told("public") == told("cut")


def test_dropped_table_is_made_again(conn: Connection) -> None:
    """The writer says "run eventwriter migrate" of a missing table, and then it helps."""
    run(conn)
    before = shape(conn)
    conn.execute("DROP TABLE logs")

    expected = [line.replace("already there", "applied") if "0011 logs" in line else line for line in LINES_AGAIN]
    assert expected == run(conn)
    assert before == shape(conn)


def test_table_made_again_gets_its_later_versions_again(conn: Connection) -> None:
    """A table that is made again is brought to its newest version."""
    first = parsed("0001_flows.sql", "-- table: flows\nCREATE TABLE flows (a int);\n")
    second = parsed("0002_flows_b.sql", "-- table: flows\nALTER TABLE flows ADD COLUMN b int;\n")
    list(migrate(conn, HERE, Wish(), [first]))
    assert ["0001 flows: already there", "0002 flows_b: applied"] == list(migrate(conn, HERE, Wish(), [first, second]))
    conn.execute("DROP TABLE flows")

    assert ["0001 flows: applied", "0002 flows_b: applied"] == list(migrate(conn, HERE, Wish(), [first, second]))
    assert ["a", "b"] == [row[2] for row in shape(conn) if row[0] == "flows"]


def test_version_that_fails_leaves_nothing_of_itself(conn: Connection) -> None:
    """A version is one transaction: what came before stays, of the failed one nothing."""
    good = parsed("0001_flows.sql", "-- table: flows\nCREATE TABLE flows (a int);\n")
    bad = parsed("0002_hosts.sql", "-- table: hosts\nCREATE TABLE hosts (a int);\nCREATE INDEX h ON hosts (b);\n")

    with pytest.raises(Fatal, match=r'refused: column "b" does not exist \(SQLSTATE 42703\); nothing of this version'):
        list(migrate(conn, HERE, Wish(), [good, bad]))

    assert {"flows", "eventwriter_migrations"} == {row[0] for row in shape(conn) if row[1] == "r"}
    assert [(1,)] == conn.execute("SELECT version FROM eventwriter_migrations").fetchall()


def test_changed_file_is_refused(conn: Connection) -> None:
    """A released file that was changed after it was applied stops the run."""
    run(conn)
    conn.execute("UPDATE eventwriter_migrations SET checksum = 'f00' WHERE version = 5")

    with pytest.raises(Fatal, match="migration 0005 ocsf_network_activity was changed after it was applied here"):
        run(conn)


def test_newer_versions_are_named_and_left(conn: Connection) -> None:
    """What a newer release made is said, and stays."""
    run(conn)
    conn.execute("INSERT INTO eventwriter_migrations VALUES (99, 'later', 'later', '', 'applied')")

    assert [*LINES_AGAIN, "0099 later: made by another release of eventwriter, left as it is"] == run(conn)


def test_record_of_another_program_is_refused(conn: Connection) -> None:
    """A table named eventwriter_migrations that is not ours is not written."""
    conn.execute("CREATE TABLE eventwriter_migrations (id int)")

    with pytest.raises(Fatal, match="table eventwriter_migrations is not eventwriter's"):
        run(conn)
    with pytest.raises(Fatal, match=r'table "public"\.eventwriter_migrations is not eventwriter'):
        list(dry_run(conn, HERE, Wish()))


def test_many_migrates_at_once_make_each_version_once(database: str) -> None:
    """Migrates that run at the same time wait for one another; none fails, and each table is made by one."""
    lines: list[list[str]] = []
    start = threading.Barrier(4)

    def one() -> None:
        with closing(psycopg.connect(database, autocommit=True)) as conn:
            start.wait()
            lines.append(run(conn, Wish(schema="platform", plain=True)))

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 4 == len(lines)
    applied = sorted(line for run_lines in lines for line in run_lines if line.endswith(": applied"))
    assert LINES_FIRST == applied


def test_schema_is_made_and_its_name_is_only_a_name(conn: Connection) -> None:
    """Any schema name works, and nothing is made elsewhere."""
    odd = "Odd \"schema'; --"

    assert LINES_CUT == run(conn, Wish(schema=odd))
    assert LINES_AGAIN == run(conn, Wish(schema=odd))
    assert [] == shape(conn)
    assert {migration.table for migration in shipped()} < {row[0] for row in shape(conn, odd)}


def test_search_path_of_the_connection_is_followed(conn: Connection) -> None:
    """Without a schema of its own, migrate makes tables where the connection looks first."""
    conn.execute("CREATE SCHEMA platform; SET search_path TO platform, public")

    run(conn)

    assert [] == shape(conn)
    assert shape(conn, "platform")


def test_search_path_without_a_schema_is_refused(conn: Connection) -> None:
    """Where the search path names nothing that exists, the sentence asks for --schema."""
    conn.execute("SET search_path TO nowhere")

    with pytest.raises(Fatal, match="the search path names no schema that exists; name one with --schema"):
        run(conn)


def test_dry_run_changes_nothing_and_is_the_same_sql(conn: Connection) -> None:
    """The printed SQL, run by hand, makes what migrate makes; printing it makes nothing."""
    text = "\n".join(dry_run(conn, HERE, Wish(schema="by hand")))
    assert not conn.execute("SELECT FROM pg_namespace WHERE nspname = 'by hand'").fetchall()

    conn.execute(text)
    run(conn, Wish(schema="by itself"))

    def told(schema: str) -> list[tuple[Any, ...]]:
        return [(*row[:-1], str(row[-1]).replace(schema, "")) for row in shape(conn, schema)]

    assert told("by itself") == told("by hand")
    assert LINES_AGAIN == run(conn, Wish(schema="by hand"))
    assert "CREATE TABLE logs" not in "\n".join(dry_run(conn, HERE, Wish(schema="by hand")))


def test_sql_without_a_server_is_the_same(conn: Connection) -> None:
    """What is printed where no server answers makes every table of an empty database."""
    conn.execute("\n".join(without_server(Wish(), now())))

    assert LINES_AGAIN == run(conn)


async def nothing_stored(_seq: int) -> None:
    """Know of no stored message."""


async def empty() -> StreamEnd:
    """Say that the stream is empty."""
    return StreamEnd(0, nothing_stored)


async def test_ledger_and_dead_letters_are_what_the_writer_needs(database: str, conn: Connection) -> None:
    """The writer's own tables take its rows as they are: no conversion, no warning, and the ledger keeps count."""
    run(conn)
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as own:
        target, real = await read_columns(own, None, "eventwriter_dead_letters")
        binding = bind(DEAD_LETTERS, real, target)
        key = LedgerKey(Origin("S", 10**18, 0), "d", "f")
        ledger = await open_ledger(own, "eventwriter_ledger", key, empty)
        recorded = [await ledger.record(own, [(1, 4)], Newest(3, 10**18)) for _ in range(2)]

    assert () == binding.warnings
    assert (None,) * len(DEAD_LETTERS.columns) == binding.converters == binding.null_as
    assert [True, False] == recorded


TABLES = {table.name: table for kind in KINDS.values() for table in (*kind.tables, *kind.also)}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
async def test_tables_are_what_the_builders_fill(database: str, conn: Connection, table: Table) -> None:
    """Each table that a builder fills is made with just its columns: rows go in as they are, with no warning."""
    run(conn)
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as own:
        target, real = await read_columns(own, None, table.name)
    binding = bind(table, real, target)

    assert () == binding.warnings
    wanted = [column.name for column in table.columns if not column.derived]
    assert wanted == [table.columns[at].name for at in binding.positions]
    assert (None,) * len(wanted) == binding.converters == binding.null_as
    assert {"created_at"} == {column.name for column in real} - set(wanted)


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
    """An extension called timescaledb that writes down what it is asked; PostgreSQL 18 takes it from any folder."""
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
def test_hypertables_are_asked_for(conn: Connection) -> None:
    """With TimescaleDB each table with a time column becomes a hypertable; the writer's own tables do not."""
    conn.execute("CREATE SCHEMA ext; CREATE EXTENSION timescaledb SCHEMA ext")

    lines = run(conn, Wish(schema="Deep", chunk_interval="1 day"))

    cut = [migration for migration in shipped() if migration.time_column]
    assert {f"{migration}: applied (hypertable on {migration.time_column})" for migration in cut} < set(lines)
    assert {"0001 eventwriter_ledger: applied", "0002 eventwriter_dead_letters: applied"} < set(lines)
    asked = conn.execute(
        "SELECT relation, time_column, chunk::text, indexes, if_not_exists FROM ext.asked ORDER BY 1"
    ).fetchall()
    assert sorted((f'"Deep".{m.table}', m.time_column, "1 day", False, True) for m in cut) == asked


@pytest.mark.usefixtures("stand_in")
def test_plain_tables_on_request(conn: Connection) -> None:
    """--plain makes no hypertables though TimescaleDB is there, and says that a chunk interval is idle."""
    conn.execute("CREATE EXTENSION timescaledb")

    assert ["no hypertables: the chunk interval is not used", *LINES_FIRST] == run(
        conn, Wish(plain=True, chunk_interval="1 day")
    )
    assert [] == conn.execute("SELECT FROM asked").fetchall()


@pytest.mark.usefixtures("stand_in")
def test_timescale_that_cannot_be_installed_means_partitions(conn: Connection) -> None:
    """TimescaleDB that the server has not loaded at its start is not used, and that is said."""
    assert [
        "TimescaleDB is available but not in shared_preload_libraries: no hypertables",
        *LINES_CUT,
    ] == run(conn, Wish())


def test_hypertables_of_the_real_timescale(conn: Connection) -> None:
    """On a server with TimescaleDB the tables are hypertables, with no index besides ours, also at a second run."""
    if not conn.execute("SELECT FROM pg_available_extensions WHERE name = 'timescaledb'").fetchall():
        pytest.skip("this server has no TimescaleDB")

    run(conn, Wish())
    run(conn, Wish())

    made = conn.execute("SELECT hypertable_name FROM timescaledb_information.hypertables").fetchall()
    assert {migration.table for migration in shipped() if migration.time_column} == {row[0] for row in made}


def test_bad_chunk_interval_is_refused(conn: Connection) -> None:
    """What is no span of time is refused before anything is made."""
    for interval in ("soon", "-1 day", "0"):
        with pytest.raises(Fatal, match=f"--chunk-interval '{interval}' is no span of time"):
            run(conn, Wish(chunk_interval=interval))
    assert [] == shape(conn)


def test_command_prints_a_line_for_each_version(command: Command, database: str) -> None:
    """`eventwriter migrate` says what it did and exits 0, both times."""
    first, again = command("--dsn", database), command("--dsn", database)

    assert (0, LINES_CUT, "") == (first.exit_code, first.stdout.splitlines(), first.stderr)
    assert (0, LINES_AGAIN, "") == (again.exit_code, again.stdout.splitlines(), again.stderr)


def test_command_reads_the_daemons_configuration(
    command: Command, database: str, conn: Connection, tmp_path: Path
) -> None:
    """Server and schema are those that the daemon will use: the file's, unless a flag says otherwise."""
    config = tmp_path / "eventwriter.json"
    config.write_text(
        json.dumps({"postgres": {"dsn": database, "runtime_params": {"search_path": "platform, public"}}})
    )

    results = [
        command("--config", str(config)),
        command(before=["--config", str(config)]),
        command("--config", str(config), "--schema", "other"),
    ]

    assert [(0, LINES_CUT), (0, LINES_AGAIN), (0, LINES_CUT)] == [
        (result.exit_code, result.stdout.splitlines()) for result in results
    ]
    assert shape(conn, "platform")
    assert shape(conn, "other")
    assert [] == shape(conn)


def test_command_prints_sql_and_changes_nothing(command: Command, database: str, conn: Connection) -> None:
    """`--dry-run` prints SQL on stdout and leaves the database empty."""
    result = command("--dsn", database, "--dry-run")

    assert (0, "") == (result.exit_code, result.stderr)
    assert "CREATE TABLE eventwriter_ledger (" in result.stdout
    assert [] == shape(conn)


def test_command_without_a_server(command: Command) -> None:
    """A server that is not there is one sentence and exit 3; a dry run prints the SQL all the same."""
    dsn = "host=127.0.0.1 port=1 user=anna password=hush dbname=metrics"

    result, dry = command("--dsn", dsn), command("--dsn", dsn, "--dry-run")

    assert 3 == result.exit_code
    assert result.stderr.startswith("eventwriter: cannot reach PostgreSQL at 127.0.0.1:1/metrics as anna: ")
    assert 1 == result.stderr.count("\n")
    assert "hush" not in result.stderr + dry.stderr
    assert 0 == dry.exit_code
    assert dry.stdout.startswith('BEGIN;\nCREATE SCHEMA IF NOT EXISTS "public";')


@pytest.mark.parametrize(
    ("more", "exit_code", "sentence"),
    [
        pytest.param("user=nobody_here", 3, 'role "nobody_here" does not exist; create it, or correct', id="role"),
        pytest.param("dbname=no_db", 3, 'database "no_db" does not exist; create it, or correct', id="database"),
        pytest.param(
            "options='-c default_transaction_read_only=on'",
            2,
            "is read-only (a standby?); connect to the primary, for example with target_session_attrs=read-write",
            id="read-only",
        ),
    ],
)
def test_command_on_a_server_that_refuses(
    command: Command, database: str, more: str, exit_code: int, sentence: str
) -> None:
    """A refused login exits 3, a server that takes no writes exits 2, each with one sentence."""
    result = command("--dsn", make_conninfo(database, **conninfo_to_dict(more)))

    assert exit_code == result.exit_code
    assert sentence in result.stderr
    assert 1 == result.stderr.count("\n")


def test_command_with_a_bad_connection_string(command: Command) -> None:
    """A mistyped connection string is the operator's mistake: exit 2, nothing of it repeated."""
    result = command("--dsn", "hush")

    assert 2 == result.exit_code
    assert result.stderr.startswith("eventwriter: the DSN is no PostgreSQL connection string; write postgresql://")
    assert 1 == result.stderr.count("\n")


def test_command_without_privilege(command: Command, database: str, conn: Connection) -> None:
    """A role that may not make tables is told what it needs, and exit 2."""
    role = f"reader_of_{conn.info.dbname}"
    conn.execute(f"CREATE ROLE {role} LOGIN")

    result = command("--dsn", make_conninfo(database, user=role))

    conn.execute(f"DROP ROLE {role}")
    assert 2 == result.exit_code
    assert "permission denied for schema public; migrate as a role that may, or GRANT USAGE, CREATE" in result.stderr
    assert 1 == result.stderr.count("\n")
