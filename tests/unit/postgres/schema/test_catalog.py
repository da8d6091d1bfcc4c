"""Binding a table definition to the columns that a server says there are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventwriter.errors import Fatal, Poison
from eventwriter.model import Adjustments
from eventwriter.postgres.encode import encoder
from eventwriter.postgres.schema.catalog import Binding, RealColumn, bind, plain_type
from eventwriter.postgres.schema.conversions import CONVERSIONS, elements, json_of_text
from eventwriter.tables.table import Build, Column, RowBuilder, Table

TARGET = '"public"."things"'


def no_rows(_: Build) -> RowBuilder:
    return lambda record, message, index: ()


THINGS = Table(
    name="things",
    columns=(
        Column("time", "timestamptz", not_null=True),
        Column("gateway_id", "text", not_null=True, former_names=("poller_id", "agent_id")),
        Column("agent_id", "text"),
        Column("octets", "int8"),
        Column("metadata", "jsonb"),
        Column("observables", "jsonb"),
        Column("ports", "int4[]"),
        Column("series_key", "text", derived=True),
    ),
    builder=no_rows,
    time_column="time",
)

OURS = (
    RealColumn("time", "timestamp with time zone", True, False, False),
    RealColumn("gateway_id", "text", True, False, False),
    RealColumn("agent_id", "text", False, False, False),
    RealColumn("octets", "bigint", False, False, False),
    RealColumn("metadata", "jsonb", False, False, False),
    RealColumn("observables", "jsonb", False, False, False),
    RealColumn("ports", "integer[]", False, False, False),
    RealColumn("series_key", "text", False, False, False),
)


def changed(*columns: RealColumn) -> list[RealColumn]:
    """Our own columns with some of them replaced, and others added."""
    by_name = {column.name: column for column in (*OURS, *columns)}
    return list(by_name.values())


def nullable(name: str, type_name: str) -> RealColumn:
    return RealColumn(name, type_name, False, False, False)


def test_our_own_table_is_written_straight() -> None:
    """A table as we make it needs no picking, no converting, no filling and no warning."""
    binding = bind(THINGS, OURS, TARGET)

    assert binding == Binding(
        table=THINGS,
        target=TARGET,
        copy_sql=(
            'COPY "public"."things" ("time", "gateway_id", "agent_id", "octets", "metadata", "observables", "ports",'
            ' "series_key") FROM STDIN (FORMAT BINARY)'
        ),
        names=tuple(column.name for column in THINGS.columns),
        present=frozenset(column.name for column in THINGS.columns),
        positions=(0, 1, 2, 3, 4, 5, 6, 7),
        dumpers=("int8", "text", "text", "int8", "bytea", "bytea", "bytea", "text"),
        converters=(None,) * 8,
        null_as=(None,) * 8,
        warnings=(),
    )


def test_order_of_the_real_table_is_of_no_matter() -> None:
    """Columns are copied in our order, whatever theirs is."""
    assert bind(THINGS, OURS, TARGET) == bind(THINGS, OURS[::-1], TARGET)


def test_older_name_is_written_in_the_newer_ones_place() -> None:
    """A table with poller_id instead of gateway_id is served, and the column counts as present."""
    real = [nullable("poller_id", "text") if column.name == "gateway_id" else column for column in OURS]

    binding = bind(THINGS, real, TARGET)

    assert binding.copy_sql.startswith('COPY "public"."things" ("time", "poller_id", "agent_id"')
    assert "gateway_id" in binding.present
    assert () == binding.warnings


def test_older_name_that_is_another_column_of_ours_is_not_taken() -> None:
    """An alias never steals a column that another of ours has by its own name."""
    real = [column for column in OURS if column.name != "gateway_id"]

    binding = bind(THINGS, real, TARGET)

    assert "gateway_id" not in binding.present
    assert "agent_id" in binding.present


def test_lacking_columns_make_one_warning_without_derived_ones() -> None:
    """Columns that the table lacks are named once, all together; costly extras are not missed."""
    real = [column for column in OURS if column.name not in ("octets", "ports", "series_key")]

    binding = bind(THINGS, real, TARGET)

    assert ('table "public"."things" lacks octets, ports: these values are not stored',) == binding.warnings
    assert (0, 1, 2, 4, 5) == binding.positions


def test_generated_column_is_never_written() -> None:
    """What the server computes is left out of the COPY, and not missed."""
    binding = bind(THINGS, changed(RealColumn("octets", "bigint", False, True, True)), TARGET)

    assert "octets" not in binding.copy_sql
    assert "octets" not in binding.present
    assert () == binding.warnings


@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        pytest.param(
            nullable("agent_id", "bigint"),
            'table "public"."things": column agent_id is bigint and cannot take eventwriter\'s text; mend it with'
            ' ALTER TABLE "public"."things" ALTER COLUMN "agent_id" TYPE text USING "agent_id"::text',
            id="type",
        ),
        pytest.param(
            nullable("octets", "date"),
            'table "public"."things": column octets is date and cannot take eventwriter\'s bigint; mend it with'
            ' ALTER TABLE "public"."things" ALTER COLUMN "octets" TYPE bigint USING "octets"::text::bigint',
            id="type by its usual name",
        ),
        pytest.param(
            RealColumn('ten"ant', "uuid", True, False, False),
            'table "public"."things": column ten"ant (uuid) is NOT NULL without a default and unknown to eventwriter;'
            ' mend it with ALTER TABLE "public"."things" ALTER COLUMN "ten""ant" SET DEFAULT ..., or DROP NOT NULL',
            id="unknown and required",
        ),
    ],
)
def test_what_cannot_be_written_is_refused_with_its_mending(column: RealColumn, sentence: str) -> None:
    """A table that cannot be filled is refused with the column and the statement that mends it."""
    with pytest.raises(Fatal) as caught:
        bind(THINGS, changed(column), TARGET)

    assert sentence == str(caught.value)


def test_all_that_is_wrong_is_said_at_once() -> None:
    """Two columns in the way make one refusal that names both."""
    real = changed(nullable("agent_id", "point"), RealColumn("tenant_id", "uuid", True, False, False))

    with pytest.raises(Fatal, match=r"agent_id is point.*; table .*tenant_id"):
        bind(THINGS, real, TARGET)


def test_another_table_of_that_name_is_refused() -> None:
    """A table with none of our columns is another table."""
    with pytest.raises(Fatal, match="has none of eventwriter's columns"):
        bind(THINGS, [nullable("price", "numeric")], TARGET)


def test_table_without_columns_is_refused() -> None:
    """A table with no column at all is another table, too."""
    with pytest.raises(Fatal, match="has none of eventwriter's columns"):
        bind(THINGS, [], TARGET)


@pytest.mark.parametrize(
    ("name", "type_name", "expected"),
    [
        pytest.param("metadata", "jsonb", b"\x01{}", id="object"),
        pytest.param("observables", "jsonb", b"\x01[]", id="list"),
        pytest.param("metadata", "text", b"{}", id="object in text"),
        pytest.param("observables", "json", b"[]", id="list in json"),
        pytest.param("ports", "jsonb", b"\x01[]", id="array in jsonb"),
    ],
)
def test_json_column_that_may_not_be_null_gets_an_empty_value(name: str, type_name: str, expected: bytes) -> None:
    """Absent JSON becomes an empty object or list where the column is NOT NULL."""
    binding = bind(THINGS, changed(RealColumn(name, type_name, True, True, False)), TARGET)

    at = [column.name for column in THINGS.columns].index(name)
    assert expected == binding.null_as[at]
    assert () == binding.warnings


def test_other_columns_that_may_not_be_null_are_warned_of() -> None:
    """Where only the server can refuse a missing value, it is said beforehand."""
    binding = bind(THINGS, changed(RealColumn("agent_id", "text", True, True, False)), TARGET)

    assert (None,) * 8 == binding.null_as
    assert (
        'table "public"."things": NOT NULL on agent_id: a message without a value for it becomes a dead letter',
    ) == binding.warnings


@pytest.mark.parametrize(
    ("value", "expected"),
    [(2**31 - 1, 2**31 - 1), (2**31, 2**31 - 1), (-(2**31), -(2**31)), (-(2**31) - 1, -(2**31)), (0, 0)],
)
def test_integer_is_cut_to_a_narrower_column_and_counted(value: int, expected: int) -> None:
    """What a narrower column cannot hold is its limit, and each cut is counted."""
    tally = Adjustments()
    binding = bind(THINGS, changed(nullable("octets", "integer")), TARGET, tally)

    convert = binding.converters[3]
    assert convert is not None
    assert expected == convert(value)
    assert int(value != expected) == tally.clamped
    assert (
        'table "public"."things": octets (integer) narrower than eventwriter\'s: larger values are cut',
    ) == binding.warnings


@pytest.mark.parametrize("text", ["", "router-1", "10.0.0.1/33", "10.0.0.0.1", "fe80::1%eth0"])
def test_text_that_is_no_address_is_poison_for_inet(text: str) -> None:
    """An inet column takes addresses only; anything else is a dead letter that names the column."""
    convert = bind(THINGS, changed(nullable("agent_id", "inet")), TARGET).converters[2]

    assert convert is not None
    with pytest.raises(Poison, match=r"bad_value: column agent_id is inet") as caught:
        convert(text)
    assert "bad_value" == caught.value.reason


def test_zoneless_time_is_warned_of() -> None:
    """A column without time zone gets UTC, and the operator is told."""
    binding = bind(THINGS, changed(RealColumn("time", "timestamp(3) without time zone", True, False, False)), TARGET)

    assert ('table "public"."things": time without time zone: times are written in UTC',) == binding.warnings


@pytest.mark.parametrize(
    ("type_name", "expected"),
    [
        ("character varying(20)", "character varying"),
        ("numeric(10,2)", "numeric"),
        ("timestamp(3) with time zone", "timestamp with time zone"),
        ("character varying(9)[]", "character varying[]"),
        ("extensions.citext", "citext"),
        ('"my schema".citext', "citext"),
        ("integer[]", "integer[]"),
    ],
)
def test_modifiers_and_schemas_do_not_hide_a_type(type_name: str, expected: str) -> None:
    """A type is known with its length, precision or an extension's schema."""
    assert expected == plain_type(type_name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", b'"plain"'),
        ("", b'""'),
        ('{"a": 1}', b'{"a": 1}'),
        (" [1, 2]", b" [1, 2]"),
        ("{broken", b'"{broken"'),
        ("[NaN]", b'"[NaN]"'),
        ("12", b'"12"'),
        (r'{"a": "\u0000"}', rb'"{\"a\": \"\\u0000\"}"'),
    ],
)
def test_text_becomes_json(text: str, expected: bytes) -> None:
    """Text that holds an object or array is that; any other text is a JSON string."""
    assert expected == json_of_text(text)


def test_array_without_dimensions_has_no_elements() -> None:
    """PostgreSQL's empty array is an empty list."""
    assert [] == elements(bytes.fromhex("00000000 00000000 00000017"))


def test_array_elements_are_decoded() -> None:
    """Integers, texts and NULLs come out of the binary array."""
    array = bytes.fromhex(
        "00000001 00000001 00000019"  # one dimension, has NULLs, text
        "00000002 00000001"  # two elements, from 1
        "00000002 c3a9"  # é
        "ffffffff"  # NULL
    )

    assert ["é", None] == elements(array)


TYPE_NAMES = [
    *sorted({real for _, real in CONVERSIONS}),
    "date",
    "money",
    "character varying(5)",
    "timestamp(0) without time zone",
    "numeric(5,1)",
    "smallint[]",
    "cidr",
    "",
]

# Half of them as we make them, so that whole tables are bound and not only refused.
real_columns = st.sampled_from(OURS) | st.builds(
    RealColumn,
    name=st.sampled_from([*(column.name for column in THINGS.columns), "poller_id", "other"]) | st.text(max_size=3),
    type=st.sampled_from(TYPE_NAMES) | st.text(max_size=5),
    not_null=st.booleans(),
    has_default=st.booleans(),
    generated=st.booleans(),
)


def try_to_bind(real: list[RealColumn]) -> Binding | str:
    """The binding, or the sentence that refuses it."""
    try:
        return bind(THINGS, real, TARGET)
    except Fatal as error:
        return str(error)


@given(st.lists(real_columns, max_size=12, unique_by=lambda column: column.name))
def test_bind_refuses_or_gives_what_can_be_written(real: list[RealColumn]) -> None:
    """Whatever the real table is, the binding is whole, or there is a sentence for the operator."""
    binding = try_to_bind(real)

    if isinstance(binding, str):
        assert binding.startswith(f"table {TARGET}")
        return
    lengths = {len(binding.positions), len(binding.dumpers), len(binding.converters), len(binding.null_as)}
    assert {len(binding.present)} == lengths
    must = [c.name for c in real if c.not_null and not c.has_default and not c.generated]
    assert all('"' + name.replace('"', '""') + '"' in binding.copy_sql for name in must)
    out = bytearray()
    encoder(binding)([None] * len(THINGS.columns), out)
    assert len(binding.positions) == int.from_bytes(out[:2], "big")


@pytest.mark.parametrize(
    ("real", "converted"), [("text", b"{}"), ("json", b"{}"), ("jsonb", b"\x01{}")], ids=["text", "json", "jsonb"]
)
def test_json_is_written_as_the_real_column_says(real: str, converted: bytes) -> None:
    """JSON for a text column goes there without any conversion, into jsonb with jsonb's version before it."""
    table = Table("logs", (Column("attributes", "json"),), lambda _: lambda record, message, index: (), "time")

    (convert,) = bind(table, [nullable("attributes", real)], TARGET).converters

    assert converted == (b"{}" if convert is None else convert(b"{}"))
    assert (real == "jsonb") == (convert is not None)
