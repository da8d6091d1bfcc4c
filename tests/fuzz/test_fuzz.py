"""A short fuzz of every kind (bin/fuzz runs long ones), and whether the fuzz sees what it is there to see."""

import asyncio
import dataclasses
import time
from collections import Counter
from typing import Any

import pytest
from fuzz.copying import Copier
from fuzz.forms import mistake
from fuzz.lanes import Lane, lanes
from fuzz.mutations import Mutations, Thrown
from fuzz.oracle import Report, Thrower
from fuzz.run import bad_refusals, said, throw
from fuzz.seeds import Seed, seeds

from eventwriter.errors import Poison
from eventwriter.kinds.registry import KINDS, Kind
from eventwriter.model import Message, Record
from eventwriter.tables.table import Build, Column, RowBuilder

PAYLOADS = 6000
RUN = 20_260


def test_fuzz_finds_nothing(all_tables: str) -> None:
    """Mutated payloads make rows that the real tables take, or poison; the same each time, soon, without secrets."""
    report = throw(all_tables, RUN, range(PAYLOADS))

    assert not report.findings, said(report, RUN)
    assert [] == bad_refusals(report)
    assert PAYLOADS == report.counts["payloads"]
    assert all(report.counts[f"throws at {kind}"] >= PAYLOADS / 10 for kind in KINDS)
    assert report.counts["rows copied"] > 1000


def test_payload_of_a_number_is_always_the_same() -> None:
    """A finding can be seen again by its run and number."""
    one, again, another = Mutations(3), Mutations(3), Mutations(4)

    assert [one(n) for n in range(200)] == [again(n) for n in reversed(range(200))][::-1]
    assert one(1) != another(1)


def test_every_kind_has_seeds_of_both_encodings() -> None:
    """Mutations begin with payloads of every kind, and of protobuf where the kind reads it."""
    found = {(seed.kind, seed.is_json) for seed in seeds()}

    assert {(kind, True) for kind in KINDS} <= found
    assert {(kind, False) for kind in ("netflow", "otel_metrics", "otel_traces", "logs")} <= found


class _Nowhere(Copier):
    def __init__(self) -> None:
        pass

    def offer(self, lane: str, binding: Any, row: Any, encoded: bytes, n: int) -> None:
        """Copy nothing."""


def found_in(dsn: str, monkeypatch: pytest.MonkeyPatch, change: Any, payload: bytes) -> list[str]:
    """Return the signs of what is found when telemetry is broken in some way."""
    every, letters = asyncio.run(lanes(dsn))
    broken = change(KINDS["telemetry"])
    monkeypatch.setattr("fuzz.oracle.KINDS", {**KINDS, "telemetry": broken})
    table = broken.tables[0]
    changed: list[Lane] = [
        dataclasses.replace(lane, bindings=(dataclasses.replace(lane.bindings[0], table=table),))
        for lane in every
        if lane.kind.name == "telemetry"
    ]
    report = Report(Counter(), Counter())
    seed = Seed("s", "telemetry", "telemetry.x", payload, True)
    Thrower(changed, letters, _Nowhere(), report)(16, Thrown(seed, "telemetry.x", payload, True, "telemetry"))
    return sorted({sign.partition(" →")[0].partition(" raised")[0] for sign in report.findings})


def _builder(row: Any) -> Any:
    def change(kind: Kind) -> Kind:
        table = kind.tables[0]

        def builder(build: Build) -> RowBuilder:
            make = table.builder(build)
            return lambda record, message, index: row(make(record, message, index), message)

        return dataclasses.replace(kind, tables=(dataclasses.replace(table, builder=builder),))

    return change


def _decoder(decode: Any) -> Any:
    return lambda kind: dataclasses.replace(kind, decode=decode)


def _slow(message: Message) -> list[Record]:
    began = time.thread_time()
    while time.thread_time() < began + 0.08:
        pass
    raise Poison("malformed", "at last")


def _raise(error: Exception) -> Any:
    raise error


_turns = iter(range(10**6))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (_builder(lambda row, _: row), []),
        (_decoder(lambda _: _raise(KeyError("a"))), ["decode of telemetry"]),
        (_decoder(lambda _: _raise(RecursionError())), ["decode of telemetry"]),
        (_builder(lambda _, __: _raise(OverflowError())), ["builder of telemetry"]),
        (_decoder(lambda _: _raise(Poison("odd", "x"))), ["words: telemetry odd: an unknown reason"]),
        (_decoder(_slow), ["slow: decode of telemetry"]),
        (_builder(lambda row, _: (next(_turns), *row[1:])), ["two outcomes: telemetry"]),
        (_builder(lambda row, _: row[1:]), ["form: telemetry"]),
        (_builder(lambda row, _: (row[0], "a\0", *row[2:])), ["form: telemetry"]),
        (_builder(lambda row, message: (row[0], message.payload.decode(), *row[2:])), ["secret: telemetry"]),
    ],
    ids=[
        "nothing",
        "KeyError",
        "RecursionError",
        "OverflowError",
        "reason",
        "slow",
        "changing",
        "width",
        "NUL",
        "secret",
    ],
)
def test_fault_is_found(all_tables: str, monkeypatch: pytest.MonkeyPatch, change: Any, expected: list[str]) -> None:
    """Whatever is broken in a kind is found, and nothing where nothing is."""
    payload = b'{"value":1,"metadata":{"community":"s3cret-value"}}'

    assert expected == found_in(all_tables, monkeypatch, change, payload)


@pytest.mark.parametrize(
    ("column_type", "value", "expected"),
    [
        ("text", "a", None), ("text", "a\0", "holds U+0000"), ("text", "\ud800", "holds a lone surrogate"),
        ("text", b"a", "class bytes"), ("int4", 2**31 - 1, None), ("int4", 2**31, "out of range"),
        ("int4", True, "class bool"), ("int8", -(2**63), None), ("int8", 2**63, "out of range"), ("float8", 1.0, None),
        ("float8", 1, "class int"), ("timestamptz", 0, None), ("timestamptz", 10**17, "out of range"),
        ("uuid", bytes(16), None), ("uuid", bytes(15), "15 bytes"), ("jsonb", b"\x01{}", None),
        ("jsonb", b"{}", "lacks jsonb's version"), ("jsonb", b"\x01{", "is no JSON"), ("json", b"[1e", "is no JSON"),
        ("json", b'{"a":"\\u0000"}', "holds U+0000"), ("json", b'{"a":"\\\\u0000"}', None),
        ("json", b"[" + b"9" * 400 + b"]", None), ("text", None, None),
    ],
)  # fmt: skip
def test_form(column_type: str, value: Any, expected: str | None) -> None:
    """A value is of the form that its column wants, or what is wrong with it is told."""
    assert expected == mistake(Column("c", column_type), value)


def test_null_where_none_may_be() -> None:
    """NULL is a mistake in a column that may not be NULL."""
    assert "NULL" == mistake(Column("c", "text", not_null=True), None)


def test_refusal_of_postgresql_is_reported(all_tables: str) -> None:
    """A row that PostgreSQL refuses is found among others that it takes."""
    every, _ = asyncio.run(lanes(all_tables))
    binding = next(lane for lane in every if str(lane) == "events → ours.events").bindings[0]
    report = Report()
    copier = Copier(all_tables, report.refused, report.examples, report.counts)

    for n, text in enumerate([b"a", b"b\xff", b"c"]):
        row = (None,) * n  # shapes differ
        field = len(text).to_bytes(4, "big") + text
        nulls = b"\xff\xff\xff\xff" * (len(binding.names) - 3)
        encoded = len(binding.names).to_bytes(2, "big") + bytes((0, 0, 0, 8)) + bytes(8) + field * 2 + nulls
        copier.offer("things", binding, row, encoded, n)
    copier.finish()

    assert 2 == report.counts["rows copied"]
    assert ['things: 22021 invalid byte sequence for encoding "UTFN": Nxff (specversion)'] == list(report.refused)
