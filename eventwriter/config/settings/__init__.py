"""
All settings: meaning, unit, default and the reason for it, in the docstring below each field.

The modules hold one section each. `config reference`, the JSON schema and docs/configuration.md are
generated from these docstrings.
"""

from pydantic import Field

from eventwriter.config.settings.fields import DAY_S, NATS_NAME, MiB, NatsName, Record
from eventwriter.config.settings.http import HttpSettings
from eventwriter.config.settings.nats import NatsSettings, NatsTls
from eventwriter.config.settings.postgres import PostgresSettings
from eventwriter.config.settings.storage import DeadLetterSettings, StorageSettings, TableStorage
from eventwriter.config.settings.streams import (
    BATCH_MESSAGES_MAX,
    PARTITION,
    PARTITIONS_MAX,
    RAW_INPUTS,
    StreamSettings,
)
from eventwriter.config.settings.supervisor import ControlSettings, LogSettings, SupervisorSettings
from eventwriter.errors import Fatal
from eventwriter.model import SlotName

__all__ = [
    "BATCH_MESSAGES_MAX",
    "DAY_S",
    "NATS_NAME",
    "PARTITION",
    "PARTITIONS_MAX",
    "RAW_INPUTS",
    "ControlSettings",
    "DeadLetterSettings",
    "HttpSettings",
    "LogSettings",
    "MiB",
    "NatsSettings",
    "NatsTls",
    "PostgresSettings",
    "Settings",
    "StorageSettings",
    "StreamSettings",
    "SupervisorSettings",
    "TableStorage",
]


class Settings(Record):
    """The whole configuration."""

    enabled: bool = True
    """Whether `eventwriter run` starts the daemon; a disabled writer prints a message and exits, and the systemd unit
    is skipped. Default true for a file in this format, and false for the Go writer's format and without a file, as in
    the earlier writers."""
    consumer_name: NatsName = "eventwriter"
    """Beginning of the names of all durables."""
    stream_name: NatsName = "events"
    """JetStream stream of entries that name none. Default `events`, where ServiceRadar's programs publish."""
    ocsf_version: str = "1.3.0"
    """OCSF version that is written into the metadata of OCSF rows."""
    redact: tuple[str, ...] = ()
    """Keys, in any case, whose values are never stored. SNMP communities in events and logs are never stored anyway.
    Default: no further keys."""
    nats: NatsSettings = NatsSettings()
    """Connection to NATS JetStream."""
    postgres: PostgresSettings = PostgresSettings()
    """Connection to PostgreSQL."""
    streams: tuple[StreamSettings, ...] = ()
    """What to read and where to write it: names, or entries with keys. Each entry has one worker, or one for each of
    its partitions. Default: the names TELEMETRY, EVENTS, SWEEP, NETFLOW, OTEL_METRICS, OTEL_TRACES and LOGS."""
    supervisor: SupervisorSettings = SupervisorSettings()
    """Supervision of the workers."""
    control: ControlSettings = Field(default_factory=ControlSettings)
    """The control socket."""
    dead_letters: DeadLetterSettings = DeadLetterSettings()
    """Retention of dead letters."""
    storage: StorageSettings = StorageSettings()
    """Maintenance of the tables: partitions, retention, compression."""
    http: HttpSettings = HttpSettings()
    """The web child."""
    log: LogSettings = LogSettings()
    """Level and format of the log."""

    def slots(self) -> list[SlotName]:
        """Return the slots to run: every partition of every enabled entry."""
        return [SlotName(s.name, p) for s in self.streams if s.enabled for p in range(s.partitions)]

    def stream(self, name: str) -> StreamSettings:
        """
        Return the stream entry with this name.

        Raises:
            Fatal: There is no such entry.
        """
        for stream in self.streams:
            if stream.name == name:
                return stream
        names = ", ".join(stream.name for stream in self.streams)
        raise Fatal(f"there is no stream entry {name!r}", code="unknown_stream", hint=f"known entries are {names}")
