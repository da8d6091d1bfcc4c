"""Sweeps: each payload and its rows in every form of the table, column by column."""

import pytest
from golden_rows import DATA
from table_rows import all_rows, expected

from eventwriter.errors import Poison

FOLDER, SUBJECT = DATA / "sweep", "sweep.results"


@pytest.mark.parametrize(
    "name",
    [
        # Upstream lost packet loss, scan results, first_seen, partition and metadata: they are in unmapped here.
        "full_snake.json",
        # Upstream turned an explicit icmp_available false into NULL: false is a value.
        "camel_case.json",
        # Upstream's batch failed on a list: an array is each of its objects.
        "array.json",
        # Our own: lists as JSON text, junk ports, ports that only the scan's results call open, a zero time of Go's.
        "many_ports.json",
    ],
)
def test_payload_becomes_its_rows(name: str) -> None:
    """A sweep becomes the rows given here; columns not named there are NULL."""
    payload = FOLDER / name

    # Compared as text, because NaN is not equal to itself.
    assert repr(expected(payload)) == repr(all_rows("sweep", payload.read_bytes(), SUBJECT))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        # Upstream acknowledged both as if they were written.
        ("invalid_json.bin", "malformed"),
        ("missing_required.json", "missing_field"),
    ],
)
def test_payload_is_poison(name: str, reason: str) -> None:
    """A payload without a host becomes a dead letter with its reason."""
    with pytest.raises(Poison) as caught:
        all_rows("sweep", (FOLDER / name).read_bytes(), SUBJECT)

    assert reason == caught.value.reason
