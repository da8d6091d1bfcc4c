"""Durations."""

import math

import pytest

from eventwriter.config.durations import format_duration, parse_duration


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
        ("1 day", 1.0, 86400.0),
        ("90 minutes", 1.0, 5400.0),
        ("1 hour 30 minutes", 1.0, 5400.0),
        ("2 weeks", 1.0, 1_209_600.0),
    ],
)
def test_duration_is_parsed(value: object, unit_s: float, expected: float) -> None:
    """Text has its own units; a plain number has the unit of the key."""
    assert expected == parse_duration(value, unit_s)


@pytest.mark.parametrize("value", ["soon", "", "5 fortnights", "5mm", "minutes", "s", True, None, [5], "-"])
def test_other_value_is_refused(value: object) -> None:
    """A value that is neither text with units nor a number raises ValueError."""
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(value, 1.0)


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
def test_formatted_duration_can_be_parsed_again(duration_s: float, expected: str) -> None:
    """Formatting a duration and parsing the text returns the same duration."""
    assert (expected, duration_s) == (format_duration(duration_s), parse_duration(format_duration(duration_s), 1.0))


def test_infinite_duration_is_formatted_as_forever() -> None:
    """An infinite duration is the word that the configuration uses for it."""
    assert "forever" == format_duration(math.inf)
