"""A counter's rise within the last hour."""

from eventwriter.supervisor.slot import STEP_S, WINDOW_S, Recent


def test_everything_counts_within_the_first_hour() -> None:
    """What was counted since the start is recent until an hour has passed."""
    recent = Recent()
    for second in range(0, 600, 10):
        recent.see(1000.0 + second, 5)
    recent.see(1700.0, 8)

    assert 8 == recent.risen()


def test_what_is_older_than_an_hour_is_forgotten() -> None:
    """A rise stops to count between an hour and an hour and a minute after it."""
    recent = Recent()
    recent.see(0.0, 0)
    recent.see(5.0, 100)
    for second in range(10, int(WINDOW_S - STEP_S), 10):
        recent.see(float(second), 100)
    before = recent.risen()
    for second in range(int(WINDOW_S), int(WINDOW_S + 2 * STEP_S + 10), 10):
        recent.see(float(second), 103)

    assert (100, 3) == (before, recent.risen())


def test_memory_is_bounded() -> None:
    """A counter that is seen every second for a day is remembered in some sixty marks."""
    recent = Recent()
    for second in range(86_400):
        recent.see(float(second), second)

    assert len(recent._marks) <= WINDOW_S / STEP_S + 2
    assert WINDOW_S - STEP_S <= recent.risen() <= WINDOW_S + STEP_S + 1
