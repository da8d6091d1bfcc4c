"""
Health for machines: is everything written that comes in? Pure.

The judgement is the supervisor's (progress, not liveness). 200 where nothing has
to be done, which a start of some seconds is; 503 where an operator, or time, has
to mend something.
"""

from collections.abc import Mapping
from typing import Any

OK, UNAVAILABLE = 200, 503
CODES: Mapping[str, int] = {"healthy": OK, "starting": OK, "degraded": UNAVAILABLE, "failing": UNAVAILABLE}
SHOWN = ("name", "health", "reason", "state", "worker_state", "lag_messages", "lag_s", "last_commit_at_ns", "restarts")
"""What is shown of each slot."""


def health(snapshot: Mapping[str, Any] | None, age_s: float | None) -> tuple[int, dict[str, Any]]:
    """
    Return the HTTP status and the answer.

    Args:
        snapshot: Fresh, or None where the supervisor gives none.
        age_s: How old the last one is; None where there never was one.
    """
    if snapshot is None:
        seconds = "" if age_s is None else f" for {age_s:.0f} s"
        return UNAVAILABLE, {
            "status": "unknown",
            "reason": f"the supervisor has given no snapshot{seconds}",
            "snapshot_age_s": age_s if age_s is None else round(age_s, 1),
            "slots": [],
        }
    return CODES[snapshot["status"]], {
        "status": snapshot["status"],
        "reason": snapshot["reason"],
        "stopping": snapshot["stopping"],
        "version": snapshot["version"],
        "uptime_s": snapshot["uptime_s"],
        "snapshot_age_s": round(age_s or 0.0, 1),
        "nats": snapshot["nats"],
        "postgres": snapshot["postgres"],
        "slots": [{key: slot[key] for key in SHOWN} for slot in snapshot["slots"]],
    }
