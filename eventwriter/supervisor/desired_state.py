"""What should run, as the configuration has it: one fingerprint for each slot, the limits, and the worker's code."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

from eventwriter.config.settings import Settings
from eventwriter.model import SlotName
from eventwriter.supervisor.backoff import Limits
from eventwriter.supervisor.processes import Child

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
How each part of the settings takes effect on a reload: the workers that it concerns are replaced, the
supervisor does it at once (also by replacing the web child), or only a restart of the daemon does.
"""

COMMON = ("ocsf_version", "redact", "nats", "postgres", "dead_letters", "storage")
"""What every worker reads of the whole; the rest of `WORKERS` is in its entry, its durable's name and its filters."""

SHARED_OUT = {"partitions", "partition_subjects", "subjects", "enabled"}
"""Keys of an entry that a worker knows only by what they make of it: its durable and its filters."""


@dataclass(frozen=True, slots=True)
class DesiredState:
    """The whole of what a supervisor is told to keep running."""

    fingerprints: Mapping[SlotName, str]
    """Slots in the order to show them; a worker is replaced when its fingerprint changes."""
    limits: Limits
    child: Child
    log_level: str = "info"
    log_format: str = "auto"
    warnings: tuple[str, ...] = ()
    """What is worth a word in the settings; said once they are in effect."""
    web: "DesiredState | None" = None
    """What runs beside the workers: one web child, or nothing."""
    settings: Settings | None = None
    """What all of this was read from."""
    refit: "Callable[[Settings], DesiredState] | None" = None
    """Makes the same of other settings."""

    def sharers(self, name: SlotName) -> int | None:
        """Return how many workers of this daemon share the durable of a slot; None where that is its alone."""
        wanted = self.settings is not None and name in self.fingerprints
        stream = self.settings.stream(name.stream) if self.settings is not None and wanted else None
        return stream.partitions if stream is not None and stream.is_shared else None


def with_control_of(before: DesiredState, after: DesiredState) -> DesiredState:
    """Return a fleet that says what is so: the control socket stays what it was until the daemon is started again."""
    if before.settings is None or after.settings is None:
        return after
    settings = after.settings.model_copy(update={"control": before.settings.control})
    return replace(after, settings=settings)


def fleet_of(settings: Settings, child: Child) -> DesiredState:
    """
    Read a fleet from settings.

    Args:
        settings: Valid, and enabled.
        child: A worker's code; it has the same settings.
    """
    common = [settings.model_dump(include=set(COMMON)), settings.supervisor.heartbeat_s]
    fingerprints = {name: fingerprint([common, *own_part(settings, name)]) for name in settings.slots()}
    log = settings.log
    return DesiredState(fingerprints, limits_of(settings), child, log.level, log_format=log.format, settings=settings)


def own_part(settings: Settings, name: SlotName) -> list[Any]:
    """Return what of an entry one of its slots runs with."""
    stream = settings.stream(name.stream)
    durable, filters = stream.durable_name(settings.consumer_name, name.partition), stream.filters(name.partition)
    return [stream.model_dump(exclude=SHARED_OUT), durable, filters]


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
        hang_max_s=asked.hang_max_s,
        start_max_s=asked.start_max_s,
        drain_max_s=asked.drain_max_s,
        backoff_min_s=asked.backoff_min_s,
        backoff_max_s=asked.backoff_max_s,
        crash_loop_exits_max=asked.crash_loop_exits_max,
        crash_loop_window_s=asked.crash_loop_window_s,
        worker_memory_bytes_max=asked.worker_memory_bytes_max,
    )
