"""Ratio of dead letters."""

import pytest

from eventwriter.pipeline.counters import DeadLetterRatio, lowest_ratio


def test_ratio_above_its_limit_gives_a_warning() -> None:
    """The warning has the ratio, the counts, the limit, and the command that lists the dead letters."""
    ratio = DeadLetterRatio()
    ratio.add(100.0, 900, 0)
    ratio.add(130.0, 300, 90)

    warning = ratio.warning(131.0, 0.05, "LOGS")

    assert (
        "7.5% of the messages of the last 60 s (90 of 1,200) became dead letters, more than dead_letter_share_max"
        " (0.05); see eventwriter-ctl dlq list --stream LOGS" == warning
    )


def test_ratio_at_its_limit_gives_no_warning() -> None:
    """A ratio equal to the limit is acceptable."""
    ratio = DeadLetterRatio()
    ratio.add(100.0, 1000, 50)

    assert ratio.warning(101.0, 0.05, "LOGS") is None


@pytest.mark.parametrize(
    ("dead", "messages", "warned"),
    [(22, 33, True), (3, 3, True), (2, 2, False), (3, 33, False), (5, 33, True), (1, 99, False), (99, 99, True)],
)
def test_few_messages_give_a_warning_only_if_conclusive(dead: int, messages: int, warned: bool) -> None:
    """With few messages, a warning needs several dead letters, and a ratio that chance does not explain."""
    ratio = DeadLetterRatio()
    ratio.add(100.0, messages, dead)

    assert warned == (ratio.warning(101.0, 0.05, "LOGS") is not None)


def test_proven_ratio_is_below_the_observed_one() -> None:
    """The ratio proven by few messages is lower than the observed ratio, and equal to it for many messages."""
    assert (0.5, 0.03) == (round(lowest_ratio(22, 33), 2), round(lowest_ratio(3, 33), 2))
    assert 0.05 == lowest_ratio(50, 1000)


def test_dead_letters_leave_the_window() -> None:
    """A minute after the last dead letter there is no warning."""
    ratio = DeadLetterRatio()
    ratio.add(100.0, 1000, 1000)
    ratio.add(150.0, 1000, 0)

    assert (2000, 1000) == ratio.counts(159.0)
    assert (1000, 0) == ratio.counts(161.0)
    assert ratio.warning(161.0, 0.05, "LOGS") is None


def test_memory_is_bounded() -> None:
    """Any number of batches is kept in a few slices of the window."""
    ratio = DeadLetterRatio()
    for n in range(100_000):
        ratio.add(n / 100, 1, 0)

    assert len(ratio._slices) <= 14
