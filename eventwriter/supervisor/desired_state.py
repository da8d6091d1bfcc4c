"""What should run, derived from the settings: a fingerprint for each slot, limits, and the worker's entry point."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

from eventwriter.config.settings import Settings
from eventwriter.model import SlotName
from eventwriter.supervisor.backoff import Limits
from eventwriter.supervisor.processes import ChildMain
from eventwriter.supervisor.slot import ChildName

WORKERS, AT_ONCE, RESTART = "workers", "at once", "restart"

TAKES_EFFECT = {
    "enabled": RESTART,
    "consumer_name": WORKERS,
    "stream_name": WORKERS,
    "ocsf_version": WORKERS,
    "redact": WORKERS,
    "nats": WORKERS,
    "postgres": WORKERS,
    "streams": WORKERS,
    "supervisor": AT_ONCE,
    "control": RESTART,
    "dead_letters": WORKERS,
    "storage": WORKERS,
    "http": AT_ONCE,
    "log": AT_ONCE,
}
"""
How a reload applies a change of each section: it replaces the affected workers, the supervisor applies it at once
(for `http` by replacing the web child), or it requires a restart of the daemon.
"""

COMMON = ("ocsf_version", "redact", "nats", "postgres", "dead_letters", "storage")
"""Sections that every worker reads; other `WORKERS` sections affect only its entry, its durable's name and filters."""

PARTITIONING = {"partitions", "partition_subjects", "subjects", "enabled"}
"""Keys of an entry that affect a worker only through its durable's name and filters."""


@dataclass(frozen=True, slots=True)
class DesiredState:
    """Everything that the supervisor should keep running."""

    fingerprints: Mapping[ChildName, str]
    """Slots in the order of the configuration; a worker is replaced when its fingerprint changes."""
    limits: Limits
    child_main: ChildMain
    log_level: str = "info"
    log_format: str = "auto"
    warnings: tuple[str, ...] = ()
    """Warnings about the settings, logged when they take effect."""
    web: "DesiredState | None" = None
    """The web child, which runs beside the workers, or nothing."""
    settings: Settings | None = None
    """The settings that this state was derived from."""
    rebuild: "Callable[[Settings], DesiredState] | None" = None
    """Function that derives a state from other settings."""

    def durable_workers(self, name: ChildName) -> int | None:
        """Return how many workers of this daemon share the durable of a slot; None if only one worker uses it."""
        if self.settings is None or not isinstance(name, SlotName) or name not in self.fingerprints:
            return None
        stream = self.settings.stream(name.stream)
        return stream.partitions if stream.is_shared else None


def keep_control(before: DesiredState, after: DesiredState) -> DesiredState:
    """Return `after` with the control settings of `before`, as the control socket changes only at a restart."""
    if before.settings is None or after.settings is None:
        return after
    settings = after.settings.model_copy(update={"control": before.settings.control})
    return replace(after, settings=settings)


def worker_state(settings: Settings, child_main: ChildMain) -> DesiredState:
    """
    Derive the desired state of all workers from settings.

    Args:
        settings: Valid and enabled settings.
        child_main: A worker's entry point; it has the same settings.
    """
    common = [settings.model_dump(include=set(COMMON)), settings.supervisor.heartbeat_s]
    fingerprints: dict[ChildName, str] = {
        name: fingerprint([common, *slot_settings(settings, name)]) for name in settings.slots()
    }
    log = settings.log
    return DesiredState(fingerprints, limits_of(settings), child_main, log.level, log.format, settings=settings)


def slot_settings(settings: Settings, name: SlotName) -> list[Any]:
    """Return the part of an entry's settings that one of its slots runs with."""
    stream = settings.stream(name.stream)
    durable, filters = stream.durable_name(settings.consumer_name, name.partition), stream.filters(name.partition)
    return [stream.model_dump(exclude=PARTITIONING), durable, filters]


def fingerprint(plain: Any) -> str:
    """Return a short hash of settings, secrets included; the settings cannot be derived from it."""
    return hashlib.sha256(json.dumps(plain, default=_plain_text, sort_keys=True).encode()).hexdigest()[:16]


@runtime_checkable
class Secret(Protocol):
    """Text that does not print itself; settings wrap passwords in it."""

    def get_secret_value(self) -> str:
        """Return the text."""


def _plain_text(value: object) -> str:
    """Return a value that JSON cannot encode as text; a changed password must change the fingerprint."""
    return value.get_secret_value() if isinstance(value, Secret) else repr(value)


def limits_of(settings: Settings) -> Limits:
    """Return the supervisor's limits."""
    section = settings.supervisor
    return Limits(
        hang_max_s=section.hang_max_s,
        start_max_s=section.start_max_s,
        drain_max_s=section.drain_max_s,
        backoff_min_s=section.backoff_min_s,
        backoff_max_s=section.backoff_max_s,
        crash_loop_exits_max=section.crash_loop_exits_max,
        crash_loop_window_s=section.crash_loop_window_s,
        worker_memory_bytes_max=section.worker_memory_bytes_max,
    )
