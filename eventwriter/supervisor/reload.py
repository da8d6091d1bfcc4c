"""What a reload changes, told before or after it: keys, and what becomes of each worker. Pure."""

from typing import Any

from eventwriter.config.diff import Change, differences
from eventwriter.config.settings import PARTITION, Settings, StreamSettings
from eventwriter.errors import Fatal
from eventwriter.supervisor.desired_state import AT_ONCE, RESTART, TAKES_EFFECT, DesiredState

REPLACES = "replaces workers"
STARTS, ENDS = "starts workers", "ends workers"
WEB = "replaces the web child"


def outlook(before: DesiredState, after: DesiredState) -> dict[str, Any]:
    """
    Compare two fleets.

    Returns:
        `changes` (key, before, after, effect), the slots `started`, `replaced` and `removed`, and
        `restart_needed`: keys that only a restart of the daemon brings into effect.
    """
    old, new = before.fingerprints, after.fingerprints
    changes = differences(before.settings, after.settings) if before.settings and after.settings else []
    told = [
        {"key": one.key, "before": one.before, "after": one.after, "effect": effect(one, after.settings)}
        for one in changes
    ]
    return {
        "changes": told,
        "started": [str(name) for name in new if name not in old],
        "replaced": [str(name) for name in new if name in old and old[name] != new[name]],
        "removed": [str(name) for name in old if name not in new],
        "restart_needed": [one["key"] for one in told if one["effect"] == RESTART],
        "warnings": list(after.warnings),
    }


def effect(change: Change, after: Settings | None) -> str:
    """Say in a few words how a change takes effect."""
    section, _, rest = change.key.partition(".")
    if section.startswith("streams"):
        return _of_entry(change, rest, after)
    if section == "http":
        return WEB
    if change.key == "supervisor.heartbeat":
        return REPLACES
    takes = TAKES_EFFECT[section]
    return takes if takes in (AT_ONCE, RESTART) else REPLACES


def _of_entry(change: Change, key: str, after: Settings | None) -> str:
    if change.before is None and not key:
        return STARTS
    if change.after is None and not key:
        return ENDS
    if change.key == "streams":
        return AT_ONCE  # only their order: `status` shows it
    if key in ("enabled", "partitions"):
        return STARTS if change.after > change.before else ENDS
    return REPLACES


def in_words(told: dict[str, Any]) -> str:
    """Say in one sentence what a reload did, or would do."""
    parts = [f"{what}: {', '.join(told[what])}" for what in ("replaced", "started", "removed") if told[what]]
    if any(change["effect"] == WEB for change in told["changes"]):
        parts.append("replaced: the web child")
    if not parts:
        parts.append("nothing changed for any worker" if told["changes"] or not told["warnings"] else "nothing changed")
    if told["restart_needed"]:
        parts.append(f"only a restart of the daemon brings {', '.join(told['restart_needed'])} into effect")
    return "; ".join(parts)


WORKERS_MAX = 256  # as `partitions` allows


def scaled(settings: Settings, name: str, workers: int) -> Settings:
    """
    Return the settings with another number of workers for one entry.

    Raises:
        Fatal: The entry is not there or not enabled, or its messages would be read by nobody, or twice.
    """
    stream = settings.stream(name)
    if not stream.enabled:
        raise Fatal(f"stream {name} is not enabled: set its enabled to true and reload")
    if not 1 <= workers <= WORKERS_MAX:
        raise Fatal(f"{workers} workers are not possible: 1 to {WORKERS_MAX} are; `drain {name}` stops them all")
    if workers != stream.partitions and (why := refusal(stream, workers)):
        raise Fatal(why)
    streams = tuple(
        one.model_copy(update={"partitions": workers}) if one.name == name else one for one in settings.streams
    )
    return settings.model_copy(update={"streams": streams})


def refusal(stream: StreamSettings, workers: int) -> str | None:
    """Say why an entry cannot have another number of workers just so; None where it can."""
    if stream.is_shared:
        return None
    name, now = stream.name, stream.partitions
    if stream.partition_subjects:
        return (
            f"the {now} workers of stream {name} have lists of subjects: edit its partition_subjects"
            " (one list for each worker) and reload"
        )
    if not any(PARTITION in subject for subject in stream.subjects):
        return (
            f"stream {name} has one worker for all its subjects: to have more, edit its entry (partition_mode"
            " = shared, or {partition} in its subjects, or partition_subjects; see docs/partitions.md) and reload"
        )
    if now == 1 or workers == 1:
        return (
            f"from one worker to several, or back, the durables of stream {name} are others, which begin at the"
            " stream's start: see docs/partitions.md, edit partitions of its entry, and reload"
        )
    if workers < now:
        return (
            f"partitions {workers} to {now - 1} of stream {name} would be read by nobody: have NATS number its"
            f" subjects from 0 to {workers - 1} first, edit partitions of the entry, and reload"
        )
    return None
