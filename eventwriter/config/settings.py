"""
Every knob, with its meaning, its unit, its default and the reason for it.

Attribute names carry their unit (`_s` seconds, `_bytes`); in a file a duration's
key has no `_s`, because its value has the unit: `drain_s_max` is `drain_max = "30s"`.
The text under each field is its documentation: `eventwriter config schema` prints it.
"""

import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from eventwriter.config import libpq
from eventwriter.config.secrets import masked, read_secret
from eventwriter.config.subjects import PARTITION
from eventwriter.errors import Fatal
from eventwriter.model import SlotName

DURATION, MILLISECONDS, SIZE, MODE = "duration", "milliseconds", "size", "mode"
"""Values of a field's `form`: how its text in a file or variable becomes a number."""

_DAY_S = 86_400.0

Text = Annotated[
    str,
    StringConstraints(min_length=1, max_length=8192, pattern=r"^[^\x00-\x1f\x7f]*$"),
    Field(json_schema_extra={"allowed": "text, not empty, without control characters"}),
]
Texts = Annotated[tuple[Text, ...], Field(strict=False)]
JetStreamName = Annotated[
    str,
    StringConstraints(max_length=200, pattern=r"^[^\s.*>/\\\x00-\x1f\x7f]+$"),
    Field(json_schema_extra={"allowed": "a NATS name: no space, dot, *, >, / or \\"}),
]
EntryName = Annotated[
    str,
    StringConstraints(max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"),
    Field(json_schema_extra={"allowed": "letters, digits, _, - and ., at most 64"}),
]
Identifier = Annotated[
    str,
    StringConstraints(min_length=1, max_length=63, pattern=r'^[^"\x00-\x1f\x7f]+$'),
    Field(json_schema_extra={"allowed": "a PostgreSQL name, at most 63 characters"}),
]
ParameterName = Annotated[
    str,
    StringConstraints(max_length=63, pattern=r"^[A-Za-z_][A-Za-z0-9_.]*$"),
    Field(json_schema_extra={"allowed": "the name of a PostgreSQL parameter"}),
]
Seconds = Annotated[float, Field(gt=0, le=7 * _DAY_S, json_schema_extra={"form": DURATION})]
BatchSeconds = Annotated[float, Field(ge=0.001, le=3600, json_schema_extra={"form": MILLISECONDS})]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Bytes = Annotated[int, Field(ge=64 * 1024, le=1 << 40, json_schema_extra={"form": SIZE})]
FileMode = Annotated[int, Field(ge=0o600, le=0o777, json_schema_extra={"form": MODE})]


class Section(BaseModel):
    """What all parts of the settings share: frozen, strict, and nothing secret in an error's text."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True)


class NatsTls(Section):
    """TLS to NATS; the section being there switches it on, and the server is always verified."""

    ca_file: Text | None = None
    """PEM file of the authorities to trust. Default: the system's."""
    cert_file: Text | None = None
    """PEM file of our certificate, for servers that verify clients. Needs `key_file`."""
    key_file: Text | None = None
    """PEM file of that certificate's key."""
    server_name: Text | None = None
    """Name expected in the server's certificate. Default: the host of the URL."""
    handshake_first: bool = False
    """TLS before the server's greeting; must agree with the server's `handshake_first`."""


class NatsSettings(Section):
    """How to reach NATS. At most one of creds file, nkey seed, user and token."""

    servers: Texts = ("nats://localhost:4222",)
    """URLs, tried in turn: `nats://`, `tls://`, `ws://` or `wss://host:port`."""
    domain: JetStreamName | None = None
    """JetStream domain. Default: the account's own."""
    creds_file: Text | None = None
    """Credentials file (JWT and nkey) of the operator mode."""
    nkey_seed_file: Text | None = None
    """File with an nkey seed (`SU…`)."""
    user: Text | None = None
    """User name."""
    password: Text | None = Field(default=None, repr=False)
    """Its password; better in `password_file`, which wins."""
    password_file: Text | None = None
    """File with the password; read again at each connect, so rotation needs no restart."""
    token: Text | None = Field(default=None, repr=False)
    """Token; better in `token_file`, which wins."""
    token_file: Text | None = None
    """File with the token; read again at each connect."""
    tls: NatsTls | None = None
    connect_timeout_s: Seconds = 10.0
    """Seconds for one attempt. Too low: a busy server is never reached; too high: an outage is noticed late."""
    ping_interval_s: Seconds = 10.0
    """Seconds between pings; two unanswered ones cut the connection. NATS's own 120 s leaves a dead server unnoticed."""
    reconnect_wait_s: Seconds = 0.5
    """Seconds between attempts to reconnect to the same server."""
    inbox_prefix: Text | None = None
    """Prefix of reply subjects, where the account may not subscribe to `_INBOX.>`."""

    def read_password(self) -> str | None:
        """
        Return the password as it is now.

        Raises:
            Fatal: The password file cannot be read, or is empty.
        """
        return read_secret("nats.password_file", self.password_file) or self.password

    def read_token(self) -> str | None:
        """
        Return the token as it is now.

        Raises:
            Fatal: The token file cannot be read, or is empty.
        """
        return read_secret("nats.token_file", self.token_file) or self.token

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Leave passwords inside URLs out of the repr."""
        for name, value in super().__repr_args__():
            yield name, tuple(masked(url) for url in self.servers) if name == "servers" else value


class PostgresSettings(Section):
    """How to reach PostgreSQL: a connection string, or its parts, which win over it."""

    dsn: Text | None = Field(default=None, repr=False)
    """libpq's connection string, URI or `key=value`; several hosts and every TLS setting of libpq."""
    host: Text | None = None
    """Host, several separated by commas, or the folder of a Unix socket."""
    port: int = Field(default=5432, ge=1, le=65535)
    """Port, for all hosts."""
    database: Text | None = None
    """Database name."""
    user: Text | None = None
    """Role. Default: the operating system's user."""
    password: Text | None = Field(default=None, repr=False)
    """Its password; better in `password_file`, which wins."""
    password_file: Text | None = None
    """File with the password; read again at each connect, so rotation needs no restart."""
    sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] | None = None
    """libpq's `sslmode`. Default: `verify-full` where a TLS file is given; else libpq's `prefer`, or `disable` in the Go form."""
    sslrootcert: Text | None = None
    """PEM file of the authorities to trust, or `system`."""
    sslcert: Text | None = None
    """PEM file of our certificate, where the server wants one. Needs `sslkey`."""
    sslkey: Text | None = None
    """PEM file of that certificate's key."""
    application_name: Text = "eventwriter"
    """Shown in `pg_stat_activity`."""
    connect_timeout_s: Seconds = 10.0
    """Seconds for one attempt at one host; libpq counts whole ones."""
    statement_timeout_s: Seconds = 30.0
    """Seconds for one statement of a batch. Too low: large batches are halved and retried; too high: a stuck lock is noticed late."""
    runtime_params: dict[ParameterName, Text] = Field(default_factory=dict)
    """Parameters set in each transaction, such as `search_path`."""
    target_session_attrs: Literal["any", "read-write", "read-only", "primary", "standby", "prefer-standby"] | None = None
    """Which of several hosts will do. Default: `read-write` where several are given."""

    def parameters(self) -> dict[str, str]:
        """
        Return the connection's parameters by libpq's names, without any password.

        Raises:
            ValueError: `dsn` is no connection string.
        """
        given = libpq.parse(self.dsn) if self.dsn else {}
        parts = {
            "host": self.host,
            "dbname": self.database,
            "user": self.user,
            "sslmode": self.sslmode,
            "sslrootcert": self.sslrootcert,
            "sslcert": self.sslcert,
            "sslkey": self.sslkey,
            "target_session_attrs": self.target_session_attrs,
        }
        given |= {key: value for key, value in parts.items() if value is not None}
        defaults = {
            "port": str(self.port),
            "application_name": self.application_name,
            "connect_timeout": str(max(1, round(self.connect_timeout_s))),
        }
        fields = {"port": "port", "application_name": "application_name", "connect_timeout": "connect_timeout_s"}
        given |= {k: v for k, v in defaults.items() if k not in given or fields[k] in self.model_fields_set}
        if "," in given.get("host", ""):
            # A standby would refuse every batch.
            given.setdefault("target_session_attrs", "read-write")
        given.pop("password", None)
        return given

    def read_password(self) -> str | None:
        """
        Return the password as it is now: the file's, else the setting's, else the connection string's.

        Raises:
            Fatal: The password file cannot be read, or is empty.
            ValueError: `dsn` is no connection string.
        """
        from_file = read_secret("postgres.password_file", self.password_file)
        return from_file or self.password or (libpq.parse(self.dsn).get("password") if self.dsn else None)

    def conninfo(self) -> str:
        """
        Return libpq's connection string, password included; for the driver only.

        Raises:
            Fatal: The password file cannot be read or is empty, or `dsn` is no connection string.
        """
        try:
            parameters, password = self.parameters(), self.read_password()
        except ValueError as error:
            raise Fatal(f"postgres.dsn is no connection string: {error}") from None
        return libpq.build(parameters | ({"password": password} if password else {}))

    def target(self) -> str:
        """Return `host:port/database as user`, never a secret."""
        try:
            return libpq.target(self.parameters())
        except ValueError:
            return "(postgres.dsn is no connection string)"


class StreamSettings(Section):
    """One entry of `streams`: what is read from JetStream and where it lands."""

    name: EntryName
    """Names the slot (`NETFLOW/0`) and the durable."""
    stream_name: JetStreamName
    """JetStream stream. Default: the top-level `stream_name`."""
    subjects: Texts
    """Filter subjects; they may not overlap. Default: those of the name or the kind."""
    kind: Literal["telemetry", "events", "sweep", "netflow", "otel_metrics", "otel_traces", "logs", "json"]
    """What the subjects carry. Default: told by table, name or subject."""
    tables: Annotated[tuple[Identifier, ...], Field(strict=False)] = ()
    """Tables to fill, all in the same transaction. Default: the kind's own."""
    schema_name: Identifier | None = None
    """Schema of the tables. Default: the connection's `search_path`."""
    partitions: int = Field(default=1, ge=1, le=256)
    """Workers on shares of the stream; the subjects then carry `{partition}`."""
    batch_size: Count = 100
    """Messages after which a batch is sealed when nothing more waits. Too low: a transaction for little; too high: waits for `batch_timeout`."""
    batch_timeout_s: BatchSeconds = 1.0
    """Seconds after its first message at which a batch is sealed; the freshness of a quiet stream. A bare number is milliseconds."""
    max_batch_size: Count = 5000
    """Messages at which a batch is sealed while a backlog is worked off. Larger gains little and retries more."""
    max_batch_bytes: Bytes = 16 * 1024 * 1024
    """Bytes of payloads and rows at which a batch is sealed. A worker holds up to three batches."""
    on_conflict: Literal["nothing", "replace", "append"] | None = None
    """What a key that is there already means: keep the old row, replace it, or there is no key. Default: the table's rule."""
    enabled: bool = True
    """False leaves the entry in the file and starts no worker."""
    ignore_subjects: Texts = ()
    """Subjects whose messages are dropped on purpose, and counted. Default for logs: the raw inputs of other programs."""
    durable: JetStreamName | None = None
    """Name of the durable consumer. Default: `consumer_name`, `-`, the entry's name in lower case."""
    ack_wait_s: Seconds = 60.0
    """Seconds after which JetStream delivers an unanswered message again; prolonged while it is worked on."""
    options: dict[str, Any] = Field(default_factory=dict)
    """What the kind itself understands: `keep_raw`, `map`, `rest`."""

    def durable_name(self, consumer_name: str, partition: int) -> str:
        """Return the durable's name: the given one, or one made of the consumer's name and the entry's."""
        name = self.durable or f"{consumer_name}-{re.sub(r'[^a-z0-9_-]', '-', self.name.lower())}"
        return f"{name}-{partition}" if self.partitions > 1 else name

    def subjects_of(self, partition: int) -> tuple[str, ...]:
        """Return the filter subjects of one partition."""
        return tuple(subject.replace(PARTITION, str(partition)) for subject in self.subjects)


class SupervisorSettings(Section):
    """The parent: when it gives up on a worker, and when it tries again."""

    heartbeat_s: Seconds = 1.0
    """Seconds between a worker's heartbeats; also how fresh `status` is."""
    hang_s_max: Seconds = 20.0
    """Seconds without a heartbeat after which a worker is killed. Too low: a loaded machine kills healthy workers."""
    backoff_s_min: Seconds = 0.2
    """Seconds of rest after a first crash; doubled for each further one."""
    backoff_s_max: Seconds = 30.0
    """The longest rest, also between attempts of a slot that has failed."""
    crash_loop_exits_max: Count = 5
    """Crashes within the window that make a slot FAILED."""
    crash_loop_window_s: Seconds = 60.0
    """Seconds of that window."""
    start_s_max: Seconds = 60.0
    """Seconds until a new worker's first heartbeat."""
    drain_s_max: Seconds = 30.0
    """Seconds a worker has to finish what is open; afterwards it is killed and JetStream delivers again. systemd's `TimeoutStopSec` must be longer."""
    worker_memory_bytes_max: Bytes = 1024 * 1024 * 1024
    """Bytes of memory above which a worker is drained and replaced."""


def default_socket(environ: Mapping[str, str]) -> str:
    """Return where the control socket goes: the first place whose folder is there and writable."""
    places = ["/run/eventwriter/control.sock"]
    if runtime := environ.get("XDG_RUNTIME_DIR"):
        places.append(os.path.join(runtime, "eventwriter.sock"))
    for place in places:
        if os.access(os.path.dirname(place), os.W_OK | os.X_OK):
            return place
    return os.path.join(tempfile.gettempdir(), f"eventwriter-{os.getuid()}.sock")


class ControlSettings(Section):
    """The Unix socket that `eventwriter-ctl` speaks to."""

    socket: Text = Field(default_factory=lambda: default_socket(os.environ))
    """Path. Default: `/run/eventwriter/control.sock`, else `$XDG_RUNTIME_DIR/eventwriter.sock`, else in the temporary folder."""
    mode: FileMode = 0o660
    """Permissions of the socket, octal text such as `"0660"`."""
    group: Text | None = None
    """Group that owns the socket. Default: the daemon's."""


class LogSettings(Section):
    """What is written to stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important level that is written."""
    format: Literal["auto", "json", "text"] = "auto"
    """`auto` is text on a terminal and JSON lines elsewhere."""


class Settings(Section):
    """All settings of a daemon."""

    enabled: bool = False
    """False: `eventwriter run` says so and exits 0. The environment's `EVENT_WRITER_ENABLED` decides in most installations."""
    consumer_name: JetStreamName = "eventwriter"
    """First part of the durables' names; installations on one JetStream that shall each see everything need different ones."""
    stream_name: JetStreamName = "events"
    """JetStream stream of the entries that name none."""
    ocsf_version: str = Field(default="1.3.0", pattern=r"^1\.\d{1,3}\.\d{1,3}$", json_schema_extra={"allowed": "an OCSF version 1.x.y"})
    """OCSF version written into rows."""
    redact: Texts = ("community", "snmp_community")
    """Keys, in any case of letters, whose values are never stored."""
    nats: NatsSettings = Field(default_factory=NatsSettings)
    postgres: PostgresSettings = Field(default_factory=PostgresSettings)
    streams: Annotated[tuple[StreamSettings, ...], Field(strict=False)] = ()
    """Names of default streams, or entries. Default: `TELEMETRY` and `NETFLOW`."""
    supervisor: SupervisorSettings = Field(default_factory=SupervisorSettings)
    control: ControlSettings = Field(default_factory=ControlSettings)
    log: LogSettings = Field(default_factory=LogSettings)

    def slots(self) -> list[SlotName]:
        """Return the places for workers: enabled streams × their partitions, in the file's order."""
        return [SlotName(s.name, n) for s in self.streams if s.enabled for n in range(s.partitions)]

    def stream(self, name: str) -> StreamSettings:
        """
        Return the entry of that name.

        Raises:
            KeyError: There is none.
        """
        for stream in self.streams:
            if stream.name == name:
                return stream
        raise KeyError(name)
