"""
Which share of a stream's messages died lately: where it is large, the publisher or the table has gone wrong.

Counted in a window of its own, because a total forgets nothing: a stream that was
well for a month would hide a publisher that sends nothing but garbage since an hour.
"""

from collections import deque

WINDOW_S = 60.0
"""Long enough that one bad batch is no alarm, short enough to see the end of it."""
MESSAGES_MIN = 100
"""Of fewer messages a share says nothing."""
_SLICE_S = 5.0
"""The window moves in steps of this."""


class DeadShare:
    """The messages of the last minute and how many of them died; once per batch, in the worker's event loop."""

    def __init__(self) -> None:
        self._slices: deque[list[float]] = deque()
        """[when it began, messages, dead ones], oldest first."""

    def add(self, now_s: float, messages: int, dead: int) -> None:
        """
        Count a settled batch.

        Args:
            now_s: Monotonic seconds.
        """
        if not self._slices or now_s - self._slices[-1][0] >= _SLICE_S:
            self._slices.append([now_s, 0, 0])
        self._slices[-1][1] += messages
        self._slices[-1][2] += dead
        self._forget(now_s)

    def counts(self, now_s: float) -> tuple[int, int]:
        """Return the window's messages, and the dead ones among them."""
        self._forget(now_s)
        return int(sum(s[1] for s in self._slices)), int(sum(s[2] for s in self._slices))

    def sentence(self, now_s: float, share_max: float, stream: str) -> str | None:
        """
        Say that too many die, None where it is not so.

        Args:
            share_max: From 0 to 1: what is not too many.
            stream: The entry's name, as `eventwriter-ctl dlq` wants it.
        """
        messages, dead = self.counts(now_s)
        if messages < MESSAGES_MIN or dead <= share_max * messages:
            return None
        return (
            f"{dead / messages:.1%} of the messages of the last {WINDOW_S:g} s ({dead:,} of {messages:,}) became"
            f" dead letters, more than dead_letter_share_max ({share_max:.3g}); see eventwriter-ctl dlq list"
            f" --stream {stream}"
        )

    def _forget(self, now_s: float) -> None:
        while self._slices and now_s - self._slices[0][0] > WINDOW_S:
            self._slices.popleft()
