"""What the checks share: settings, and what earlier checks have opened and read. Written by the checks, in order."""

from dataclasses import dataclass, field
from typing import Any

from eventwriter.admin.doctor.findings import Finding, Reporter
from eventwriter.config.settings import Settings, StreamSettings
from eventwriter.jetstream.api import JetStreamApi
from eventwriter.jetstream.connect import NatsLink
from eventwriter.model import SlotName
from eventwriter.postgres.read_only import ReadOnlySession


@dataclass(slots=True)
class SlotCase:
    """
    One slot, and the two looks at its consumer.

    Attributes:
        consumer: CONSUMER.INFO's answers; None where there is no consumer.
    """

    name: SlotName
    stream: StreamSettings
    durable: str
    filters: tuple[str, ...]
    consumer: list[dict[str, Any] | None] = field(default_factory=list)


@dataclass(slots=True)
class Case:
    """
    One examination.

    Attributes:
        streams: STREAM.INFO's answers by stream, the earlier one first; empty where there is no such stream.
        looked_s: Seconds between the two looks.
        daemon: The snapshot of the daemon that runs here; None where none does.
        nats_ahead_s: How far NATS's clock is ahead of this host's; None where it does not tell.
    """

    settings: Settings
    slots: list[SlotCase]
    link: NatsLink | None = None
    api: JetStreamApi | None = None
    reader: ReadOnlySession | None = None
    streams: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    looked_s: float = 0.0
    daemon: dict[str, Any] | None = None
    nats_ahead_s: float | None = None

    def slot_of_daemon(self, slot: SlotCase) -> dict[str, Any] | None:
        """Return what the running daemon says of a slot, None where it does not run it."""
        slots = self.daemon["slots"] if self.daemon else []
        return next((one for one in slots if one["name"] == str(slot.name)), None)

    async def close(self) -> None:
        """Close what was opened."""
        if self.link is not None:
            await self.link.close()
        if self.reader is not None:
            await self.reader.close()


def case_of(settings: Settings) -> Case:
    """Begin an examination of all slots that settings run; of those that share a durable, the first."""
    slots = []
    for name in settings.slots():
        stream = settings.stream(name.stream)
        if stream.is_shared and name.partition:
            continue
        durable = stream.durable_name(settings.consumer_name, name.partition)
        slots.append(SlotCase(name, stream, durable, stream.filters(name.partition)))
    return Case(settings, slots)


WARN_S, FAIL_S = 2.0, 60.0
"""Seconds: lag is shown wrong by as much; a minute is no drift but a clock that nobody sets."""


def skew(voice: Reporter, whose: str, ahead_s: float) -> Finding:
    """Judge how far a server's clock is ahead of this host's; seconds, negative where it is behind."""
    if abs(ahead_s) < WARN_S:
        return voice.ok(f"this host's and {whose}'s differ by {abs(ahead_s) * 1000:.0f} ms")
    said = f"{whose}'s is {abs(ahead_s):,.1f} s {'ahead of' if ahead_s > 0 else 'behind'} this host's"
    hint = "set both by NTP (chrony, systemd-timesyncd); lag and rows without a time of their own show the difference"
    return (voice.fail if abs(ahead_s) >= FAIL_S else voice.warn)(said, hint)
