"""Time partitions on a real server: made ahead, filled, moved, dropped."""

import datetime as dt
import re
import threading
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fix_storage import HERE, Storage

from eventwriter.errors import Retryable
from eventwriter.postgres.partitions.maintain import look, maintain
from eventwriter.postgres.partitions.run import run

MANUAL = Path(__file__).parents[2] / "docs" / "storage.md"


def test_fresh_tables_need_nothing(storage: Storage) -> None:
    """What migrate makes lasts for `ahead` partitions, and no step is due."""
    storage.migrate()

    assert [] == [line for line in storage.said() if "made" in line or "dropped" in line]
    assert [storage.name(n) for n in range(8)] == storage.partitions()[1:]


def test_partitions_are_made_as_time_goes_by(storage: Storage) -> None:
    """Three days later three more are there, and a second look makes none."""
    storage.migrate("logs")

    made = [line for line in storage.said(3) if "made" in line]

    assert [f"logs: partition {storage.name(n)} made" for n in (8, 9, 10)] == [line.partition(",")[0] for line in made]
    assert [] == [line for line in storage.said(3) if "made" in line]


def test_past_and_far_future_go_to_the_default_partition_and_are_reported(storage: Storage) -> None:
    """No time is without a place: both ends of what PostgreSQL can hold are written, counted, and named."""
    storage.migrate("logs")
    storage.conn.execute("INSERT INTO logs (timestamp) VALUES ('1970-01-01'), ('2970-01-01'), ('4000-01-01 BC')")
    storage.log(0)

    notes = storage.care()

    assert {"logs_default": 3, storage.name(0): 1} == storage.where()
    assert [3] == [note.rows for note in notes if note.rows]
    assert "3 rows in the default partition, of times from 4000-01-01 00:00 to 2970-01-01 00:00" in notes[-1].text
    assert notes[-1].warns


def test_late_rows_move_into_a_partition_of_their_own(storage: Storage) -> None:
    """Rows of past days get their partitions, every one of them, and are seen by readers all along."""
    storage.migrate("logs")
    for days in (-1, -2, -40):
        storage.log(days, 5)

    said = storage.said()

    assert {storage.name(-1): 5, storage.name(-2): 5, "logs_default": 5} == storage.where()
    assert any(f"{storage.name(-2)} made, until" in line and line.endswith("5 rows moved into it") for line in said)


def test_rows_that_came_too_early_move_when_their_partition_is_due(storage: Storage) -> None:
    """A row of the future waits in the default partition until its partition is made."""
    storage.migrate("logs")
    storage.log(9)

    storage.care(3)

    assert {storage.name(9): 1} == storage.where()


def test_too_many_rows_are_not_moved(storage: Storage) -> None:
    """Above `move_max` a partition is not made, which is said, and the others are."""
    storage.migrate("logs")
    storage.log(-1, 11)
    storage.log(-2, 10)

    notes = storage.care(move_max=10)

    assert {"logs_default": 11, storage.name(-2): 10} == storage.where()
    (undone,) = [note.text for note in notes if note.undone]
    assert f"{storage.name(-1)} is not made: 11 rows of that time are in the default partition" in undone


def test_retention_drops_just_what_is_over(storage: Storage) -> None:
    """Partitions that can hold no younger row go, and old rows in the default partition; all others stay."""
    storage.migrate("logs")
    for days in range(-6, 1):
        storage.log(days)
    storage.care()
    storage.log(-50)
    storage.conn.execute(f"INSERT INTO {storage.name(0)} (timestamp) VALUES (date_trunc('day', now()))")

    said = storage.said(keep="3d")

    dropped = [line.partition(",")[0] for line in said if "dropped" in line]
    assert [f"logs: partition {storage.name(n)} dropped" for n in (-6, -5, -4)] == dropped
    assert "logs: 1 rows of the default partition deleted, older than 3d" in said
    assert {storage.name(-3): 1, storage.name(-2): 1, storage.name(-1): 1, storage.name(0): 2} == storage.where()


def test_without_retention_nothing_is_dropped(storage: Storage) -> None:
    """By default rows are kept for ever, years later as well."""
    storage.migrate("logs")
    storage.log(0)

    assert [] == [line for line in storage.said(4000) if "dropped" in line or "deleted" in line]
    assert {storage.name(0): 1} == storage.where()


def test_retention_of_one_table_is_its_own(storage: Storage) -> None:
    """A table's own key is taken before the section's."""
    storage.migrate("logs", "events")

    said = storage.said(40, keep="10d", tables={"logs": {"keep": "forever"}})

    assert {"events"} == {line.partition(":")[0] for line in said if "dropped" in line}


def test_old_rows_of_the_default_partition_go_in_small_deletes(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each delete is bounded, and all of them together are all of it."""
    monkeypatch.setattr("eventwriter.postgres.partitions.sql.DELETE_MAX", 4)
    monkeypatch.setattr("eventwriter.postgres.partitions.maintain.DELETE_MAX", 4)
    storage.migrate("logs")
    storage.log(-90, 10)

    said = [line for line in storage.said(keep="30d") if "deleted" in line]

    assert ["4", "4", "2"] == [line.split()[1] for line in said]
    assert {} == storage.where()


def test_ordinary_tables_are_left_as_they_are(storage: Storage) -> None:
    """A table that was made plain is neither partitioned nor emptied, and that is said."""
    storage.migrate("logs", plain=True)
    storage.log(-90)

    assert ["logs: an ordinary table, left as it is; docs/storage.md says how to partition it"] == storage.said(
        keep="1d"
    )
    assert {"logs": 1} == storage.where()


def test_tables_of_others_are_not_looked_at(storage: Storage) -> None:
    """A partitioned table that migrate found, and partitions that others attached to ours, are never touched."""
    storage.conn.execute(
        "CREATE TABLE events (event_timestamp timestamptz, id text) PARTITION BY RANGE (event_timestamp)"
    )
    storage.migrate("logs", "events")
    old = storage.now - dt.timedelta(days=400)
    storage.conn.execute(
        f"CREATE TABLE theirs PARTITION OF logs FOR VALUES FROM ('{old - dt.timedelta(days=1)}') TO ('{old}')"
    )

    said = storage.said(keep="1d")

    assert "theirs" in storage.partitions()
    assert [] == storage.partitions("events")
    assert {"logs"} == {line.partition(":")[0] for line in said}


def test_partition_whose_comment_is_gone_is_kept(storage: Storage) -> None:
    """Who wants to keep a partition takes its comment away."""
    storage.migrate("logs")
    storage.conn.execute(f"COMMENT ON TABLE {storage.name(0)} IS NULL")

    storage.care(30, keep="1d")

    assert storage.name(0) in storage.partitions()
    assert storage.name(1) not in storage.partitions()


def test_missing_default_partition_is_made(storage: Storage) -> None:
    """Who dropped it gets it back before a row is refused."""
    storage.migrate("logs")
    storage.conn.execute("DROP TABLE logs_default")

    assert "logs: default partition made" in storage.said()
    storage.log(-9)
    assert {"logs_default": 1} == storage.where()


def test_change_of_width_overlaps_nothing(storage: Storage) -> None:
    """Six-hour partitions follow the daily ones that are there; none overlaps, none is missing."""
    storage.migrate("logs")

    storage.care(6, partition="6h", ahead=12)

    last = (storage.now + dt.timedelta(days=9)).replace(hour=0, minute=0, second=0)
    for hours in range(9 * 24):
        storage.log(hours / 24)
    assert "logs_default" not in storage.where()
    assert [f"logs_p{last - dt.timedelta(days=1):%Y%m%d}_{hour:02}00" for hour in (6, 12, 18)] == [
        name for name in storage.partitions() if name.startswith(f"logs_p{last - dt.timedelta(days=1):%Y%m%d}_")
    ]


def test_dry_run_changes_nothing_and_its_sql_does_the_same(storage: Storage) -> None:
    """What is printed, run by hand, does what the command would have done; printing it does nothing."""
    storage.migrate("logs")
    for days in (-1, -2, -60):
        storage.log(days, 3)
    before = storage.partitions(), storage.where()

    text = storage.script(4, keep="30d")

    assert before == (storage.partitions(), storage.where())
    storage.conn.execute(text)  # type: ignore[call-overload]
    assert [] == [
        line for line in storage.said(4, keep="30d") if "made" in line or "dropped" in line or "deleted" in line
    ]
    assert {storage.name(-1): 3, storage.name(-2): 3} == storage.where()


def test_two_at_once_make_each_partition_once(storage: Storage) -> None:
    """Maintainers that run at the same time neither fail nor do anything twice."""
    storage.migrate()
    storage.log(-1, 50)
    heard: list[list[Any]] = []
    start = threading.Barrier(3)

    def one() -> None:
        with psycopg.connect(storage.dsn, autocommit=True) as conn:
            start.wait()
            heard.append(list(run(conn, HERE, maintain(storage.task({"keep": "2d"}, 4)))))

    threads = [threading.Thread(target=one) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 3 == len(heard)
    done = [note.text for notes in heard for note in notes if " made, " in note.text or " dropped, " in note.text]
    assert sorted(set(done)) == sorted(done)
    assert 9 * 4 + 9 * 2 <= len(done)
    assert [] == [note.text for notes in heard for note in notes if note.undone]


def test_rows_that_move_are_never_out_of_sight(storage: Storage) -> None:
    """Whoever counts while late rows move into partitions of their own counts all of them, every time."""
    storage.migrate("logs")
    for days in range(-60, -20):
        storage.log(days, 50)
    counted: list[int] = []
    over = threading.Event()

    def count() -> None:
        with psycopg.connect(storage.dsn, autocommit=True) as conn:
            while not over.is_set():
                row = conn.execute("SELECT count(*) FROM logs").fetchone()
                counted.append(row[0] if row else 0)

    readers = [threading.Thread(target=count) for _ in range(2)]
    for reader in readers:
        reader.start()
    notes = storage.care(behind=100)
    over.set()
    for reader in readers:
        reader.join()

    assert 40 == sum(" moved into it" in note.text for note in notes)
    assert {40 * 50} == set(counted)


def test_step_that_somebody_is_in_the_way_of_is_put_off(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader's long transaction makes the step wait a second, not the writers behind it for longer; it is said."""
    monkeypatch.setattr("eventwriter.postgres.partitions.run._TRIES", 1)
    storage.migrate("logs")
    with psycopg.connect(storage.dsn) as reader:
        reader.execute("SELECT count(*) FROM logs")
        notes = storage.care(30, keep="1d")

    (undone, *_) = [note.text for note in notes if note.undone]
    assert f"partition {storage.name(0)} is not dropped: canceling statement due to lock timeout" in undone
    assert "it is tried again" in undone
    storage.care(30, keep="1d")
    assert storage.name(0) not in storage.partitions()


def test_partition_is_not_made_under_a_writer_that_has_begun(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A COPY that knows nothing of a new partition would be refused its rows; so the step waits for its end."""
    monkeypatch.setattr("eventwriter.postgres.partitions.run._TRIES", 1)
    storage.migrate("logs")
    storage.log(-1)
    with psycopg.connect(storage.dsn) as writer:
        with writer.cursor().copy("COPY logs (timestamp) FROM STDIN") as copy:
            copy.write(f"{storage.now.isoformat()}\n")
            (undone,) = [note.text for note in storage.care() if note.undone]
            copy.write(f"{(storage.now - dt.timedelta(days=1)).isoformat()}\n")
        writer.commit()

    assert f"partition {storage.name(-1)} is not made: canceling statement due to lock timeout" in undone
    storage.care()
    assert {storage.name(-1): 2, storage.name(0): 1} == storage.where()


def test_role_that_does_not_own_the_tables_is_told(storage: Storage) -> None:
    """A refused privilege is one sentence with what mends it."""
    storage.migrate("logs")
    role = f"keeper_of_{storage.conn.info.dbname}"
    storage.conn.execute(f"CREATE ROLE {role} LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    try:
        with psycopg.connect(storage.dsn, user=role, autocommit=True) as conn:
            notes = list(run(conn, HERE, maintain(storage.task({}, 3))))
    finally:
        storage.conn.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")

    (undone,) = [note.text for note in notes if note.undone]
    assert "maintain as the role that owns the tables, which may CREATE in their schema" in undone


def test_partitions_belong_to_the_owner_of_the_table(storage: Storage) -> None:
    """What a superuser makes, the table's owner can drop."""
    storage.migrate("logs")
    role = f"owner_of_{storage.conn.info.dbname}"
    storage.conn.execute(f"CREATE ROLE {role}; ALTER TABLE logs OWNER TO {role}")
    try:
        storage.care(1)
        ((owner,),) = storage.read(f"SELECT relowner::regrole::text FROM pg_class WHERE relname = '{storage.name(8)}'")
    finally:
        storage.conn.execute(f"REASSIGN OWNED BY {role} TO postgres; DROP ROLE {role}")

    assert role == owner


def test_lost_connection_ends_the_run(storage: Storage) -> None:
    """A server that goes away is not taken for one that refuses."""
    storage.migrate("logs")
    storage.conn.execute("SET idle_session_timeout = 1")
    threading.Event().wait(0.2)

    with pytest.raises(Retryable, match="lost PostgreSQL at the test's server"):
        storage.care()


def test_look_says_which_tables_run_out(storage: Storage) -> None:
    """Without maintenance nothing is changed, and it is said in time that partitions come to an end."""
    storage.migrate("logs")

    def looked(days: float) -> list[str]:
        return [note.text for note in run(storage.conn, HERE, look(storage.task({}, days)))]

    assert [] == looked(0)
    (warning,) = looked(7)
    assert "logs: its partitions end at" in warning
    assert 'run "eventwriter migrate --maintain" every day, or set storage.maintain' in warning
    assert "logs: it has no partition for now" in looked(99)[0]


def test_every_table_of_ours_can_be_looked_after(storage: Storage) -> None:
    """Partitions of all nine are made and dropped, with their indexes and defaults."""
    storage.migrate()

    said = storage.said(10, keep="1d")

    tables = set(storage.task({}).columns)
    assert tables == {line.partition(":")[0] for line in said if " made, " in line}
    assert tables == {line.partition(":")[0] for line in said if " dropped, " in line}
    for table in tables:
        ((indexes, wanted),) = storage.read(
            f"SELECT (SELECT count(*) FROM pg_indexes WHERE tablename = '{storage.name(17, table)}'),"
            f" (SELECT count(*) FROM pg_indexes WHERE tablename = '{table}')"
        )
        assert wanted == indexes


def test_ordinary_table_is_converted_as_the_manual_says(storage: Storage) -> None:
    """The statements of docs/storage.md, with migrate between them: no row is lost, and retention takes over."""
    before, after = re.findall(r"```sql\n(.*?)```", MANUAL.read_text(), re.DOTALL)
    storage.migrate("logs", plain=True)
    for days in (-90, -1, 0, 1, 20):
        storage.log(days)

    storage.conn.execute(before)
    storage.migrate("logs")
    storage.conn.execute(after.replace("2026-01-31", f"{storage.now:%Y-%m-%d}"))

    assert {"logs_before": 2, storage.name(0): 1, storage.name(1): 1, "logs_default": 1} == storage.where()
    storage.log(-2)
    assert [] == [line for line in storage.said(2, keep="3d") if "dropped" in line]
    assert "logs: partition logs_before dropped, older than 3d" in storage.said(3, keep="3d")
    assert {storage.name(0): 1, storage.name(1): 1, "logs_default": 1} == storage.where()
