"""Binding of a table definition to the columns of a real table."""

import pytest
from hypothesis import HealthCheck, given, settings
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
    """Return our columns with some of them replaced and others added."""
    by_name = {column.name: column for column in (*OURS, *columns)}
    return list(by_name.values())


def nullable(name: str, type_name: str) -> RealColumn:
    return RealColumn(name, type_name, False, False, False)


def test_table_of_migrate_needs_no_conversion() -> None:
    """The columns that `eventwriter migrate` creates need no selection, conversion or warning."""
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


def test_order_of_the_real_columns_does_not_matter() -> None:
    """Columns are copied in the order of the definition."""
    assert bind(THINGS, OURS, TARGET) == bind(THINGS, OURS[::-1], TARGET)


def test_column_with_a_former_name_is_written() -> None:
    """A table with poller_id instead of gateway_id is written, and the column counts as present."""
    real = [nullable("poller_id", "text") if column.name == "gateway_id" else column for column in OURS]

    binding = bind(THINGS, real, TARGET)

    assert binding.copy_sql.startswith('COPY "public"."things" ("time", "poller_id", "agent_id"')
    assert "gateway_id" in binding.present
    assert () == binding.warnings


def test_former_name_that_another_column_has_is_not_used() -> None:
    """A former name does not match a real column that another column of ours has as its name."""
    real = [column for column in OURS if column.name != "gateway_id"]

    binding = bind(THINGS, real, TARGET)

    assert "gateway_id" not in binding.present
    assert "agent_id" in binding.present


def test_missing_columns_are_one_warning_without_derived_ones() -> None:
    """One warning names all columns that the table lacks, except for derived columns."""
    real = [column for column in OURS if column.name not in ("octets", "ports", "series_key")]

    binding = bind(THINGS, real, TARGET)

    assert ('table "public"."things": has no column octets, ports: these values are not stored',) == binding.warnings
    assert (0, 1, 2, 4, 5) == binding.positions


def test_generated_column_is_never_written() -> None:
    """COPY leaves out a column that the server generates, and there is no warning."""
    binding = bind(THINGS, changed(RealColumn("octets", "bigint", False, True, True)), TARGET)

    assert "octets" not in binding.copy_sql
    assert "octets" not in binding.present
    assert () == binding.warnings


@pytest.mark.parametrize(
    ("column", "message", "statement"),
    [
        pytest.param(
            nullable("agent_id", "bigint"),
            "column agent_id is bigint and cannot store text",
            'ALTER TABLE "public"."things" ALTER COLUMN "agent_id" TYPE text USING "agent_id"::text',
            id="type",
        ),
        pytest.param(
            nullable("octets", "date"),
            "column octets is date and cannot store bigint",
            'ALTER TABLE "public"."things" ALTER COLUMN "octets" TYPE bigint USING "octets"::text::bigint',
            id="type by its usual name",
        ),
        pytest.param(
            RealColumn('ten"ant', "uuid", True, False, False),
            'column ten"ant (uuid) is NOT NULL without a default and unknown to eventwriter',
            'ALTER TABLE "public"."things" ALTER COLUMN "ten""ant" SET DEFAULT ... (or DROP NOT NULL)',
            id="unknown and required",
        ),
    ],
)
def test_unfit_column_is_an_error_with_the_statement_that_fixes_it(
    column: RealColumn, message: str, statement: str
) -> None:
    """The error names the column that cannot be written, its hint the statement that fixes the table."""
    with pytest.raises(Fatal) as caught:
        bind(THINGS, changed(column), TARGET)

    error = caught.value
    expected = ("column_mismatch", f"table {TARGET}: {message}", f"run {statement}")
    assert expected == (error.code, error.message, error.hint)


def test_two_unfit_columns_are_one_error() -> None:
    """One error names all columns that cannot be written."""
    real = changed(nullable("agent_id", "point"), RealColumn("tenant_id", "uuid", True, False, False))

    with pytest.raises(Fatal, match=r"agent_id is point.*; column tenant_id"):
        bind(THINGS, real, TARGET)


@pytest.mark.parametrize("columns", [[nullable("price", "numeric")], []], ids=["others", "none"])
def test_table_without_any_of_our_columns_is_an_error(columns: list[RealColumn]) -> None:
    """A table with none of our columns is another table of the same name."""
    with pytest.raises(Fatal) as caught:
        bind(THINGS, columns, TARGET)

    assert "column_missing" == caught.value.code


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
def test_not_null_json_column_gets_an_empty_value(name: str, type_name: str, expected: bytes) -> None:
    """An absent JSON value becomes an empty object or list if the column is NOT NULL."""
    binding = bind(THINGS, changed(RealColumn(name, type_name, True, True, False)), TARGET)

    at = [column.name for column in THINGS.columns].index(name)
    assert expected == binding.null_as[at]
    assert () == binding.warnings


def test_other_not_null_column_is_a_warning() -> None:
    """A warning says that the server will reject missing values."""
    binding = bind(THINGS, changed(RealColumn("agent_id", "text", True, True, False)), TARGET)

    assert (None,) * 8 == binding.null_as
    assert (
        'table "public"."things": NOT NULL on agent_id: a message without a value for it becomes a dead letter',
    ) == binding.warnings


@pytest.mark.parametrize(
    ("value", "expected"),
    [(2**31 - 1, 2**31 - 1), (2**31, 2**31 - 1), (-(2**31), -(2**31)), (-(2**31) - 1, -(2**31)), (0, 0)],
)
def test_integer_is_cut_to_the_range_of_a_narrower_column_and_counted(value: int, expected: int) -> None:
    """A value outside the range of a narrower column becomes the nearest limit and is counted."""
    adjustments = Adjustments()
    binding = bind(THINGS, changed(nullable("octets", "integer")), TARGET, adjustments)

    convert = binding.converters[3]
    assert convert is not None
    assert expected == convert(value)
    assert int(value != expected) == adjustments.clamped_by_column["octets"]
    assert (
        'table "public"."things": octets (integer) is narrower than eventwriter\'s type:'
        " larger values are cut to its range",
    ) == binding.warnings


@pytest.mark.parametrize("text", ["", "router-1", "10.0.0.1/33", "10.0.0.0.1", "fe80::1%eth0"])
def test_text_that_is_not_an_address_is_poison_for_inet(text: str) -> None:
    """An inet column stores only addresses; other text becomes a dead letter whose detail names the column."""
    convert = bind(THINGS, changed(nullable("agent_id", "inet")), TARGET).converters[2]

    assert convert is not None
    with pytest.raises(Poison, match=r"bad_value: column agent_id is inet") as caught:
        convert(text)
    assert "bad_value" == caught.value.reason


def test_column_without_time_zone_is_a_warning() -> None:
    """Times are written in UTC into a column without time zone, and a warning says so."""
    binding = bind(THINGS, changed(RealColumn("time", "timestamp(3) without time zone", True, False, False)), TARGET)

    assert ('table "public"."things": time has no time zone: times are written in UTC',) == binding.warnings


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
def test_type_is_recognised_with_modifiers_and_schema(type_name: str, expected: str) -> None:
    """A length, a precision or the schema of an extension does not change the plain type."""
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
    """Text with a JSON object or array becomes that; other text becomes a JSON string."""
    assert expected == json_of_text(text)


def test_array_without_dimensions_has_no_elements() -> None:
    """PostgreSQL's empty array, which has no dimensions, becomes an empty list."""
    assert [] == elements(bytes.fromhex("00000000 00000000 00000017"))


def test_array_elements_are_decoded() -> None:
    """Texts and NULLs are decoded from a binary array."""
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

# Half of the columns are our own, so that some tables can be bound.
real_columns = st.sampled_from(OURS) | st.builds(
    RealColumn,
    name=st.sampled_from([*(column.name for column in THINGS.columns), "poller_id", "other"]) | st.text(max_size=3),
    type=st.sampled_from(TYPE_NAMES) | st.text(max_size=5),
    not_null=st.booleans(),
    has_default=st.booleans(),
    generated=st.booleans(),
)


def try_to_bind(real: list[RealColumn]) -> Binding | str:
    """Return the binding, or the text of the error."""
    try:
        return bind(THINGS, real, TARGET)
    except Fatal as error:
        return str(error)


@given(st.lists(real_columns, max_size=12, unique_by=lambda column: column.name))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # on a loaded machine
def test_bind_returns_a_complete_binding_or_raises_fatal(real: list[RealColumn]) -> None:
    """For every real table there is either a complete binding or an error that names the table."""
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
def test_json_is_written_in_the_form_of_the_real_column(real: str, converted: bytes) -> None:
    """JSON is written unchanged into text and json columns, and with the version byte into jsonb columns."""
    table = Table("logs", (Column("attributes", "json"),), lambda _: lambda record, message, index: (), "time")

    (convert,) = bind(table, [nullable("attributes", real)], TARGET).converters

    assert converted == (b"{}" if convert is None else convert(b"{}"))
    assert (real == "jsonb") == (convert is not None)
