"""What a reload changes, told before or after it: keys, and what becomes of each worker. Pure."""

from typing import Any

from eventwriter.config.differences import Change, differences
from eventwriter.config.settings import Settings
from eventwriter.supervisor.fleet import AT_ONCE, RESTART, TAKES_EFFECT, Fleet

REPLACES = "replaces workers"
STARTS, ENDS = "starts workers", "ends workers"
WEB = "replaces the web child"


def outlook(before: Fleet, after: Fleet) -> dict[str, Any]:
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
