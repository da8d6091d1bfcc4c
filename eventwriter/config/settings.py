"""
Every setting: its meaning, unit, default and the reason for it.

Records only: frozen, checked when they are made. `load.py` fills them.
"""

import os
import re
import tempfile
from importlib.metadata import entry_points
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from eventwriter.config.durations import seconds
from eventwriter.errors import Fatal
from eventwriter.model import SlotName

MiB = 1024 * 1024

Seconds = Annotated[float, BeforeValidator(lambda v: seconds(v, 1.0)), Field(gt=0)]
"""A duration; a plain number counts seconds."""
Millis = Annotated[float, BeforeValidator(lambda v: seconds(v, 1e-3)), Field(gt=0)]
"""A duration, kept in seconds; a plain number counts milliseconds, as the predecessors wrote it."""

KINDS = ("telemetry", "events", "sweep", "netflow", "otel_metrics", "otel_traces", "logs", "json")
"""The kinds that come with eventwriter; `eventwriter.kinds` says what each of them is."""

KINDS_GROUP = "eventwriter.kinds"
"""The entry-point group by which an installed package brings kinds of its own."""


def _known_kind(name: str) -> str:
    """Check a kind's name: ours, or one that an installed package brings."""
    known = (*KINDS, *sorted(entry_points(group=KINDS_GROUP).names))
    if name not in known:
        raise ValueError(f"there is no such kind; allowed are {', '.join(known)}")
    return name


Kind = Annotated[str, AfterValidator(_known_kind)]
"""What a stream carries."""

DEFAULT_SUBJECTS: dict[str, tuple[str, ...]] = {
    "TELEMETRY": ("telemetry.>",),
    "EVENTS": ("events.>",),
    "SWEEP": ("sweep.>",),
    "NETFLOW": ("netflow.>",),
    "OTEL_METRICS": ("otel.metrics", "otel.metrics.>"),
    "OTEL_TRACES": ("otel.traces", "otel.traces.>"),
    "LOGS": ("logs.>",),
}
"""Subjects of a stream entry that gives only its name."""

DEFAULT_STREAMS = ("TELEMETRY", "NETFLOW")
"""What runs where the configuration names no streams: the kinds that this version can write."""

KIND_OF_TABLE = {
    "timeseries_metrics": "telemetry",
    "events": "events",
    "ocsf_events": "events",
    "sweep_host_states": "sweep",
    "netflow_metrics": "netflow",
    "ocsf_network_activity": "netflow",
    "otel_metrics": "otel_metrics",
    "otel_traces": "otel_traces",
    "logs": "logs",
}


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


def _read_secret(path: str, what: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Fatal(f"{what}: cannot read {path}: {error}; check the path and its permissions") from error
    if not text:
        raise Fatal(f"{what}: {path} is empty; write the secret into it")
    return text


class NatsTls(_Record):
    """TLS to NATS; the server's certificate is always verified."""

    ca_file: str | None = None
    """PEM file of the authorities to trust; the system's where it is absent."""
    cert_file: str | None = None
    """Our certificate, for mutual TLS."""
    key_file: str | None = None
    server_name: str | None = None
    """The name that the server's certificate must carry, where it is not the host's."""
    handshake_first: bool = False
    """Begin with TLS, before the server's greeting; must be the same on the server."""


class NatsSettings(_Record):
    """Where JetStream is, and who we are there."""

    servers: tuple[str, ...] = ("nats://localhost:4222",)
    domain: str | None = None
    """JetStream domain, where the account's streams live in another one."""
    creds_file: str | None = None
    """A .creds file (JWT and nkey)."""
    nkey_seed_file: str | None = None
    user: str | None = None
    password: SecretStr | None = None
    password_file: str | None = None
    """Read anew at every connect, so that a rotated password is picked up."""
    token: SecretStr | None = None
    token_file: str | None = None
    tls: NatsTls | None = None
    connect_timeout_s: Seconds = Field(10.0, alias="connect_timeout")
    ping_interval_s: Seconds = Field(10.0, alias="ping_interval")
    """A server that is stopped but not closed is noticed after two to three of these."""
    reconnect_wait_s: Seconds = Field(0.5, alias="reconnect_wait")
    inbox_prefix: str | None = None
    """For accounts that may only subscribe to inboxes of their own."""

    def read_password(self) -> str | None:
        """Return the password; a file wins. Raises Fatal where the file cannot be read or is empty."""
        if self.password_file:
            return _read_secret(self.password_file, "nats.password_file")
        return self.password.get_secret_value() if self.password else None

    def read_token(self) -> str | None:
        """Return the token; a file wins. Raises Fatal where the file cannot be read or is empty."""
        if self.token_file:
            return _read_secret(self.token_file, "nats.token_file")
        return self.token.get_secret_value() if self.token else None


class PostgresSettings(_Record):
    """Where PostgreSQL is; the names are libpq's."""

    dsn: SecretStr | None = None
    """A libpq connection string or URL; the other fields go on top of it."""
    host: str | None = None
    """One host, several with commas between (tried in order), or a folder with a Unix socket."""
    port: str | None = None
    database: str | None = None
    user: str | None = None
    password: SecretStr | None = None
    password_file: str | None = None
    """Read anew at every connect, so that a rotated password is picked up."""
    sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] | None = None
    sslrootcert: str | None = None
    sslcert: str | None = None
    sslkey: str | None = None
    target_session_attrs: str | None = None
    """`read-write` makes a list of hosts find the primary."""
    application_name: str = "eventwriter"
    connect_timeout_s: Seconds = Field(10.0, alias="connect_timeout")
    statement_timeout_s: Seconds = Field(30.0, alias="statement_timeout")
    """For each COPY. Too low: big batches are halved again and again. Too high: a hung server is noticed late."""
    runtime_params: dict[str, str] = Field(default_factory=dict)
    """Set in every transaction; `search_path` is the common one."""

    def conninfo(self) -> str:
        """
        Return libpq's connection string, the password read anew.

        Raises:
            Fatal: The password file cannot be read, or is empty.

        Source: PostgreSQL documentation, "Connection Strings".
        """
        password = (
            _read_secret(self.password_file, "postgres.password_file")
            if self.password_file
            else self.password.get_secret_value()
            if self.password
            else None
        )
        parts: dict[str, Any] = {
            "host": self.host,
            "port": self.port,
            "dbname": self.database,
            "user": self.user,
            "password": password,
            "sslmode": self.sslmode,
            "sslrootcert": self.sslrootcert,
            "sslcert": self.sslcert,
            "sslkey": self.sslkey,
            "target_session_attrs": self.target_session_attrs,
            "application_name": self.application_name,
            "connect_timeout": max(2, round(self.connect_timeout_s)),
        }
        dsn = self.dsn.get_secret_value() if self.dsn else ""
        if "://" in dsn:
            from urllib.parse import quote

            query = "&".join(f"{k}={quote(str(v), safe='')}" for k, v in parts.items() if v is not None)
            return f"{dsn}{'&' if '?' in dsn else '?'}{query}"
        own = " ".join(f"{k}='{_quoted(str(v))}'" for k, v in parts.items() if v is not None)
        return f"{dsn} {own}".strip()

    def target(self) -> str:
        """Return where that is, for people: never a secret."""
        if self.dsn is not None and self.host is None:
            dsn = self.dsn.get_secret_value()
            if "://" in dsn:
                return dsn.partition("://")[2].rpartition("@")[2].partition("?")[0]
            found = dict(re.findall(r"(host|port|dbname)\s*=\s*'?([^\s']+)", dsn))
            return f"{found.get('host', 'localhost')}:{found.get('port', '5432')}/{found.get('dbname', '')}"
        who = f" as {self.user}" if self.user else ""
        return f"{self.host or 'localhost'}:{self.port or 5432}/{self.database or ''}{who}"


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")


class StreamSettings(_Record):
    """One stream entry: which messages, what they are, where they go."""

    name: Annotated[str, Field(min_length=1, pattern=r"^[^\s/]+$")]
    stream_name: str
    """JetStream's stream."""
    subjects: tuple[str, ...] = Field(min_length=1)
    kind: Kind
    tables: tuple[str, ...] = ()
    """Every message goes into each of them, in one transaction; the kind's default where none is named."""
    schema_name: str | None = Field(None, alias="schema")
    partitions: int = Field(1, ge=1, le=256)
    batch_size: int = Field(100, ge=1)
    """Messages after which a batch is written when nothing more waits."""
    batch_timeout_s: Millis = Field(1.0, alias="batch_timeout")
    """Age at which a batch is written, however small."""
    max_batch_size: int = Field(5000, ge=1)
    """Messages that a batch grows to under backlog. Higher: fewer commits, more memory."""
    max_batch_bytes: int = Field(16 * MiB, ge=MiB)
    on_conflict: Literal["append", "nothing", "replace"] | None = None
    enabled: bool = True
    ignore_subjects: tuple[str, ...] = ()
    """Patterns of subjects that are counted and dropped."""
    durable: str | None = None
    """The durable's name; made from `consumer_name` and `name` where absent."""
    ack_wait_s: Seconds = Field(60.0, alias="ack_wait")
    """After which JetStream delivers again what was not answered; we answer `in progress` three times as often."""
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _relations(self) -> "StreamSettings":
        if self.max_batch_size < self.batch_size:
            raise ValueError(f"max_batch_size {self.max_batch_size} is below batch_size {self.batch_size}")
        if self.ack_wait_s <= self.batch_timeout_s:
            raise ValueError(f"ack_wait {self.ack_wait_s:g} s must be above batch_timeout {self.batch_timeout_s:g} s")
        return self

    def durable_name(self, consumer_name: str, partition: int) -> str:
        """Return the durable's name for one partition; only characters that NATS allows."""
        base = self.durable or f"{consumer_name}-{re.sub(r'[^a-z0-9_-]', '-', self.name.lower())}"
        return f"{base}-{partition}" if self.partitions > 1 else base


class SupervisorSettings(_Record):
    """How workers are watched."""

    heartbeat_s: Seconds = Field(1.0, alias="heartbeat")
    hang_s_max: Seconds = Field(20.0, alias="hang_max")
    """Silence after which a worker is killed; its stacks are dumped first."""
    backoff_s_min: Seconds = Field(0.2, alias="backoff_min")
    backoff_s_max: Seconds = Field(30.0, alias="backoff_max")
    crash_loop_exits_max: int = Field(5, ge=1)
    crash_loop_window_s: Seconds = Field(60.0, alias="crash_loop_window")
    start_s_max: Seconds = Field(60.0, alias="start_max")
    drain_s_max: Seconds = Field(30.0, alias="drain_max")
    """systemd's TimeoutStopSec must be longer."""
    worker_memory_bytes_max: int = Field(1024 * MiB, ge=64 * MiB)


def _default_socket() -> str:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    for folder, name in (("/run/eventwriter", "control.sock"), (runtime or "", "eventwriter.sock")):
        if folder and os.path.isdir(folder) and os.access(folder, os.W_OK):
            return os.path.join(folder, name)
    return os.path.join(tempfile.gettempdir(), f"eventwriter-{os.getuid()}.sock")


class ControlSettings(_Record):
    """The control socket."""

    socket: str = Field(default_factory=_default_socket)
    mode: int = 0o660
    group: str | None = None


class LogSettings(_Record):
    """Logs go to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "text"] = "auto"
    """`auto` is text on a terminal and one JSON object a line elsewhere."""


class Settings(_Record):
    """All of it."""

    enabled: bool = False
    """`EVENT_WRITER_ENABLED`; a writer that is not enabled says so and ends."""
    consumer_name: str = "eventwriter"
    stream_name: str = "events"
    ocsf_version: str = "1.3.0"
    redact: tuple[str, ...] = ("community",)
    """Keys, in any case, that are never stored."""
    nats: NatsSettings = NatsSettings()
    postgres: PostgresSettings = PostgresSettings()
    streams: tuple[StreamSettings, ...] = ()
    supervisor: SupervisorSettings = SupervisorSettings()
    control: ControlSettings = Field(default_factory=ControlSettings)
    log: LogSettings = LogSettings()

    @model_validator(mode="after")
    def _relations(self) -> "Settings":
        names = [s.name for s in self.streams]
        if twice := {n for n in names if names.count(n) > 1}:
            raise ValueError(f"streams: the name {', '.join(sorted(twice))} is given twice; each needs its own")
        durables = [s.durable_name(self.consumer_name, 0) for s in self.streams]
        if twice := {d for d in durables if durables.count(d) > 1}:
            raise ValueError(f"streams: two entries would share the durable {', '.join(sorted(twice))}; set `durable`")
        return self

    def slots(self) -> list[SlotName]:
        """Return the slots to run: enabled streams times partitions."""
        return [SlotName(s.name, p) for s in self.streams if s.enabled for p in range(s.partitions)]

    def stream(self, name: str) -> StreamSettings:
        """Return the entry of that name. Raises Fatal where there is none."""
        for stream in self.streams:
            if stream.name == name:
                return stream
        raise Fatal(f"no stream entry is called {name!r}; there are {', '.join(s.name for s in self.streams)}")
