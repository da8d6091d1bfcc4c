"""Checks of each JetStream stream that entries read: is it there, what does it keep, whom does it refuse."""

from collections.abc import Iterable
from typing import Any

from eventwriter.admin.doctor.context import Case
from eventwriter.admin.doctor.findings import Check, Finding, Reporter
from eventwriter.jetstream.stream_stats import WARN_SHARE, fullest_limit

_FULL_SHARE = 0.9


def group(stream: str) -> str:
    """Return what the checks of a stream are grouped under."""
    return f"stream {stream}"


def checks(case: Case) -> list[Check]:
    """Return the checks of every stream, in order."""
    found = []
    for stream in dict.fromkeys(slot.stream.stream_name for slot in case.slots):
        found += _checks(case, stream)
    return found


def _checks(case: Case, stream: str) -> list[Check]:
    async def exists(voice: Reporter) -> Iterable[Finding]:
        infos = case.streams.get(stream)
        if not infos:
            hint = f"nats stream add {stream}, or set stream_name to one that exists"
            return [voice.fail(f"JetStream has no stream {stream!r}, or may not tell us", hint)]
        state = infos[-1]["state"]
        return [voice.ok(f"{state['messages']:,} messages, {state['first_seq']:,} to {state['last_seq']:,}")]

    async def keeps(voice: Reporter) -> Iterable[Finding]:
        return retention(voice, case.streams[stream][-1]["config"])

    async def limits(voice: Reporter) -> Iterable[Finding]:
        info = case.streams[stream][-1]
        return limit_findings(voice, info["config"], info["state"])

    name = group(stream)
    need = (f"{name}: exists",)
    return [
        Check(name, "exists", exists, ("NATS: connection", "NATS: JetStream")),
        Check(name, "retention", keeps, need),
        Check(name, "limits", limits, need),
    ]


def retention(voice: Reporter, config: dict[str, Any]) -> list[Finding]:
    """Say what a stream keeps, as far as it concerns a reader that must not miss anything."""
    kind = config.get("retention", "limits")
    found = []
    if config.get("storage") == "memory":
        found.append(
            voice.warn("it is kept in memory: messages are lost when its server restarts", "make it with file storage")
        )
    if config.get("sealed"):
        found.append(voice.warn("it is sealed: nothing new comes", "publish into another one"))
    words = {
        "limits": "messages stay until a limit drops them, read or not",
        "interest": "messages go when all consumers have acknowledged them; without one they are dropped at once",
        "workqueue": "messages go when they are acknowledged",
    }
    return found or [voice.ok(f"{kind}: {words.get(kind, 'of a kind that is not known here')}")]


def limit_findings(voice: Reporter, config: dict[str, Any], state: dict[str, Any]) -> list[Finding]:
    """Say which limits there are, and whether publishers will be refused."""
    found = []
    if (per_subject := config.get("max_msgs_per_subject") or -1) > 0:
        found.append(
            voice.warn(
                f"max_msgs_per_subject is {per_subject:,}: older messages of a subject are dropped, unread or not",
                "take the limit away, unless only the latest value of each subject matters",
            )
        )
    full = fullest_limit(config, state)
    if full and full[1] >= WARN_SHARE:
        said = f"{full[0]} is used up to {full[1]:.0%}, and discard is new: publishers are refused when it is reached"
        found.append((voice.fail if full[1] >= _FULL_SHARE else voice.warn)(said, f"raise {full[0]}, or purge"))
    if found:
        return found
    set_ones = [name for name in ("max_age", "max_bytes", "max_msgs") if (config.get(name) or -1) > 0]
    if not set_ones and config.get("retention", "limits") == "limits":
        return [voice.ok("none: nothing unread is dropped, and it grows until its server's disk is full")]
    return [voice.ok(", ".join(f"{name} {_shown(name, config[name])}" for name in set_ones) or "none")]


def _shown(name: str, value: int) -> str:
    if name == "max_age":
        seconds = value / 1e9
        return f"{seconds / 3600:,.1f} h" if seconds >= 3600 else f"{seconds:,.0f} s"
    return f"{value:,}"
