"""
Every payload of traces and metrics, and the rows or the poison that it must become.

The expected rows, without NULL columns, are stored next to the payloads. They differ from those
of the predecessors where the predecessors were wrong:

* `otlp_no_resource`: was skipped; now its service is "unknown".
* `otlp_zero_time`: became a row of 1970, which retention drops; now it has the JetStream timestamp.
* `otlp_zero_time_empty_ids`: spans without identifiers shared a key; they are dead letters.
* `json_span_no_trace_id`: the same for a flat span.
* `otlp_two_spans`: attributes were `k=v` text without false, 0 and lists; now they are JSON.
* `json_span_snake`: its `timestamp` was not its start time; the timestamp of a span is its start.
* `json_span_overflow`: a time beyond 2262 is invalid; the row has the JetStream timestamp, and the largest
  int8 as nanoseconds.
* `raw_otlp_all_types`: of two points with different attributes one was lost; exponential histograms and
  summaries produced no rows; a percentage was stored as milliseconds; a status code of 0 was dropped.
* `derived_perf_array`: three entries shared a key, which now contains the metric type.
* `derived_int_status_code`: a number instead of text discarded the whole array.
* `json_object_empty`: failed a whole batch; without any field of a metric it is a dead letter.
"""

import json
from pathlib import Path

import pytest
from golden_rows import DATA
from table_rows import filled, rows_in

from eventwriter.errors import Poison
from eventwriter.kinds.registry import KINDS

PAYLOADS = [
    p for kind in ("otel_metrics", "otel_traces") for p in sorted((DATA / kind).iterdir()) if ".row." not in p.name
]


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_payload_becomes_its_rows(payload: Path) -> None:
    """Each payload becomes exactly the rows, or the poison, in the file next to it."""
    kind = payload.parent.name
    table = KINDS[kind].tables[0]
    expected = json.loads(payload.with_name(payload.stem + ".row.json").read_text())

    if "poison" in expected:
        with pytest.raises(Poison) as caught:
            rows_in(table, kind, payload.read_bytes(), expected["subject"])
        assert expected["poison"] == caught.value.reason
    else:
        rows = rows_in(table, kind, payload.read_bytes(), expected["subject"])
        assert expected["rows"] == [filled(table, row) for row in rows]


def test_protobuf_and_json_of_one_export_have_equal_rows() -> None:
    """The rows of an export do not depend on its encoding."""
    table = KINDS["otel_traces"].tables[0]
    folder = DATA / "otel_traces"

    assert rows_in(table, "otel_traces", (folder / "otlp_two_spans.bin").read_bytes(), "s") == rows_in(
        table, "otel_traces", (folder / "otlp_json.json").read_bytes(), "s"
    )
