"""Rate limit of repeated log lines."""

import logging

from eventwriter.observe.logging import BURST, EVENTS_MAX, INTERVAL_S, LogRateLimiter

START_S = 1_700_000_000.0


def record(
    event: str = "nats error", at_s: float = 0.0, level: int = logging.WARNING, **extra: object
) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": event, "levelno": level, "created": START_S + at_s, **extra})


def limiter_after(*records: logging.LogRecord) -> LogRateLimiter:
    """Return a rate limiter that was asked about these records."""
    limiter = LogRateLimiter()
    for one in records:
        limiter.allows(one)
    return limiter


def test_burst_is_written_and_the_rest_summarized() -> None:
    """Of a hundred equal events the first few are written, and a summary at the end of the interval has the rest."""
    limiter = LogRateLimiter()

    written = [limiter.allows(record(at_s=n / 100, n=n)) for n in range(100)]
    summaries = list(limiter.summaries(START_S + INTERVAL_S))

    assert [True] * BURST + [False] * (100 - BURST) == written
    assert [(100 - BURST, 99)] == [(one.repeated, one.n) for one in summaries]  # type: ignore[attr-defined]


def test_continuing_event_costs_one_line_per_interval() -> None:
    """An event that never stops is written once per interval after its burst."""
    limiter = LogRateLimiter()
    lines = 0
    for tenth in range(600):
        lines += limiter.allows(record(at_s=tenth / 10))
        lines += len(list(limiter.summaries(START_S + tenth / 10)))

    assert BURST + 5 == lines


def test_event_after_a_quiet_interval_is_written() -> None:
    """An event that did not occur for an interval gets a new burst."""
    limiter = limiter_after(*[record()] * (BURST + 1))

    assert 1 == len(list(limiter.summaries(START_S + INTERVAL_S)))
    assert [] == list(limiter.summaries(START_S + 2 * INTERVAL_S))
    assert limiter.allows(record(at_s=30))


def test_slots_events_and_levels_are_limited_separately() -> None:
    """A repeated event of one slot suppresses no other slot, event or level."""
    limiter = limiter_after(*[record(slot="A/0")] * (BURST + 1))

    assert not limiter.allows(record(slot="A/0"))
    assert limiter.allows(record(slot="B/0"))
    assert limiter.allows(record("other", slot="A/0"))
    assert limiter.allows(record(level=logging.ERROR, slot="A/0"))


def test_debug_lines_are_not_limited() -> None:
    """All debug lines are written."""
    limiter = LogRateLimiter()

    assert all(limiter.allows(record(level=logging.DEBUG)) for _ in range(1000))


def test_memory_is_bounded() -> None:
    """The number of remembered events has a limit."""
    limiter = limiter_after(*[record(f"event {n}") for n in range(3 * EVENTS_MAX)])

    assert len(limiter._intervals) <= EVENTS_MAX


def test_clock_set_back_ends_the_interval() -> None:
    """A wall clock that is set back does not delay the summary."""
    limiter = limiter_after(*[record()] * (BURST + 1))

    assert 1 == len(list(limiter.summaries(START_S - 3600)))
