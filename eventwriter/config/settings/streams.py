"""Section `streams`: one entry for each kind of messages, with its subjects, tables, batches and partitions."""

import re
from importlib.metadata import entry_points
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from eventwriter.config.settings.fields import Instant, MiB, Millis, NatsName, Record, Seconds, Subject
from eventwriter.kinds.names import ENTRY_POINT_GROUP, KINDS

BATCH_MESSAGES_MAX = 100_000
"""Upper limit of any batch: twenty times what makes COPY cheap, still one transaction of a second or two."""
PARTITIONS_MAX = 256

PARTITION = "{partition}"
"""Placeholder in an entry's subjects for the number of the partition."""

ENTRY_NAME = r"^[^\s/]+$"

RAW_INPUTS = ("logs.syslog", "logs.snmp", "logs.otel")
"""Subjects below `logs.>` that another program reads and publishes again as `….processed`."""


def _known_kind(name: str) -> str:
    known = (*KINDS, *sorted(entry_points(group=ENTRY_POINT_GROUP).names))
    if name not in known:
        raise ValueError(f"not a known kind; known kinds are {', '.join(known)}")
    return name


Kind = Annotated[str, AfterValidator(_known_kind)]
"""Name of a built-in kind, or of one that an installed package registers."""


_SOURCES = ("$subject", "$sequence", "$timestamp", "$payload")
_HEADER = "$header."


def _map_path(path: str) -> str:
    """Check the syntax of a path in `map`."""
    if path.startswith("$"):
        if path not in _SOURCES and not (path.startswith(_HEADER) and len(path) > len(_HEADER)):
            raise ValueError(f"not a known source; known are {', '.join(_SOURCES)} and {_HEADER}NAME")
    elif path and (not all(path.split(".")) or path.count("[") != path.count("]")):
        raise ValueError('not a complete path; write keys separated by dots, like "a.b.c" or "a.list[0]"')
    return path


MapPath = Annotated[str, AfterValidator(_map_path)]
"""Path in a record, or a source outside of it; empty for no source."""


class StreamSettings(Record):
    """
    One stream entry: which messages to read, what they are, and which tables they fill. An entry may also be just a
    name, as text.
    """

    name: Annotated[str, Field(min_length=1, pattern=ENTRY_NAME)]
    """Name of the entry in status and logs, and the end of the durable's name. Names like TELEMETRY imply subjects and
    kind. Default: the table's name in capitals. White space and slashes are not allowed."""
    stream_name: NatsName
    """JetStream stream. Default: the top-level `stream_name`."""
    subjects: tuple[Subject, ...] = Field(min_length=1)
    """Subjects to read; a single one may be given as `subject`. Default: implied by the entry's name. They must not
    overlap, because NATS refuses a consumer with overlapping filters."""
    kind: Kind
    """Kind of the messages. Default: implied by the table, else by the name, else `json`."""
    tables: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Tables that every message is written to, in one transaction. A single one may be given as `table`, also in the
    form `schema.table`. Default: the kind's own tables."""
    schema_name: str | None = Field(None, alias="schema")
    """Schema of the tables, the ledger and the dead letters. Default: PostgreSQL's search path decides."""
    partitions: int = Field(1, ge=1, le=PARTITIONS_MAX)
    """Number of workers that share the entry's messages. Default 1, which suffices until one CPU is saturated. With
    more, state how they share: write `{partition}` in the subjects, or set `partition_subjects`, or set
    `partition_mode` to shared."""
    partition_mode: Literal["exclusive", "shared"] = "exclusive"
    """`exclusive`: each worker has its own durable and subjects, and messages of one partition stay in order. `shared`:
    all workers, on one host or several, pull from one durable, without order; the messages of a dead worker are
    redelivered after `ack_wait`."""
    partition_subjects: tuple[Annotated[tuple[Subject, ...], Field(min_length=1)], ...] = ()
    """Subjects of each partition, as a list of lists; `subjects` must then be absent. Default: `subjects`, in which
    `{partition}` becomes the number of the partition, counted from 0."""
    batch_size: int = Field(100, ge=1, le=BATCH_MESSAGES_MAX)
    """Number of messages after which a batch is written when no more are waiting. Default 100, as in the earlier
    writers. Lower: rows are visible earlier, with more commits. Higher: fewer commits."""
    batch_timeout_s: Millis = Field(1.0, alias="batch_timeout")
    """Age at which a batch is written regardless of its size; a plain number counts milliseconds. Default 1 s, as in
    the earlier writers. Too low: commits of single rows. Too high: rows become visible late."""
    max_batch_size: int = Field(5000, ge=1, le=BATCH_MESSAGES_MAX)
    """Number of rows up to which a batch grows while messages are waiting; at least `batch_size`. Default 5000, because
    larger batches hardly make COPY cheaper. Higher: more memory, and more work to repeat after a failure."""
    max_batch_bytes: int = Field(16 * MiB, ge=MiB)
    """Payload bytes up to which a batch grows. Default 16 MiB. A worker holds up to three batches and their rows, which
    must fit into `worker_memory_bytes_max`. Too low: large messages make tiny batches."""
    max_payload_bytes: int = Field(16 * MiB, ge=1024)
    """Size in bytes above which a payload is not decoded and the message becomes a dead letter. Default 16 MiB; NATS
    itself allows 1 MiB by default and up to 64 MiB. Higher: one message may need many times its size in memory; mind
    `worker_memory_bytes_max`."""
    on_conflict: Literal["append", "nothing", "replace"] | None = None
    """What to do with a row whose key already exists in the table: `nothing` keeps the existing row, `replace`
    overwrites it, `append` treats the conflict as an error of the new row. Default: the rule of the table."""
    dead_letter_share_max: float = Field(0.05, ge=0, le=1)
    """Share of messages, from 0 to 1, that may become dead letters within a minute; above it the slot is reported as
    degraded. Of fewer than 100 messages at least 3 must be dead letters, and so many that chance does not explain
    them. Default 0.05: a faulty publisher is reported, a single faulty device is not. 1 disables the check."""
    enabled: bool = True
    """If false, the entry is checked but no worker runs for it."""
    ignore_subjects: tuple[Subject, ...] = ()
    """Subjects whose messages are counted and dropped. Default: none, except for kind `logs`: the inputs of other
    programs (logs.syslog, logs.snmp, logs.otel), unless `subjects` names them."""
    durable: NatsName | None = None
    """Name of the durable consumer, which stores the position in the stream. Default: `consumer_name` and the entry's
    name. Changing the name creates a new consumer, which begins at `start` unless the ledger knows a position."""
    start: Instant | None = None
    """Where a new durable begins if the ledger has no position: at the first message that was stored at this time or
    later, like "2026-11-25T10:00:00Z". Default: at the first message of the stream. An existing durable is used
    unchanged; one that was deleted is created again at the ledger's position."""
    ack_wait_s: Seconds = Field(60.0, alias="ack_wait", ge=1)
    """Time after which JetStream redelivers an unacknowledged message; must be above `batch_timeout`. Default 60 s.
    Workers extend it three times per interval, so slow writes do not require a higher value. Too low: messages are
    redelivered while a worker is busy. Too high: the messages of a crashed host come late."""
    keep_raw: bool | None = None
    """Whether to store the original payload in column `raw_data`, if the table has it. Default: only in table `events`,
    which has no other place for data without a column; elsewhere this copy can be most of the table's size."""
    map: dict[str, MapPath | None] = Field(default_factory=dict)
    """For kind `json`: column → path in the record ("a.b.c"), or $subject, $sequence, $timestamp, $header.NAME or
    $payload. null leaves the column to its default. Default: each key goes to the column of the same name."""
    rest: str | None = None
    """For kind `json`: the jsonb column that receives the keys without a column. Default: these keys are counted and
    dropped."""

    @property
    def options(self) -> dict[str, Any]:
        """Options of the table builders that are set."""
        options = {"keep_raw": self.keep_raw, "map": self.map, "rest": self.rest}
        return {name: value for name, value in options.items() if value or value is False}

    @property
    def is_shared(self) -> bool:
        """Whether several workers, possibly on several hosts, pull from one durable."""
        return self.partition_mode == "shared"

    @property
    def every_subject(self) -> tuple[str, ...]:
        """Subjects of all partitions together."""
        if self.partition_subjects:
            return tuple(dict.fromkeys(subject for part in self.partition_subjects for subject in part))
        return tuple(subject.replace(PARTITION, "*") for subject in self.subjects)

    def filters(self, partition: int) -> tuple[str, ...]:
        """Return the subjects of one partition."""
        if self.partition_subjects:
            return self.partition_subjects[partition]
        return tuple(subject.replace(PARTITION, str(partition)) for subject in self.subjects)

    def durable_name(self, consumer_name: str, partition: int) -> str:
        """Return the name of a partition's durable; it contains only characters that NATS allows."""
        base = self.durable or f"{consumer_name}-{re.sub(r'[^a-z0-9_-]', '-', self.name.lower())}"
        return f"{base}-{partition}" if self.partitions > 1 and not self.is_shared else base
