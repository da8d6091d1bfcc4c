"""
Rates and lags of the last fifteen minutes, in steps of five seconds, for dashboards that are opened later; pure.

The web child keeps them in memory only: they are bounded, and lost when it exits.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

STEP_S = 5
SPAN_S = 900
POINTS_MAX = SPAN_S // STEP_S

SlotSnapshot = Mapping[str, Any]
"""One slot of the supervisor's snapshot."""


@dataclass(slots=True)
class Series:
    """
    Series of one stream, with one value for each point of the history.

    Attributes:
        messages_total: Counter at the newest point.
    """

    messages_total: int
    messages_per_s: deque[float | None] = field(default_factory=lambda: deque(maxlen=POINTS_MAX))
    lag_messages: deque[int | None] = field(default_factory=lambda: deque(maxlen=POINTS_MAX))


@dataclass(slots=True)
class History:
    """
    The last fifteen minutes of all streams. Written by the poller's task, once per snapshot.

    Attributes:
        at_s: Seconds since 1970 of each point, multiples of `STEP_S`.
        streams: Series by the name of the stream entry.
    """

    at_s: deque[int] = field(default_factory=lambda: deque(maxlen=POINTS_MAX))
    streams: dict[str, Series] = field(default_factory=dict)

    def add(self, now_s: float, snapshot: Mapping[str, Any]) -> bool:
        """
        Add a snapshot; return whether it became a point, which the first one in each step does.

        Args:
            now_s: Seconds since 1970.
        """
        at_s = int(now_s) // STEP_S * STEP_S
        if self.at_s and at_s <= self.at_s[-1]:
            return False
        elapsed_s = at_s - self.at_s[-1] if self.at_s else None
        self.at_s.append(at_s)
        groups = dict(by_stream(snapshot["slots"]))
        self.streams = {name: self.streams.get(name) or self._new_series(slots) for name, slots in groups.items()}
        for name, slots in groups.items():
            series, messages = self.streams[name], sum(slot["messages_total"] for slot in slots)
            added = messages - series.messages_total
            # The total shrinks if the daemon was restarted or a slot was removed.
            series.messages_per_s.append(round(added / elapsed_s, 1) if elapsed_s and added >= 0 else None)
            series.lag_messages.append(lag_messages(slots))
            series.messages_total = messages
        return True

    def to_dict(self, points: int = POINTS_MAX) -> dict[str, Any]:
        """
        Return the newest points in the form that the page expects.

        Args:
            points: How many; all by default.
        """
        return {
            "step_s": STEP_S,
            "span_s": SPAN_S,
            "at_s": list(self.at_s)[-points:],
            "streams": {
                name: {
                    "messages_per_s": list(series.messages_per_s)[-points:],
                    "lag_messages": list(series.lag_messages)[-points:],
                }
                for name, series in self.streams.items()
            },
        }

    def _new_series(self, slots: list[SlotSnapshot]) -> Series:
        """Return the series of a new stream, with unknown values at all earlier points."""
        series = Series(sum(slot["messages_total"] for slot in slots))
        series.messages_per_s.extend([None] * (len(self.at_s) - 1))
        series.lag_messages.extend([None] * (len(self.at_s) - 1))
        return series


def by_stream(slots: Iterable[SlotSnapshot]) -> Iterator[tuple[str, list[SlotSnapshot]]]:
    """Yield the name of each stream entry with its slots, in the order of the snapshot."""
    groups: dict[str, list[SlotSnapshot]] = {}
    for slot in slots:
        groups.setdefault(slot["name"].rpartition("/")[0], []).append(slot)
    yield from groups.items()


def lag_messages(slots: Iterable[SlotSnapshot]) -> int | None:
    """Return the lag of several slots, with that of a shared durable counted once; None if no slot knows its lag."""
    known = [slot for slot in slots if slot["lag_messages"] is not None]
    by_durable = {slot["durable"] or slot["name"]: slot["lag_messages"] for slot in known}
    return sum(by_durable.values()) if known else None
