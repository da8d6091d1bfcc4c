"""Tests of the severities of OCSF."""

import pytest

from eventwriter.formats.ocsf import SEVERITIES, severity_id_of, severity_name


@pytest.mark.parametrize(
    ("severity_id", "expected"), [*enumerate(SEVERITIES), (99, "Other"), (7, "Unknown"), (-1, "Unknown")]
)
def test_severity_id_has_a_name(severity_id: int, expected: str) -> None:
    """A severity id has the name of OCSF; an id that OCSF does not define is "Unknown"."""
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
def test_severity_name_has_an_id(word: str | None, expected: int | None) -> None:
    """The names of OCSF and of syslog have a severity id, in any case."""
    assert expected == severity_id_of(word)
