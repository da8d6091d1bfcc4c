"""The share of messages that die."""

from eventwriter.pipeline.counters import DeadLetterRatio


def test_share_beyond_its_limit_is_said_with_figures() -> None:
    """The sentence has share, numbers, setting, and where to look."""
    share = DeadLetterRatio()
    share.add(100.0, 900, 0)
    share.add(130.0, 300, 90)

    said = share.warning(131.0, 0.05, "LOGS")

    assert (
        "7.5% of the messages of the last 60 s (90 of 1,200) became dead letters, more than dead_letter_share_max"
        " (0.05); see eventwriter-ctl dlq list --stream LOGS" == said
    )


def test_share_within_its_limit_is_nothing() -> None:
    """Just the limit is not beyond it."""
    share = DeadLetterRatio()
    share.add(100.0, 1000, 50)

    assert share.warning(101.0, 0.05, "LOGS") is None


def test_few_messages_are_no_share() -> None:
    """A quiet stream's one bad message is no alarm."""
    share = DeadLetterRatio()
    share.add(100.0, 99, 99)

    assert share.warning(101.0, 0.05, "LOGS") is None


def test_what_is_over_is_forgotten() -> None:
    """A minute after the last dead letter the stream is well again."""
    share = DeadLetterRatio()
    share.add(100.0, 1000, 1000)
    share.add(150.0, 1000, 0)

    assert (2000, 1000) == share.counts(159.0)
    assert (1000, 0) == share.counts(161.0)
    assert share.warning(161.0, 0.05, "LOGS") is None


def test_memory_does_not_grow_with_batches() -> None:
    """However many batches there are, a few slices hold them."""
    share = DeadLetterRatio()
    for n in range(100_000):
        share.add(n / 100, 1, 0)

    assert len(share._slices) <= 14
