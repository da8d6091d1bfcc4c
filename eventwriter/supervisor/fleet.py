"""What should run, as the configuration has it: one fingerprint for each slot, the limits, and the worker's code."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from eventwriter.config.settings import Settings
from eventwriter.model import SlotName
from eventwriter.supervisor.backoff import Limits
from eventwriter.supervisor.processes import Child

OWN_SECTIONS = frozenset({"streams", "supervisor", "control", "http", "log"})
"""Settings that no worker reads from the whole: streams are looked at one by one, the rest is the supervisor's."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """The whole of what a supervisor is told to keep running."""

    fingerprints: Mapping[SlotName, str]
    """Slots in the order to show them; a worker is replaced when its fingerprint changes."""
    limits: Limits
    child: Child
    log_level: str = "info"
    web: "Fleet | None" = None
    """What runs beside the workers: one web child, or nothing."""


def fleet_of(settings: Settings, child: Child) -> Fleet:
    """
    Read a fleet from settings.

    Args:
        settings: Valid, and enabled.
        child: A worker's code; it has the same settings.
    """
    common = settings.model_dump(exclude=set(OWN_SECTIONS))
    fingerprints = {name: fingerprint([common, settings.stream(name.stream).model_dump()]) for name in settings.slots()}
    return Fleet(fingerprints, limits_of(settings), child, settings.log.level)


def fingerprint(plain: Any) -> str:
    """Return a short name for settings, secrets included; nothing can be read back from it."""
    return hashlib.sha256(json.dumps(plain, default=reveal, sort_keys=True).encode()).hexdigest()[:16]


@runtime_checkable
class Secret(Protocol):
    """A text that does not print itself, as settings wrap passwords."""

    def get_secret_value(self) -> str:
        """Return the text."""


def reveal(value: object) -> str:
    """Return what JSON cannot write as text; a changed password must change the fingerprint."""
    return value.get_secret_value() if isinstance(value, Secret) else repr(value)


def limits_of(settings: Settings) -> Limits:
    """Return the supervisor's limits."""
    asked = settings.supervisor
    return Limits(
        hang_s_max=asked.hang_s_max,
        start_s_max=asked.start_s_max,
        drain_s_max=asked.drain_s_max,
        backoff_s_min=asked.backoff_s_min,
        backoff_s_max=asked.backoff_s_max,
        crash_loop_exits_max=asked.crash_loop_exits_max,
        crash_loop_window_s=asked.crash_loop_window_s,
        worker_memory_bytes_max=asked.worker_memory_bytes_max,
    )
