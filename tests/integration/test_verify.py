"""`eventwriter-ctl verify` on real servers: books that balance, and every way in which they do not."""

import json
from typing import Any

import nats.js.client
import pytest
from fix_books import Shared
from fix_run import command


def test_running_daemon_balances(shared: Shared) -> None:
    """Books balance beside a running daemon: rows, dead letters, and nothing said of subjects that nobody wants."""
    shared.publish(20, garbage=True)
    shared.written()

    code, slots = shared.proven()

    telemetry, netflow = slots["TELEMETRY/0"], slots["NETFLOW/0"]
    assert 0 == code, slots
    assert ([], [], [], []) == (
        telemetry["gaps"], netflow["gaps"], telemetry["unprovable"], netflow["unprovable"],
    )  # fmt: skip
    assert (40, 39, 1) == tuple(telemetry["lookups"][key] for key in ("messages", "written", "dead"))
    assert (20, 20, 0) == tuple(netflow["lookups"][key] for key in ("messages", "written", "dead"))
    assert {"count": 1, "messages": 1} == telemetry["dead_letters"]


def test_range_cut_out_of_the_ledger_is_named(shared: Shared) -> None:
    """Acknowledged messages that the ledger lacks are one gap, counted without the subjects that nobody wants."""
    shared.publish(20)
    shared.written()
    shared.run.stop()
    assert 1 == shared.execute(
        "UPDATE eventwriter_ledger SET committed = committed - '{[11,21)}'::int8multirange"
        " WHERE consumer LIKE '%telem%'"
    )

    code, slots = shared.proven()

    gaps = slots["TELEMETRY/0"]["gaps"]
    assert 1 == code
    assert [(11, 19, 4)] == [(gap["first"], gap["last"], gap["messages"]) for gap in gaps]
    assert "rows or a dead letter exist for 4" in gaps[0]["what"]
    assert {f"{shared.stream}.t.a", f"{shared.stream}.t.b"} == set(gaps[0]["subjects"])
    assert [] == slots["NETFLOW/0"]["gaps"]


def test_gap_is_printed_within_eighty_columns(shared: Shared) -> None:
    """The table names slot, gap and reason, and fits a terminal of 80 columns."""
    shared.publish(20)
    shared.written()
    shared.run.stop()
    shared.execute("UPDATE eventwriter_ledger SET committed = committed - '{[11,21)}'::int8multirange")

    done = shared.verify("TELEMETRY")

    assert 1 == done.returncode
    assert "TELEMETRY/0" in done.stdout
    assert "does not balance" in " ".join(done.stdout.split())
    assert "11–19" in done.stdout
    assert 80 >= max(map(len, done.stdout.splitlines()))


def test_range_asked_for_leaves_the_rest_out(shared: Shared) -> None:
    """With --range only its sequences are judged."""
    shared.publish(20)
    shared.written()
    shared.run.stop()
    shared.execute("UPDATE eventwriter_ledger SET committed = committed - '{[11,21)}'::int8multirange")

    outside, _ = shared.proven("TELEMETRY", "--range", "21-")
    inside, slots = shared.proven("TELEMETRY", "--range", "16-100")

    assert (0, 1) == (outside, inside)
    assert [(16, 19, 2)] == [(g["first"], g["last"], g["messages"]) for g in slots["TELEMETRY/0"]["gaps"]]


@pytest.mark.parametrize(("table", "slot"), [("timeseries_metrics", "TELEMETRY"), ("ocsf_network_activity", "NETFLOW")])
def test_rows_that_are_gone_are_named(shared: Shared, table: str, slot: str) -> None:
    """Messages in the ledger whose rows are not in the database are a gap, in tables with made ids and without keys."""
    shared.publish(10)
    shared.written()
    time = "timestamp" if table == "timeseries_metrics" else "time"
    gone = shared.execute(
        f"DELETE FROM {table} WHERE ctid IN (SELECT ctid FROM {table} ORDER BY {time} OFFSET 4 LIMIT 2)"
    )

    code, slots = shared.proven(slot)

    gaps = slots[f"{slot}/0"]["gaps"]
    assert (2, 1) == (gone, code)
    assert [2] == [gap["messages"] for gap in gaps]
    assert "neither their rows nor a dead letter" in gaps[0]["what"]


AGAIN = "INSERT INTO {table} SELECT * FROM {table} ORDER BY {time} OFFSET 4 LIMIT 2"


def test_rows_that_are_there_twice_are_named(shared: Shared) -> None:
    """Rows with a made id that are there again are a gap, where no key keeps them out."""
    shared.publish(10)
    shared.written()
    shared.execute("ALTER TABLE ocsf_network_activity DROP CONSTRAINT ocsf_network_activity_pkey")
    shared.execute("CREATE INDEX ON ocsf_network_activity (time)")
    again = shared.execute(AGAIN.format(table="ocsf_network_activity", time="time"))

    code, slots = shared.proven("NETFLOW")

    netflow = slots["NETFLOW/0"]
    assert (2, 1) == (again, code)
    # Every fifth message is a flow, the third of its round: the fifth and the sixth of them.
    assert [(23, 28, 2, "their rows are in the database more than once")] == [
        (gap["first"], gap["last"], gap["messages"], gap["what"]) for gap in netflow["gaps"]
    ]
    assert ([23, 28], 8, 12) == tuple(netflow["lookups"][key] for key in ("duplicated", "written", "rows"))
    assert "8 with all their rows (12), 2 with duplicated rows" in " ".join(shared.verify("NETFLOW").stdout.split())


def test_equal_rows_that_nothing_tells_apart_are_a_doubt(shared: Shared) -> None:
    """Rows without a made id that are there again may be of equal messages: that is said, and is no gap."""
    shared.publish(10)
    shared.written()
    again = shared.execute(AGAIN.format(table="timeseries_metrics", time="timestamp"))

    code, slots = shared.proven("TELEMETRY")

    telemetry = slots["TELEMETRY/0"]
    assert (2, 0, 18, [2]) == (
        again, code, telemetry["lookups"]["written"], list(telemetry["lookups"]["inconclusive"].values())
    )  # fmt: skip
    assert any("2 of the messages looked up: there are more identical rows" in said for said in telemetry["unprovable"])


def test_equal_messages_balance(shared: Shared) -> None:
    """Messages that are alike to the microsecond, each written once, are neither a gap nor a doubt."""
    body = b'{"name": "m", "value": 1, "timestamp": "2026-01-01T00:00:00Z"}'
    for _ in range(3):
        shared.act(lambda js: js.publish(f"{shared.stream}.t.a", body))
    shared.published = 5
    shared.written()

    code, slots = shared.proven("TELEMETRY")

    telemetry = slots["TELEMETRY/0"]
    assert (0, [], 3) == (code, telemetry["unprovable"], telemetry["lookups"]["written"])


def test_rows_older_than_the_table_are_not_provable(shared: Shared) -> None:
    """Rows that a retention policy would have dropped are no gap, and said to be not provable."""
    shared.publish(10)
    shared.written()
    shared.execute(
        "DELETE FROM timeseries_metrics WHERE ctid IN (SELECT ctid FROM timeseries_metrics ORDER BY timestamp LIMIT 3)"
    )

    code, slots = shared.proven("TELEMETRY")

    assert 0 == code
    assert any("3 of the messages looked up" in said for said in slots["TELEMETRY/0"]["unprovable"])


def test_purged_dead_letter_is_not_provable(shared: Shared) -> None:
    """A removed dead letter is reported, but not as a gap."""
    shared.publish(10, garbage=True)
    shared.written()
    shared.execute("DELETE FROM eventwriter_dead_letters")

    code, slots = shared.proven("TELEMETRY")

    assert 0 == code
    assert any("none exists: purged" in said for said in slots["TELEMETRY/0"]["unprovable"])


def test_dead_letter_outside_the_ledger_is_a_gap(shared: Shared) -> None:
    """A dead letter of a message that the ledger lacks is named."""
    shared.publish(10, garbage=True)
    shared.written()
    shared.run.stop()
    shared.execute("UPDATE eventwriter_dead_letters SET stream_seq = 23")
    shared.execute("UPDATE eventwriter_ledger SET committed = committed - '{[23,24)}'::int8multirange")

    code, slots = shared.proven("TELEMETRY")

    assert 1 == code
    assert [(23, "have dead letters, but are not in the ledger")] == [
        (gap["first"], gap["what"]) for gap in slots["TELEMETRY/0"]["gaps"]
    ]


def test_purged_stream_balances(shared: Shared) -> None:
    """A stream that was purged after all was written balances; nothing in it is looked at."""
    shared.publish(10)
    shared.written()
    shared.act(lambda js: js.purge_stream(shared.stream))

    code, slots = shared.proven()

    assert 0 == code
    assert (0, []) == (slots["TELEMETRY/0"]["lookups"]["messages"], slots["TELEMETRY/0"]["gaps"])


def test_messages_purged_unwritten_are_not_provable(shared: Shared) -> None:
    """Messages that were purged before they were written are said: they may be lost, and nothing can show it."""
    shared.publish(10)
    shared.written()
    shared.run.stop()
    shared.publish(4)
    shared.act(lambda js: js.purge_stream(shared.stream))

    code, slots = shared.proven("TELEMETRY")

    assert 0 == code
    assert any("no longer in the stream" in said for said in slots["TELEMETRY/0"]["unprovable"])


def test_recreated_stream_lists_the_old_books(shared: Shared) -> None:
    """A recreated stream starts a new ledger row; the old row is listed, and hides nothing."""
    shared.publish(10)
    shared.written()
    shared.run.stop()
    shared.act(lambda js: js.delete_stream(shared.stream))
    shared.act(lambda js: js.add_stream(name=shared.stream, subjects=[f"{shared.stream}.>"]))
    shared.publish(4)

    code, slots = shared.proven("TELEMETRY")

    telemetry = slots["TELEMETRY/0"]
    assert (0, [False], None) == (
        code, [row["current"] for row in telemetry["ledger"]], telemetry["jetstream"]["delivered"],
    )  # fmt: skip
    assert "the stream was recreated" in telemetry["unprovable"][0]
    assert "of a deleted stream of this name" in " ".join(shared.verify("TELEMETRY").stdout.split())


async def _take(js: Any, stream: str, durable: str, count: int, acked: slice) -> None:
    """Receive messages on a durable and acknowledge some of them."""
    subscription = await js.pull_subscribe_bind(durable, stream)
    messages = await subscription.fetch(count, timeout=5)
    for message in messages[acked]:
        await message.ack_sync()


def test_messages_acknowledged_by_another_are_lost(shared: Shared) -> None:
    """Messages consumed by another program from our durable are reported as lost."""
    shared.publish(10)
    shared.written()
    shared.run.stop()
    shared.publish(4)
    durable = f"{shared.stream}-telemetry"
    shared.act(lambda js: _take(js, shared.stream, durable, 3, slice(None)))

    code, slots = shared.proven("TELEMETRY")

    gaps = slots["TELEMETRY/0"]["gaps"]
    assert 1 == code
    assert [(51, 56, 3)] == [(gap["first"], gap["last"], gap["messages"]) for gap in gaps]
    assert "acknowledged, but not in the ledger; neither rows nor dead letters" in gaps[0]["what"]


def test_acknowledged_above_the_floor_is_found_by_count(shared: Shared) -> None:
    """A message acknowledged out of order is missed: fewer are waited for than are missing."""
    shared.publish(10)
    shared.written()
    shared.run.stop()
    shared.publish(4)
    durable = f"{shared.stream}-telemetry"
    shared.act(lambda js: _take(js, shared.stream, durable, 3, slice(2, 3)))

    code, slots = shared.proven("TELEMETRY")

    assert 1 == code
    assert ["1 of these are acknowledged, but none is in the ledger (2 are pending)"] == [
        gap["what"].partition(";")[0] for gap in slots["TELEMETRY/0"]["gaps"]
    ]


def test_ledger_beyond_the_ack_floor_is_no_gap(shared: Shared) -> None:
    """What is committed and was never acknowledged is counted as what will be absorbed."""
    shared.publish(10)
    shared.written()
    shared.run.stop()
    shared.publish(4)
    shared.execute(
        "UPDATE eventwriter_ledger SET committed = committed + '{[51,61)}'::int8multirange, last_seq = 60,"
        " last_timestamp = now() WHERE consumer LIKE '%netflow%'"
    )

    code, slots = shared.proven("NETFLOW")

    assert 10 == slots["NETFLOW/0"]["sequences"]["unacked"]
    # What the ledger claims is looked for in the table, too.
    assert (1, [2]) == (code, [gap["messages"] for gap in slots["NETFLOW/0"]["gaps"]])


def test_stream_that_went_backwards_is_said(shared: Shared) -> None:
    """A ledger that ends beyond the stream's end is said, and what the next start does about it."""
    shared.publish(10)
    shared.written()
    shared.run.stop()
    shared.execute("UPDATE eventwriter_ledger SET committed = '{[1,900)}', last_seq = 899")

    _, slots = shared.proven("TELEMETRY")

    assert any("it ends at 50, the ledger at 899" in said for said in slots["TELEMETRY/0"]["unprovable"])


def test_sequences_given_out_again_are_not_known(shared: Shared) -> None:
    """What an epoch that is over knew of sequences that now carry younger messages proves nothing of them."""
    shared.publish(10)
    shared.written()
    shared.run.stop()
    # As if the messages from 31 on were other ones than those that were written: the epoch ended before them.
    shared.execute(
        "UPDATE eventwriter_ledger SET last_timestamp ="
        " (SELECT max(timestamp) FROM (SELECT timestamp FROM timeseries_metrics ORDER BY timestamp LIMIT 12) t)"
        " WHERE consumer LIKE '%telem%'"
    )
    shared.execute(
        "INSERT INTO eventwriter_ledger (stream, incarnation, epoch, consumer, filter_hash, committed, last_seq,"
        " last_timestamp) SELECT stream, incarnation, 1, consumer, filter_hash, '{[41,51)}', 50, now()"
        " FROM eventwriter_ledger WHERE consumer LIKE '%telem%'"
    )

    code, slots = shared.proven("TELEMETRY")

    gaps = slots["TELEMETRY/0"]["gaps"]
    assert 1 == code
    assert [(31, 39, 4)] == [(gap["first"], gap["last"], gap["messages"]) for gap in gaps]
    # Those that both epochs have were given out again in between: they are other messages, without a doubt.
    assert not [said for said in slots["TELEMETRY/0"]["unprovable"] if "epochs" in said]


def test_sequences_of_two_epochs_are_doubtful(shared: Shared) -> None:
    """Sequences that two epochs have, and that were not given out again in between, are said to be doubtful."""
    shared.publish(10)
    shared.written()
    shared.run.stop()
    shared.execute(
        "INSERT INTO eventwriter_ledger (stream, incarnation, epoch, consumer, filter_hash, committed, last_seq,"
        " last_timestamp) SELECT stream, incarnation, 1, consumer, filter_hash, '{[31,51)}', 50, last_timestamp"
        " FROM eventwriter_ledger WHERE consumer LIKE '%netflow%'"
    )

    _, slots = shared.proven("NETFLOW")

    assert [
        "18 sequences from 31 to 48 are in the ledger under several epochs: they are duplicates, or different messages"
    ] == [said for said in slots["NETFLOW/0"]["unprovable"] if "epochs" in said]


def test_epoch_of_a_false_suspicion_is_explained(shared: Shared) -> None:
    """An epoch that began although the stream has the last message of the one before is reported as unjustified."""
    shared.publish(10)
    shared.written()
    shared.run.stop()
    shared.execute(
        "INSERT INTO eventwriter_ledger (stream, incarnation, epoch, consumer, filter_hash)"
        " SELECT stream, incarnation, 1, consumer, filter_hash FROM eventwriter_ledger"
    )

    code, slots = shared.proven("TELEMETRY")

    report = slots["TELEMETRY/0"]
    found = [(one["epoch"], one["previous"], one["ambiguous"]) for one in report["unjustified_epochs"]]
    assert (0, [(1, 0, 0)]) == (code, found)


def test_epoch_after_a_regression_is_not_explained_away(shared: Shared) -> None:
    """An epoch is justified if the stream has another message where the epoch before ended."""
    shared.publish(10)
    shared.written()
    shared.run.stop()
    shared.execute("UPDATE eventwriter_ledger SET last_timestamp = last_timestamp - interval '1 minute'")
    shared.execute(
        "INSERT INTO eventwriter_ledger (stream, incarnation, epoch, consumer, filter_hash)"
        " SELECT stream, incarnation, 1, consumer, filter_hash FROM eventwriter_ledger"
    )

    _, slots = shared.proven("TELEMETRY")

    assert [] == slots["TELEMETRY/0"]["unjustified_epochs"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [(["NOPE"], "'NOPE' is neither an enabled stream entry"), (["--range", "9-3"], "the smaller first")],
)
def test_caller_mistakes_exit_with_two(shared: Shared, arguments: list[str], sentence: str) -> None:
    """What the caller got wrong is one sentence, exit code 2."""
    done = shared.verify(*arguments)

    assert 2 == done.returncode
    assert sentence in " ".join(done.stderr.split())


@pytest.mark.parametrize("key", ["EVENT_WRITER_NATS_URL", "EVENT_WRITER_POSTGRES_DSN"])
def test_server_away_exits_with_three(shared: Shared, key: str) -> None:
    """Where a server does not answer, its sentence is all that is said, and the exit code is 3."""
    value = "nats://127.0.0.1:1" if "NATS" in key else "postgresql://s3cret:s3cret@127.0.0.1:1/x"

    done = command("eventwriter-ctl", "--config", str(shared.run.config), "verify", environ={key: value})

    assert 3 == done.returncode, done.stderr
    assert done.stderr.startswith("eventwriter-ctl: ")
    assert "127.0.0.1:1" in done.stderr
    assert 1 == len(done.stderr.splitlines())
    assert ":s3cret" not in done.stderr


def test_stream_that_is_gone_does_not_balance(shared: Shared) -> None:
    """A configured stream that JetStream does not have is said of its slots, and the exit code is 1."""
    shared.act(lambda js: js.delete_stream(shared.stream))

    done = shared.verify()

    assert 1 == done.returncode
    assert 2 == done.stdout.count("JetStream has no stream")


def test_lost_messages_are_written_again_as_the_manual_says(shared: Shared) -> None:
    """Without its durable, and with the gap taken out of the ledger, the daemon writes what is missing, once."""
    shared.publish(10)
    shared.written()
    shared.run.stop()
    shared.execute(
        "DELETE FROM timeseries_metrics WHERE ctid IN"
        " (SELECT ctid FROM timeseries_metrics ORDER BY timestamp OFFSET 4 LIMIT 2)"
    )
    _, slots = shared.proven("TELEMETRY")
    (gap,) = slots["TELEMETRY/0"]["gaps"]

    shared.act(lambda js: js.delete_consumer(shared.stream, f"{shared.stream}-telemetry"))
    shared.execute(
        "UPDATE eventwriter_ledger SET committed = committed -"
        f" '{{[{gap['first']},{gap['last'] + 1})}}'::int8multirange WHERE consumer LIKE '%telem%'"
    )
    shared.written(at_least=2)

    code, slots = shared.proven("TELEMETRY")
    looked = slots["TELEMETRY/0"]["lookups"]
    assert (0, 20, 20) == (code, looked["messages"], looked["rows"])


def keyed(shared: Shared, payloads: list[dict[str, Any]], ddl: str, **entry: Any) -> dict[str, Any]:
    """Let a daemon write payloads into a table of kind `json`, and return the books of its slot."""
    config = json.loads(shared.run.config.read_text())
    config["streams"] = [
        {"name": "THINGS", "subject": f"{shared.stream}.t.>", "stream_name": shared.stream, "kind": "json",
         "table": "things", "batch_timeout": 50, **entry}
    ]  # fmt: skip
    shared.run.config.write_text(json.dumps(config))
    shared.execute(ddl)

    async def publish(js: nats.js.client.JetStreamContext) -> None:
        for payload in payloads:
            await js.publish(f"{shared.stream}.t.a", json.dumps(payload).encode())

    shared.act(publish)
    shared.written(len(payloads))
    return shared.proven()[1]["THINGS/0"]


PAYLOADS = [{"id": 1, "v": "a"}, {"id": 1, "v": "b"}, {"id": 2, "v": "c"}]
TRIGGER = """
CREATE TABLE things (id int, v text);
CREATE FUNCTION changes() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN IF NEW.v = 'b' THEN RETURN NULL; END IF; NEW.v := upper(NEW.v); RETURN NEW; END $$;
CREATE TRIGGER changes BEFORE INSERT ON things FOR EACH ROW EXECUTE FUNCTION changes()
"""


@pytest.mark.parametrize(
    ("ddl", "entry", "reason"),
    [
        pytest.param(TRIGGER, {}, "trigger changes", id="BEFORE trigger"),
        pytest.param(
            "CREATE TABLE things (id int UNIQUE, v text)", {"on_conflict": "nothing"}, "unique key", id="nullable key"
        ),
        pytest.param(
            "CREATE TABLE things (id int, v text); CREATE UNIQUE INDEX part ON things (id) WHERE id > 0",
            {"on_conflict": "nothing"}, "unique key part", id="partial key",
        ),
        pytest.param(
            "CREATE TABLE things (id int, v text); CREATE UNIQUE INDEX twice ON things ((id * 2))",
            {"on_conflict": "replace"}, "unique key twice", id="key on an expression",
        ),
    ],
)  # fmt: skip
def test_rules_of_the_table_make_rows_unprovable(shared: Shared, ddl: str, entry: dict[str, Any], reason: str) -> None:
    """Rows that the table's own triggers or keys changed, skipped or replaced are not provable, and no gap."""
    slot = keyed(shared, PAYLOADS, ddl, **entry)

    assert ([], []) == (slot["gaps"], slot["lookups"]["missing"])
    assert any(reason in sentence for sentence in slot["unprovable"]), slot["unprovable"]


def test_recreated_table_is_unprovable(shared: Shared) -> None:
    """Messages whose table was created again, and is empty, are not provable, and no gap."""
    keyed(shared, PAYLOADS, "CREATE TABLE things (id int, v text)")
    shared.run.stop()
    shared.execute("DROP TABLE things; CREATE TABLE things (id int, v text)")

    code, slots = shared.proven()

    assert (0, []) == (code, slots["THINGS/0"]["gaps"])
    assert any("recreated" in sentence for sentence in slots["THINGS/0"]["unprovable"])


def test_many_rows_with_one_timestamp_are_compared_in_time(shared: Shared) -> None:
    """Rows are found among hundreds of thousands with the same value in the leading column of their index."""
    ddl = (
        "CREATE TABLE things (at timestamptz, id int, v text); CREATE INDEX ON things (at);"
        " INSERT INTO things SELECT '2026-01-01+00', n, 'x' FROM generate_series(1000, 301000) n"
    )
    payloads = [{"at": "2026-01-01T00:00:00Z", "id": n, "v": "a"} for n in range(300)]

    slot = keyed(shared, payloads, ddl)

    assert ([], 300) == (slot["gaps"], slot["lookups"]["written"])
