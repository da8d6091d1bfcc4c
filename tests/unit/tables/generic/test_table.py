"""Tests of the rows of any JSON object in any table."""

import json
from decimal import Decimal
from typing import Any

import pytest

from eventwriter.errors import Fatal, Poison
from eventwriter.formats.json import decode
from eventwriter.model import Adjustments, Message, Origin
from eventwriter.tables import binary
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
    """A table and the rows that records become in it."""

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
        pytest.param(["a_b"], ["a_b"], {"a_b": ["a_b"]}, id="same name"),
        pytest.param(["a_b"], ["aB"], {"a_b": ["aB"]}, id="camelCase"),
        pytest.param(["aB"], ["a_b"], {"aB": ["a_b"]}, id="camelCase column"),
        pytest.param(["a_b"], ["A-B"], {"a_b": ["A-B"]}, id="hyphen and capitals"),
        pytest.param(["a_b"], ["AB", "a_b"], {"a_b": ["a_b", "AB"]}, id="same name first"),
        pytest.param(["a_b"], ["AB", "aB"], {"a_b": ["AB", "aB"]}, id="several similar keys"),
        pytest.param(["ab", "a_b"], ["a_b"], {"a_b": ["a_b"]}, id="a key serves one column"),
        pytest.param(["ab", "a_b"], ["AB"], {"ab": ["AB"]}, id="first of several similar columns"),
        pytest.param(["a"], ["b"], {}, id="no match"),
    ],
)
def test_keys_of_a_column(columns: list[str], keys: list[str], expected: dict[str, list[str]]) -> None:
    """A column takes the key with its name, then keys that differ in case, underscores and hyphens only."""
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
    """A path of keys and indexes gives a value or nothing; a key spelled like the path is preferred."""
    record = {"a": {"b": [{"c": 0}, {"c": False}]}, "x": {"y": "deep"}, "x.y": "flat"}

    assert expected == value_at(record, path, path.split("."))


def test_keys_become_columns() -> None:
    """Each key is stored in its column, absent ones are NULL, and keys without a column are counted."""
    things = Filled(real("id", "bigint"), real("device_id"), real("ok", "boolean"), real("doc", "jsonb"))

    assert (5, "d", None, b'\x01{"x":1}') == things.row(
        {"deviceId": "d", "ID": 5.0, "doc": {"x": 1}, "more": 1, "z": 2}
    )
    assert (None, None, False, None) == things.row({"ok": False, "doc": None})
    assert 2 == things.adjustments.fields_ignored


def test_map_precedes_keys_of_the_same_name() -> None:
    """A mapped column takes the value at its path, and no other."""
    things = Filled(real("a"), real("b"), map={"a": "deep.list[1].x", "b": None})

    assert ("here",) == things.row({"a": "not me", "deep": {"list": [0, {"x": "here"}]}, "b": "nor me"})
    assert (None,) == things.row({"a": "not me", "deep": 1})


def test_metadata_goes_where_map_says() -> None:
    """Subject, sequence, timestamp, headers and payload can be mapped to columns; bytea gets the payload unchanged."""
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
    assert (b'\x01{"a":1}', payload) == row[6:]
    assert None is things.row({"a": 1}, payload=payload)[5]


def test_rest_takes_what_is_left() -> None:
    """The column `rest` gets the keys without a column; it is NULL if there are none."""
    things = Filled(real("a"), real("more", "jsonb"), rest="more", map={"a": "x.y"})

    assert ("1", b'\x01{"x":{"y":1},"b":2}') == things.row({"x": {"y": 1}, "b": 2})
    assert ("1", b'\x01{"more":3}') == things.row({"x.y": 1, "more": 3})
    assert (None, None) == things.row({"x.y": None})
    assert 0 == things.adjustments.fields_ignored


def test_secrets_are_stored_nowhere() -> None:
    """A key of `redact` is in no column: by no path, in no rest, no text and no payload; it is counted."""
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
    assert {"community": 6} == things.adjustments.redacted_by_key


def test_required_column_without_a_value_is_poison() -> None:
    """A column that must not be NULL and has no usable value makes a dead letter that names the column."""
    things = Filled(real("id", "bigint", not_null=True), real("name", not_null=True))

    with pytest.raises(Poison, match=r"^missing_field: column name is NOT NULL and the message has no value for it$"):
        things.row({"id": 1, "name": None})
    with pytest.raises(Poison, match=r'^bad_value: column id is bigint and cannot hold "x"$'):
        things.row({"id": "x", "name": "n"})
    assert (1, "") == things.row({"id": 1, "name": ""})


def test_required_time_defaults_to_the_message() -> None:
    """A NOT NULL time that is absent or unreadable becomes that of the message, counted; any other is NULL."""
    things = Filled(real("at", "timestamp with time zone", not_null=True), real("seen", "timestamp with time zone"))

    assert (STORED_US, None) == things.row({"seen": None})
    assert (STORED_US, None) == things.row({"at": "soon", "seen": "never"})
    assert 3 == things.adjustments.timestamp_defaulted


def test_constant_default_replaces_missing_and_unusable_values() -> None:
    """A constant default is written if the record has no usable value, because COPY names every column."""
    things = Filled(
        real("level", "integer", True, True), real("ok", "boolean", False, True), real("d", "jsonb", True, True),
        defaults={"level": 3, "ok": True, "d": {}},
    )  # fmt: skip

    assert (3, True, JSONB_EMPTY) == things.row({"ok": None})
    assert (3, False, b"\x01[]") == things.row({"level": "x", "ok": False, "d": []})


def test_computed_defaults_are_left_to_the_server() -> None:
    """Columns with computed defaults are named only for records that have a value for one of them."""
    things = Filled(real("id", "bigint", True, True), real("v"), real("made", "timestamp with time zone", True, True))

    assert [["v"], ["v", "id", "made"]] == [[column.name for column in table.columns] for table in things.made.tables]
    assert [("a",), None] == things.rows({"v": "a"})
    assert [None, ("a", 5, STORED_US)] == things.rows({"v": "a", "id": 5})
    assert [("a",), None] == things.rows({"v": "a", "id": "not a number", "made": None})
    with pytest.raises(Poison, match="missing_field: column id is NOT NULL"):
        things.rows({"v": "a", "made": "2026-01-01"})


def test_made_id_is_the_same_each_time() -> None:
    """A UUID that the server would generate is computed from the message if the column must be named."""
    things = Filled(real("id", "uuid", True, True), real("v"), real("n", "integer", False, True))

    first, again = things.rows({"n": 1}), things.rows({"n": 1})

    assert first == again
    assert 16 == len(first[1][1])
    assert first != things.rows({"n": 1}, index=1)


def test_row_left_by_one_record_is_not_taken_by_another() -> None:
    """A row whose message failed in another table is never written with a later message."""
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
            "table things: map names column gone, which does not exist or cannot be filled; columns that can be filled"
            " are a, n",
        ),
        (
            {"map": {"a": "$gone"}},
            "table things: map of column a: '$gone' is unknown; use a path such as a.b.c, or $subject,"
            " $sequence, $timestamp, $header.NAME or $payload",
        ),
        ({"rest": "n"}, "table things: rest names column n, which is integer; it must be a jsonb or json column"),
        (
            {"rest": "gone"},
            "table things: rest names column gone, which does not exist or cannot be filled;"
            " it must be a jsonb or json column",
        ),
    ],
)
def test_options_that_do_not_fit_the_table_are_refused(options: dict[str, Any], sentence: str) -> None:
    """The columns that map and rest name must exist; the error says what is allowed."""
    with pytest.raises(Fatal) as caught:
        Filled(real("a"), real("n", "integer"), **options)

    assert sentence == str(caught.value)


def test_table_that_cannot_be_filled_is_refused() -> None:
    """A table without any column that can be filled is refused."""
    with pytest.raises(Fatal, match=r"^table things: eventwriter cannot fill any of its columns, which are p point$"):
        Filled(real("p", "point"))


def test_default_without_a_json_form_counts_as_computed() -> None:
    """A constant default that we cannot write, such as an infinite date, counts as computed."""
    things = Filled(real("v"), real("until", "date", True, True), defaults={"until": "infinity"})

    assert ["v"] == [column.name for column in things.made.tables[0].columns]


def test_any_number_of_different_keys_is_accepted() -> None:
    """Records that always have new keys are stored."""
    things = Filled(real("v"))

    assert {("x",)} == {things.row({"v": "x", f"k{n}": n}) for n in range(300)}
    assert 300 == things.adjustments.fields_ignored


def test_payload_is_searched_once_per_message() -> None:
    """The records of one message share the value of `$payload`."""
    table = Filled(real("p"), map={"p": "$payload"})
    one = Message("", "things.a", b'[{"community":"s3cret"},{}]', None, 7, 7, 1, STORED_NS)

    [[first], [second]] = [[build({}, one, index) for build in table.builders] for index in (0, 1)]
    [third] = [build({}, one._replace(payload=b"[{}]"), 0) for build in table.builders]

    assert ("[{},{}]",) == first
    assert first is not None
    assert second is not None
    assert first[0] is second[0]
    assert ("[{}]",) == third


@pytest.mark.parametrize(
    ("type_name", "value"),
    [
        ("integer", "x"), ("integer", True), ("integer", 1.5), ("bigint", {"a": 1}), ("double precision", "1e400"),
        ("double precision", False), ("numeric", "x"), ("numeric", True), ("boolean", "maybe"),
        ("timestamp with time zone", "7:58PM"), ("timestamp without time zone", True),
    ],
)  # fmt: skip
def test_unreadable_value_is_null_counted_and_kept(type_name: str, value: Any) -> None:
    """A value that its column cannot hold is NULL, counted by column, and in the column `rest`."""
    things = Filled(real("v", type_name), real("more", "jsonb"), rest="more")

    row = things.row({"v": value, "a": 1})

    assert None is row[0]
    assert {"v": value, "a": 1} == json.loads(row[1][1:])
    assert {"v": 1} == things.adjustments.nulled_by_column


def test_clamped_integer_is_counted_and_kept() -> None:
    """An integer out of range is clamped, counted by column, and in the column `rest`."""
    things = Filled(real("v", "smallint"), real("more", "jsonb"), rest="more")

    assert (32_767, b'\x01{"v":40000}') == things.row({"v": 40_000})
    assert {"v": 1} == things.adjustments.clamped_by_column


def test_similar_key_replaces_an_unreadable_value() -> None:
    """If the value of the first key cannot be stored, that of a similar key is; the first one stays in `rest`."""
    things = Filled(real("seen_at", "timestamp with time zone"), real("more", "jsonb"), rest="more")

    assert (STORED_US, b'\x01{"seen_at":"never"}') == things.row({"seen_at": "never", "seenAt": "2026-01-01"})
    assert (STORED_US, b'\x01{"seenAt":"never"}') == things.row({"seen_at": "2026-01-01", "seenAt": "never"})


def test_object_without_any_known_key_is_poison() -> None:
    """An object of which no key matches a column is a dead letter that names its keys and the columns."""
    things = Filled(real("a"), real("b"), map={"b": "x.y"})

    for record in ({"before": None, "after": {"a": 1}}, {}):
        with pytest.raises(Poison) as caught:
            things.row(record)
        assert "unknown_shape" == caught.value.reason
        assert all(word in caught.value.detail for word in (*record, "a", "x.y"))
    assert (None, None) == things.row({"x": 1})
    assert (None, b'\x01{"z":1}') == Filled(real("a"), real("more", "jsonb"), rest="more").row({"z": 1})
    assert ("{}",) == Filled(real("a"), map={"a": "$payload"}).row({})


@pytest.mark.parametrize(
    ("type_name", "literal", "expected"),
    [
        ("numeric", "1111111111111111111160", 1111111111111111111160),
        ("numeric", "99999999999999.99", Decimal("99999999999999.99")),
        ("numeric", "0.1000000000000000000001", Decimal("0.1000000000000000000001")),
        ("numeric", "21.5", Decimal("21.5")),
        ("numeric", "1e400", Decimal("1e400")),
        ("jsonb", "1111111111111111111160", b"\x011111111111111111111160"),
        ("jsonb", '{"n":[-9999999999999999999]}', b'\x01{"n":[-9999999999999999999]}'),
        ("jsonb", "1e400", b"\x011E+400"),
        ("text", "1111111111111111111160", "1111111111111111111160"),
        ("numeric[]", "[99999999999999.99]", binary.array(1700, [binary.numeric(Decimal("99999999999999.99"))])),
    ],
)
def test_numbers_keep_their_digits(type_name: str, literal: str, expected: Any) -> None:
    """Numbers reach columns of type numeric and JSON with all their digits."""
    things = Filled(real("v", type_name))
    payload = f'[{{"v":0}},{{"v":{literal}}}]'.encode()
    message = Message("", "s", payload, None, 7, 7, 1, STORED_NS)

    assert (expected,) == things.builders[0](decode(payload)[1], message, 1)


def test_digits_are_found_at_a_path() -> None:
    """A mapped number keeps its digits too."""
    things = Filled(real("v", "numeric"), map={"v": "a.b"})
    payload = b'{"a":{"b":99999999999999.99}}'

    assert (Decimal("99999999999999.99"),) == things.row(decode(payload)[0], payload=payload)


@pytest.mark.parametrize("type_name", ["integer[]", "bigint[]", "double precision[]", "boolean[]", "numeric[]"])
@pytest.mark.parametrize("value", [[[1, 2], [3]], [{"a": 1}]])
def test_array_of_arrays_is_poison(type_name: str, value: Any) -> None:
    """An array of more than one dimension is refused, not stored as NULLs."""
    with pytest.raises(Poison) as caught:
        Filled(real("v", type_name)).row({"v": value})

    assert "bad_value" == caught.value.reason


def test_unreadable_element_is_null_counted_and_kept() -> None:
    """An element that its array cannot hold is NULL and counted, and the array is in `rest`."""
    things = Filled(real("v", "integer[]"), real("more", "jsonb"), rest="more")

    row = things.row({"v": [1, "x", True, None]})

    assert binary.array(23, [binary.INT4(1), None, None, None]) == row[0]
    assert b'\x01{"v":[1,"x",true,null]}' == row[1]
    assert {"v": 1} == things.adjustments.nulled_by_column


@pytest.mark.parametrize(
    ("value", "us"),
    [("24:00:00", 86_400_000_000), ("12:30:60", 45_060_000_000), ("12:30", 45_000_000_000),
    ("12:30:00.5", 45_000_500_000)],
)  # fmt: skip
def test_time_of_day(value: str, us: int) -> None:
    """A time of day may be 24:00:00 or have 60 seconds, as in PostgreSQL."""
    assert (us,) == Filled(real("v", "time without time zone")).row({"v": value})


def test_payload_is_stored_as_received_in_bytea() -> None:
    """A bytea column gets the bytes of the payload, and a text column valid text that can be cast to jsonb."""
    things = Filled(real("b", "bytea"), real("t"), map={"b": "$payload", "t": "$payload"})
    payload = b'\xef\xbb\xbf {"a":"\\u0000","b":"\xff"}'

    assert (payload, ' {"a":"\\u0000","b":"\ufffd"}') == things.row({}, payload=payload)
    assert '{"a":"\ufffd"}' == things.row({}, payload=b'{"a":"\\u0000"}')[1]


def test_first_of_repeated_headers_is_stored() -> None:
    """Of a header that is repeated, the first value is stored."""
    things = Filled(real("h"), real("n", "integer"), map={"h": "$header.X"})

    assert ("a", 1) == things.row({"n": 1}, headers={"X": ["a", "b"]})
