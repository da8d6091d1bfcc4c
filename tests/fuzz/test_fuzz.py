"""A short fuzz run of every kind (`bin/fuzz` runs longer ones), and tests that its checks find planted faults."""

import asyncio
import dataclasses
import time
from collections import Counter
from typing import Any

import pytest
from fuzz.copier import Copier
from fuzz.inputs import FuzzInput, InputGenerator
from fuzz.oracle import Checker, Report
from fuzz.run import check_inputs, format_report, unexpected_rejections
from fuzz.seeds import Seed, seeds
from fuzz.targets import Target, load_targets
from fuzz.value_checks import value_error

from eventwriter.errors import Poison
from eventwriter.kinds.registry import KINDS, Kind
from eventwriter.model import Message, Record
from eventwriter.tables.table import Build, Column, RowBuilder

PAYLOADS = 6000
RUN = 20_260


def test_fuzz_finds_nothing(all_tables: str) -> None:
    """Mutated payloads become valid rows or Poison, reproducibly, fast and without secrets."""
    report = check_inputs(all_tables, RUN, range(PAYLOADS))

    assert not report.findings, format_report(report, RUN)
    assert [] == unexpected_rejections(report)
    assert PAYLOADS == report.counts["payloads"]
    assert all(report.counts[f"checks of {kind}"] >= PAYLOADS / 10 for kind in KINDS)
    assert report.counts["rows copied"] > 1000


def test_input_is_reproducible() -> None:
    """The run and the number determine an input."""
    first, second, other = InputGenerator(3), InputGenerator(3), InputGenerator(4)

    assert [first(n) for n in range(200)] == [second(n) for n in reversed(range(200))][::-1]
    assert first(1) != other(1)


def test_every_kind_has_seeds_of_both_encodings() -> None:
    """There are JSON seeds of every kind, and protobuf seeds of every kind that reads protobuf."""
    found = {(seed.kind, seed.is_json) for seed in seeds()}

    assert {(kind, True) for kind in KINDS} <= found
    assert {(kind, False) for kind in ("netflow", "otel_metrics", "otel_traces", "logs")} <= found


class _NoCopier(Copier):
    """A copier that discards all rows."""

    def __init__(self) -> None:
        pass

    def offer(self, target: str, binding: Any, row: Any, encoded: bytes, n: int) -> None:
        """Discard the row."""


def signatures_of(dsn: str, monkeypatch: pytest.MonkeyPatch, change: Any, payload: bytes) -> list[str]:
    """Return the signatures of the findings when kind telemetry has a planted fault."""
    targets, dead_letters = asyncio.run(load_targets(dsn))
    broken = change(KINDS["telemetry"])
    monkeypatch.setattr("fuzz.oracle.KINDS", {**KINDS, "telemetry": broken})
    table = broken.tables[0]
    changed: list[Target] = [
        dataclasses.replace(target, bindings=(dataclasses.replace(target.bindings[0], table=table),))
        for target in targets
        if target.kind.name == "telemetry"
    ]
    report = Report(Counter(), Counter())
    seed = Seed("s", "telemetry", "telemetry.x", payload, True)
    Checker(changed, dead_letters, _NoCopier(), report)(16, FuzzInput(seed, "telemetry.x", payload, True, "telemetry"))
    return sorted({signature.partition(" →")[0].partition(" raised")[0] for signature in report.findings})


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
    raise Poison("malformed", "slow")


def _raise(error: Exception) -> Any:
    raise error


_counter = iter(range(10**6))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (_builder(lambda row, _: row), []),
        (_decoder(lambda _: _raise(KeyError("a"))), ["decode of telemetry"]),
        (_decoder(lambda _: _raise(RecursionError())), ["decode of telemetry"]),
        (_builder(lambda _, __: _raise(OverflowError())), ["builder of telemetry"]),
        (_decoder(lambda _: _raise(Poison("odd", "x"))), ["poison: telemetry odd: unknown reason"]),
        (_decoder(_slow), ["slow: decode of telemetry"]),
        (_builder(lambda row, _: (next(_counter), *row[1:])), ["not deterministic: telemetry"]),
        (_builder(lambda row, _: row[1:]), ["value: telemetry"]),
        (_builder(lambda row, _: (row[0], "a\0", *row[2:])), ["value: telemetry"]),
        (_builder(lambda row, message: (row[0], message.payload.decode(), *row[2:])), ["secret: telemetry"]),
    ],
    ids=[
        "no fault",
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
def test_planted_fault_is_found(
    all_tables: str, monkeypatch: pytest.MonkeyPatch, change: Any, expected: list[str]
) -> None:
    """Each planted fault is found, and a correct kind has no findings."""
    payload = b'{"value":1,"metadata":{"community":"s3cret-value"}}'

    assert expected == signatures_of(all_tables, monkeypatch, change, payload)


@pytest.mark.parametrize(
    ("column_type", "value", "expected"),
    [
        ("text", "a", None), ("text", "a\0", "contains U+0000"), ("text", "\ud800", "contains a lone surrogate"),
        ("text", b"a", "class bytes"), ("int4", 2**31 - 1, None), ("int4", 2**31, "out of range"),
        ("int4", True, "class bool"), ("int8", -(2**63), None), ("int8", 2**63, "out of range"), ("float8", 1.0, None),
        ("float8", 1, "class int"), ("timestamptz", 0, None), ("timestamptz", 10**17, "out of range"),
        ("uuid", bytes(16), None), ("uuid", bytes(15), "15 bytes"), ("jsonb", b"\x01{}", None),
        ("jsonb", b"{}", "lacks the version byte of jsonb"), ("jsonb", b"\x01{", "is not JSON"),
        ("json", b"[1e", "is not JSON"),
        ("json", b'{"a":"\\u0000"}', "contains U+0000"), ("json", b'{"a":"\\\\u0000"}', None),
        ("json", b"[" + b"9" * 400 + b"]", None), ("text", None, None),
    ],
)  # fmt: skip
def test_value_is_checked(column_type: str, value: Any, expected: str | None) -> None:
    """The error of a value describes how it differs from the type of its column."""
    assert expected == value_error(Column("c", column_type), value)


def test_null_in_not_null_column_is_an_error() -> None:
    """NULL is an error in a NOT NULL column."""
    assert "NULL" == value_error(Column("c", "text", not_null=True), None)


def test_row_rejected_by_postgresql_is_reported(all_tables: str) -> None:
    """A row that PostgreSQL rejects is found among accepted ones."""
    targets, _ = asyncio.run(load_targets(all_tables))
    binding = next(target for target in targets if str(target) == "events → migrated.events").bindings[0]
    report = Report()
    copier = Copier(all_tables, report.rejected, report.examples, report.counts)

    for n, text in enumerate([b"a", b"b\xff", b"c"]):
        row = (None,) * n  # shapes differ
        field = len(text).to_bytes(4, "big") + text
        nulls = b"\xff\xff\xff\xff" * (len(binding.names) - 3)
        encoded = len(binding.names).to_bytes(2, "big") + bytes((0, 0, 0, 8)) + bytes(8) + field * 2 + nulls
        copier.offer("things", binding, row, encoded, n)
    copier.finish()

    assert 2 == report.counts["rows copied"]
    assert ['things: 22021 invalid byte sequence for encoding "UTFN": Nxff (specversion)'] == list(report.rejected)
