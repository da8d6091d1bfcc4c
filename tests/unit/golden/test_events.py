"""
Every payload of events, and the rows or the poison that it must become.

The expected rows are stored next to the payloads. They differ from those of the predecessors
where the predecessors were wrong:

* `minimal_defaults`, `gateway_health`: no copy of the payload in `raw_data` (it cost 65 to 160 GB);
  absent JSON is `{}` or `[]`, never NULL; the name of the severity and `log_name` are set; metadata
  has all four fields.
* `non_uuid_id`: one such id blocked a whole batch; now the id is replaced by a UUIDv5, and the original is kept.
* `missing_required`, `invalid_json`: were acknowledged silently, or became a row with the id '',
  which the next such message replaced; now they are dead letters.
"""

import json
from pathlib import Path

import pytest
from golden_rows import DATA, delivery, readable, rows_of

from eventwriter.errors import Poison

EXPECTED = sorted(
    [
        *(DATA / "events_ocsf").glob("*.row.json"),
        *(DATA / "events_cloudevents_gelf").glob("*.row.json"),
        *(DATA / "logs_raw_inputs").glob("*.events.row.json"),
    ]
)


@pytest.mark.parametrize("path", EXPECTED, ids=lambda path: path.name.partition(".")[0])
def test_payload_becomes_its_rows(path: Path) -> None:
    """Each payload becomes exactly the rows, or the poison, in the file next to it."""
    expected = json.loads(path.read_text())
    [payload] = [p for p in path.parent.iterdir() if p.name in (f"{stem(path)}.json", f"{stem(path)}.bin")]
    message = delivery(payload.read_bytes(), expected["subject"])

    if "poison" in expected:
        with pytest.raises(Poison) as caught:
            rows_of("events", message)
        assert expected["poison"] == caught.value.reason
    else:
        assert expected["rows"] == [
            {"table": table.name, **readable(table, row)} for table, row in rows_of("events", message)
        ]


def stem(path: Path) -> str:
    return path.name.partition(".")[0]


def test_every_payload_has_expected_rows() -> None:
    """Every payload in the folders of events has a file of expected rows."""
    folders = ("events_ocsf", "events_cloudevents_gelf", "logs_raw_inputs")
    payloads = {p.stem for folder in folders for p in (DATA / folder).iterdir() if ".row." not in p.name}

    assert payloads == {stem(path) for path in EXPECTED}
