"""A slot's durable: is it as wished, and does it get anything; pure, from CONSUMER.INFO and STREAM.INFO."""

from collections.abc import Mapping, Sequence
from typing import Any

from eventwriter.admin.doctor.findings import Finding, Reporter
from eventwriter.jetstream.api import instant_ns
from eventwriter.jetstream.consumer import FIXED, ConsumerSpec, differences
from eventwriter.jetstream.stream_stats import FAIL_SHARE, WARN_SHARE, Backlog, growth, limit_usages
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


def judge_backlog(voice: Reporter, info: Mapping[str, Any], found: Backlog) -> Finding:
    """Say how long it takes until the oldest unread message is dropped."""
    unread = max(1, info["state"]["last_seq"] - found.first_seq + 1)
    said = f"the oldest unread message is {span(found.age_s)} old, {unread:,} sequences from the stream's end"
    closest = next(iter(limit_usages(info["config"], info["state"], found)), None)
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


Info = Mapping[str, Any]


def consumer_findings(
    voice: Reporter, wish: ConsumerSpec, info: dict[str, Any] | None, retention: str, running: bool
) -> list[Finding]:
    """
    Hold a consumer against the wish for it.

    Args:
        info: CONSUMER.INFO; None where there is no consumer.
        retention: The stream's.
        running: Whether a daemon here runs the slot.
    """
    if info is None:
        return [_missing(voice, wish, retention, running)]
    config = info["config"]
    different = differences(wish.config(), config)
    fixed = {key: pair for key, pair in different.items() if key in FIXED}
    if fixed:
        hint = "give the entry another durable, or remove the consumer yourself: the ledger knows what is written"
        return [voice.fail(f"{wish.durable}: {_told(fixed)}; NATS cannot change that", hint)]
    found = []
    if different:
        hint = "restart the slot: it sets them as the configuration says"
        found.append(voice.warn(f"{wish.durable} differs: {_told(different)}", hint))
    if info.get("paused"):
        found.append(voice.fail(f"{wish.durable} is paused", f"nats consumer resume {wish.stream} {wish.durable}"))
    if config.get("inactive_threshold"):
        hint = "take inactive_threshold away (nats consumer edit)"
        found.append(voice.warn(f"{wish.durable} is deleted by NATS when nobody pulls for a while", hint))
    return found or [voice.ok(f"{wish.durable}, as configured")]


def _missing(voice: Reporter, wish: ConsumerSpec, retention: str, running: bool) -> Finding:
    said = f"{wish.durable} does not exist"
    if running:
        return voice.fail(f"{said}, though the daemon runs", "see eventwriter-ctl status for what it waits for")
    if retention == "interest":
        hint = "start the daemon, which makes it, before anything is published"
        return voice.fail(f"{said}, and an interest stream drops what nobody consumes", hint)
    return voice.warn(f"{said}", "the daemon makes it when it starts, and begins where the ledger ends")


def _told(different: Mapping[str, tuple[Any, Any]]) -> str:
    return ", ".join(f"{key} is {found!r}, wanted {wanted!r}" for key, (found, wanted) in different.items())


def delivery_findings(
    voice: Reporter, consumers: Sequence[Info | None], streams: Sequence[Info], slot: Mapping[str, Any] | None
) -> list[Finding]:
    """
    Say whether messages come.

    Args:
        consumers, streams: Two looks at each.
        slot: What the running daemon says of the slot; None where none runs it.
    """
    before, after = consumers[0], consumers[-1]
    if before is None or after is None:
        return [voice.skip("there is no consumer")]
    taken = after["delivered"]["consumer_seq"] - before["delivered"]["consumer_seq"]
    waiting, unanswered = after["num_pending"], after["num_ack_pending"]
    said = f"{waiting:,} pending, {unanswered:,} unacknowledged"
    if not taken and waiting:
        return [_standing(voice, said, after, slot)]
    state = streams[-1]["state"]
    if not after["delivered"]["consumer_seq"] and not waiting and state["messages"]:
        return [
            voice.warn(
                f"none of the stream's {state['messages']:,} messages matches the filter, and none ever was delivered",
                "compare the subjects with nats stream subjects; a stream that transforms stores other ones",
            )
        ]
    grown = state["last_seq"] - streams[0]["state"]["last_seq"]
    return [voice.ok(f"{said}; {taken:,} delivered while the stream grew by {grown:,}")]


def _standing(voice: Reporter, said: str, info: Info, slot: Mapping[str, Any] | None) -> Finding:
    if slot is None:
        return voice.warn(f"{said}, and nobody takes them: no daemon runs this slot here", "start it: eventwriter run")
    most = info["config"].get("max_ack_pending") or -1
    if 0 < most <= info["num_ack_pending"]:
        hint = "PostgreSQL is slow or away: see eventwriter-ctl status"
        return voice.fail(f"{said}: as many as may be unanswered are, so nothing more is delivered", hint)
    why = f" ({slot['reason']})" if slot.get("reason") else ""
    pulls = info.get("num_waiting", 0)
    asked = "it asks, and gets nothing" if pulls else "it does not ask"
    return voice.fail(
        f"{said}, and the worker takes none{why}: {asked}", "eventwriter-ctl status, then restart the slot"
    )
