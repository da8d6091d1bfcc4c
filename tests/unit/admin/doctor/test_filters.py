"""An entry's subjects against its stream's, and versions against needs."""

from typing import Any

import pytest

from eventwriter.admin.doctor.filters import Stored, lacking, stored, uncovered


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"subjects": ["a.>"]}, Stored(("a.>",), ("a.>",), False)),
        ({"mirror": {"name": "M"}}, Stored((), (), True)),
        (
            {"subjects": ["t.*", "x"], "subject_transform": {"src": "t.*", "dest": "p.{{partition(4,1)}}.$1"}},
            Stored(("p.*.*", "x"), ("t.*", "x"), False),
        ),
        (
            {"subjects": ["t.>"], "subject_transform": {"src": "", "dest": "part.{{random(4)}}.>"}},
            Stored(("part.*.>",), ("t.>",), False),
        ),
    ],
    ids=["plain", "mirror", "transformed", "all transformed"],
)  # fmt: skip
def test_what_a_stream_stores(config: dict[str, Any], expected: Stored) -> None:
    """A stream stores its subjects, as its transformation makes them; a mirror's are not known."""
    assert expected == stored(config)


@pytest.mark.parametrize(
    ("filters", "subjects", "expected"),
    [
        (["a.b"], ["a.>"], ([], [])),
        (["a.>"], ["a.b", "a.c"], ([], ["a.>"])),
        (["x", "a.b"], ["a.>"], (["x"], [])),
        (["x"], [], (["x"], [])),
    ],
)
def test_filters_that_match_nothing_or_a_part(
    filters: list[str], subjects: list[str], expected: tuple[list[str], list[str]]
) -> None:
    """Filters that no stored subject matches are told from those of which a part is stored."""
    assert expected == uncovered(filters, subjects)


@pytest.mark.parametrize(("version", "count"), [((2, 8), 3), ((2, 9), 2), ((2, 10), 1), ((2, 12), 0), ((3, 0), 0)])
def test_older_servers_lack_more(version: tuple[int, int], count: int) -> None:
    """What came with a later version is lacking."""
    assert count == len(lacking(version))
