"""
Samples: each payload and the row that it becomes, column by column, the series' key included.

Where the predecessors did otherwise:

* `nul_in_tag`: one such sample stopped a whole batch; now U+0000 is U+FFFD.
* `value_non_numeric`, `empty_object`: became a measured 0; now they are dead letters.
* `invalid_json`: was acknowledged in silence; now it is a dead letter.
"""

import pytest
from golden_rows import DATA
from rows_in_tables import all_rows, expected

from eventwriter.errors import Poison

FOLDER, SUBJECT = DATA / "telemetry", "telemetry.metrics"


@pytest.mark.parametrize("name", ["snake_case", "camel_case", "millis_ts", "go_model", "huge_int_value", "nul_in_tag"])
def test_payload_becomes_its_row(name: str) -> None:
    """A sample becomes the row written beside it; columns that are not named there are NULL."""
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
    """What holds no measurement is a dead letter with its reason."""
    with pytest.raises(Poison) as caught:
        all_rows("telemetry", (FOLDER / name).read_bytes(), SUBJECT)

    assert reason == caught.value.reason
