"""Maintenance of time partitions on a real server."""

import asyncio
import datetime as dt
import re
import threading
from pathlib import Path

import psycopg
import pytest
from fix_storage import Storage, run_maintenance

from eventwriter.config.settings import PostgresSettings
from eventwriter.errors import Retryable
from eventwriter.postgres.partitions.executor import Report, SessionExecutor
from eventwriter.postgres.partitions.maintain import check, maintain
from eventwriter.postgres.session import PostgresSession

MANUAL = Path(__file__).parents[2] / "docs" / "storage.md"


def partitions(reports: list[Report], code: str) -> list[str]:
    """Return the partitions of the reports with a code."""
    return [report.partition for report in reports if report.code == code]


def test_new_tables_need_no_maintenance(storage: Storage) -> None:
    """The partitions that migrate creates suffice, so that maintenance changes nothing."""
    storage.migrate()

    assert [] == storage.changes()
    assert [storage.name(n) for n in range(8)] == storage.partitions()[1:]


def test_partitions_are_created_as_time_passes(storage: Storage) -> None:
    """After three days three partitions are created, and another run creates none."""
    storage.migrate("logs")

    changes = storage.changes(3)

    assert [storage.name(n) for n in (8, 9, 10)] == partitions(changes, "partition_created")
    assert [] == storage.changes(3)


def test_distant_times_go_to_the_default_partition_and_are_reported(storage: Storage) -> None:
    """Rows from any time that PostgreSQL supports can be written; a report counts those in the default partition."""
    storage.migrate("logs")
    storage.conn.execute("INSERT INTO logs (timestamp) VALUES ('1970-01-01'), ('2970-01-01'), ('4000-01-01 BC')")
    storage.log(0)

    last = storage.maintain()[-1]

    assert {"logs_default": 3, storage.name(0): 1} == storage.row_counts()
    assert ("default_rows", 3, True) == (last.code, last.rows, last.warns)
    assert last.text.endswith("from 4000-01-01 00:00 to 2970-01-01 00:00")


def test_late_rows_move_into_their_own_partition(storage: Storage) -> None:
    """Rows of past days within `behind` move into new partitions, newest first; older ones stay."""
    storage.migrate("logs")
    for days in (-1, -2, -40):
        storage.log(days, 5)

    changes = storage.changes()

    assert {storage.name(-1): 5, storage.name(-2): 5, "logs_default": 5} == storage.row_counts()
    assert [(storage.name(-1), 5), (storage.name(-2), 5)] == [(report.partition, report.rows) for report in changes]


def test_early_rows_move_when_their_partition_is_created(storage: Storage) -> None:
    """A row from the future stays in the default partition until the partition of its day is created."""
    storage.migrate("logs")
    storage.log(9)

    storage.maintain(3)

    assert {storage.name(9): 1} == storage.row_counts()


def test_partition_with_too_many_rows_is_not_created(storage: Storage) -> None:
    """Above `move_max` a partition is not created, which is reported; the others are created."""
    storage.migrate("logs")
    storage.log(-1, 11)
    storage.log(-2, 10)

    reports = storage.maintain(move_max=10)

    assert {"logs_default": 11, storage.name(-2): 10} == storage.row_counts()
    (undone,) = [report for report in reports if report.undone]
    assert ("too_many_rows", storage.name(-1)) == (undone.code, undone.partition)


def test_retention_drops_only_expired_rows(storage: Storage) -> None:
    """Partitions with only expired rows are dropped, and expired rows of the default partition deleted."""
    storage.migrate("logs")
    for days in range(-6, 1):
        storage.log(days)
    storage.maintain()
    storage.log(-50)
    storage.conn.execute(f"INSERT INTO {storage.name(0)} (timestamp) VALUES (date_trunc('day', now()))")

    changes = storage.changes(keep="3d")

    assert [storage.name(n) for n in (-6, -5, -4)] == partitions(changes, "partition_dropped")
    assert [1] == [report.rows for report in changes if report.code == "rows_deleted"]
    assert {storage.name(-3): 1, storage.name(-2): 1, storage.name(-1): 1, storage.name(0): 2} == storage.row_counts()


def test_without_retention_nothing_is_dropped(storage: Storage) -> None:
    """By default rows are kept forever."""
    storage.migrate("logs")
    storage.log(0)

    changes = storage.changes(4000)

    assert {"partition_created"} == {report.code for report in changes}
    assert {storage.name(0): 1} == storage.row_counts()


def test_retention_of_a_single_table_wins(storage: Storage) -> None:
    """The key of a table overrides the key of the section."""
    storage.migrate("logs", "events")

    changes = storage.changes(40, keep="10d", tables={"logs": {"keep": "forever"}})

    assert {"events"} == {report.table for report in changes if report.code == "partition_dropped"}


def test_expired_rows_are_deleted_in_small_statements(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each DELETE is limited, and together they delete all expired rows."""
    monkeypatch.setattr("eventwriter.postgres.partitions.sql.DELETE_MAX", 4)
    monkeypatch.setattr("eventwriter.postgres.partitions.maintain.DELETE_MAX", 4)
    storage.migrate("logs")
    storage.log(-90, 10)

    changes = storage.changes(keep="30d")

    assert [4, 4, 2] == [report.rows for report in changes if report.code == "rows_deleted"]
    assert {} == storage.row_counts()


def test_ordinary_table_is_left_unchanged(storage: Storage) -> None:
    """A table that was created plain is neither partitioned nor emptied, which is reported."""
    storage.migrate("logs", plain=True)
    storage.log(-90)

    reports = storage.maintain(keep="1d")

    assert [("not_partitioned", "logs")] == [(report.code, report.table) for report in reports]
    assert {"logs": 1} == storage.row_counts()


def test_foreign_tables_and_partitions_are_left_unchanged(storage: Storage) -> None:
    """A table that migrate did not create and partitions that others attached are not changed."""
    storage.conn.execute(
        "CREATE TABLE events (event_timestamp timestamptz, id text) PARTITION BY RANGE (event_timestamp)"
    )
    storage.migrate("logs", "events")
    old = storage.now - dt.timedelta(days=400)
    storage.conn.execute(
        f"CREATE TABLE theirs PARTITION OF logs FOR VALUES FROM ('{old - dt.timedelta(days=1)}') TO ('{old}')"
    )

    reports = storage.maintain(keep="1d")

    assert "theirs" in storage.partitions()
    assert [] == storage.partitions("events")
    assert {"logs"} == {report.table for report in reports}


def test_partition_without_its_comment_is_kept(storage: Storage) -> None:
    """An operator keeps a partition by removing its comment."""
    storage.migrate("logs")
    storage.conn.execute(f"COMMENT ON TABLE {storage.name(0)} IS NULL")

    storage.maintain(30, keep="1d")

    assert storage.name(0) in storage.partitions()
    assert storage.name(1) not in storage.partitions()


def test_missing_default_partition_is_created(storage: Storage) -> None:
    """A dropped default partition is created again, so that rows of any time can be written."""
    storage.migrate("logs")
    storage.conn.execute("DROP TABLE logs_default")

    changes = storage.changes()
    storage.log(-9)

    assert ["logs_default"] == partitions(changes, "default_partition_created")
    assert {"logs_default": 1} == storage.row_counts()


def test_change_of_width_creates_no_overlap_and_no_gap(storage: Storage) -> None:
    """Partitions of six hours follow the existing daily ones without overlaps and gaps."""
    storage.migrate("logs")

    storage.maintain(6, partition="6h", ahead=12)

    last = (storage.now + dt.timedelta(days=9)).replace(hour=0, minute=0, second=0)
    for hours in range(9 * 24):
        storage.log(hours / 24)
    assert "logs_default" not in storage.row_counts()
    assert [f"logs_p{last - dt.timedelta(days=1):%Y%m%d}_{hour:02}00" for hour in (6, 12, 18)] == [
        name for name in storage.partitions() if name.startswith(f"logs_p{last - dt.timedelta(days=1):%Y%m%d}_")
    ]


def test_dry_run_changes_nothing_and_its_script_does_the_same(storage: Storage) -> None:
    """A dry run changes nothing; its script, run by hand, does what maintenance would do."""
    storage.migrate("logs")
    for days in (-1, -2, -60):
        storage.log(days, 3)
    before = storage.partitions(), storage.row_counts()

    script = storage.script(4, keep="30d")

    assert before == (storage.partitions(), storage.row_counts())
    storage.conn.execute(script)  # type: ignore[call-overload]
    assert [] == storage.changes(4, keep="30d")
    assert {storage.name(-1): 3, storage.name(-2): 3} == storage.row_counts()


def test_concurrent_runs_create_each_partition_once(storage: Storage) -> None:
    """Concurrent maintenance neither fails nor does anything twice."""
    storage.migrate()
    storage.log(-1, 50)
    results: list[list[Report]] = []
    start = threading.Barrier(3)

    def run() -> None:
        start.wait()
        results.append(run_maintenance(storage.dsn, storage.task({"keep": "2d"}, 4), attempts=5))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 3 == len(results)
    reports = [report for result in results for report in result]
    done = [(report.code, report.partition) for report in reports if report.changed and report.partition]
    assert sorted(set(done)) == sorted(done)
    assert 9 * 4 + 9 * 2 <= len(done)
    assert [] == [report.text for report in reports if report.undone]


def test_moving_rows_are_always_visible(storage: Storage) -> None:
    """Concurrent queries count all rows at any time while rows move into their partitions."""
    storage.migrate("logs")
    for days in range(-60, -20):
        storage.log(days, 50)
    counts: list[int] = []
    finished = threading.Event()

    def count() -> None:
        with psycopg.connect(storage.dsn, autocommit=True) as conn:
            while not finished.is_set():
                row = conn.execute("SELECT count(*) FROM logs").fetchone()
                counts.append(row[0] if row else 0)

    readers = [threading.Thread(target=count) for _ in range(2)]
    for reader in readers:
        reader.start()
    reports = run_maintenance(storage.dsn, storage.task({"behind": 100}), attempts=5)
    finished.set()
    for reader in readers:
        reader.join()

    assert 40 == sum(report.code == "partition_created" and report.rows == 50 for report in reports)
    assert {40 * 50} == set(counts)


def test_locked_table_postpones_the_step(storage: Storage) -> None:
    """A drop waits at most a second for a reader's transaction, is reported as retryable, and succeeds later."""
    storage.migrate("logs")
    with psycopg.connect(storage.dsn) as reader:
        reader.execute("SELECT count(*) FROM logs")
        undone = [report for report in storage.maintain(30, keep="1d") if report.undone]

    assert ("refused", storage.name(0), True) == (undone[0].code, undone[0].partition, undone[0].retryable)
    storage.maintain(30, keep="1d")
    assert storage.name(0) not in storage.partitions()


def test_partition_is_not_created_during_a_copy(storage: Storage) -> None:
    """A COPY that started before a new partition would fail for rows of its period; creation waits for its end."""
    storage.migrate("logs")
    storage.log(-1)
    with psycopg.connect(storage.dsn) as writer:
        with writer.cursor().copy("COPY logs (timestamp) FROM STDIN") as copy:
            copy.write(f"{storage.now.isoformat()}\n")
            (undone,) = [report for report in storage.maintain() if report.undone]
            copy.write(f"{(storage.now - dt.timedelta(days=1)).isoformat()}\n")
        writer.commit()

    assert (storage.name(-1), True) == (undone.partition, undone.retryable)
    storage.maintain()
    assert {storage.name(-1): 2, storage.name(0): 1} == storage.row_counts()


def test_role_without_ownership_gets_a_hint(storage: Storage) -> None:
    """A missing privilege is reported with the role to use, and is not retried."""
    storage.migrate("logs")
    role = f"keeper_of_{storage.conn.info.dbname}"
    storage.conn.execute(f"CREATE ROLE {role} LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    try:
        reports = run_maintenance(psycopg.conninfo.make_conninfo(storage.dsn, user=role), storage.task({}, 3))
    finally:
        storage.conn.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")

    (undone,) = [report for report in reports if report.undone]
    assert ("refused", False) == (undone.code, undone.retryable)
    assert "use the role that owns the tables" in undone.text


def test_partitions_belong_to_the_owner_of_the_table(storage: Storage) -> None:
    """The owner of the table can drop a partition that a superuser created."""
    storage.migrate("logs")
    role = f"owner_of_{storage.conn.info.dbname}"
    storage.conn.execute(f"CREATE ROLE {role}; ALTER TABLE logs OWNER TO {role}")
    try:
        storage.maintain(1)
        ((owner,),) = storage.read(f"SELECT relowner::regrole::text FROM pg_class WHERE relname = '{storage.name(8)}'")
    finally:
        storage.conn.execute(f"REASSIGN OWNED BY {role} TO postgres; DROP ROLE {role}")

    assert role == owner


async def test_lost_connection_ends_the_run(storage: Storage) -> None:
    """A lost connection is an error of the run, not a refused statement."""
    storage.migrate("logs")
    session = PostgresSession(PostgresSettings.model_validate({"dsn": storage.dsn}))
    pid = (await session.connection()).info.backend_pid
    await asyncio.to_thread(storage.read, f"SELECT pg_terminate_backend({pid}, 10000)")

    with pytest.raises(Retryable) as caught:
        await maintain(storage.task({}), SessionExecutor(session, lambda report: None))
    await session.close()

    assert "repeat the maintenance; completed steps remain" == caught.value.hint


def test_check_reports_tables_that_run_out_of_partitions(storage: Storage) -> None:
    """Without maintenance, a warning names the end of a table's partitions in time."""
    storage.migrate("logs")

    def warnings(days: float) -> list[tuple[str, str]]:
        reports = run_maintenance(storage.dsn, storage.task({}, days), check)
        return [(report.code, report.text.partition(";")[0]) for report in reports]

    assert [] == warnings(0)
    ((code, text),) = warnings(7)
    assert ("partitions_end", True) == (code, text.startswith("logs: its partitions end at"))
    assert [("partitions_end", "logs: it has no partition for now")] == warnings(99)


def test_every_table_can_be_maintained(storage: Storage) -> None:
    """Partitions of all tables are created with their indexes and defaults, and dropped."""
    storage.migrate()

    changes = storage.changes(10, keep="1d")

    tables = set(storage.task({}).columns)
    assert tables == {report.table for report in changes if report.code == "partition_created"}
    assert tables == {report.table for report in changes if report.code == "partition_dropped"}
    for table in tables:
        ((indexes, expected),) = storage.read(
            f"SELECT (SELECT count(*) FROM pg_indexes WHERE tablename = '{storage.name(17, table)}'),"
            f" (SELECT count(*) FROM pg_indexes WHERE tablename = '{table}')"
        )
        assert expected == indexes


def test_ordinary_table_is_converted_as_the_manual_describes(storage: Storage) -> None:
    """The statements of docs/storage.md, with migrate between them, keep all rows, and retention then applies."""
    before, after = re.findall(r"```sql\n(.*?)```", MANUAL.read_text(), re.DOTALL)
    storage.migrate("logs", plain=True)
    for days in (-90, -1, 0, 1, 20):
        storage.log(days)

    storage.conn.execute(before)
    storage.migrate("logs")
    storage.conn.execute(after.replace("2026-01-31", f"{storage.now:%Y-%m-%d}"))

    assert {"logs_before": 2, storage.name(0): 1, storage.name(1): 1, "logs_default": 1} == storage.row_counts()
    storage.log(-2)
    assert [] == partitions(storage.changes(2, keep="3d"), "partition_dropped")
    assert ["logs_before"] == partitions(storage.changes(3, keep="3d"), "partition_dropped")
    assert {storage.name(0): 1, storage.name(1): 1, "logs_default": 1} == storage.row_counts()
