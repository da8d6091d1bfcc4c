"""Log lines that repeat."""

import logging

from eventwriter.observe.logging import BURST, EVENTS_MAX, INTERVAL_S, LogRateLimiter

START_S = 1_700_000_000.0


def record(
    event: str = "nats error", at_s: float = 0.0, level: int = logging.WARNING, **extra: object
) -> logging.LogRecord:
    fields = {"msg": event, "levelno": level, "created": START_S + at_s, **extra}
    return logging.makeLogRecord(fields)


def test_first_few_are_written_and_the_rest_counted() -> None:
    """Of a hundred equal events the first few are written; one more tells of the others at the interval's end."""
    repeats = LogRateLimiter()

    written = [repeats.admits(record(at_s=n / 100, n=n)) for n in range(100)]
    told = list(repeats.due(START_S + INTERVAL_S))

    assert [True] * BURST + [False] * (100 - BURST) == written
    assert [(100 - BURST, 99)] == [(one.repeated, one.n) for one in told]  # type: ignore[attr-defined]


def test_what_goes_on_is_told_once_an_interval() -> None:
    """An event that never ends costs one line an interval after the first few."""
    repeats = LogRateLimiter()
    lines = 0
    for tenth in range(600):
        lines += repeats.admits(record(at_s=tenth / 10))
        lines += len(list(repeats.due(START_S + tenth / 10)))

    assert BURST + 5 == lines


def test_what_ended_is_new_again() -> None:
    """After an interval without it, an event is written as at first."""
    repeats = LogRateLimiter()
    for _ in range(BURST + 1):
        repeats.admits(record())

    assert 1 == len(list(repeats.due(START_S + INTERVAL_S)))
    assert [] == list(repeats.due(START_S + 2 * INTERVAL_S))
    assert repeats.admits(record(at_s=30))


def test_slots_events_and_levels_do_not_share_a_count() -> None:
    """A slot that is noisy silences no other, and no other event of its own."""
    repeats = LogRateLimiter()
    for _ in range(BURST + 1):
        repeats.admits(record(slot="A/0"))

    assert not repeats.admits(record(slot="A/0"))
    assert repeats.admits(record(slot="B/0"))
    assert repeats.admits(record("other", slot="A/0"))
    assert repeats.admits(record(level=logging.ERROR, slot="A/0"))


def test_debug_lines_are_never_held_back() -> None:
    """Whoever asks for debug lines gets them all."""
    repeats = LogRateLimiter()

    assert all(repeats.admits(record(level=logging.DEBUG)) for _ in range(1000))


def test_memory_is_bounded() -> None:
    """Any number of different events is remembered up to a limit."""
    repeats = LogRateLimiter()
    for n in range(3 * EVENTS_MAX):
        repeats.admits(record(f"event {n}"))

    assert len(repeats._seen) <= EVENTS_MAX


def test_clock_that_goes_back_ends_the_interval() -> None:
    """A wall clock that is set back holds nothing back for longer than it is off."""
    repeats = LogRateLimiter()
    for _ in range(BURST + 1):
        repeats.admits(record())

    assert 1 == len(list(repeats.due(START_S - 3600)))
