"""
Samples: each payload and its row, column by column, including the key of the series.

The rows differ from those of the predecessors:

* `nul_in_tag`: one such sample blocked a whole batch; now U+0000 becomes U+FFFD.
* `value_non_numeric`, `empty_object`: became a measured value of 0; now they are dead letters.
* `invalid_json`: was acknowledged silently; now it is a dead letter.
"""

import pytest
from golden_rows import DATA
from table_rows import all_rows, expected

from eventwriter.errors import Poison

FOLDER, SUBJECT = DATA / "telemetry", "telemetry.metrics"


@pytest.mark.parametrize("name", ["snake_case", "camel_case", "millis_ts", "go_model", "huge_int_value", "nul_in_tag"])
def test_payload_becomes_its_row(name: str) -> None:
    """A sample becomes the row given here; columns not named there are NULL."""
    payload = FOLDER / f"{name}.json"

    assert expected(payload) == all_rows("telemetry", payload.read_bytes(), SUBJECT)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("value_non_numeric.json", "bad_value"),
        ("empty_object.json", "missing_field"),
        ("invalid_json.bin", "malformed"),
    ],
)
def test_payload_is_poison(name: str, reason: str) -> None:
    """A payload without a measurement becomes a dead letter with its reason."""
    with pytest.raises(Poison) as caught:
        all_rows("telemetry", (FOLDER / name).read_bytes(), SUBJECT)

    assert reason == caught.value.reason
