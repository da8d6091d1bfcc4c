"""Words of OCSF."""

import pytest

from eventwriter.formats.ocsf import SEVERITIES, severity_id_of, severity_name


@pytest.mark.parametrize(
    ("severity_id", "expected"), [*enumerate(SEVERITIES), (99, "Other"), (7, "Unknown"), (-1, "Unknown")]
)
def test_every_number_has_a_name(severity_id: int, expected: str) -> None:
    """A severity's number has OCSF's name; numbers that OCSF does not know are Unknown."""
    assert expected == severity_name(severity_id)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("Critical", 5),
        (" HIGH ", 4),
        ("err", 4),
        ("notice", 2),
        ("unknown", 0),
        ("odd", None),
        ("", None),
        (None, None),
    ],
)
def test_words_mean_numbers(word: str | None, expected: int | None) -> None:
    """OCSF's and syslog's words mean a severity's number, in any case."""
    assert expected == severity_id_of(word)
