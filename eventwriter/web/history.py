"""
The last fifteen minutes of each stream, in steps of five seconds, so that a page that is opened has a past. Pure.

Kept in the web child's memory only: bounded, and gone with it.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

STEP_S = 5
SPAN_S = 900
POINTS_MAX = SPAN_S // STEP_S

Picture = Mapping[str, Any]


@dataclass(slots=True)
class Past:
    """One stream's past: as many entries as the history has points."""

    messages_total: int
    """At the last point."""
    messages_per_s: deque[float | None] = field(default_factory=lambda: deque(maxlen=POINTS_MAX))
    lag_messages: deque[int | None] = field(default_factory=lambda: deque(maxlen=POINTS_MAX))


@dataclass(slots=True)
class History:
    """Written by the feed's task, once for each snapshot."""

    at_s: deque[int] = field(default_factory=lambda: deque(maxlen=POINTS_MAX))
    """Seconds since 1970 of each point, multiples of `STEP_S`."""
    streams: dict[str, Past] = field(default_factory=dict)

    def add(self, now_s: float, snapshot: Picture) -> bool:
        """
        Take in a snapshot; returns whether it made a point, which one in each step does.

        Args:
            now_s: Seconds since 1970.
        """
        at_s = int(now_s) // STEP_S * STEP_S
        if self.at_s and at_s <= self.at_s[-1]:
            return False
        passed_s = at_s - self.at_s[-1] if self.at_s else None
        self.at_s.append(at_s)
        groups = dict(by_stream(snapshot["slots"]))
        self.streams = {name: self.streams.get(name) or self._new(slots) for name, slots in groups.items()}
        for name, slots in groups.items():
            past, messages = self.streams[name], sum(slot["messages_total"] for slot in slots)
            moved = messages - past.messages_total
            # A smaller total is another daemon's, or a slot less.
            past.messages_per_s.append(round(moved / passed_s, 1) if passed_s and moved >= 0 else None)
            past.lag_messages.append(lag_messages(slots))
            past.messages_total = messages
        return True

    def all(self) -> dict[str, Any]:
        """Return everything, as the page gets it when it connects."""
        return {
            "step_s": STEP_S,
            "span_s": SPAN_S,
            "at_s": list(self.at_s),
            "streams": {
                name: {"messages_per_s": list(past.messages_per_s), "lag_messages": list(past.lag_messages)}
                for name, past in self.streams.items()
            },
        }

    def last(self) -> dict[str, Any]:
        """Return the newest point, in the same form."""
        return {
            "step_s": STEP_S,
            "span_s": SPAN_S,
            "at_s": [self.at_s[-1]],
            "streams": {
                name: {"messages_per_s": [past.messages_per_s[-1]], "lag_messages": [past.lag_messages[-1]]}
                for name, past in self.streams.items()
            },
        }

    def _new(self, slots: list[Picture]) -> Past:
        """Return the past of a stream that was not there: unknown, as far back as the history goes."""
        past = Past(sum(slot["messages_total"] for slot in slots))
        past.messages_per_s.extend([None] * (len(self.at_s) - 1))
        past.lag_messages.extend([None] * (len(self.at_s) - 1))
        return past


def by_stream(slots: Iterable[Picture]) -> Iterator[tuple[str, list[Picture]]]:
    """Yield each stream entry's name and its slots, in the snapshot's order."""
    groups: dict[str, list[Picture]] = {}
    for slot in slots:
        groups.setdefault(slot["name"].rpartition("/")[0], []).append(slot)
    yield from groups.items()


def lag_messages(slots: Iterable[Picture]) -> int | None:
    """Sum up a lag; slots that share a durable all report the same, which counts once. None while nobody knows it."""
    known = [slot for slot in slots if slot["lag_messages"] is not None]
    by_durable = {slot["durable"] or slot["name"]: slot["lag_messages"] for slot in known}
    return sum(by_durable.values()) if known else None
