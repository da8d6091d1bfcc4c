"""What a worker keeps over all its sessions: settings, connections, counters and status."""

from collections.abc import Callable

from eventwriter.config.settings import Settings
from eventwriter.jetstream.api import JetStreamApi
from eventwriter.jetstream.connect import NatsLink
from eventwriter.jetstream.consumer import ConsumerSpec, ConsumerState, consumer_spec
from eventwriter.jetstream.stream_stats import StreamMonitor
from eventwriter.kinds.registry import kind
from eventwriter.model import Adjustments, SlotName
from eventwriter.pipeline.counters import Counters
from eventwriter.pipeline.quarantine import QuarantineStore, holder_name
from eventwriter.postgres.session import PostgresSession
from eventwriter.worker.consumer_watch import ConsumerWatch
from eventwriter.worker.partitions import PartitionMaintenance
from eventwriter.worker.statement_monitor import StatementMonitor
from eventwriter.worker.status import WorkerStatus


class WorkerContext:
    """
    What one worker keeps over all its sessions. Written by the worker's event loop only.

    Args:
        send_heartbeat: Sends a heartbeat immediately.

    Attributes:
        stream: The slot's stream entry. In shared mode `partitions` follows the number of workers on the durable.
        consumer: The consumer as JetStream last described it; None before the first answer.
        redact: Lower-case keys that are neither stored nor shown.
        tables: Names of the tables that the slot writes.
        warnings: Differences between the tables and their definitions.
    """

    def __init__(self, settings: Settings, slot: SlotName, send_heartbeat: Callable[[], None]) -> None:
        self.settings, self.slot, self.send_heartbeat = settings, slot, send_heartbeat
        self.stream = settings.stream(slot.stream)
        self.durable = self.stream.durable_name(settings.consumer_name, slot.partition)
        self.filters = self.stream.filters(slot.partition)
        self.kind = kind(self.stream.kind)
        self.redact = frozenset(key.lower() for key in settings.redact)
        self.nats = NatsLink(settings.nats, f"eventwriter {slot}")
        self.postgres = PostgresSession(settings.postgres)
        self.counters = Counters()
        self.adjustments = Adjustments()
        self.status = WorkerStatus()
        self.consumer: ConsumerState | None = None
        self.consumer_watch = ConsumerWatch()
        self.stream_monitor = StreamMonitor()
        self.statement_monitor = StatementMonitor(settings.postgres, self.postgres)
        self.partition_maintenance = PartitionMaintenance(settings, self.stream, self.kind, self.postgres)
        self.quarantine = QuarantineStore(
            holder_name(slot, settings.control.socket),
            self.stream.schema_name,
            self.postgres,
            self.counters,
            self.status.set_outage,
            send_heartbeat,
        )
        self.warnings: tuple[str, ...] = ()
        self.tables: tuple[str, ...] = self.stream.tables

    @property
    def api(self) -> JetStreamApi:
        """JetStream's API over the current connection."""
        return JetStreamApi(self.nats.client, self.settings.nats.domain)

    @property
    def consumer_spec(self) -> ConsumerSpec:
        """The durable as it must be for the present number of workers."""
        return consumer_spec(self.stream, self.durable, self.filters)

    def replace_nats(self) -> NatsLink:
        """Replace the connection to NATS, which is closed for good or was never established, by a new one."""
        last_error = self.nats.last_error
        self.nats = NatsLink(self.settings.nats, f"eventwriter {self.slot}")
        self.nats.last_error = last_error  # prevents the same error from being logged at each attempt
        return self.nats

    def set_durable_workers(self, workers: int) -> bool:
        """Set the number of workers that share the durable; return whether it changed."""
        if not self.stream.is_shared or self.stream.partitions == workers:
            return False
        self.stream = self.stream.model_copy(update={"partitions": workers})
        return True
