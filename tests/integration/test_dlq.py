"""`eventwriter-ctl dlq` on a real server: no daemon runs, and none is asked."""

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


class Office:
    """A database with letters in it, and the command to look after them."""

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

    def letter(self, payload: Any, subject: str = "telemetry.a", reason: str = "malformed", **more: Any) -> int:
        """Put a letter there; return its id."""
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
        """Run a command to its end."""
        words = ("eventwriter-ctl", "--config", str(self.config), "dlq", *arguments)
        return command(*words, environ={"COLUMNS": "80", **self.environ})

    def begin(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """Start a command beside the test."""
        words = [str(COMMANDS / "eventwriter-ctl"), "--config", str(self.config), "dlq", *arguments]
        return subprocess.Popen(words, env=clean(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def read(self, query: str) -> list[tuple[Any, ...]]:
        """Return what a query finds."""
        return self.conn.execute(query).fetchall()

    def states(self) -> list[tuple[Any, ...]]:
        """Return every letter's id, state, and whether a replay left an error."""
        return self.read("SELECT id, state, replay_error IS NOT NULL FROM eventwriter_dead_letters ORDER BY id")


@pytest.fixture
def office(database: str, tmp_path: Path) -> Iterator[Office]:
    """An office with empty tables."""
    one = Office(database, tmp_path)
    yield one
    one.conn.close()


def test_list_fits_80_columns(office: Office) -> None:
    """Letters are listed newest first, one line each, within 80 columns, with their number."""
    for n in range(60):
        office.letter(b"x", reason="missing_field" if n % 2 else "crash_loop", detail="a long sentence " * 20)

    done = office.dlq("list")

    lines = done.stdout.splitlines()
    assert (0, 52, "the newest 50 of 60 dead letters; use --limit to show more") == (
        done.returncode, len(lines), lines[-1],
    )  # fmt: skip
    assert max(map(len, lines)) <= 80
    assert lines[1].split()[0] == "60"
    assert "missing_field" in lines[1]


def test_list_shows_no_more_than_its_limit(office: Office) -> None:
    """`--limit` shows so many of the newest letters and says how many there are, in JSON too."""
    for _ in range(5):
        office.letter(b"x")

    done, plain = office.dlq("list", "--limit", "2"), json.loads(office.dlq("list", "--limit", "2", "--json").stdout)

    lines = done.stdout.splitlines()
    assert ["5", "4"] == [line.split()[0] for line in lines[1:-1]]
    assert lines[-1].startswith("the newest 2 of 5 dead letters")
    assert (5, [5, 4]) == (plain["total"], [letter["id"] for letter in plain["letters"]])


def test_filters_mean_what_they_say(office: Office) -> None:
    """Entries, streams, reasons, states and times choose letters."""
    office.letter(b"1")
    office.letter(b"2", subject="netflow.a", consumer="eventwriter-netflow", reason="rejected")
    office.letter(b"3", stream="other", consumer="x")
    office.conn.execute("UPDATE eventwriter_dead_letters SET created_at = now() - interval '3 days' WHERE id = 1")
    office.conn.execute("UPDATE eventwriter_dead_letters SET state = 'replayed' WHERE id = 3")
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

    found = {words: json.loads(office.dlq("list", "--json", *words.split()).stdout) for words in chosen}

    assert chosen == {words: [letter["id"] for letter in each["letters"]] for words, each in found.items()}
    assert chosen.keys() == {words for words, each in found.items() if each["total"] == len(each["letters"])}


def test_show_leaves_secrets_out(office: Office) -> None:
    """A letter is shown whole, without the values of keys that are never shown, and with what it would be today."""
    payload = {"value": 7, "metadata": {"Community": "s3cret", "a": '{"community": "s3cret"}'}}
    number = office.letter(payload, headers={"Source": "here", "community": "s3cret"})

    done, plain = office.dlq("show", str(number)), office.dlq("show", str(number), "--json")

    assert (0, 0, False, False) == (
        done.returncode, plain.returncode, "s3cret" in done.stdout, "s3cret" in plain.stdout,
    )  # fmt: skip
    for part in ("malformed", "because", "Source: here", "sequence    1", "epoch 2", "row of timeseries_metrics"):
        assert part in done.stdout
    assert "written" == json.loads(plain.stdout)["today"]["outcome"]


def test_show_withholds_half_a_json_with_a_redacted_key(office: Office) -> None:
    """A payload that is not JSON and has a redacted key is not shown, because the secret may be anywhere in it."""
    number = office.letter(b'{"value": 1, "community": "s3cret", "more')

    shown = office.dlq("show", str(number)).stdout

    assert (WITHHELD in shown, "s3cret" in shown) == (True, False)


def test_show_dumps_what_is_no_text(office: Office) -> None:
    """A binary payload is shown in hexadecimal, and in base64 as JSON."""
    number = office.letter(b"\x00\xffabc")

    shown = office.dlq("show", str(number)).stdout
    plain = json.loads(office.dlq("show", str(number), "--json").stdout)

    assert "00000000  00ff 6162 63" in shown
    assert b"\x00\xffabc" == base64.b64decode(plain["payload"]["base64"])


def test_show_of_no_letter_is_a_sentence(office: Office) -> None:
    """A letter that is not there is named."""
    done = office.dlq("show", "7")

    assert (
        2,
        'eventwriter-ctl: table "public"."eventwriter_dead_letters" has no dead letter 7',
    ) == (
        done.returncode, done.stderr.partition(";")[0],
    )  # fmt: skip


def test_replay_writes_the_rows_that_the_message_would_have_had(office: Office) -> None:
    """A replayed letter has the id and the time of its message; the letter is marked, and is not replayed again."""
    flow = {"src_addr": "10.0.0.1", "dst_addr": "10.0.0.2", "octets": 5}
    number = office.letter(flow, subject="netflow.a", consumer="eventwriter-netflow")

    done, again = office.dlq("replay"), office.dlq("replay")

    assert (0, [f"{number}  written: 1 row", "1 written (1 row)"]) == (done.returncode, done.stdout.splitlines())
    assert (0, "no new dead letters\n") == (again.returncode, again.stdout)
    made = id_generator(ORIGIN)(1, 0)
    assert [(made, "2026-01-02T00:00:00+00:00")] == [
        (row[0].bytes, row[1].isoformat()) for row in office.read("SELECT id, time FROM ocsf_network_activity")
    ]
    assert [(number, "replayed", False)] == office.states()
    assert [(True,)] == office.read("SELECT replayed_at IS NOT NULL FROM eventwriter_dead_letters")


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
def test_replay_leaves_alone_what_filters_do_not_mean(office: Office, words: str, replayed: list[int]) -> None:
    """Only letters that all filters mean are replayed; the others are new as before."""
    office.letter({"value": 1})
    office.letter({"value": 2})
    flow = {"src_addr": "10.0.0.1", "dst_addr": "10.0.0.2", "octets": 5}
    office.letter(flow, subject="netflow.a", consumer="eventwriter-netflow", reason="rejected")
    office.letter({"id": 5}, subject="things.a", consumer="eventwriter-things", reason="rejected")
    office.conn.execute("UPDATE eventwriter_dead_letters SET created_at = now() - interval '3 days' WHERE id = 1")

    done = office.dlq("replay", *words.split())

    assert 0 == done.returncode, done.stderr
    assert [(n, "replayed" if n in replayed else "new", False) for n in range(1, 5)] == office.states()
    counts = "SELECT (SELECT count(*) FROM {}), (SELECT count(*) FROM {}), (SELECT count(*) FROM {})"
    tables = ("timeseries_metrics", "ocsf_network_activity", "things")
    wanted = tuple(len({*replayed} & numbers) for numbers in ({1, 2}, {3}, {4}))
    assert [wanted] == office.read(counts.format(*tables))


def test_replay_of_some_ids_is_of_these_only(office: Office) -> None:
    """Named letters are replayed and no others; one that was replayed is not replayed again by its name."""
    for n in range(1, 5):
        office.letter({"value": n})

    done, again = office.dlq("replay", "2", "4"), office.dlq("replay", "2")

    assert (0, ["2  written: 1 row", "4  written: 1 row", "2 written (2 rows)"]) == (
        done.returncode, done.stdout.splitlines(),
    )  # fmt: skip
    assert (0, "no new dead letters\n") == (again.returncode, again.stdout)
    assert [(1, "new", False), (2, "replayed", False), (3, "new", False), (4, "replayed", False)] == office.states()
    assert [(2.0,), (4.0,)] == office.read("SELECT value::float8 FROM timeseries_metrics ORDER BY 1")


def test_replay_says_what_is_still_dead_and_why(office: Office) -> None:
    """Garbage, refused rows and letters that no entry takes stay, each with today's reason; all others are written."""
    good = [office.letter({"value": n}) for n in range(20)]
    garbage = office.letter(b"garbage")
    refused = office.letter({"id": 5_000_000}, subject="things.a", consumer="eventwriter-things")
    fine = office.letter({"id": 5}, subject="things.a", consumer="eventwriter-things")
    nobody = office.letter({"value": 1}, subject="nobody.a", consumer="gone")

    done = office.dlq("replay")

    said = dict(line.split("  ", 1) for line in done.stdout.splitlines()[:-1])
    assert (1, "21 written (21 rows); 2 still dead; 1 refused") == (done.returncode, done.stdout.splitlines()[-1])
    assert said[str(garbage)].startswith("still dead: malformed: ")
    assert "still dead: no_entry: no stream entry matches subject 'nobody.a' of stream 'events'" == said[str(nobody)]
    assert "refused: " in said[str(refused)]
    assert "(SQLSTATE 23514)" in said[str(refused)]
    assert [(n, "replayed", False) for n in [*good, fine]] == [row for row in office.states() if row[1] == "replayed"]
    assert [(n, "new", True) for n in (garbage, refused, nobody)] == [row for row in office.states() if row[1] == "new"]
    assert [(20,)] == office.read("SELECT count(*) FROM timeseries_metrics")
    assert "last replay" in office.dlq("show", str(refused)).stdout


def test_replay_obeys_conflict_rules(office: Office) -> None:
    """A row whose key is there is left out or replaced by the table's rule, and the sum says so."""
    office.conn.execute("INSERT INTO things VALUES (1, 'old')")
    config = json.loads(office.config.read_text())
    config["streams"][2]["on_conflict"] = "nothing"
    office.config.write_text(json.dumps(config))
    for n in (1, 2):
        office.letter({"id": n, "v": "new"}, subject="things.a", consumer="eventwriter-things")

    done = office.dlq("replay", "--quiet")

    assert (
        "2 written (2 rows); 1 rows existed already (conflict rule of the table)\n",
        [(1, "old"), (2, "new")],
    ) == (done.stdout, office.read("SELECT * FROM things ORDER BY id"))


def test_dry_run_writes_nothing(office: Office) -> None:
    """A dry run says what would happen, PostgreSQL's refusals included, and changes neither rows nor letters."""
    office.letter({"value": 1})
    office.letter({"id": 5_000_000}, subject="things.a", consumer="eventwriter-things")
    before = office.read("SELECT * FROM eventwriter_dead_letters ORDER BY id")

    done = office.dlq("replay", "--dry-run")

    assert (1, "1 would be written (1 row); 1 refused; nothing was changed") == (
        done.returncode, done.stdout.splitlines()[-1],
    )  # fmt: skip
    assert before == office.read("SELECT * FROM eventwriter_dead_letters ORDER BY id")
    assert [(0,)] == office.read("SELECT count(*) FROM timeseries_metrics")


def test_letter_that_still_kills_is_tried_apart(office: Office) -> None:
    """A letter whose decoding kills is tried in a process of its own: replay and show live, and say so."""
    office.environ |= install(office.folder)
    config = json.loads(office.config.read_text())
    config["streams"][0] = {"name": "TELEMETRY", "kind": KIND}
    office.config.write_text(json.dumps(config))
    killer = office.letter({"value": 1, "unit": ABORT}, reason="crash_loop")
    fixed = office.letter({"value": 2}, reason="crash_loop")

    done = office.dlq("replay")

    assert (1, "1 written (1 row); 1 still kills") == (done.returncode, done.stdout.splitlines()[-1])
    assert "killed by SIGABRT" in done.stdout
    assert "killed by SIGABRT" in office.dlq("show", str(killer)).stdout
    assert [(killer, "new", True), (fixed, "replayed", False)] == office.states()


def test_two_replays_at_once_write_each_letter_once(office: Office) -> None:
    """Two replays over the same thousands of letters share them."""
    for n in range(3000):
        office.letter({"value": n, "metadata": {"n": n}})

    both = [office.begin("replay", "--quiet") for _ in range(2)]

    assert [0, 0] == [one.wait(60) for one in both]
    assert [(3000, 3000)] == office.read("SELECT count(*), count(DISTINCT value) FROM timeseries_metrics")
    assert [("replayed", 3000)] == office.read("SELECT state, count(*) FROM eventwriter_dead_letters GROUP BY 1")


def test_killed_replay_leaves_nothing_half_done(office: Office) -> None:
    """A replay that is killed at a random moment, again and again, writes each letter once in the end."""
    seed = int(os.environ.get("EVENTWRITER_TEST_SEED", random.randrange(10**6)))
    print(f"seed {seed}: EVENTWRITER_TEST_SEED={seed} repeats this")
    rng = random.Random(seed)
    for n in range(6000):
        office.letter({"value": n})
    for _ in range(6):
        one = office.begin("replay", "--quiet")
        time.sleep(0.4 + rng.random())
        one.send_signal(signal.SIGKILL)
        one.wait()
        rows, states = office.read("SELECT count(*) FROM timeseries_metrics"), office.read(
            "SELECT count(*) FROM eventwriter_dead_letters WHERE state = 'replayed'"
        )  # fmt: skip
        assert rows == states

    assert 0 == office.dlq("replay", "--quiet").returncode
    assert [(6000, 6000)] == office.read("SELECT count(*), count(DISTINCT value) FROM timeseries_metrics")


def test_export_is_whole(office: Office, tmp_path: Path) -> None:
    """Each letter is one JSON line with its payload in base64; the file is for its owner alone."""
    for n in range(3):
        office.letter(b"\x00" + bytes([n]), reason="malformed" if n else "rejected")
    file = tmp_path / "letters.jsonl"

    done = office.dlq("export", str(file), "--reason", "malformed")

    found = [json.loads(line) for line in file.read_text().splitlines()]
    assert f"2 dead letters exported to {file}\n" == done.stdout
    assert [(2, b"\x00\x01"), (3, b"\x00\x02")] == [(one["id"], base64.b64decode(one["payload"])) for one in found]
    assert 0o600 == file.stat().st_mode & 0o777


def test_purge_needs_a_yes(office: Office) -> None:
    """Without --yes a purge only counts; with it, it deletes what the filters mean."""
    office.letter(b"1", reason="malformed")
    office.letter(b"2", reason="rejected")

    asked, done = office.dlq("purge"), office.dlq("purge", "--yes", "--reason", "malformed")

    assert (2, True) == (
        asked.returncode,
        "would permanently delete 2 dead letters; confirm with --yes" in asked.stderr,
    )
    assert (0, "1 dead letter deleted\n") == (done.returncode, done.stdout)
    assert [(2, "new", False)] == office.states()


@pytest.mark.parametrize(
    "words", [("replay", "1", "77"), ("list", "--stream", "nosuch"), ("list", "--reason", "nosuch"), ("show", "77")]
)
def test_unknown_selection_is_a_mistake(office: Office, words: tuple[str, ...]) -> None:
    """An id, a stream or a reason that does not exist ends with 2, and nothing is replayed."""
    office.letter({"value": 1})

    done = office.dlq(*words)

    assert (2, "") == (done.returncode, done.stdout)
    assert {"77", "nosuch"} & set(done.stderr.replace("'", " ").replace(";", " ").split())
    assert [("new",)] == office.conn.execute("SELECT state FROM eventwriter_dead_letters").fetchall()


def test_reason_that_only_the_table_knows_is_accepted(office: Office) -> None:
    """A reason of another package's kind, and a stream that is no longer configured, select what the table has."""
    office.letter({"value": 1}, reason="odd", stream="retired")

    done = office.dlq("list", "--reason", "odd", "--stream", "retired", "--json")

    assert 1 == json.loads(done.stdout)["total"]


def test_list_by_reason_counts_and_shows_an_example(office: Office) -> None:
    """The reasons come with their counts, the most frequent first, and the newest dead letter as an example."""
    ids = [office.letter(b"x", reason=reason, detail=f"because of {reason}") for reason in ("malformed", "rejected")]
    ids.append(office.letter(b"x", detail="the newest"))

    done, plain = office.dlq("list", "--by", "reason"), office.dlq("list", "--by", "reason", "--json")

    reasons = json.loads(plain.stdout)["reasons"]
    assert [("malformed", 2, ids[2], "the newest"), ("rejected", 1, ids[1], "because of rejected")] == [
        (one["reason"], one["count"], one["newest_id"], one["newest_detail"]) for one in reasons
    ]
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
    assert "the newest" in done.stdout


def test_results_are_printed_as_json(office: Office, tmp_path: Path) -> None:
    """--json makes replay, export and purge print one object with their results."""
    written, dead = office.letter({"value": 1}), office.letter(b"no json")

    replayed = json.loads(office.dlq("replay", "--json").stdout)
    exported = json.loads(office.dlq("export", str(tmp_path / "f"), "--json").stdout)
    purged = json.loads(office.dlq("purge", "--yes", "--json").stdout)

    assert {(written, "written"), (dead, "still dead")} == {(one["id"], one["outcome"]) for one in replayed["letters"]}
    assert (2, 2) == (exported["exported"], purged["deleted"])


def test_replay_warns_of_tables_that_replace_rows(office: Office) -> None:
    """A table whose conflict rule replaces rows is named before its rows are written; other tables are not."""
    config = json.loads(office.config.read_text())
    config["streams"][2]["on_conflict"] = "replace"
    office.config.write_text(json.dumps(config))
    office.conn.execute("INSERT INTO things VALUES (1, 'newer')")
    office.letter({"id": 1, "v": "older"}, subject="things.a", consumer="eventwriter-things")
    office.letter({"value": 1})

    tried, done = office.dlq("replay", "--dry-run", "--json"), office.dlq("replay")

    assert ["things"] == json.loads(tried.stdout)["replacing_tables"]
    assert (1, 1) == (tried.stderr.count("warning: table things"), done.stderr.count("warning: table"))


def test_unreachable_server_is_a_sentence(office: Office) -> None:
    """Without PostgreSQL every command ends with 3 and one sentence."""
    done = office.dlq("list", "--dsn", f"postgresql://u:hunter2@127.0.0.1:{free_port()}/d")

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
async def test_retention_deletes_the_oldest(office: Office, settings_: dict[str, Any], left: list[int]) -> None:
    """Letters that are older, or more, than is kept are deleted, and counted."""
    for n in range(4):
        office.letter(b"x")
        office.conn.execute(
            f"UPDATE eventwriter_dead_letters SET created_at = now() - interval '{4 - n - 0.9} days' WHERE id = {n + 1}"
        )
    postgres, counters = PostgresSession(PostgresSettings.model_validate({"dsn": office.dsn})), Counters()

    deleted = await delete_expired(postgres, None, DeadLetterSettings.model_validate(settings_), counters)
    await postgres.close()

    assert left == [row[0] for row in office.states()]
    assert (4 - len(left), 4 - len(left)) == (deleted, counters.dead_letters_expired_total)


async def test_retention_gives_way_to_another_worker(office: Office) -> None:
    """While one worker looks through the letters, another one leaves them alone."""
    office.letter(b"x")
    office.letter(b"y")
    postgres = PostgresSession(PostgresSettings.model_validate({"dsn": office.dsn}))
    lock = """hashtextextended('eventwriter retention "public"."eventwriter_dead_letters"', 0)"""
    settings_ = DeadLetterSettings(keep_max=1)

    with office.conn.transaction():
        office.conn.execute(f"SELECT pg_advisory_xact_lock({lock})")
        held = await delete_expired(postgres, None, settings_, Counters())
    free = await delete_expired(postgres, None, settings_, Counters())
    await postgres.close()

    assert (0, 1) == (held, free)
