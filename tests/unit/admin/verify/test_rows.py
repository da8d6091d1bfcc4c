"""What a message must have left, and by what its rows are found again."""

import dataclasses
from typing import Any
from uuid import UUID

import orjson
import pytest

from eventwriter.admin.verify.rows import RowExpectation, Target, target
from eventwriter.kinds.registry import kind
from eventwriter.model import Adjustments, Message, Origin
from eventwriter.postgres.schema.unique_keys import Key, Rights
from eventwriter.tables.ids import id_generator
from eventwriter.tables.ocsf.network_activity import OCSF_NETWORK_ACTIVITY
from eventwriter.tables.table import Build, Column, RealColumn, Table
from eventwriter.tables.timeseries import TIMESERIES_METRICS
from eventwriter.worker.table_binding import RealTable

ORIGIN = Origin("events", 1_767_225_600_000_000_000, 0)
TYPES = {
    "text": "text", "float8": "double precision", "int4": "integer", "int8": "bigint", "bool": "boolean",
    "timestamptz": "timestamp with time zone", "uuid": "uuid", "jsonb": "jsonb", "json": "text",
    "int4[]": "integer[]", "text[]": "text[]",
}  # fmt: skip
PRIMARY = Key("pkey", ("time", "id"), frozenset({"time", "id"}), frozenset({"time", "id"}), None, True, False, True)


def found(table: Table, *keys: Key, **types: str) -> RealTable:
    """Return a table as `eventwriter migrate` makes it, with other types for some columns."""
    real = tuple(RealColumn(c.name, types.get(c.name, TYPES[c.type]), c.not_null, False, False) for c in table.columns)
    return RealTable(table, None, f'"public"."{table.name}"', real, keys, Rights("r", "d", True, True, True))


def message(payload: Any, seq: int = 7, subject: str = "telemetry.a") -> Message:
    """Return a message with a JSON payload."""
    return Message("", subject, orjson.dumps(payload), None, seq, seq, 1, 1_767_225_600_000_000_000)


def expectation(name: str, *targets: Target, ignore: tuple[str, ...] = ()) -> RowExpectation:
    """Return what expects the rows of a kind."""
    build = Build(ORIGIN, Adjustments(), frozenset(), options={"consumer": "c", "kind": name})
    return RowExpectation(kind(name), targets, build, ignore)


def test_unique_key_is_enough() -> None:
    """Of a table with a primary key only its columns are looked for, through the index that begins with the time."""
    made = target(found(OCSF_NETWORK_ACTIVITY, PRIMARY), frozenset({"time"}))

    assert made.search is not None
    assert ({"time", "id"}, False) == (set(made.search.columns), made.search.whole)
    assert "time" == made.search.columns[made.search.lead or 0]


def test_key_of_what_cannot_be_compared_is_not_relied_on() -> None:
    """A unique key over a jsonb column does not find rows; all that compares does."""
    key = dataclasses.replace(PRIMARY, columns=frozenset({"time", "metadata"}), expressions=("time", "metadata"))

    made = target(found(OCSF_NETWORK_ACTIVITY, key), frozenset({"time"}))

    assert made.search is not None
    assert made.search.whole


def test_table_without_key_compares_all_that_compares() -> None:
    """Of a table without a key every plain column is compared; jsonb is not."""
    made = target(found(TIMESERIES_METRICS), frozenset({"timestamp", "device_id"}))

    assert made.search is not None
    assert made.search.whole
    assert {"timestamp", "metric_name", "value"} <= set(made.search.columns)
    assert "metadata" not in made.search.columns
    assert "timestamp" == made.search.columns[made.search.lead or 0]


def test_large_table_without_a_fitting_index_is_not_searched() -> None:
    """A table that no index serves is not read whole a thousand times: its rows cannot be looked up."""
    assert target(found(TIMESERIES_METRICS), frozenset({"metadata"})).search is None


def test_small_table_needs_no_index() -> None:
    """A small table is searched without an index."""
    made = target(found(TIMESERIES_METRICS), None)

    assert made.search is not None
    assert made.search.lead is None


def test_made_id_is_expected() -> None:
    """A flow's row is looked for by the id that is made of its stream sequence."""
    made = target(found(OCSF_NETWORK_ACTIVITY, PRIMARY), frozenset({"time"}))

    expected = expectation("netflow", made)(message({"src_addr": "10.0.0.1"}, seq=42))

    assert made.search is not None
    values = expected.rows[0].values
    assert values is not None
    assert UUID(bytes=id_generator(ORIGIN)(42, 0)) == values[made.search.columns.index("id")]


def test_garbage_is_expected_as_a_dead_letter() -> None:
    """A payload that cannot be decoded must have left a dead letter."""
    made = target(found(TIMESERIES_METRICS), None)

    expected = expectation("telemetry", made)(message({})._replace(payload=b"garbage"))

    assert expected.poison is not None
    assert [] == expected.rows


def test_ignored_subject_is_expected_to_leave_nothing() -> None:
    """A subject that the configuration drops leaves neither rows nor a dead letter."""
    made = target(found(TIMESERIES_METRICS), None)

    expected = expectation("telemetry", made, ignore=("telemetry.*",))(message({"value": 1}))

    assert expected.ignored
    assert [] == expected.rows


@pytest.mark.parametrize("value", [2**62, -(2**62)])
def test_instant_beyond_the_calendar_cannot_be_looked_up(value: int) -> None:
    """A time that Python's calendar does not reach is no value to search by, and no crash."""

    def builder(_build: Build) -> Any:
        return lambda _record, _message, _index: (value,)

    table = dataclasses.replace(
        TIMESERIES_METRICS, columns=(Column("timestamp", "timestamptz"),), builder=builder, variants={}
    )
    made = target(found(table), frozenset({"timestamp"}))

    expected = expectation("telemetry", made)(message({"value": 1}))

    assert [None] == [row.values for row in expected.rows]


def values_of(*parts: str) -> Table:
    """Return a table whose rows hold these parts of where they come from, and a NaN."""
    take: dict[str, Any] = {"seq": lambda m, _: m.stream_seq, "index": lambda _, i: i, "none": lambda *_: 1}

    def builder(_build: Build) -> Any:
        return lambda _record, message, index: (0, float("nan"), *(take[part](message, index) for part in parts))

    columns = (Column("at", "int8"), Column("nan", "float8"), *(Column(part, "int8") for part in parts))
    return dataclasses.replace(TIMESERIES_METRICS, columns=columns, builder=builder, variants={}, time_column="at")


@pytest.mark.parametrize(
    ("parts", "payload", "expected"),
    [
        (("none",), {"value": 1}, False),
        (("index",), {"value": 1}, False),
        (("seq",), {"value": 1}, True),
        (("seq",), [{"value": 1}, {"value": 1}], False),
        (("seq", "index"), [{"value": 1}, {"value": 1}], True),
    ],
)
def test_row_is_one_message_s_where_its_place_is_in_it(parts: tuple[str, ...], payload: Any, expected: bool) -> None:
    """Only one message makes a row that holds its sequence, and its place where there are several; a NaN is no sign."""
    expect = expectation("telemetry", target(found(values_of(*parts)), None))

    assert expected is expect.is_unique(message(payload), 0)


@pytest.mark.parametrize(
    ("table", "kind_name", "expected"),
    [(OCSF_NETWORK_ACTIVITY, "netflow", True), (TIMESERIES_METRICS, "telemetry", False)],
)
def test_made_id_is_one_message_s(table: Table, kind_name: str, expected: bool) -> None:
    """Without any key a flow's row is told from others by its made id; a measurement's is not."""
    expect = expectation(kind_name, target(found(table), None))

    assert expected is expect.is_unique(message({"src_addr": "10.0.0.1", "value": 1}), 0)
