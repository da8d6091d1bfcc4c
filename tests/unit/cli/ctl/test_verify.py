"""What `verify` is asked, read from the command line."""

import click
import pytest

from eventwriter.admin.verify.judge import SEQ_MAX
from eventwriter.cli.ctl.verify import parse_range, select_slots
from eventwriter.config.settings import Settings, StreamSettings
from eventwriter.errors import Fatal


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, (1, SEQ_MAX)),
        ("100-200", (100, 201)),
        ("100-", (100, SEQ_MAX)),
        ("-200", (1, 201)),
        ("100", (100, 101)),
        ("1_000-2,000", (1000, 2001)),
    ],
)
def test_range_is_read(text: str | None, expected: tuple[int, int]) -> None:
    """A range is written with both ends, with one, or as one sequence; its end belongs to it."""
    assert expected == parse_range(text)


@pytest.mark.parametrize("text", ["", "-", "a-b", "9-3", "0-5", "1-2-3"])
def test_what_is_no_range_is_refused(text: str) -> None:
    """Anything else is the caller's mistake."""
    with pytest.raises(click.UsageError):
        parse_range(text)


def settings() -> Settings:
    """Return two entries on one stream and one on another."""
    given = [("A", "one"), ("B", "one"), ("C", "two")]
    entries = [StreamSettings(name=n, stream_name=s, subjects=(f"{n}.>",), kind="telemetry") for n, s in given]
    return Settings(streams=tuple(entries))


@pytest.mark.parametrize(
    ("names", "expected"),
    [((), "A B C"), (("one",), "A B"), (("C",), "C"), (("B/0", "one"), "B A")],
)
def test_names_mean_entries_streams_and_slots(names: tuple[str, ...], expected: str) -> None:
    """A name means an entry, all entries of a JetStream stream, or one slot; none means all."""
    assert expected.split() == [slot.stream for slot in select_slots(settings(), names)]


def test_unknown_name_is_refused_with_the_known_ones() -> None:
    """A name that means nothing is a mistake, and what there is is said."""
    with pytest.raises(Fatal, match=r"'X' is neither an enabled stream entry .* A \(of one\)"):
        select_slots(settings(), ("X",))
