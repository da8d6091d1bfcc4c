"""State shared by the checks: settings, and what earlier checks opened and read."""

from dataclasses import dataclass, field
from typing import Any

from eventwriter.admin.doctor.findings import Finding, Reporter
from eventwriter.config.settings import Settings, StreamSettings
from eventwriter.jetstream.api import JetStreamApi
from eventwriter.jetstream.connect import NatsLink
from eventwriter.model import SlotName
from eventwriter.postgres.read_only import ReadOnlySession


@dataclass(slots=True)
class SlotContext:
    """
    One slot with two samples of its consumer.

    Attributes:
        name: Name of the slot.
        stream: Its stream entry.
        durable: Its durable.
        filters: Its filter subjects.
        consumer: Answers to CONSUMER.INFO; None if the consumer does not exist.
    """

    name: SlotName
    stream: StreamSettings
    durable: str
    filters: tuple[str, ...]
    consumer: list[dict[str, Any] | None] = field(default_factory=list)


@dataclass(slots=True)
class Context:
    """
    One run of doctor.

    Attributes:
        settings: Settings of the daemon.
        slots: Slots to check.
        link: Connection to NATS, once open.
        api: JetStream API, once connected.
        reader: Connection to PostgreSQL, once open.
        streams: Answers to STREAM.INFO by stream, oldest first; missing if the stream does not exist.
        sampled_s: Seconds between the two samples.
        daemon: Snapshot of the daemon on this host; None if none is running.
        nats_ahead_s: Seconds by which the clock of NATS is ahead of this host's; None if unknown.
    """

    settings: Settings
    slots: list[SlotContext]
    link: NatsLink | None = None
    api: JetStreamApi | None = None
    reader: ReadOnlySession | None = None
    streams: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    sampled_s: float = 0.0
    daemon: dict[str, Any] | None = None
    nats_ahead_s: float | None = None

    def slot_of_daemon(self, slot: SlotContext) -> dict[str, Any] | None:
        """Return the snapshot of a slot from the running daemon; None if it does not run the slot."""
        slots = self.daemon["slots"] if self.daemon else []
        return next((entry for entry in slots if entry["name"] == str(slot.name)), None)

    async def close(self) -> None:
        """Close the connections."""
        if self.link is not None:
            await self.link.close()
        if self.reader is not None:
            await self.reader.close()


def create_context(settings: Settings) -> Context:
    """Return the context for all slots of the settings; slots that share a durable are represented by the first."""
    slots = []
    for name in settings.slots():
        stream = settings.stream(name.stream)
        if stream.is_shared and name.partition:
            continue
        durable = stream.durable_name(settings.consumer_name, name.partition)
        slots.append(SlotContext(name, stream, durable, stream.filters(name.partition)))
    return Context(settings, slots)


WARN_S, FAIL_S = 2.0, 60.0
"""Clock differences in seconds. A few seconds distort the displayed lag; a minute means an unsynchronised clock."""


def skew(report: Reporter, server: str, ahead_s: float) -> Finding:
    """Check by how many seconds a server's clock is ahead of this host's (negative: behind)."""
    if abs(ahead_s) < WARN_S:
        return report.ok(f"the clocks of this host and {server} differ by {abs(ahead_s) * 1000:.0f} ms")
    message = f"the clock of {server} is {abs(ahead_s):,.1f} s {'ahead of' if ahead_s > 0 else 'behind'} this host's"
    hint = "synchronise both with NTP (chrony, systemd-timesyncd); the difference distorts lag and default timestamps"
    return (report.fail if abs(ahead_s) >= FAIL_S else report.warn)(message, hint)
