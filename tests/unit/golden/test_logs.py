"""
Every payload of logs, and the rows of both tables or the poison that it must become.

The expected rows are stored next to the payloads. They differ from those of the predecessors
where the predecessors were wrong:

* Severity: the `severity_number` of the payload is kept (it was recomputed from the text, and INFO became 11);
  the text is kept; a GELF level becomes the OpenTelemetry number; an unknown severity is NULL.
* Missing text is NULL, not ''; the observed time defaults to the message's JetStream timestamp, not to now.
* `camel_case`: severityText and serviceName are columns, not attributes.
* `ts_*`, `syslog_gelf_processed`: times keep their microseconds and may be floats or lack an offset;
  invalid ones become the message's JetStream timestamp.
* `otel_zen_array`, `otel_zen_empty_array`: the elements are records (one of the writers dropped them); an empty
  array is no error.
* `nul_escape`, `huge_ints`: are cleaned and kept; they blocked a whole batch or were dropped.
* `no_resource`: records without a resource become rows; one of the writers skipped them.
* `single`: attributes are JSON with values of all types, not `k=v` text without falsy values.
* `invalid_utf8`, `invalid_json`, `json_null`, `scalar_string`, `empty_payload`, `garbage`: were acknowledged
  silently; now they are dead letters.
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
    """Each payload becomes exactly the rows, or the poison, in the file next to it."""
    expected = json.loads(path.read_text())
    message = delivery(payload_of(path), expected["subject"])

    if "poison" in expected:
        with pytest.raises(Poison) as caught:
            rows_of(message)
        assert expected["poison"] == caught.value.reason
    else:
        assert expected["rows"] == rows_of(message)


def test_every_payload_has_expected_rows() -> None:
    """Every payload in the folders of logs has a file of expected rows."""
    payloads = {
        (folder, p.stem) for folder in (*FOLDERS, "logs_raw_inputs") for p in (DATA / folder).iterdir()
        if ".row." not in p.name
    }  # fmt: skip

    assert payloads == {(path.parent.name, stem(path)) for path in EXPECTED}


@pytest.mark.parametrize("path", [p for p in EXPECTED if "snmp_trap" in p.name], ids=stem)
def test_snmp_community_is_never_stored(path: Path) -> None:
    """An SNMP community is in no row, whatever the configuration."""
    message = delivery(payload_of(path).replace(b'{"source"', b'{"community":"s3cret","source"', 1), "logs.snmp")

    assert "s3cret" not in repr(rows_of(message))
    assert "varbinds" in repr(rows_of(message))
