"""What a reload or a scaling changes: keys, and the workers that are started, replaced and removed. Pure."""

from typing import Any

from eventwriter.config.diff import Change, differences
from eventwriter.config.settings import PARTITION, PARTITIONS_MAX, Settings, StreamSettings
from eventwriter.errors import Fatal
from eventwriter.supervisor.desired_state import AT_ONCE, RESTART, TAKES_EFFECT, DesiredState

REPLACES = "replaces workers"
STARTS, STOPS = "starts workers", "stops workers"
REPLACES_WEB = "replaces the web child"


def diff(before: DesiredState, after: DesiredState) -> dict[str, Any]:
    """
    Compare two desired states.

    Returns:
        `changes` (key, before, after, effect), the slots `started`, `replaced` and `removed`, and
        `restart_needed`: keys whose change takes effect only after a restart of the daemon.
    """
    old, new = before.fingerprints, after.fingerprints
    changes = differences(before.settings, after.settings) if before.settings and after.settings else []
    rows = [
        {"key": change.key, "before": change.before, "after": change.after, "effect": effect(change)}
        for change in changes
    ]
    return {
        "changes": rows,
        "started": [str(name) for name in new if name not in old],
        "replaced": [str(name) for name in new if name in old and old[name] != new[name]],
        "removed": [str(name) for name in old if name not in new],
        "restart_needed": [row["key"] for row in rows if row["effect"] == RESTART],
        "warnings": list(after.warnings),
    }


def effect(change: Change) -> str:
    """Return in a few words how a change takes effect."""
    section, _, key = change.key.partition(".")
    if section.startswith("streams"):
        return _entry_effect(change, key)
    if section == "http":
        return REPLACES_WEB
    if change.key == "supervisor.heartbeat":
        return REPLACES
    takes_effect = TAKES_EFFECT[section]
    return takes_effect if takes_effect in (AT_ONCE, RESTART) else REPLACES


def _entry_effect(change: Change, key: str) -> str:
    if change.key == "streams":
        return AT_ONCE  # only the order changed, which `status` displays
    if not key:
        return STARTS if change.before is None else STOPS
    if key in ("enabled", "partitions"):
        return STARTS if change.after > change.before else STOPS
    return REPLACES


def summary(changes: dict[str, Any]) -> str:
    """Return one sentence about the result of `diff`."""
    parts = [f"{key}: {', '.join(changes[key])}" for key in ("replaced", "started", "removed") if changes[key]]
    if any(row["effect"] == REPLACES_WEB for row in changes["changes"]):
        parts.append("replaced: the web child")
    if not parts:
        unaffected = changes["changes"] or not changes["warnings"]
        parts.append("nothing changed for any worker" if unaffected else "nothing changed")
    if changes["restart_needed"]:
        parts.append(f"{', '.join(changes['restart_needed'])} takes effect only after a restart of the daemon")
    return "; ".join(parts)


def scale(settings: Settings, name: str, workers: int) -> Settings:
    """
    Return the settings with another number of workers for one entry.

    Raises:
        Fatal: There is no such entry, it is not enabled, or some messages would be read by no
            worker or by two.
    """
    stream = settings.stream(name)
    if not stream.enabled:
        raise Fatal(f"stream {name} is not enabled", code="not_scalable", hint="set its `enabled` to true and reload")
    if not 1 <= workers <= PARTITIONS_MAX:
        raise Fatal(
            f"{workers} workers are not possible; the number must be from 1 to {PARTITIONS_MAX}",
            code="not_scalable",
            hint=f"use `drain {name}` to stop all workers",
        )
    if workers != stream.partitions:
        _check_scalable(stream, workers)
    streams = tuple(
        entry.model_copy(update={"partitions": workers}) if entry.name == name else entry for entry in settings.streams
    )
    return settings.model_copy(update={"streams": streams})


def _check_scalable(stream: StreamSettings, workers: int) -> None:
    """
    Check that the number of workers can change without a change of the configuration.

    Raises:
        Fatal: It cannot.
    """
    if stream.is_shared:
        return
    name, current = stream.name, stream.partitions
    if stream.partition_subjects:
        raise Fatal(
            f"the {current} workers of stream {name} have lists of subjects",
            code="not_scalable",
            hint="edit its partition_subjects (one list for each worker) and reload",
        )
    if not any(PARTITION in subject for subject in stream.subjects):
        raise Fatal(
            f"stream {name} has one worker for all its subjects",
            code="not_scalable",
            hint="edit its entry (partition_mode = shared, or {partition} in its subjects, or partition_subjects;"
            " see docs/partitions.md) and reload",
        )
    if current == 1 or workers == 1:
        raise Fatal(
            f"a change between one and several workers changes the durables of stream {name}, and new durables begin"
            " at the start of the stream",
            code="not_scalable",
            hint="see docs/partitions.md, edit partitions of its entry, and reload",
        )
    if workers < current:
        raise Fatal(
            f"partitions {workers} to {current - 1} of stream {name} would be read by no worker",
            code="not_scalable",
            hint=f"make NATS number its subjects from 0 to {workers - 1}, edit partitions of the entry, and reload",
        )
