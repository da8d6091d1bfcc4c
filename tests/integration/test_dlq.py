"""`eventwriter-ctl dlq` on a real server, without a daemon."""

import base64
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest
from fix_deadly_kind import ABORT, KIND, install
from fix_run import COMMANDS, clean, command
from psycopg.types.json import Jsonb

from eventwriter.config.settings import DeadLetterSettings, PostgresSettings
from eventwriter.demo.process import free_port
from eventwriter.model import Origin
from eventwriter.pipeline.counters import Counters
from eventwriter.postgres.session import PostgresSession
from eventwriter.tables.ids import id_generator
from eventwriter.tables.redacted_text import WITHHELD
from eventwriter.worker.retention import delete_expired

INCARNATION = "2026-01-01 00:00:00.123456+00"
ORIGIN = Origin("events", 1_767_225_600_123_456_000, 2)
STREAMS = [
    "TELEMETRY",
    "NETFLOW",
    {"name": "THINGS", "subject": "things.>", "kind": "json", "table": "things"},
]
INSERT = """
INSERT INTO eventwriter_dead_letters (stream, incarnation, epoch, stream_seq, consumer, kind, subject, headers, payload,
  reason, detail, num_deliveries, message_timestamp)
VALUES (%s, %s, 2, %s, %s, %s, %s, %s, %s, %s, %s, 1, '2026-01-02 00:00:00+00') RETURNING id
"""


class DeadLetterStore:
    """A database with dead letters, and the command that manages them."""

    def __init__(self, dsn: str, folder: Path) -> None:
        self.dsn, self.folder = dsn, folder
        self.config = folder / "eventwriter.json"
        config = {"enabled": True, "postgres": {"dsn": dsn}, "streams": STREAMS, "redact": ["community"]}
        self.config.write_text(json.dumps(config))
        self.environ: dict[str, str] = {}
        self.sequence = 0
        assert 0 == command("eventwriter", "migrate", "--dsn", dsn).returncode
        self.conn = psycopg.connect(dsn, autocommit=True)
        self.conn.execute("SET timezone TO 'UTC'")
        self.conn.execute("CREATE TABLE things (id int PRIMARY KEY CHECK (id < 1000000), v text)")

    def add(self, payload: Any, subject: str = "telemetry.a", reason: str = "malformed", **more: Any) -> int:
        """Insert a dead letter and return its id."""
        self.sequence += 1
        body = payload if isinstance(payload, bytes) else orjson.dumps(payload)
        headers = Jsonb(more["headers"]) if "headers" in more else None
        values = (
            more.get("stream", "events"), INCARNATION, self.sequence, more.get("consumer", "eventwriter-telemetry"),
            "telemetry", subject, headers, body, reason, more.get("detail", "because"),
        )  # fmt: skip
        row = self.conn.execute(INSERT, values).fetchone()
        assert row is not None
        return int(row[0])

    def dlq(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a `dlq` command and return its result."""
        words = ("eventwriter-ctl", "--config", str(self.config), "dlq", *arguments)
        return command(*words, environ={"COLUMNS": "80", **self.environ})

    def start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """Start a `dlq` command in the background."""
        words = [str(COMMANDS / "eventwriter-ctl"), "--config", str(self.config), "dlq", *arguments]
        return subprocess.Popen(words, env=clean(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def read(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        return self.conn.execute(query).fetchall()

    def states(self) -> list[tuple[Any, ...]]:
        """Return id, state, and whether a replay left an error, of every dead letter."""
        return self.read("SELECT id, state, replay_error IS NOT NULL FROM eventwriter_dead_letters ORDER BY id")


@pytest.fixture
def store(database: str, tmp_path: Path) -> Iterator[DeadLetterStore]:
    """An empty table of dead letters."""
    one = DeadLetterStore(database, tmp_path)
    yield one
    one.conn.close()


def test_list_fits_80_columns(store: DeadLetterStore) -> None:
    """Dead letters are listed newest first, one per line of at most 80 columns, with their ids."""
    for n in range(60):
        store.add(b"x", reason="missing_field" if n % 2 else "crash_loop", detail="a long sentence " * 20)

    done = store.dlq("list")

    lines = done.stdout.splitlines()
    assert (0, 52, "the newest 50 of 60 dead letters; use --limit to show more") == (
        done.returncode, len(lines), lines[-1],
    )  # fmt: skip
    assert max(map(len, lines)) <= 80
    assert lines[1].split()[0] == "60"
    assert "missing_field" in lines[1]


def test_list_is_limited(store: DeadLetterStore) -> None:
    """`--limit` shows the newest dead letters and the total count, in JSON too."""
    for _ in range(5):
        store.add(b"x")

    done, plain = store.dlq("list", "--limit", "2"), json.loads(store.dlq("list", "--limit", "2", "--json").stdout)

    lines = done.stdout.splitlines()
    assert ["5", "4"] == [line.split()[0] for line in lines[1:-1]]
    assert lines[-1].startswith("the newest 2 of 5 dead letters")
    assert (5, [5, 4]) == (plain["total"], [letter["id"] for letter in plain["letters"]])


def test_filters_select_dead_letters(store: DeadLetterStore) -> None:
    """Entries, streams, reasons, states and times select dead letters."""
    store.add(b"1")
    store.add(b"2", subject="netflow.a", consumer="eventwriter-netflow", reason="rejected")
    store.add(b"3", stream="other", consumer="x")
    store.conn.execute("UPDATE eventwriter_dead_letters SET created_at = now() - interval '3 days' WHERE id = 1")
    store.conn.execute("UPDATE eventwriter_dead_letters SET state = 'replayed' WHERE id = 3")
    chosen = {
        "--stream TELEMETRY": [1],
        "--stream events": [2, 1],
        "--stream other": [3],
        "--reason rejected": [2],
        "--state new": [2, 1],
        "--since 2d": [3, 2],
        "--before 2d": [1],
        "--since 2020-01-01 --state replayed": [3],
    }

    found = {words: json.loads(store.dlq("list", "--json", *words.split()).stdout) for words in chosen}

    assert chosen == {words: [letter["id"] for letter in each["letters"]] for words, each in found.items()}
    assert chosen.keys() == {words for words, each in found.items() if each["total"] == len(each["letters"])}


def test_show_redacts_secrets(store: DeadLetterStore) -> None:
    """A dead letter is shown with redacted values and with its outcome today."""
    payload = {"value": 7, "metadata": {"Community": "s3cret", "a": '{"community": "s3cret"}'}}
    number = store.add(payload, headers={"Source": "here", "community": "s3cret"})

    done, plain = store.dlq("show", str(number)), store.dlq("show", str(number), "--json")

    assert (0, 0, False, False) == (
        done.returncode, plain.returncode, "s3cret" in done.stdout, "s3cret" in plain.stdout,
    )  # fmt: skip
    for part in ("malformed", "because", "Source: here", "sequence    1", "epoch 2", "row of timeseries_metrics"):
        assert part in done.stdout
    assert "written" == json.loads(plain.stdout)["today"]["outcome"]


def test_show_withholds_half_a_json_with_a_redacted_key(store: DeadLetterStore) -> None:
    """A payload that is not JSON and has a redacted key is not shown, because the secret may be anywhere in it."""
    number = store.add(b'{"value": 1, "community": "s3cret", "more')

    shown = store.dlq("show", str(number)).stdout

    assert (WITHHELD in shown, "s3cret" in shown) == (True, False)


def test_show_dumps_binary_payloads(store: DeadLetterStore) -> None:
    """A binary payload is shown as a hex dump, and as base64 in JSON."""
    number = store.add(b"\x00\xffabc")

    shown = store.dlq("show", str(number)).stdout
    plain = json.loads(store.dlq("show", str(number), "--json").stdout)

    assert "00000000  00ff 6162 63" in shown
    assert b"\x00\xffabc" == base64.b64decode(plain["payload"]["base64"])


def test_show_of_a_missing_id_exits_with_2(store: DeadLetterStore) -> None:
    """An id that does not exist is an error that names it."""
    done = store.dlq("show", "7")

    assert (
        2,
        'eventwriter-ctl: table "public"."eventwriter_dead_letters" has no dead letter 7',
    ) == (
        done.returncode, done.stderr.partition(";")[0],
    )  # fmt: skip


def test_replay_writes_the_rows_of_the_message(store: DeadLetterStore) -> None:
    """Rows have the id and time of the message; the dead letter is marked and not replayed again."""
    flow = {"src_addr": "10.0.0.1", "dst_addr": "10.0.0.2", "octets": 5}
    number = store.add(flow, subject="netflow.a", consumer="eventwriter-netflow")

    done, again = store.dlq("replay"), store.dlq("replay")

    assert (0, [f"{number}  written: 1 row", "1 written (1 row)"]) == (done.returncode, done.stdout.splitlines())
    assert (0, "no new dead letters\n") == (again.returncode, again.stdout)
    made = id_generator(ORIGIN)(1, 0)
    assert [(made, "2026-01-02T00:00:00+00:00")] == [
        (row[0].bytes, row[1].isoformat()) for row in store.read("SELECT id, time FROM ocsf_network_activity")
    ]
    assert [(number, "replayed", False)] == store.states()
    assert [(True,)] == store.read("SELECT replayed_at IS NOT NULL FROM eventwriter_dead_letters")


@pytest.mark.parametrize(
    ("words", "replayed"),
    [
        ("--stream TELEMETRY", [1, 2]),
        ("--reason rejected", [3, 4]),
        ("--since 2d", [2, 3, 4]),
        ("--before 2d", [1]),
        ("--stream TELEMETRY --since 2d", [2]),
        ("--reason rejected --stream THINGS", [4]),
    ],
)
def test_replay_is_limited_by_filters(store: DeadLetterStore, words: str, replayed: list[int]) -> None:
    """Only dead letters that match all filters are replayed; the others stay new."""
    store.add({"value": 1})
    store.add({"value": 2})
    flow = {"src_addr": "10.0.0.1", "dst_addr": "10.0.0.2", "octets": 5}
    store.add(flow, subject="netflow.a", consumer="eventwriter-netflow", reason="rejected")
    store.add({"id": 5}, subject="things.a", consumer="eventwriter-things", reason="rejected")
    store.conn.execute("UPDATE eventwriter_dead_letters SET created_at = now() - interval '3 days' WHERE id = 1")

    done = store.dlq("replay", *words.split())

    assert 0 == done.returncode, done.stderr
    assert [(n, "replayed" if n in replayed else "new", False) for n in range(1, 5)] == store.states()
    counts = "SELECT (SELECT count(*) FROM {}), (SELECT count(*) FROM {}), (SELECT count(*) FROM {})"
    tables = ("timeseries_metrics", "ocsf_network_activity", "things")
    wanted = tuple(len({*replayed} & numbers) for numbers in ({1, 2}, {3}, {4}))
    assert [wanted] == store.read(counts.format(*tables))


def test_replay_of_ids_replays_only_these(store: DeadLetterStore) -> None:
    """Only the named dead letters are replayed, and none of them twice."""
    for n in range(1, 5):
        store.add({"value": n})

    done, again = store.dlq("replay", "2", "4"), store.dlq("replay", "2")

    assert (0, ["2  written: 1 row", "4  written: 1 row", "2 written (2 rows)"]) == (
        done.returncode, done.stdout.splitlines(),
    )  # fmt: skip
    assert (0, "no new dead letters\n") == (again.returncode, again.stdout)
    assert [(1, "new", False), (2, "replayed", False), (3, "new", False), (4, "replayed", False)] == store.states()
    assert [(2.0,), (4.0,)] == store.read("SELECT value::float8 FROM timeseries_metrics ORDER BY 1")


def test_replay_reports_what_stays_dead(store: DeadLetterStore) -> None:
    """Messages that still fail stay dead letters with a new reason; all others are written."""
    good = [store.add({"value": n}) for n in range(20)]
    garbage = store.add(b"garbage")
    refused = store.add({"id": 5_000_000}, subject="things.a", consumer="eventwriter-things")
    fine = store.add({"id": 5}, subject="things.a", consumer="eventwriter-things")
    nobody = store.add({"value": 1}, subject="nobody.a", consumer="gone")

    done = store.dlq("replay")

    said = dict(line.split("  ", 1) for line in done.stdout.splitlines()[:-1])
    assert (1, "21 written (21 rows); 2 still dead; 1 refused") == (done.returncode, done.stdout.splitlines()[-1])
    assert said[str(garbage)].startswith("still dead: malformed: ")
    assert "still dead: no_entry: no stream entry matches subject 'nobody.a' of stream 'events'" == said[str(nobody)]
    assert "refused: " in said[str(refused)]
    assert "(SQLSTATE 23514)" in said[str(refused)]
    assert [(n, "replayed", False) for n in [*good, fine]] == [row for row in store.states() if row[1] == "replayed"]
    assert [(n, "new", True) for n in (garbage, refused, nobody)] == [row for row in store.states() if row[1] == "new"]
    assert [(20,)] == store.read("SELECT count(*) FROM timeseries_metrics")
    assert "last replay" in store.dlq("show", str(refused)).stdout


def test_replay_follows_conflict_rules(store: DeadLetterStore) -> None:
    """A row whose key exists is skipped or replaced by the table's rule, and is counted."""
    store.conn.execute("INSERT INTO things VALUES (1, 'old')")
    config = json.loads(store.config.read_text())
    config["streams"][2]["on_conflict"] = "nothing"
    store.config.write_text(json.dumps(config))
    for n in (1, 2):
        store.add({"id": n, "v": "new"}, subject="things.a", consumer="eventwriter-things")

    done = store.dlq("replay", "--quiet")

    assert (
        "2 written (2 rows); 1 rows existed already (conflict rule of the table)\n",
        [(1, "old"), (2, "new")],
    ) == (done.stdout, store.read("SELECT * FROM things ORDER BY id"))


def test_dry_run_writes_nothing(store: DeadLetterStore) -> None:
    """A dry run reports the results, including errors of PostgreSQL, and changes nothing."""
    store.add({"value": 1})
    store.add({"id": 5_000_000}, subject="things.a", consumer="eventwriter-things")
    before = store.read("SELECT * FROM eventwriter_dead_letters ORDER BY id")

    done = store.dlq("replay", "--dry-run")

    assert (1, "1 would be written (1 row); 1 refused; nothing was changed") == (
        done.returncode, done.stdout.splitlines()[-1],
    )  # fmt: skip
    assert before == store.read("SELECT * FROM eventwriter_dead_letters ORDER BY id")
    assert [(0,)] == store.read("SELECT count(*) FROM timeseries_metrics")


def test_dead_letter_that_kills_its_decoder_is_isolated(store: DeadLetterStore) -> None:
    """A dead letter whose decoder crashes is decoded in a child process; replay and show report it."""
    store.environ |= install(store.folder)
    config = json.loads(store.config.read_text())
    config["streams"][0] = {"name": "TELEMETRY", "kind": KIND}
    store.config.write_text(json.dumps(config))
    killer = store.add({"value": 1, "unit": ABORT}, reason="crash_loop")
    fixed = store.add({"value": 2}, reason="crash_loop")

    done = store.dlq("replay")

    assert (1, "1 written (1 row); 1 still kills") == (done.returncode, done.stdout.splitlines()[-1])
    assert "killed by SIGABRT" in done.stdout
    assert "killed by SIGABRT" in store.dlq("show", str(killer)).stdout
    assert [(killer, "new", True), (fixed, "replayed", False)] == store.states()


def test_concurrent_replays_write_each_message_once(store: DeadLetterStore) -> None:
    """Two replays of thousands of dead letters share the work."""
    for n in range(3000):
        store.add({"value": n, "metadata": {"n": n}})

    both = [store.start("replay", "--quiet") for _ in range(2)]

    assert [0, 0] == [one.wait(60) for one in both]
    assert [(3000, 3000)] == store.read("SELECT count(*), count(DISTINCT value) FROM timeseries_metrics")
    assert [("replayed", 3000)] == store.read("SELECT state, count(*) FROM eventwriter_dead_letters GROUP BY 1")


def test_killed_replay_can_be_repeated(store: DeadLetterStore) -> None:
    """A replay that is killed at random moments writes each message exactly once in the end."""
    seed = int(os.environ.get("EVENTWRITER_TEST_SEED", random.randrange(10**6)))
    print(f"seed {seed}: EVENTWRITER_TEST_SEED={seed} repeats this")
    rng = random.Random(seed)
    for n in range(6000):
        store.add({"value": n})
    for _ in range(6):
        one = store.start("replay", "--quiet")
        time.sleep(0.4 + rng.random())
        one.send_signal(signal.SIGKILL)
        one.wait()
        rows, states = store.read("SELECT count(*) FROM timeseries_metrics"), store.read(
            "SELECT count(*) FROM eventwriter_dead_letters WHERE state = 'replayed'"
        )  # fmt: skip
        assert rows == states

    assert 0 == store.dlq("replay", "--quiet").returncode
    assert [(6000, 6000)] == store.read("SELECT count(*), count(DISTINCT value) FROM timeseries_metrics")


def test_export_contains_every_dead_letter(store: DeadLetterStore, tmp_path: Path) -> None:
    """Each dead letter is a JSON line with its payload in base64; only the owner may read the file."""
    for n in range(3):
        store.add(b"\x00" + bytes([n]), reason="malformed" if n else "rejected")
    file = tmp_path / "letters.jsonl"

    done = store.dlq("export", str(file), "--reason", "malformed")

    found = [json.loads(line) for line in file.read_text().splitlines()]
    assert f"2 dead letters exported to {file}\n" == done.stdout
    assert [(2, b"\x00\x01"), (3, b"\x00\x02")] == [(one["id"], base64.b64decode(one["payload"])) for one in found]
    assert 0o600 == file.stat().st_mode & 0o777


def test_purge_requires_yes(store: DeadLetterStore) -> None:
    """Without --yes a purge only counts; with it, it deletes what the filters select."""
    store.add(b"1", reason="malformed")
    store.add(b"2", reason="rejected")

    asked, done = store.dlq("purge"), store.dlq("purge", "--yes", "--reason", "malformed")

    assert (2, True) == (
        asked.returncode,
        "would permanently delete 2 dead letters; confirm with --yes" in asked.stderr,
    )
    assert (0, "1 dead letter deleted\n") == (done.returncode, done.stdout)
    assert [(2, "new", False)] == store.states()


@pytest.mark.parametrize(
    "words", [("replay", "1", "77"), ("list", "--stream", "nosuch"), ("list", "--reason", "nosuch"), ("show", "77")]
)
def test_unknown_selection_exits_with_2(store: DeadLetterStore, words: tuple[str, ...]) -> None:
    """An unknown id, stream or reason exits with 2, and nothing is replayed."""
    store.add({"value": 1})

    done = store.dlq(*words)

    assert (2, "") == (done.returncode, done.stdout)
    assert {"77", "nosuch"} & set(done.stderr.replace("'", " ").replace(";", " ").split())
    assert [("new",)] == store.conn.execute("SELECT state FROM eventwriter_dead_letters").fetchall()


def test_reason_and_stream_of_the_table_are_accepted(store: DeadLetterStore) -> None:
    """A reason or a stream that occurs only in the table is a valid filter."""
    store.add({"value": 1}, reason="odd", stream="retired")

    done = store.dlq("list", "--reason", "odd", "--stream", "retired", "--json")

    assert 1 == json.loads(done.stdout)["total"]


def test_list_by_reason_counts_and_shows_an_example(store: DeadLetterStore) -> None:
    """The reasons are listed by count, each with its newest dead letter as an example."""
    ids = [store.add(b"x", reason=reason, detail=f"because of {reason}") for reason in ("malformed", "rejected")]
    ids.append(store.add(b"x", detail="the newest"))

    done, plain = store.dlq("list", "--by", "reason"), store.dlq("list", "--by", "reason", "--json")

    reasons = json.loads(plain.stdout)["reasons"]
    assert [("malformed", 2, ids[2], "the newest"), ("rejected", 1, ids[1], "because of rejected")] == [
        (one["reason"], one["count"], one["newest_id"], one["newest_detail"]) for one in reasons
    ]
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
    assert "the newest" in done.stdout


def test_results_are_printed_as_json(store: DeadLetterStore, tmp_path: Path) -> None:
    """--json makes replay, export and purge print one object with their results."""
    written, dead = store.add({"value": 1}), store.add(b"no json")

    replayed = json.loads(store.dlq("replay", "--json").stdout)
    exported = json.loads(store.dlq("export", str(tmp_path / "f"), "--json").stdout)
    purged = json.loads(store.dlq("purge", "--yes", "--json").stdout)

    assert {(written, "written"), (dead, "still dead")} == {(one["id"], one["outcome"]) for one in replayed["letters"]}
    assert (2, 2) == (exported["exported"], purged["deleted"])


def test_replay_warns_of_tables_that_replace_rows(store: DeadLetterStore) -> None:
    """A table whose conflict rule replaces rows is named before its rows are written; other tables are not."""
    config = json.loads(store.config.read_text())
    config["streams"][2]["on_conflict"] = "replace"
    store.config.write_text(json.dumps(config))
    store.conn.execute("INSERT INTO things VALUES (1, 'newer')")
    store.add({"id": 1, "v": "older"}, subject="things.a", consumer="eventwriter-things")
    store.add({"value": 1})

    tried, done = store.dlq("replay", "--dry-run", "--json"), store.dlq("replay")

    assert ["things"] == json.loads(tried.stdout)["replacing_tables"]
    assert (1, 1) == (tried.stderr.count("warning: table things"), done.stderr.count("warning: table"))


def test_unreachable_server_exits_with_3(store: DeadLetterStore) -> None:
    """Without PostgreSQL every command exits with 3 and an error of one line."""
    done = store.dlq("list", "--dsn", f"postgresql://u:hunter2@127.0.0.1:{free_port()}/d")

    assert (3, 1) == (done.returncode, len(done.stderr.splitlines()))
    assert ("cannot reach PostgreSQL" in done.stderr, "hunter2" in done.stderr) == (True, False)


@pytest.mark.parametrize(
    ("settings_", "left"),
    [
        pytest.param({}, [1, 2, 3, 4], id="nothing set: all are kept"),
        pytest.param({"keep": "2d"}, [3, 4], id="by age"),
        pytest.param({"keep_max": 1}, [4], id="by number"),
        pytest.param({"keep": "12h", "keep_max": 3}, [4], id="both"),
        pytest.param({"keep": "90d"}, [1, 2, 3, 4], id="younger ones are never deleted"),
    ],
)
async def test_retention_deletes_the_oldest(store: DeadLetterStore, settings_: dict[str, Any], left: list[int]) -> None:
    """Dead letters beyond the maximum age or count are deleted and counted."""
    for n in range(4):
        store.add(b"x")
        store.conn.execute(
            f"UPDATE eventwriter_dead_letters SET created_at = now() - interval '{4 - n - 0.9} days' WHERE id = {n + 1}"
        )
    postgres, counters = PostgresSession(PostgresSettings.model_validate({"dsn": store.dsn})), Counters()

    deleted = await delete_expired(postgres, None, DeadLetterSettings.model_validate(settings_), counters)
    await postgres.close()

    assert left == [row[0] for row in store.states()]
    assert (4 - len(left), 4 - len(left)) == (deleted, counters.dead_letters_expired_total)


async def test_retention_skips_while_another_worker_runs_it(store: DeadLetterStore) -> None:
    """While one worker deletes dead letters, other workers skip the retention."""
    store.add(b"x")
    store.add(b"y")
    postgres = PostgresSession(PostgresSettings.model_validate({"dsn": store.dsn}))
    lock = """hashtextextended('eventwriter retention "public"."eventwriter_dead_letters"', 0)"""
    settings_ = DeadLetterSettings(keep_max=1)

    with store.conn.transaction():
        store.conn.execute(f"SELECT pg_advisory_xact_lock({lock})")
        held = await delete_expired(postgres, None, settings_, Counters())
    free = await delete_expired(postgres, None, settings_, Counters())
    await postgres.close()

    assert (0, 1) == (held, free)
