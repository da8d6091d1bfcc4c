"""Durations."""

import pytest

from eventwriter.config.durations import seconds, shown


@pytest.mark.parametrize(
    ("value", "unit_s", "expected"),
    [
        ("30s", 1.0, 30.0),
        ("1m30s", 1.0, 90.0),
        ("500ms", 1.0, 0.5),
        ("1h", 1e-9, 3600.0),
        (30_000_000_000, 1e-9, 30.0),
        (1000, 1e-3, 1.0),
        ("1000", 1e-3, 1.0),
        (0.1, 1.0, 0.1),
    ],
)
def test_durations_are_read(value: object, unit_s: float, expected: float) -> None:
    """Text has its own units; a plain number counts what the key says, Go's nanoseconds among it."""
    assert expected == seconds(value, unit_s)


@pytest.mark.parametrize("value", ["soon", "", "5 minutes", "s", True, None, [5], "-"])
def test_what_is_no_duration_is_refused(value: object) -> None:
    """The refusal shows how a duration is written."""
    with pytest.raises(ValueError, match="write a duration"):
        seconds(value, 1.0)


@pytest.mark.parametrize(
    ("duration_s", "expected"),
    [
        (30.0, "30s"),
        (0.25, "250ms"),
        (90.0, "90s"),
        (120.0, "2m"),
        (7200.0, "2h"),
        (1.5, "1500ms"),
        (0.0, "0s"),
        (604800.0, "7d"),
    ],
)
def test_shown_duration_reads_back(duration_s: float, expected: str) -> None:
    """What is shown is the same duration again."""
    assert (expected, duration_s) == (shown(duration_s), seconds(shown(duration_s), 1.0))
