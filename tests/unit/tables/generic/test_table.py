"""Any JSON object into any table: which key goes where, and what is put in the place of what is absent."""

from typing import Any

import pytest

from eventwriter.errors import Fatal, Poison
from eventwriter.model import Adjustments, Message, Origin
from eventwriter.tables.generic.plan import match_columns
from eventwriter.tables.generic.sources import value_at
from eventwriter.tables.generic.table import generate_tables
from eventwriter.tables.table import Build, RealColumn, Row

STORED_NS = 1_767_225_600_000_000_000
"""2026-01-01 00:00:00 UTC."""
STORED_US = 820_540_800_000_000
"""The same, in microseconds since 2000."""

JSONB_EMPTY = b"\x01{}"


def real(name: str, type_name: str = "text", not_null: bool = False, default: bool = False) -> RealColumn:
    return RealColumn(name, type_name, not_null, default, False)


class Filled:
    """A table, and what records become in it."""

    def __init__(self, *columns: RealColumn, defaults: dict[str, Any] | None = None, **options: Any) -> None:
        self.adjustments = Adjustments()
        self.made = generate_tables("things", columns, defaults or {}, options)
        build = Build(Origin("s", 1, 0), self.adjustments, frozenset(), redact=frozenset({"community"}))
        self.builders = [table.builder(build) for table in self.made.tables]

    def rows(self, record: dict[str, Any], index: int = 0, **message: Any) -> list[Row | None]:
        delivery = Message("", "things.a", b"{}", None, 7, 7, 1, STORED_NS)._replace(**message)
        return [build(record, delivery, index) for build in self.builders]

    def row(self, record: dict[str, Any], **message: Any) -> Row:
        (row,) = [row for row in self.rows(record, **message) if row is not None]
        return row


@pytest.mark.parametrize(
    ("columns", "keys", "expected"),
    [
        pytest.param(["a_b"], ["a_b"], {"a_b": "a_b"}, id="the same name"),
        pytest.param(["a_b"], ["aB"], {"a_b": "aB"}, id="camelCase"),
        pytest.param(["aB"], ["a_b"], {"aB": "a_b"}, id="the other way round"),
        pytest.param(["a_b"], ["A-B"], {"a_b": "A-B"}, id="hyphen and capitals"),
        pytest.param(["a_b"], ["AB", "a_b"], {"a_b": "a_b"}, id="the same name goes first"),
        pytest.param(["a_b"], ["AB", "aB"], {"a_b": "AB"}, id="of two alike the first"),
        pytest.param(["ab", "a_b"], ["a_b"], {"a_b": "a_b"}, id="a key serves one column"),
        pytest.param(["ab", "a_b"], ["AB"], {"ab": "AB"}, id="of two columns alike the first"),
        pytest.param(["a"], ["b"], {}, id="nothing alike"),
    ],
)
def test_key_of_a_column(columns: list[str], keys: list[str], expected: dict[str, str]) -> None:
    """A column takes the key of its name, else one that differs in case, underscores and hyphens only."""
    assert expected == match_columns(columns, keys)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a", {"b": [{"c": 0}, {"c": False}]}),
        ("a.b.1.c", False),
        ("x.y", "flat"),
        ("a.b.2.c", None),
        ("a.b.-1", None),
        ("a.b.c", None),
        ("a.b.²", None),
        ("gone.b", None),
    ],
)
def test_path(path: str, expected: Any) -> None:
    """A path leads through keys and indexes to a value, or to nothing; a key spelled like it goes first."""
    record = {"a": {"b": [{"c": 0}, {"c": False}]}, "x": {"y": "deep"}, "x.y": "flat"}

    assert expected == value_at(record, path, path.split("."))


def test_keys_become_columns() -> None:
    """Each key goes to its column in the column's form, absent ones are NULL, and what no column takes is counted."""
    things = Filled(real("id", "bigint"), real("device_id"), real("ok", "boolean"), real("doc", "jsonb"))

    assert (5, "d", None, b'\x01{"x":1}') == things.row(
        {"deviceId": "d", "ID": 5.0, "doc": {"x": 1}, "more": 1, "z": 2}
    )
    assert (None, None, False, None) == things.row({"ok": False, "doc": None})
    assert 2 == things.adjustments.fields_ignored


def test_map_goes_before_keys_of_the_same_name() -> None:
    """A mapped column takes what its path leads to, and nothing else."""
    things = Filled(real("a"), real("b"), map={"a": "deep.list[1].x", "b": None})

    assert ("here",) == things.row({"a": "not me", "deep": {"list": [0, {"x": "here"}]}, "b": "nor me"})
    assert (None,) == things.row({"a": "not me"})


def test_metadata_goes_where_map_says() -> None:
    """Subject, sequence, timestamp, headers and payload are values like any other."""
    things = Filled(
        real("s"), real("n", "bigint"), real("t", "timestamp with time zone"), real("t_text"), real("t_ns", "bigint"),
        real("h"), real("p", "jsonb"), real("p_bytes", "bytea"),
        map={
            "s": "$subject", "n": "$sequence", "t": "$timestamp", "t_text": "$timestamp", "t_ns": "$timestamp",
            "h": "$header.Trace-Id", "p": "$payload", "p_bytes": "$payload",
        },
    )  # fmt: skip
    payload = b' {"a": 1}'

    row = things.row({"a": 1}, payload=payload, headers={"trace-id": "x\0"})

    assert ("things.a", 7, STORED_US, "2026-01-01T00:00:00+00:00", STORED_NS, "x\ufffd") == row[:6]
    assert (b'\x01{"a":1}', b'{"a": 1}') == row[6:]
    assert None is things.row({"a": 1}, payload=payload)[5]


def test_rest_takes_what_is_left() -> None:
    """Keys without a column go to the rest column together; where there are none it is NULL."""
    things = Filled(real("a"), real("more", "jsonb"), rest="more", map={"a": "x.y"})

    assert ("1", b'\x01{"x":{"y":1},"b":2}') == things.row({"x": {"y": 1}, "b": 2})
    assert ("1", b'\x01{"more":3}') == things.row({"x.y": 1, "more": 3})
    assert (None, None) == things.row({})
    assert 0 == things.adjustments.fields_ignored


def test_secrets_are_stored_nowhere() -> None:
    """A key to be left out goes to no column, by no path, into no rest, no text and no payload."""
    things = Filled(
        real("community"), real("by_path"), real("t"), real("p"), real("p_bytes", "bytea"), real("d", "jsonb"),
        real("more", "jsonb"), rest="more",
        map={"by_path": "x.Community", "p": "$payload", "p_bytes": "$payload"},
    )  # fmt: skip
    payload = b'{"community":"secret","n":1}'
    hidden = {"Community": "secret"}
    record = {"community": "secret", "x": hidden, "t": '{"COMMUNITY":"secret"}', "d": hidden}

    row = things.row(record, payload=payload)

    assert (None, None, "{}", '{"n":1}', b'{"n":1}', JSONB_EMPTY, b'\x01{"x":{}}') == row


def test_required_column_without_a_value_is_poison() -> None:
    """What must not be NULL and is absent, or unusable, makes a dead letter that names the column."""
    things = Filled(real("id", "bigint", not_null=True), real("name", not_null=True))

    with pytest.raises(Poison, match=r"^missing_field: column name is NOT NULL and the message has no value for it$"):
        things.row({"id": 1, "name": None})
    with pytest.raises(Poison, match=r'^bad_value: column id is bigint and cannot take "x"$'):
        things.row({"id": "x", "name": "n"})
    assert (1, "") == things.row({"id": 1, "name": ""})


def test_required_time_is_the_message_s() -> None:
    """A NOT NULL time that is absent or unreadable becomes the message's own, counted; elsewhere it is NULL."""
    things = Filled(real("at", "timestamp with time zone", not_null=True), real("seen", "timestamp with time zone"))

    assert (STORED_US, None) == things.row({})
    assert (STORED_US, None) == things.row({"at": "soon", "seen": "never"})
    assert 3 == things.adjustments.timestamp_defaulted


def test_constant_default_is_written_by_us() -> None:
    """COPY names every column, so a constant default is put where the record has no value, or an unusable one."""
    things = Filled(
        real("level", "integer", True, True), real("ok", "boolean", False, True), real("d", "jsonb", True, True),
        defaults={"level": 3, "ok": True, "d": {}},
    )  # fmt: skip

    assert (3, True, JSONB_EMPTY) == things.row({})
    assert (3, False, b"\x01[]") == things.row({"level": "x", "ok": False, "d": []})


def test_computed_defaults_are_left_to_the_server() -> None:
    """Columns with computed defaults are not named, until a record brings a value for one of them."""
    things = Filled(real("id", "bigint", True, True), real("v"), real("made", "timestamp with time zone", True, True))

    assert [["v"], ["v", "id", "made"]] == [[column.name for column in table.columns] for table in things.made.tables]
    assert [("a",), None] == things.rows({"v": "a"})
    assert [None, ("a", 5, STORED_US)] == things.rows({"v": "a", "id": 5})
    assert [("a",), None] == things.rows({"v": "a", "id": "not a number", "made": None})
    with pytest.raises(Poison, match="missing_field: column id is NOT NULL"):
        things.rows({"v": "a", "made": "2026-01-01"})


def test_made_id_is_the_same_each_time() -> None:
    """A uuid that the server would have made at random is made from the message, where it must be named."""
    things = Filled(real("id", "uuid", True, True), real("v"), real("n", "integer", False, True))

    first, again = things.rows({"n": 1}), things.rows({"n": 1})

    assert first == again
    assert 16 == len(first[1][1])
    assert first != things.rows({"n": 1}, index=1)


def test_row_left_by_one_record_is_not_taken_by_another() -> None:
    """A row whose message failed in another table is never written with a later one."""
    things = Filled(real("v"), real("n", "integer", False, True))
    first, second = things.builders
    delivery = Message("", "s", b"", None, 7, 7, 1, STORED_NS)

    assert None is first({"v": "stale", "n": 1}, delivery, 0)
    later = delivery._replace(stream_seq=8)
    assert ("a",) == first({"v": "a"}, later, 0)
    assert None is second({"v": "a"}, later, 0)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"map": {"gone": "x"}},
            "table things: map names column gone, which the table does not have or eventwriter cannot fill;"
            " it can fill a, n",
        ),
        (
            {"map": {"a": "$gone"}},
            "table things: map of column a: '$gone' is not known; allowed are a path like a.b.c, and $subject,"
            " $sequence, $timestamp, $header.NAME, $payload",
        ),
        ({"rest": "n"}, "table things: rest names column n, which is integer; it must be a jsonb or json column"),
        (
            {"rest": "gone"},
            "table things: rest names column gone, which is not there or cannot be filled;"
            " it must be a jsonb or json column",
        ),
    ],
)
def test_options_that_do_not_fit_the_table_are_refused(options: dict[str, Any], sentence: str) -> None:
    """What map and rest name must be there; the sentence says what is allowed."""
    with pytest.raises(Fatal) as caught:
        Filled(real("a"), real("n", "integer"), **options)

    assert sentence == str(caught.value)


def test_table_that_cannot_be_filled_is_refused() -> None:
    """A table without a column that could be filled is no target."""
    with pytest.raises(Fatal, match=r"^table things: eventwriter can fill no column of it; the types are p point$"):
        Filled(real("p", "point"))


def test_default_that_only_postgresql_can_read_is_left_to_it() -> None:
    """A constant that has no JSON form of ours (an infinite date) counts as computed."""
    things = Filled(real("v"), real("until", "date", True, True), defaults={"until": "infinity"})

    assert ["v"] == [column.name for column in things.made.tables[0].columns]


def test_cache_of_keys_is_bounded() -> None:
    """Records with ever new keys are read all the same."""
    things = Filled(real("v"))

    assert {("x",)} == {things.row({"v": "x", f"k{n}": n}) for n in range(300)}
    assert 300 == things.adjustments.fields_ignored


def test_payload_is_looked_through_once_a_message() -> None:
    """The records of one message share what `$payload` is, and those of the next have their own."""
    table = Filled(real("p"), map={"p": "$payload"})
    one = Message("", "things.a", b'[{"community":"s3cret"},{}]', None, 7, 7, 1, STORED_NS)

    [[first], [second]] = [[build({}, one, index) for build in table.builders] for index in (0, 1)]
    [third] = [build({}, one._replace(payload=b"[{}]"), 0) for build in table.builders]

    assert ("[{},{}]",) == first
    assert first is not None
    assert second is not None
    assert first[0] is second[0]
    assert ("[{}]",) == third
