"""Checks of a slot's consumer and backlog, from CONSUMER.INFO and STREAM.INFO. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from eventwriter.admin.doctor.findings import Finding, Reporter
from eventwriter.jetstream.api import instant_ns
from eventwriter.jetstream.consumer import FIXED, ConsumerSpec, differences
from eventwriter.jetstream.stream_stats import FAIL_SHARE, WARN_SHARE, Backlog, growth, limit_usages
from eventwriter.model import Message


def backlog_of(infos: Sequence[Mapping[str, Any]], oldest: Message, span_s: float, now_ns: int) -> Backlog:
    """
    Return the backlog of unread messages.

    Args:
        infos: Two answers to STREAM.INFO.
        oldest: Oldest unread message.
        span_s: Seconds between the answers.
        now_ns: Current time, nanoseconds since 1970.
    """
    before, after = infos[0]["state"], infos[-1]["state"]
    age_s = (instant_ns(after["last_ts"]) - instant_ns(after["first_ts"])) / 1e9
    messages_per_s, bytes_per_s = growth(before, after, span_s, age_s)
    return Backlog(
        oldest.stream_seq, max(0.0, (now_ns - oldest.timestamp_ns) / 1e9), messages_per_s, bytes_per_s
    )  # fmt: skip


def backlog_finding(report: Reporter, info: Mapping[str, Any], found: Backlog) -> Finding:
    """Check how long it takes until a limit drops the oldest unread message."""
    unread = max(1, info["state"]["last_seq"] - found.first_seq + 1)
    message = f"the oldest unread message is {span(found.age_s)} old, {unread:,} sequences from the end of the stream"
    closest = next(iter(limit_usages(info["config"], info["state"], found)), None)
    if closest is None:
        return report.ok(f"{message}; no limit drops it")
    end = "never at this rate" if closest.left_s == float("inf") else f"in {span(closest.left_s)}"
    message = f"{message}; {closest.limit} drops it {end} ({closest.share:.0%} of the limit used)"
    if closest.share < WARN_SHARE:
        return report.ok(message)
    hint = f"raise {closest.limit} of the stream (nats stream edit), and see eventwriter-ctl status for the cause"
    return (report.fail if closest.share >= FAIL_SHARE else report.warn)(message, hint)


def span(value_s: float) -> str:
    """Return a duration in a readable unit."""
    for unit_s, name in ((86400, "days"), (3600, "h"), (60, "min")):
        if value_s >= 2 * unit_s:
            return f"{value_s / unit_s:,.1f} {name}"
    return f"{value_s:.1f} s"


Info = Mapping[str, Any]


def consumer_findings(
    report: Reporter, spec: ConsumerSpec, info: dict[str, Any] | None, retention: str, running: bool
) -> list[Finding]:
    """
    Compare a consumer with its specification.

    Args:
        spec: Specification of the consumer.
        info: Answer to CONSUMER.INFO; None if the consumer does not exist.
        retention: Retention policy of the stream.
        running: Whether a daemon on this host runs the slot.
    """
    if info is None:
        return [_missing(report, spec, retention, running)]
    config = info["config"]
    different = differences(spec.config(), config)
    fixed = {key: pair for key, pair in different.items() if key in FIXED}
    if fixed:
        hint = "give the entry another durable, or delete the consumer: the ledger prevents duplicates"
        return [report.fail(f"{spec.durable}: {_describe(fixed)}; NATS cannot change that", hint)]
    found = []
    if different:
        hint = "restart the slot, which updates the consumer"
        found.append(report.warn(f"{spec.durable} differs from the configuration: {_describe(different)}", hint))
    if info.get("paused"):
        found.append(report.fail(f"{spec.durable} is paused", f"nats consumer resume {spec.stream} {spec.durable}"))
    if config.get("inactive_threshold"):
        hint = "remove inactive_threshold (nats consumer edit)"
        found.append(
            report.warn(f"{spec.durable} has inactive_threshold, so NATS deletes it while no worker pulls", hint)
        )
    return found or [report.ok(f"{spec.durable}, as configured")]


def _missing(report: Reporter, spec: ConsumerSpec, retention: str, running: bool) -> Finding:
    message = f"{spec.durable} does not exist"
    if running:
        return report.fail(f"{message} although the daemon is running", "see eventwriter-ctl status for the reason")
    if retention == "interest":
        hint = "start the daemon, which creates it, before messages are published"
        return report.fail(f"{message}, and an interest stream drops messages without a consumer", hint)
    return report.warn(message, "the daemon creates it at its start, beginning at the end of the ledger")


def _describe(different: Mapping[str, tuple[Any, Any]]) -> str:
    return ", ".join(f"{key} is {actual!r}, expected {expected!r}" for key, (actual, expected) in different.items())


def delivery_findings(
    report: Reporter, consumers: Sequence[Info | None], streams: Sequence[Info], slot: Mapping[str, Any] | None
) -> list[Finding]:
    """
    Check whether messages are delivered.

    Args:
        consumers: Two answers to CONSUMER.INFO.
        streams: Two answers to STREAM.INFO.
        slot: Snapshot of the slot from the running daemon; None if none runs it.
    """
    before, after = consumers[0], consumers[-1]
    if before is None or after is None:
        return [report.skip("the consumer does not exist")]
    delivered = after["delivered"]["consumer_seq"] - before["delivered"]["consumer_seq"]
    pending, unacked = after["num_pending"], after["num_ack_pending"]
    message = f"{pending:,} pending, {unacked:,} unacknowledged"
    if not delivered and pending:
        return [_stalled(report, message, after, slot)]
    state = streams[-1]["state"]
    if not after["delivered"]["consumer_seq"] and not pending and state["messages"]:
        return [
            report.warn(
                f"none of the {state['messages']:,} messages of the stream matches the filter; none was ever delivered",
                "compare the subjects with nats stream subjects; a subject transform changes the stored subjects",
            )
        ]
    grown = state["last_seq"] - streams[0]["state"]["last_seq"]
    return [report.ok(f"{message}; {delivered:,} delivered while the stream grew by {grown:,}")]


def _stalled(report: Reporter, message: str, info: Info, slot: Mapping[str, Any] | None) -> Finding:
    if slot is None:
        return report.warn(f"{message}, but no daemon on this host runs this slot", "start the daemon: eventwriter run")
    limit = info["config"].get("max_ack_pending") or -1
    if 0 < limit <= info["num_ack_pending"]:
        hint = "PostgreSQL is slow or unreachable: see eventwriter-ctl status"
        return report.fail(f"{message}: max_ack_pending is reached, so nothing more is delivered", hint)
    why = f" ({slot['reason']})" if slot.get("reason") else ""
    pulls = info.get("num_waiting", 0)
    pulling = "it pulls but receives nothing" if pulls else "it does not pull"
    return report.fail(
        f"{message}, but the worker receives none{why}: {pulling}", "see eventwriter-ctl status, then restart the slot"
    )
