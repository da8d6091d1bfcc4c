"""How close unread messages are to being dropped; pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from eventwriter.doctor.findings import Finding, Voice
from eventwriter.jetstream.api import instant_ns
from eventwriter.jetstream.limits import FAIL_SHARE, WARN_SHARE, Backlog, growth, pressures
from eventwriter.model import Message


def backlog_of(infos: Sequence[Mapping[str, Any]], oldest: Message, span_s: float, now_ns: int) -> Backlog:
    """
    Measure what is unread.

    Args:
        infos: Two STREAM.INFO answers.
        oldest: The oldest unread message.
        span_s: Seconds between the answers.
    """
    before, after = infos[0]["state"], infos[-1]["state"]
    lived_s = (instant_ns(after["last_ts"]) - instant_ns(after["first_ts"])) / 1e9
    messages_per_s, bytes_per_s = growth(before, after, span_s, lived_s)
    return Backlog(
        oldest.stream_seq, max(0.0, (now_ns - oldest.timestamp_ns) / 1e9), messages_per_s, bytes_per_s
    )  # fmt: skip


def judge_backlog(voice: Voice, info: Mapping[str, Any], found: Backlog) -> Finding:
    """Say how long it takes until the oldest unread message is dropped."""
    unread = max(1, info["state"]["last_seq"] - found.first_seq + 1)
    said = f"the oldest unread message is {span(found.age_s)} old, {unread:,} sequences from the stream's end"
    closest = next(iter(pressures(info["config"], info["state"], found)), None)
    if closest is None:
        return voice.ok(f"{said}; no limit drops it")
    end = "never at this rate" if closest.left_s == float("inf") else f"in {span(closest.left_s)}"
    said = f"{said}; {closest.limit} drops it {end} ({closest.share:.0%} used up)"
    if closest.share < WARN_SHARE:
        return voice.ok(said)
    hint = (
        f"raise the stream's {closest.limit} (nats stream edit), and see why the backlog grows: eventwriter-ctl status"
    )
    return (voice.fail if closest.share >= FAIL_SHARE else voice.warn)(said, hint)


def span(value_s: float) -> str:
    """Return a duration in one unit that a person reads."""
    for unit_s, name in ((86400, "days"), (3600, "h"), (60, "min")):
        if value_s >= 2 * unit_s:
            return f"{value_s / unit_s:,.1f} {name}"
    return f"{value_s:.1f} s"
