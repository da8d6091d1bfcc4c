"""
Every payload of traces and metrics, and the rows (or the poison) that it must become.

The expected rows (columns that are not NULL) lie next to the payloads. They differ from the
predecessors' where those were found wanting:

* `otlp_no_resource`: was skipped; its service is "unknown" now.
* `otlp_zero_time_empty_ids`: became a row of 1970, which retention drops; now it has the message's time.
* `otlp_two_spans`: attributes were `k=v` text without false, 0 and lists; now they are JSON.
* `json_span_snake`: its `timestamp` is not its start time; a span's timestamp is its start.
* `json_span_overflow`: beyond 2262 is no instant; the message's time, the nanoseconds at int8's end.
* `raw_otlp_all_types`: of two points with other attributes one was lost; exponential histograms and
  summaries gave nothing; a percentage was stored as milliseconds; a status code of 0 was dropped.
* `derived_perf_array`: three entries shared a key; the metric type is in it now.
* `derived_int_status_code`: a number where text belongs lost the whole array.
* `json_object_empty`: failed a whole batch; it has no field of a metric, so it is a dead letter.
"""

import json
from pathlib import Path

import pytest
from golden_rows import DATA
from rows_in_tables import filled, rows_in

from eventwriter.errors import Poison
from eventwriter.kinds.registry import KINDS

PAYLOADS = [
    p for kind in ("otel_metrics", "otel_traces") for p in sorted((DATA / kind).iterdir()) if ".row." not in p.name
]


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_payload_becomes_its_rows(payload: Path) -> None:
    """The payload becomes just the rows that are written down next to it, or the poison."""
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


def test_protobuf_and_json_of_one_export_make_the_same_rows() -> None:
    """Which encoding an export came in does not show in its rows."""
    table = KINDS["otel_traces"].tables[0]
    folder = DATA / "otel_traces"

    assert rows_in(table, "otel_traces", (folder / "otlp_two_spans.bin").read_bytes(), "s") == rows_in(
        table, "otel_traces", (folder / "otlp_json.json").read_bytes(), "s"
    )
