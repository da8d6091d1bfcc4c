"""Checks of each JetStream stream in use: existence, retention and limits."""

from collections.abc import Iterable
from typing import Any

from eventwriter.admin.doctor.context import Context
from eventwriter.admin.doctor.findings import Check, Finding, Reporter
from eventwriter.jetstream.stream_stats import WARN_SHARE, fullest_limit

_FULL_SHARE = 0.9


def group(stream: str) -> str:
    """Return the check group of a stream."""
    return f"stream {stream}"


def checks(context: Context) -> list[Check]:
    """Return the checks of every stream, in order."""
    found = []
    for stream in dict.fromkeys(slot.stream.stream_name for slot in context.slots):
        found += _checks(context, stream)
    return found


def _checks(context: Context, stream: str) -> list[Check]:
    async def exists(report: Reporter) -> Iterable[Finding]:
        infos = context.streams.get(stream)
        if not infos:
            hint = await missing_hint(context, stream)
            return [report.fail(f"JetStream has no stream {stream!r}, or this user may not read it", hint)]
        state = infos[-1]["state"]
        return [report.ok(f"{state['messages']:,} messages, {state['first_seq']:,} to {state['last_seq']:,}")]

    async def keeps(report: Reporter) -> Iterable[Finding]:
        return retention(report, context.streams[stream][-1]["config"])

    async def limits(report: Reporter) -> Iterable[Finding]:
        info = context.streams[stream][-1]
        return limit_findings(report, info["config"], info["state"])

    name = group(stream)
    need = (f"{name}: exists",)
    return [
        Check(name, "exists", exists, ("NATS: connection", "NATS: JetStream")),
        Check(name, "retention", keeps, need),
        Check(name, "limits", limits, need),
    ]


async def missing_hint(context: Context, stream: str) -> str:
    """Return what to do about a missing stream; names the streams that store the subjects of its entries."""
    found: dict[str, str] = {}
    subjects = dict.fromkeys(
        subject for slot in context.slots if slot.stream.stream_name == stream for subject in slot.filters
    )
    for subject in subjects:
        answer = await context.api.request("STREAM.NAMES", {"subject": subject}) if context.api else {}
        names = answer.get("streams") or [] if isinstance(answer, dict) else []
        found |= {name: subject for name in names if name not in found}
    stores = ", ".join(f"stream {name} stores {subject}" for name, subject in found.items())
    if not stores:
        return f"nats stream add {stream}, or set stream_name to one that exists"
    return f'{stores}: set stream_name = "{next(iter(found))}"'


def retention(report: Reporter, config: dict[str, Any]) -> list[Finding]:
    """Check whether the retention of a stream can lose unread messages."""
    kind = config.get("retention", "limits")
    found = []
    if config.get("storage") == "memory":
        found.append(
            report.warn(
                "the stream is stored in memory: messages are lost when its server restarts",
                "recreate it with file storage",
            )
        )
    if config.get("sealed"):
        found.append(report.warn("the stream is sealed and accepts no messages", "publish to another stream"))
    words = {
        "limits": "messages are kept until a limit drops them, read or not",
        "interest": "messages are deleted when all consumers have acknowledged them, and dropped without a consumer",
        "workqueue": "messages are deleted when they are acknowledged",
    }
    return found or [report.ok(f"{kind}: {words.get(kind, 'unknown retention policy')}")]


def limit_findings(report: Reporter, config: dict[str, Any], state: dict[str, Any]) -> list[Finding]:
    """Check the limits of a stream, and whether publishers will be refused."""
    found = []
    if (per_subject := config.get("max_msgs_per_subject") or -1) > 0:
        found.append(
            report.warn(
                f"max_msgs_per_subject is {per_subject:,}: older messages of a subject are dropped, unread or not",
                "remove the limit, unless only the latest message of each subject matters",
            )
        )
    full = fullest_limit(config, state)
    if full and full[1] >= WARN_SHARE:
        message = f"{full[1]:.0%} of {full[0]} is used, and discard is new: publishers are refused when it is reached"
        found.append(
            (report.fail if full[1] >= _FULL_SHARE else report.warn)(message, f"raise {full[0]}, or purge the stream")
        )
    if found:
        return found
    limits = [name for name in ("max_age", "max_bytes", "max_msgs") if (config.get(name) or -1) > 0]
    if not limits and config.get("retention", "limits") == "limits":
        return [
            report.ok(
                "none: unread messages are never dropped, and the stream grows until the disk of its server is full"
            )
        ]
    return [report.ok(", ".join(f"{name} {_format(name, config[name])}" for name in limits) or "none")]


def _format(name: str, value: int) -> str:
    if name == "max_age":
        seconds = value / 1e9
        return f"{seconds / 3600:,.1f} h" if seconds >= 3600 else f"{seconds:,.0f} s"
    return f"{value:,}"
