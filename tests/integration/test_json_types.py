"""Kind json: values in columns of every supported PostgreSQL type, written and read back."""

import json
import random
import re
from typing import Any

import pytest
from fix_pipeline import Bench, MakeBench

from eventwriter.errors import Fatal
from eventwriter.model import Outcome

TYPES = "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN percent AS int CHECK (value BETWEEN 0 AND 100);"

HALF = "2026-01-01T12:00:00.5Z"


class Literal(str):
    """The text of a number, which appears in the payload with all its digits."""

    __slots__ = ()

    def __new__(cls, digits: str) -> "Literal":
        return super().__new__(cls, f"literal {digits}")


VALUES: list[tuple[str, Any, str | None]] = [
    ("smallint", 7, "7"),
    ("smallint", 70000, "32767"),
    ("integer", "12", "12"),
    ("integer", 12.0, "12"),
    ("integer", "junk", None),
    ("bigint", 2**63, str(2**63 - 1)),
    ("real", 0.25, "0.25"),
    ("double precision", 1, "1"),
    ("double precision", "1.5", "1.5"),
    ("double precision", "NaN", "NaN"),
    ("double precision", True, None),
    ("double precision", "1e400", None),
    ("integer", True, None),
    ("numeric", 3, "3"),
    ("numeric", 0.1, "0.1"),
    ("numeric", "123456789012345678901234567890.123456789", "123456789012345678901234567890.123456789"),
    ("numeric(6,2)", "-1234.567", "-1234.57"),
    ("numeric", "-Infinity", "-Infinity"),
    ("numeric", True, None),
    ("numeric", 1111111111111111111160, "1111111111111111111160"),
    ("numeric", "1e400", "1" + "0" * 400),
    ("numeric", Literal("99999999999999.99"), "99999999999999.99"),
    ("numeric", Literal("0.1000000000000000000001"), "0.1000000000000000000001"),
    ("numeric", Literal("1e400"), "1" + "0" * 400),
    ("numeric[]", [Literal("99999999999999.99")], "{99999999999999.99}"),
    ("boolean", False, "false"),
    ("boolean", "yes", "true"),
    ("boolean", 2, None),
    ("text", 5, "5"),
    ("text", True, "true"),
    ("text", {"a": [1, None]}, '{"a":[1,null]}'),
    ("text", "", ""),
    ("text", "nul\0\ud83d", "nul\ufffd\ufffd"),
    ("character varying(4)", "abcd", "abcd"),
    ("character(4)", "ab", "ab  "),
    ("uuid", "6BA7B8109DAD11D180B400C04FD430C8", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
    ("date", "2026-02-28", "2026-02-28"),
    ("date", "0001-01-01", "0001-01-01"),
    ("date", HALF, "2026-01-01"),
    ("date", 1_767_225_600, "2026-01-01"),
    ("time", "23:59:59.999999", "23:59:59.999999"),
    ("time", "24:00:00", "24:00:00"),
    ("time", "12:30:60", "12:31:00"),
    ("timestamptz", HALF, "2026-01-01 12:00:00.5+00"),
    ("timestamptz", "2026-01-01T12:00:00+02:00", "2026-01-01 10:00:00+00"),
    ("timestamptz", 1_767_225_600_123, "2026-01-01 00:00:00.123+00"),
    ("timestamptz", "junk", None),
    ("timestamptz", "2025-12-31T23:59:60Z", "2026-01-01 00:00:00+00"),
    ("timestamptz", "2025-12-31t24:00:00z", "2026-01-01 00:00:00+00"),
    ("timestamp", HALF, "2026-01-01 12:00:00.5"),
    ("interval", "P1Y2M3DT4H5M6.5S", "1 year 2 mons 3 days 04:05:06.5"),
    ("interval", "-PT90S", "-00:01:30"),
    ("interval", "1 day 02:30", "1 day 02:30:00"),
    ("interval", 1.5, "00:00:01.5"),
    ("interval", "90", "00:01:30"),
    ("json", {"b": 1, "a": 2}, '{"b":1,"a":2}'),
    ("json", '{"b":1}', '{"b":1}'),
    ("jsonb", [1, {"community": "secret"}], "[1, {}]"),
    ("jsonb", "text", '"text"'),
    ("jsonb", 1111111111111111111160, "1111111111111111111160"),
    ("jsonb", [Literal("1e400")], f"[1{'0' * 400}]"),
    ("json", {"n": -9999999999999999999}, '{"n":-9999999999999999999}'),
    ("bytea", "\\x00ff", "\\x00ff"),
    ("bytea", "AP8=", "\\x00ff"),
    ("bytea", "_-8", "\\xffef"),
    ("inet", "10.0.0.1/8", "10.0.0.1/8"),
    ("cidr", "10.0.0.0/8", "10.0.0.0/8"),
    ("cidr", "2001:db8::/32", "2001:db8::/32"),
    ("mood", "ok", "ok"),
    ("percent", 100, "100"),
    ("smallint[]", [1, None, 70000], "{1,NULL,32767}"),
    ("integer[]", [], "{}"),
    ("bigint[]", "[1, 2]", "{1,2}"),
    ("real[]", [0.5], "{0.5}"),
    ("double precision[]", [1, "NaN"], "{1,NaN}"),
    ("numeric[]", [0.1, "12345.00067", -10000, 0, "1e3"], "{0.1,12345.00067,-10000,0,1000}"),
    ("boolean[]", [True, "no"], "{t,f}"),
    ("text[]", ["a b", 1, {"x": 1}], '{"a b",1,"{\\"x\\":1}"}'),
    ("character varying(9)[]", ["ä"], "{ä}"),
    ("character(2)[]", ["a"], '{"a "}'),
    ("uuid[]", ["6ba7b810-9dad-11d1-80b4-00c04fd430c8"], "{6ba7b810-9dad-11d1-80b4-00c04fd430c8}"),
    ("date[]", ["2026-02-28"], "{2026-02-28}"),
    ("time[]", ["01:02:03"], "{01:02:03}"),
    ("timestamptz[]", [HALF, "junk"], '{"2026-01-01 12:00:00.5+00",NULL}'),
    ("timestamp[]", [HALF], '{"2026-01-01 12:00:00.5"}'),
    ("interval[]", ["PT1S"], "{00:00:01}"),
    ("jsonb[]", [{"a": 1}], '{"{\\"a\\": 1}"}'),
    ("bytea[]", ["AP8="], '{"\\\\x00ff"}'),
    ("inet[]", ["::1"], "{::1}"),
    ("cidr[]", ["10.0.0.0/8"], "{10.0.0.0/8}"),
]
"""SQL type, JSON value, what the server shows."""

REFUSED: list[tuple[str, Any]] = [
    ("uuid", "abc"),
    ("uuid", 5),
    ("date", "2026-02-30"),
    ("date", "soon"),
    ("time", "25:00"),
    ("time", 5),
    ("interval", "long"),
    ("interval", [1]),
    ("interval", "1e999999999"),
    ("bytea", "not base64!"),
    ("bytea", "\\xzz"),
    ("inet", "10.0.0.256"),
    ("cidr", "10.0.0.1/8"),
    ("mood", "great"),
    ("integer[]", 5),
    ("integer[]", [[1, 2], [3]]),
    ("timestamptz[]", [[HALF]]),
    ("uuid[]", ["abc"]),
    ("real[]", [1e300]),
    ("real", 1e300),
    ("numeric", "1e200000"),
]


async def test_values_arrive_in_every_type(bench: MakeBench) -> None:
    """A JSON value arrives in the form of its column's type; invalid numbers and times are NULL."""
    columns = ", ".join(f"c{n} {sql_type}" for n, (sql_type, _, _) in enumerate(VALUES))
    one: Bench = bench(f"{TYPES} CREATE TABLE things ({columns})")

    body = {f"c{n}": value for n, (_, value, _) in enumerate(VALUES)}
    # Not with orjson, which rejects lone surrogates.
    await one.settle(re.sub(r'"literal ([^"]+)"', r"\1", json.dumps(body)).encode())

    assert [] == one.read("SELECT reason, detail FROM eventwriter_dead_letters")
    shown = ", ".join(f"c{n}::text" for n in range(len(VALUES)))
    # character(n) loses its padding on the way to text.
    expected = tuple(text.rstrip() if text and kind == "character(4)" else text for kind, _, text in VALUES)
    assert [expected] == one.read(f"SELECT {shown} FROM things")


async def test_absent_values_are_null(bench: MakeBench) -> None:
    """A missing key and null leave a column of any type NULL."""
    columns = ", ".join(f"c{n} {sql_type}" for n, (sql_type, _, _) in enumerate(VALUES))
    one: Bench = bench(f"{TYPES} CREATE TABLE things ({columns})")

    await one.settle({"c0": None}, {f"c{n}": None for n in range(len(VALUES))})

    nulls = f"num_nulls({', '.join(f'c{n}' for n in range(len(VALUES)))})"
    assert [(len(VALUES),)] * 2 == one.read(f"SELECT {nulls} FROM things")


async def test_invalid_text_for_a_type_is_a_dead_letter(bench: MakeBench) -> None:
    """Text that is not a valid date, address or label is a dead letter that names the column."""
    columns = ", ".join(f"c{n} {sql_type}" for n, (sql_type, _) in enumerate(REFUSED))
    one: Bench = bench(f"{TYPES} CREATE TABLE things ({columns})")

    await one.settle(*({f"c{n}": value} for n, (_, value) in enumerate(REFUSED)))

    details = one.read("SELECT reason, detail FROM eventwriter_dead_letters ORDER BY stream_seq")
    assert [("bad_value", True)] * len(REFUSED) == [
        (reason, detail.startswith(f"column c{n} is ")) for n, (reason, detail) in enumerate(details)
    ]


@pytest.mark.parametrize(
    ("sql_type", "value"),
    [("character varying(2)", "abc"), ("numeric(3,1)", 1000), ("percent", 101)],
)
async def test_value_rejected_by_the_server_is_a_dead_letter(bench: MakeBench, sql_type: str, value: Any) -> None:
    """A value beyond a length, precision or CHECK is a dead letter, and other messages are written."""
    one: Bench = bench(f"{TYPES} CREATE TABLE things (n int, c {sql_type})")

    await one.settle({"n": 1}, {"n": 2, "c": value}, {"n": 3})

    assert [(2, "rejected")] == [letter[:2] for letter in one.dead_letters()]
    assert [(1,), (3,)] == one.read("SELECT n FROM things ORDER BY n")


async def test_citext_accepts_text(bench: MakeBench) -> None:
    """citext accepts what text accepts, whatever schema contains the extension."""
    one: Bench = bench("CREATE SCHEMA ext; CREATE EXTENSION citext SCHEMA ext; CREATE TABLE things (c ext.citext)")

    await one.settle({"c": "Grüße"}, {"c": 5})

    assert [("5",), ("Grüße",)] == one.read("SELECT c::text FROM things ORDER BY 1")


async def test_unknown_type_keeps_its_default(bench: MakeBench) -> None:
    """A column of an unsupported type is reported once and keeps its default."""
    one: Bench = bench("CREATE TABLE things (n int, p point DEFAULT '(1,2)', t tsvector)")

    await one.settle({"n": 1, "p": "(3,4)", "t": "x"})

    assert [(1, "(1,2)", None)] == one.read("SELECT n, p::text, t FROM things")
    assert [
        "table things: eventwriter cannot fill p (point), t (tsvector); these columns get their defaults"
    ] == one.warnings
    assert 2 == one.adjustments.fields_ignored


async def test_required_column_of_unknown_type_is_fatal(bench: MakeBench) -> None:
    """A NOT NULL column of an unsupported type without a default is fatal for the slot."""
    one: Bench = bench("CREATE TABLE things (n int, p point NOT NULL)")

    with pytest.raises(Fatal) as caught:
        await one.bind()

    assert (
        'table "public"."things": column p (point) is NOT NULL without a default and unknown to eventwriter;'
        ' run ALTER TABLE "public"."things" ALTER COLUMN "p" SET DEFAULT ... (or DROP NOT NULL)'
    ) == str(caught.value)


def _random_value(rng: random.Random, depth: int = 0) -> Any:
    """Return a random JSON value, including texts that are valid for some types."""
    kind = rng.randrange(12 if depth < 2 else 8)
    match kind:
        case 0:
            return rng.choice((True, False))
        case 1:
            return rng.choice((0, 1, -1, 2**31, -(2**63), 2**64, 10**30, rng.randrange(10**12), 1_767_225_600))
        case 2:
            return rng.choice((0.0, -0.0, 1e300, -1e-300, 0.1, 1.5e9, float("nan"), float("inf"), rng.random()))
        case 3 | 4:
            texts = (
                "",
                "a\0b",
                "\ud800",
                "1e131071",
                "1e-16383",
                "-0.00010",
                "NaN",
                "infinity",
                "12",
                "P1Y-",
                "P9999W",
            )
            return rng.choice(texts)
        case 5 | 6:
            texts = (
                "24:00",
                "12:00:60",
                "9999-12-31",
                "0001-01-01",
                "1969-12-31T23:00Z",
                "::ffff:1.2.3.4/96",
                "\\x",
                "ok",
                "e" * 64,
                "yes",
                "2261-12-31T23:59:59.999999Z",
                "99999999 days 00:00",
                "2147483647 d 00:00",
            )
            return rng.choice(texts)
        case 7:
            return "".join(chr(rng.randrange(1, 0x3000)) for _ in range(rng.randrange(20)))
        case 8 | 9:
            return [_random_value(rng, depth + 1) for _ in range(rng.randrange(4))]
        case _:
            return {f"k{n}\0": _random_value(rng, depth + 1) for n in range(rng.randrange(3))}


async def test_server_accepts_every_encoded_row(bench: MakeBench) -> None:
    """The server accepts every row that is encoded from random values in columns of every type."""
    types = [t for t in dict.fromkeys(t for t, _, _ in VALUES) if t not in ("percent", "numeric(6,2)")]
    plain = [t.replace("(4)", "(99)").replace("(9)", "(999)").replace("(2)", "(999)") for t in types]
    columns = ", ".join(f"c{n} {sql_type}" for n, sql_type in enumerate(plain))
    one: Bench = bench(f"{TYPES} CREATE TABLE things ({columns})")
    rng = random.Random(11)

    records = [{f"c{rng.randrange(len(types))}": _random_value(rng)} for _ in range(6000)]
    settled = await one.settle(*(json.dumps(record).encode() for record in records))

    assert [] == one.read(
        "SELECT detail, convert_from(payload, 'UTF8') FROM eventwriter_dead_letters WHERE reason = 'rejected'"
    )
    assert settled.count(Outcome.WRITTEN) > 2000
