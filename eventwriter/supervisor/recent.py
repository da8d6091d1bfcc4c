"""How much a counter rose within the last hour, remembered by the minute. Pure."""

from collections import deque

WINDOW_S = 3600.0
STEP_S = 60.0


class Recent:
    """Written by whoever owns the counter; a few dozen numbers, however often it is seen."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque([(float("-inf"), 0)])
        self._total = 0

    def see(self, now_s: float, total: int) -> None:
        """
        Note where the counter stands.

        Args:
            now_s: Monotonic seconds.
            total: Never less than before.
        """
        if now_s - self._marks[-1][0] >= STEP_S:
            self._marks.append((now_s, self._total))
        self._total = total
        while len(self._marks) > 1 and self._marks[1][0] <= now_s - WINDOW_S:
            self._marks.popleft()

    def risen(self) -> int:
        """Return by how much it rose within the hour before it was last seen, to a minute exactly."""
        return self._total - self._marks[0][1]
