"""
Every payload of logs, and the rows of both tables (or the poison) that it must become.

The expected rows lie next to the payloads. They differ from the predecessors' where those
were found wanting:

* Severity: a `severity_number` of the payload is kept (they recomputed it from the text, INFO became 11);
  the text is the payload's own; a GELF level is OpenTelemetry's number for it; what is unknown is NULL.
* Absent text is NULL, not ''; the observed time defaults to the message's JetStream timestamp, not to now.
* `camel_case`: severityText and serviceName are read, not left among the attributes.
* `ts_*`, `syslog_gelf_processed`: times keep their microseconds, may be floats or without an offset;
  unusable ones become the message's JetStream timestamp.
* `otel_zen_array`, `otel_zen_empty_array`: arrays are records (one of the writers dropped them); none is no error.
* `nul_escape`, `huge_ints`: are kept, cleaned; they stopped a whole batch, or were dropped.
* `no_resource`: records without a resource are rows; one of the writers skipped them.
* `single`: attributes are JSON with all kinds of values, not `k=v` text without the falsy ones.
* `invalid_utf8`, `invalid_json`, `json_null`, `scalar_string`, `empty_payload`, `garbage`: were acknowledged in
  silence; now they are dead letters.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from golden_rows import DATA, ORIGIN, delivery, readable

from eventwriter.errors import Poison
from eventwriter.kinds.registry import KINDS
from eventwriter.model import Adjustments, Message
from eventwriter.tables.table import Build

LOGS = KINDS["logs"]
TABLES = (*LOGS.tables, *LOGS.also)
FOLDERS = ("logs_processed_json", "logs_otlp_protobuf", "logs_otlp_json", "logs_internal")
EXPECTED = sorted(
    [
        *(path for folder in FOLDERS for path in (DATA / folder).glob("*.row.json")),
        *(DATA / "logs_raw_inputs").glob("*.logs.row.json"),
    ]
)


def stem(path: Path) -> str:
    return path.name.partition(".")[0]


def payload_of(path: Path) -> bytes:
    [payload] = [p for p in path.parent.iterdir() if p.name in (f"{stem(path)}.json", f"{stem(path)}.bin")]
    return payload.read_bytes()


def rows_of(message: Message) -> list[dict[str, Any]]:
    rows = []
    builders = [
        (
            t,
            t.builder(
                Build(ORIGIN, Adjustments(), frozenset(c.name for c in t.columns), redact=frozenset({"community"}))
            ),
        )
        for t in TABLES
    ]
    for index, record in enumerate(LOGS.decode(message)):
        for table, make in builders:
            row = make(record, message, index)
            assert row is not None
            rows.append({"table": table.name, **readable(table, row)})
    return rows


@pytest.mark.parametrize("path", EXPECTED, ids=lambda path: f"{path.parent.name}-{stem(path)}")
def test_payload_becomes_its_rows(path: Path) -> None:
    """The payload becomes just the rows that are written down next to it, or the poison."""
    expected = json.loads(path.read_text())
    message = delivery(payload_of(path), expected["subject"])

    if "poison" in expected:
        with pytest.raises(Poison) as caught:
            rows_of(message)
        assert expected["poison"] == caught.value.reason
    else:
        assert expected["rows"] == rows_of(message)


def test_no_payload_is_without_expectation() -> None:
    """Every payload in the folders of logs has its rows written down."""
    payloads = {
        (folder, p.stem) for folder in (*FOLDERS, "logs_raw_inputs") for p in (DATA / folder).iterdir()
        if ".row." not in p.name
    }  # fmt: skip

    assert payloads == {(path.parent.name, stem(path)) for path in EXPECTED}


@pytest.mark.parametrize("path", [p for p in EXPECTED if "snmp_trap" in p.name], ids=stem)
def test_community_is_in_no_row(path: Path) -> None:
    """An SNMP community is stored nowhere, whatever is configured."""
    message = delivery(payload_of(path).replace(b'{"source"', b'{"community":"s3cret","source"', 1), "logs.snmp")

    assert "s3cret" not in repr(rows_of(message))
    assert "varbinds" in repr(rows_of(message))
