"""`eventwriter-ctl verify` on real servers: ledgers that match their tables, and every kind of discrepancy."""

import json
from typing import Any

import nats.js.client
import pytest
from fix_run import command
from fix_shared_stream import SharedStream


def test_verify_beside_a_running_daemon_finds_no_gap(shared: SharedStream) -> None:
    """Rows and dead letters match the ledger, and subjects outside the filters are ignored."""
    shared.publish(20, garbage=True)
    shared.run_until_written()

    code, slots = shared.verify_slots()

    telemetry, netflow = slots["TELEMETRY/0"], slots["NETFLOW/0"]
    assert 0 == code, slots
    assert ([], [], [], []) == (
        telemetry["gaps"], netflow["gaps"], telemetry["unprovable"], netflow["unprovable"],
    )  # fmt: skip
    assert (40, 39, 1) == tuple(telemetry["lookups"][key] for key in ("messages", "written", "dead"))
    assert (20, 20, 0) == tuple(netflow["lookups"][key] for key in ("messages", "written", "dead"))
    assert {"count": 1, "messages": 1} == telemetry["dead_letters"]


def test_range_missing_in_the_ledger_is_a_gap(shared: SharedStream) -> None:
    """Acknowledged messages missing in the ledger are one gap, which counts only subjects of the entry."""
    shared.publish(20)
    shared.run_until_written()
    shared.run.stop()
    assert 1 == shared.execute(
        "UPDATE eventwriter_ledger SET committed = committed - '{[11,21)}'::int8multirange"
        " WHERE consumer LIKE '%telem%'"
    )

    code, slots = shared.verify_slots()

    gaps = slots["TELEMETRY/0"]["gaps"]
    assert 1 == code
    assert [(11, 19, 4)] == [(gap["first"], gap["last"], gap["messages"]) for gap in gaps]
    assert "rows or a dead letter exist for 4" in gaps[0]["what"]
    assert {f"{shared.stream}.t.a", f"{shared.stream}.t.b"} == set(gaps[0]["subjects"])
    assert [] == slots["NETFLOW/0"]["gaps"]


def test_gap_is_printed_within_eighty_columns(shared: SharedStream) -> None:
    """The table shows slot, gap and reason, and fits a terminal of 80 columns."""
    shared.publish(20)
    shared.run_until_written()
    shared.run.stop()
    shared.execute("UPDATE eventwriter_ledger SET committed = committed - '{[11,21)}'::int8multirange")

    done = shared.verify("TELEMETRY")

    assert 1 == done.returncode
    assert "TELEMETRY/0" in done.stdout
    assert "does not balance" in " ".join(done.stdout.split())
    assert "11–19" in done.stdout
    assert 80 >= max(map(len, done.stdout.splitlines()))


def test_option_range_limits_the_check(shared: SharedStream) -> None:
    """With --range only sequences within the range are checked."""
    shared.publish(20)
    shared.run_until_written()
    shared.run.stop()
    shared.execute("UPDATE eventwriter_ledger SET committed = committed - '{[11,21)}'::int8multirange")

    outside, _ = shared.verify_slots("TELEMETRY", "--range", "21-")
    inside, slots = shared.verify_slots("TELEMETRY", "--range", "16-100")

    assert (0, 1) == (outside, inside)
    assert [(16, 19, 2)] == [(g["first"], g["last"], g["messages"]) for g in slots["TELEMETRY/0"]["gaps"]]


@pytest.mark.parametrize(("table", "slot"), [("timeseries_metrics", "TELEMETRY"), ("ocsf_network_activity", "NETFLOW")])
def test_deleted_rows_are_a_gap(shared: SharedStream, table: str, slot: str) -> None:
    """Messages in the ledger without rows are a gap, in tables with and without generated ids."""
    shared.publish(10)
    shared.run_until_written()
    time = "timestamp" if table == "timeseries_metrics" else "time"
    gone = shared.execute(
        f"DELETE FROM {table} WHERE ctid IN (SELECT ctid FROM {table} ORDER BY {time} OFFSET 4 LIMIT 2)"
    )

    code, slots = shared.verify_slots(slot)

    gaps = slots[f"{slot}/0"]["gaps"]
    assert (2, 1) == (gone, code)
    assert [2] == [gap["messages"] for gap in gaps]
    assert "neither their rows nor a dead letter" in gaps[0]["what"]


AGAIN = "INSERT INTO {table} SELECT * FROM {table} ORDER BY {time} OFFSET 4 LIMIT 2"


def test_duplicated_rows_with_ids_are_a_gap(shared: SharedStream) -> None:
    """Duplicated rows with a generated id are a gap if no key prevents them."""
    shared.publish(10)
    shared.run_until_written()
    shared.execute("ALTER TABLE ocsf_network_activity DROP CONSTRAINT ocsf_network_activity_pkey")
    shared.execute("CREATE INDEX ON ocsf_network_activity (time)")
    again = shared.execute(AGAIN.format(table="ocsf_network_activity", time="time"))

    code, slots = shared.verify_slots("NETFLOW")

    netflow = slots["NETFLOW/0"]
    assert (2, 1) == (again, code)
    # Every fifth message is a flow, the third of its round: the fifth and the sixth of them.
    assert [(23, 28, 2, "their rows are in the database more than once")] == [
        (gap["first"], gap["last"], gap["messages"], gap["what"]) for gap in netflow["gaps"]
    ]
    assert ([23, 28], 8, 12) == tuple(netflow["lookups"][key] for key in ("duplicated", "written", "rows"))
    assert "8 with all their rows (12), 2 with duplicated rows" in " ".join(shared.verify("NETFLOW").stdout.split())


def test_duplicated_rows_without_ids_are_inconclusive(shared: SharedStream) -> None:
    """Duplicated rows without a generated id may come from equal messages, so they are inconclusive."""
    shared.publish(10)
    shared.run_until_written()
    again = shared.execute(AGAIN.format(table="timeseries_metrics", time="timestamp"))

    code, slots = shared.verify_slots("TELEMETRY")

    telemetry = slots["TELEMETRY/0"]
    assert (2, 0, 18, [2]) == (
        again, code, telemetry["lookups"]["written"], list(telemetry["lookups"]["inconclusive"].values())
    )  # fmt: skip
    assert any("2 of the messages looked up: there are more identical rows" in said for said in telemetry["unprovable"])


def test_equal_messages_are_no_discrepancy(shared: SharedStream) -> None:
    """Messages equal to the microsecond, each written once, are neither a gap nor inconclusive."""
    body = b'{"name": "m", "value": 1, "timestamp": "2026-01-01T00:00:00Z"}'
    for _ in range(3):
        shared.jetstream(lambda js: js.publish(f"{shared.stream}.t.a", body))
    shared.published = 5
    shared.run_until_written()

    code, slots = shared.verify_slots("TELEMETRY")

    telemetry = slots["TELEMETRY/0"]
    assert (0, [], 3) == (code, telemetry["unprovable"], telemetry["lookups"]["written"])


def test_rows_older_than_the_table_are_inconclusive(shared: SharedStream) -> None:
    """Missing rows that a retention policy may have dropped are inconclusive, not a gap."""
    shared.publish(10)
    shared.run_until_written()
    shared.execute(
        "DELETE FROM timeseries_metrics WHERE ctid IN (SELECT ctid FROM timeseries_metrics ORDER BY timestamp LIMIT 3)"
    )

    code, slots = shared.verify_slots("TELEMETRY")

    assert 0 == code
    assert any("3 of the messages looked up" in said for said in slots["TELEMETRY/0"]["unprovable"])


def test_purged_dead_letter_is_inconclusive(shared: SharedStream) -> None:
    """A purged dead letter is reported as inconclusive, not as a gap."""
    shared.publish(10, garbage=True)
    shared.run_until_written()
    shared.execute("DELETE FROM eventwriter_dead_letters")

    code, slots = shared.verify_slots("TELEMETRY")

    assert 0 == code
    assert any("none exists: purged" in said for said in slots["TELEMETRY/0"]["unprovable"])


def test_dead_letter_outside_the_ledger_is_a_gap(shared: SharedStream) -> None:
    """A dead letter of a message that is missing in the ledger is a gap."""
    shared.publish(10, garbage=True)
    shared.run_until_written()
    shared.run.stop()
    shared.execute("UPDATE eventwriter_dead_letters SET stream_seq = 23")
    shared.execute("UPDATE eventwriter_ledger SET committed = committed - '{[23,24)}'::int8multirange")

    code, slots = shared.verify_slots("TELEMETRY")

    assert 1 == code
    assert [(23, "have dead letters, but are not in the ledger")] == [
        (gap["first"], gap["what"]) for gap in slots["TELEMETRY/0"]["gaps"]
    ]


def test_purged_stream_has_no_gap(shared: SharedStream) -> None:
    """A stream that was purged after all messages were written has no gap, and no message is looked up."""
    shared.publish(10)
    shared.run_until_written()
    shared.jetstream(lambda js: js.purge_stream(shared.stream))

    code, slots = shared.verify_slots()

    assert 0 == code
    assert (0, []) == (slots["TELEMETRY/0"]["lookups"]["messages"], slots["TELEMETRY/0"]["gaps"])


def test_messages_purged_unwritten_are_inconclusive(shared: SharedStream) -> None:
    """Messages purged before they were written are inconclusive, because they may be lost."""
    shared.publish(10)
    shared.run_until_written()
    shared.run.stop()
    shared.publish(4)
    shared.jetstream(lambda js: js.purge_stream(shared.stream))

    code, slots = shared.verify_slots("TELEMETRY")

    assert 0 == code
    assert any("no longer in the stream" in said for said in slots["TELEMETRY/0"]["unprovable"])


def test_recreated_stream_lists_the_old_ledger_row(shared: SharedStream) -> None:
    """The ledger row of the deleted stream is listed as not current, and hides no gap."""
    shared.publish(10)
    shared.run_until_written()
    shared.run.stop()
    shared.jetstream(lambda js: js.delete_stream(shared.stream))
    shared.jetstream(lambda js: js.add_stream(name=shared.stream, subjects=[f"{shared.stream}.>"]))
    shared.publish(4)

    code, slots = shared.verify_slots("TELEMETRY")

    telemetry = slots["TELEMETRY/0"]
    assert (0, [False], None) == (
        code, [row["current"] for row in telemetry["ledger"]], telemetry["jetstream"]["delivered"],
    )  # fmt: skip
    assert "the stream was recreated" in telemetry["unprovable"][0]
    assert "of a deleted stream of this name" in " ".join(shared.verify("TELEMETRY").stdout.split())


async def consume(js: Any, stream: str, durable: str, count: int, acked: slice) -> None:
    """Receive messages on a durable and acknowledge some of them."""
    subscription = await js.pull_subscribe_bind(durable, stream)
    messages = await subscription.fetch(count, timeout=5)
    for message in messages[acked]:
        await message.ack_sync()


def test_messages_acknowledged_by_another_program_are_a_gap(shared: SharedStream) -> None:
    """Messages that another program consumed from the durable are reported as lost."""
    shared.publish(10)
    shared.run_until_written()
    shared.run.stop()
    shared.publish(4)
    durable = f"{shared.stream}-telemetry"
    shared.jetstream(lambda js: consume(js, shared.stream, durable, 3, slice(None)))

    code, slots = shared.verify_slots("TELEMETRY")

    gaps = slots["TELEMETRY/0"]["gaps"]
    assert 1 == code
    assert [(51, 56, 3)] == [(gap["first"], gap["last"], gap["messages"]) for gap in gaps]
    assert "acknowledged, but not in the ledger; neither rows nor dead letters" in gaps[0]["what"]


def test_message_acknowledged_above_the_floor_is_a_gap(shared: SharedStream) -> None:
    """A lost message above the ack floor is found because fewer messages are pending than are missing."""
    shared.publish(10)
    shared.run_until_written()
    shared.run.stop()
    shared.publish(4)
    durable = f"{shared.stream}-telemetry"
    shared.jetstream(lambda js: consume(js, shared.stream, durable, 3, slice(2, 3)))

    code, slots = shared.verify_slots("TELEMETRY")

    assert 1 == code
    assert ["1 of these are acknowledged, but none is in the ledger (2 are pending)"] == [
        gap["what"].partition(";")[0] for gap in slots["TELEMETRY/0"]["gaps"]
    ]


def test_committed_but_unacknowledged_messages_are_counted(shared: SharedStream) -> None:
    """Committed messages above the ack floor are counted as unacknowledged, and their rows are looked up."""
    shared.publish(10)
    shared.run_until_written()
    shared.run.stop()
    shared.publish(4)
    shared.execute(
        "UPDATE eventwriter_ledger SET committed = committed + '{[51,61)}'::int8multirange, last_seq = 60,"
        " last_timestamp = now() WHERE consumer LIKE '%netflow%'"
    )

    code, slots = shared.verify_slots("NETFLOW")

    assert 10 == slots["NETFLOW/0"]["sequences"]["unacked"]
    # The rows of the messages that the ledger lists are looked up in the table, too.
    assert (1, [2]) == (code, [gap["messages"] for gap in slots["NETFLOW/0"]["gaps"]])


def test_stream_that_ends_before_the_ledger_is_reported(shared: SharedStream) -> None:
    """A ledger that ends beyond the end of the stream is reported with both ends."""
    shared.publish(10)
    shared.run_until_written()
    shared.run.stop()
    shared.execute("UPDATE eventwriter_ledger SET committed = '{[1,900)}', last_seq = 899")

    _, slots = shared.verify_slots("TELEMETRY")

    assert any("it ends at 50, the ledger at 899" in said for said in slots["TELEMETRY/0"]["unprovable"])


def test_reused_sequences_of_a_closed_epoch_are_a_gap(shared: SharedStream) -> None:
    """A closed epoch says nothing about sequences that were reused for newer messages."""
    shared.publish(10)
    shared.run_until_written()
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

    code, slots = shared.verify_slots("TELEMETRY")

    gaps = slots["TELEMETRY/0"]["gaps"]
    assert 1 == code
    assert [(31, 39, 4)] == [(gap["first"], gap["last"], gap["messages"]) for gap in gaps]
    # The sequences in both epochs were reused in between, so they certainly are different messages.
    assert not [said for said in slots["TELEMETRY/0"]["unprovable"] if "epochs" in said]


def test_sequences_in_two_epochs_are_inconclusive(shared: SharedStream) -> None:
    """Sequences that two epochs contain without having been reused are inconclusive."""
    shared.publish(10)
    shared.run_until_written()
    shared.run.stop()
    shared.execute(
        "INSERT INTO eventwriter_ledger (stream, incarnation, epoch, consumer, filter_hash, committed, last_seq,"
        " last_timestamp) SELECT stream, incarnation, 1, consumer, filter_hash, '{[31,51)}', 50, last_timestamp"
        " FROM eventwriter_ledger WHERE consumer LIKE '%netflow%'"
    )

    _, slots = shared.verify_slots("NETFLOW")

    assert [
        "18 sequences from 31 to 48 are in the ledger under several epochs: they are duplicates, or different messages"
    ] == [said for said in slots["NETFLOW/0"]["unprovable"] if "epochs" in said]


def test_unjustified_epoch_is_reported(shared: SharedStream) -> None:
    """An epoch that began although the stream has the last message of the one before is reported as unjustified."""
    shared.publish(10)
    shared.run_until_written()
    shared.run.stop()
    shared.execute(
        "INSERT INTO eventwriter_ledger (stream, incarnation, epoch, consumer, filter_hash)"
        " SELECT stream, incarnation, 1, consumer, filter_hash FROM eventwriter_ledger"
    )

    code, slots = shared.verify_slots("TELEMETRY")

    report = slots["TELEMETRY/0"]
    found = [(one["epoch"], one["previous"], one["ambiguous"]) for one in report["unjustified_epochs"]]
    assert (0, [(1, 0, 0)]) == (code, found)


def test_epoch_after_a_regression_is_not_explained_away(shared: SharedStream) -> None:
    """An epoch is justified if the stream has another message where the epoch before ended."""
    shared.publish(10)
    shared.run_until_written()
    shared.run.stop()
    shared.execute("UPDATE eventwriter_ledger SET last_timestamp = last_timestamp - interval '1 minute'")
    shared.execute(
        "INSERT INTO eventwriter_ledger (stream, incarnation, epoch, consumer, filter_hash)"
        " SELECT stream, incarnation, 1, consumer, filter_hash FROM eventwriter_ledger"
    )

    _, slots = shared.verify_slots("TELEMETRY")

    assert [] == slots["TELEMETRY/0"]["unjustified_epochs"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [(["NOPE"], "'NOPE' is neither an enabled stream entry"), (["--range", "9-3"], "the smaller first")],
)
def test_invalid_arguments_exit_with_2(shared: SharedStream, arguments: list[str], sentence: str) -> None:
    """Invalid arguments are reported on stderr with exit code 2."""
    done = shared.verify(*arguments)

    assert 2 == done.returncode
    assert sentence in " ".join(done.stderr.split())


@pytest.mark.parametrize("key", ["EVENT_WRITER_NATS_URL", "EVENT_WRITER_POSTGRES_DSN"])
def test_unreachable_server_exits_with_3(shared: SharedStream, key: str) -> None:
    """An unreachable server is reported in one line without its password, with exit code 3."""
    value = "nats://127.0.0.1:1" if "NATS" in key else "postgresql://s3cret:s3cret@127.0.0.1:1/x"

    done = command("eventwriter-ctl", "--config", str(shared.run.config), "verify", environ={key: value})

    assert 3 == done.returncode, done.stderr
    assert done.stderr.startswith("eventwriter-ctl: ")
    assert "127.0.0.1:1" in done.stderr
    assert 1 == len(done.stderr.splitlines())
    assert ":s3cret" not in done.stderr


def test_missing_stream_exits_with_1(shared: SharedStream) -> None:
    """A configured stream that does not exist is reported for each of its slots, with exit code 1."""
    shared.jetstream(lambda js: js.delete_stream(shared.stream))

    done = shared.verify()

    assert 1 == done.returncode
    assert 2 == done.stdout.count("JetStream has no stream")


def test_manual_procedure_rewrites_lost_messages(shared: SharedStream) -> None:
    """After the gap is removed from the ledger and the durable is deleted, the daemon writes the lost messages once."""
    shared.publish(10)
    shared.run_until_written()
    shared.run.stop()
    shared.execute(
        "DELETE FROM timeseries_metrics WHERE ctid IN"
        " (SELECT ctid FROM timeseries_metrics ORDER BY timestamp OFFSET 4 LIMIT 2)"
    )
    _, slots = shared.verify_slots("TELEMETRY")
    (gap,) = slots["TELEMETRY/0"]["gaps"]

    shared.jetstream(lambda js: js.delete_consumer(shared.stream, f"{shared.stream}-telemetry"))
    shared.execute(
        "UPDATE eventwriter_ledger SET committed = committed -"
        f" '{{[{gap['first']},{gap['last'] + 1})}}'::int8multirange WHERE consumer LIKE '%telem%'"
    )
    shared.run_until_written(at_least=2)

    code, slots = shared.verify_slots("TELEMETRY")
    looked = slots["TELEMETRY/0"]["lookups"]
    assert (0, 20, 20) == (code, looked["messages"], looked["rows"])


def keyed(shared: SharedStream, payloads: list[dict[str, Any]], ddl: str, **entry: Any) -> dict[str, Any]:
    """Write payloads into a table of kind `json` with a daemon, and return the report of its slot."""
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

    shared.jetstream(publish)
    shared.run_until_written(len(payloads))
    return shared.verify_slots()[1]["THINGS/0"]


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
def test_rules_of_the_table_make_rows_unprovable(
    shared: SharedStream, ddl: str, entry: dict[str, Any], reason: str
) -> None:
    """Rows that the table's own triggers or keys changed, skipped or replaced are not provable, and no gap."""
    slot = keyed(shared, PAYLOADS, ddl, **entry)

    assert ([], []) == (slot["gaps"], slot["lookups"]["missing"])
    assert any(reason in sentence for sentence in slot["unprovable"]), slot["unprovable"]


def test_recreated_table_is_unprovable(shared: SharedStream) -> None:
    """Messages whose table was created again, and is empty, are not provable, and no gap."""
    keyed(shared, PAYLOADS, "CREATE TABLE things (id int, v text)")
    shared.run.stop()
    shared.execute("DROP TABLE things; CREATE TABLE things (id int, v text)")

    code, slots = shared.verify_slots()

    assert (0, []) == (code, slots["THINGS/0"]["gaps"])
    assert any("recreated" in sentence for sentence in slots["THINGS/0"]["unprovable"])


def test_many_rows_with_one_timestamp_are_compared_in_time(shared: SharedStream) -> None:
    """Rows are found among hundreds of thousands with the same value in the leading column of their index."""
    ddl = (
        "CREATE TABLE things (at timestamptz, id int, v text); CREATE INDEX ON things (at);"
        " INSERT INTO things SELECT '2026-01-01+00', n, 'x' FROM generate_series(1000, 301000) n"
    )
    payloads = [{"at": "2026-01-01T00:00:00Z", "id": n, "v": "a"} for n in range(300)]

    slot = keyed(shared, payloads, ddl)

    assert ([], 300) == (slot["gaps"], slot["lookups"]["written"])
