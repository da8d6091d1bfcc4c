"""
Every setting: its meaning, unit, default and the reason for it.

Records only: frozen, checked when they are made. `load.py` fills them.
"""

import datetime as dt
import math
import os
import re
import tempfile
from importlib.metadata import entry_points
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    WithJsonSchema,
)

from eventwriter.config import durations, libpq, subjects
from eventwriter.config.address import Address, read_address
from eventwriter.config.durations import seconds
from eventwriter.errors import Fatal
from eventwriter.model import SlotName

MiB = 1024 * 1024

BATCH_MESSAGES_MAX = 100_000
"""Bounds any batch: twenty times what COPY needs to be cheap, still one transaction of a second or two."""

_DURATION = WithJsonSchema(
    {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string", "pattern": durations.PATTERN}]}
)
Seconds = Annotated[float, BeforeValidator(lambda v: seconds(v, 1.0)), Field(gt=0), _DURATION]
"""A duration; a plain number counts seconds."""
Millis = Annotated[float, BeforeValidator(lambda v: seconds(v, 1e-3)), Field(gt=0), _DURATION]
"""A duration, kept in seconds; a plain number counts milliseconds, as the predecessors wrote it."""


def _keep(value: object) -> float:
    """Read how long something is kept."""
    return math.inf if value == durations.FOREVER else seconds(value, 1.0)


Keep = Annotated[
    float,
    BeforeValidator(_keep),
    Field(gt=0),
    WithJsonSchema(
        {"anyOf": [_DURATION.json_schema or {}, {"const": durations.FOREVER}], "default": durations.FOREVER}
    ),
]
"""A duration, or the word `forever`."""


_INSTANT = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$"


def _instant(value: object) -> object:
    """Read an instant as TOML or JSON give it; it stays text, since NATS counts nanoseconds and Python does not."""
    text = value.isoformat() if isinstance(value, dt.datetime) else value
    if isinstance(text, str) and re.match(_INSTANT, text):
        dt.datetime.fromisoformat(text)  # there are months and hours that do not exist
        return text
    raise ValueError('write a time with its zone (RFC 3339), like "2026-11-25T10:00:00Z"')


Instant = Annotated[str, BeforeValidator(_instant), WithJsonSchema({"type": "string", "pattern": _INSTANT})]
"""An instant, RFC 3339, with up to nine decimals of a second."""


def _pattern(subject: str) -> str:
    """Check a pattern of subjects."""
    if why := subjects.wrong(subject):
        raise ValueError(why)
    return subject


Subject = Annotated[str, AfterValidator(_pattern)]
"""A subject of NATS, or a pattern with `*` and `>`."""

PARTITION = "{partition}"
"""Stands in an entry's subjects for the number of the partition, where NATS writes it."""

NATS_NAME = r"^[^\s.*>/\\]+$"
NatsName = Annotated[str, Field(pattern=NATS_NAME)]
"""The name of a stream or a durable: no white space, no dot, star, angle bracket or slash."""


def _mode(value: object) -> object:
    """Read permission bits: a number, or octal digits as text."""
    if isinstance(value, str):
        try:
            return int(value, 8)
        except ValueError:
            raise ValueError('write the permission bits in octal, like "0660"') from None
    if isinstance(value, int) and not 0 <= value <= 0o777:
        raise ValueError('that is no permission; write the bits in octal and as text, like "0660"')
    return value


def _servers(value: object) -> object:
    """Read a list of servers: a list, or one text with commas between."""
    given = value.split(",") if isinstance(value, str) else value
    if not isinstance(given, list | tuple):
        return given
    return tuple(_server(one, at) if isinstance(one, str) else one for at, one in enumerate(given, 1))


def _server(given: str, at: int) -> str:
    url = given.strip()
    full = url if "://" in url else f"nats://{url}"
    scheme, _, rest = full.partition("://")
    if scheme not in ("nats", "tls", "ws", "wss") or not rest.rpartition("@")[2].strip(":/"):
        # The URL itself is not repeated: it may hold a password.
        raise ValueError(f"server {at} of the list: it is written nats://host:4222, or tls://host:4222")
    return full


KINDS = ("telemetry", "events", "sweep", "netflow", "otel_metrics", "otel_traces", "logs", "json")
"""The kinds that come with eventwriter; `eventwriter.kinds.registry` says what each of them is."""

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

DEFAULT_STREAMS = tuple(DEFAULT_SUBJECTS)
"""What runs where the configuration names no streams: all that ServiceRadar publishes."""

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

DEFAULT_TABLES: dict[str, tuple[str, ...]] = {
    "telemetry": ("timeseries_metrics",),
    "events": ("ocsf_events", "events"),
    "sweep": ("ocsf_network_activity",),
    "netflow": ("ocsf_network_activity",),
    "otel_metrics": ("otel_metrics",),
    "otel_traces": ("otel_traces",),
    "logs": ("ocsf_events",),
}
"""Tables of an entry that names none, by kind; the same as in `kinds.registry`, used to find overlapping entries."""

RAW_INPUTS = ("logs.syslog", "logs.snmp", "logs.otel")
"""Subjects below `logs.>` that another program reads and publishes again as `.processed`."""


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
    """PEM file of the authorities to trust. The system's where it is absent."""
    cert_file: str | None = None
    """PEM file of our own certificate, for mutual TLS. None by default: most servers want a login instead."""
    key_file: str | None = None
    """PEM file of the key of `cert_file`. Default: the key is in `cert_file` itself."""
    server_name: str | None = None
    """The name that the server's certificate must carry. Default: the host of the server's URL."""
    handshake_first: bool = False
    """Begin with TLS, before the server's greeting. As on the server, whose default is false too; where the two differ,
    no connection comes up."""


class NatsSettings(_Record):
    """Where JetStream is, and who we are there. At most one way to log in may be given."""

    servers: Annotated[tuple[str, ...], BeforeValidator(_servers), Field(min_length=1)] = ("nats://localhost:4222",)
    """URLs of one cluster's servers, a list or one text with commas between; any of them is enough to find the
    others."""
    domain: str | None = None
    """JetStream domain, where the account's streams live in another one. Default: the account's own."""
    creds_file: str | None = None
    """A .creds file (JWT and nkey). Read anew at every connect, so that a rotated one is picked up."""
    nkey_seed_file: str | None = None
    """File with an nkey's seed."""
    user: str | None = None
    """User name, with `password` or `password_file`."""
    password: SecretStr | None = None
    """Password of `user`. A file is better: it can be rotated, and does not show in `systemctl show`."""
    password_file: str | None = None
    """File with the password; wins over `password`. Read anew at every connect, so that a rotated one is picked up."""
    token: SecretStr | None = None
    """Token, for servers that want only that."""
    token_file: str | None = None
    """File with the token; wins over `token`. Read anew at every connect."""
    tls: NatsTls | None = None
    """TLS. Absent: none, unless a server's URL begins with tls://, which is verified against the system's
    authorities."""
    connect_timeout_s: Seconds = Field(10.0, alias="connect_timeout")
    """How long one attempt to connect may take. Seconds. Too low: a distant server is never reached. Too high: a dead
    first server holds up the second."""
    ping_interval_s: Seconds = Field(10.0, alias="ping_interval")
    """Between two pings. Seconds. A server that is stopped but not closed is noticed after two to three of these."""
    reconnect_wait_s: Seconds = Field(0.5, alias="reconnect_wait")
    """Between two attempts at the same server. Seconds. Too low: a restarting server is flooded; too high: it is found
    late."""
    inbox_prefix: str | None = None
    """For accounts that may only subscribe to inboxes of their own. Default: `_INBOX`."""

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


def _readable(secret: SecretStr) -> SecretStr:
    libpq.read(secret.get_secret_value())
    return secret


class PostgresSettings(_Record):
    """Where PostgreSQL is; the names are libpq's."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    dsn: Annotated[SecretStr, AfterValidator(_readable)] | None = None
    """A libpq connection string or URL; the other keys go on top of it, and defaults below it. Never shown, as it may
    hold a password."""
    host: str | None = None
    """One host, several with commas between (tried in order), or a folder with a Unix socket. Default: libpq's, which
    is $PGHOST or the local socket."""
    port: Annotated[str, Field(pattern=r"^\d{1,5}(,\d{1,5})*$")] | None = None
    """A port, or one for each host with commas between. Default: libpq's, $PGPORT or 5432."""
    database: str | None = None
    """Name of the database. Default: libpq's, $PGDATABASE or the user's name."""
    user: str | None = None
    """Role to log in as. Default: libpq's, $PGUSER or the system's user name."""
    password: SecretStr | None = None
    """Password of `user`. A file is better: it can be rotated, and does not show in `systemctl show`."""
    password_file: str | None = None
    """File with the password; wins over `password`. Read anew at every connect, so that a rotated one is picked up."""
    sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] | None = None
    """How TLS is used, in libpq's words. Default: `verify-full` where `sslrootcert` or `sslcert` is given, else libpq's
    `prefer`, which verifies nothing. Beside those files only `verify-full` and `verify-ca` are accepted; the latter
    does not look at the host's name."""
    sslrootcert: str | None = None
    """PEM file of the authorities to trust. Default: libpq's, ~/.postgresql/root.crt."""
    sslcert: str | None = None
    """PEM file of our own certificate, where the server wants one."""
    sslkey: str | None = None
    """PEM file of the key of `sslcert`; libpq wants it closed to others (mode 0600)."""
    target_session_attrs: Literal["any", "read-write", "read-only", "primary", "standby", "prefer-standby"] | None = (
        None
    )
    """Which of several hosts will do, in libpq's words; `read-write` finds the primary. Default: `any`."""
    application_name: str = "eventwriter"
    """What pg_stat_activity shows."""
    connect_timeout_s: Seconds = Field(10.0, alias="connect_timeout")
    """How long one attempt to connect may take, for each host; whole seconds, at least 2 (libpq's rule)."""
    statement_timeout_s: Seconds = Field(30.0, alias="statement_timeout")
    """For each COPY. Seconds. Too low: big batches are halved again and again. Too high: a hung server is noticed
    late."""
    runtime_params: dict[str, str] = Field(default_factory=dict)
    """PostgreSQL's parameters, set in every transaction; `search_path` is the common one. Default: none."""

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
        ours = {
            "application_name": self.application_name,
            "connect_timeout": str(max(2, round(self.connect_timeout_s))),
        }
        # Our defaults go below the DSN: what it says itself, it means.
        below = {**ours, **({"sslmode": "verify-full"} if self.certificate_key() else {})}
        fields = {"application_name": "application_name", "connect_timeout_s": "connect_timeout"}
        above = {name: ours[name] for field, name in fields.items() if field in self.model_fields_set}
        secret = {"password": password} if password is not None else {}
        return libpq.joined(below, self._dsn(), {**above, **self._parameters(), **secret})

    def certificate_key(self) -> str | None:
        """Return which certificate of TLS is given, beside the DSN or in it: the server's authority's, else ours."""
        given = self.parameters()
        return next((key for key in ("sslrootcert", "sslcert") if given.get(key)), None)

    def parameters(self) -> dict[str, str]:
        """Return the DSN's parameters, and over them what is given beside it; the DSN's secrets are among them."""
        return {**libpq.read(self._dsn()), **self._parameters()}

    def target(self) -> str:
        """Return where that is, for people: never a secret."""
        try:
            return libpq.where(self.parameters())
        except ValueError:
            return "postgres.dsn"

    def _dsn(self) -> str:
        return self.dsn.get_secret_value() if self.dsn else ""

    def _parameters(self) -> dict[str, str]:
        """Return what is given beside the DSN, under libpq's names, without the password."""
        given = {
            "host": self.host,
            "port": self.port,
            "dbname": self.database,
            "user": self.user,
            "sslmode": self.sslmode,
            "sslrootcert": self.sslrootcert,
            "sslcert": self.sslcert,
            "sslkey": self.sslkey,
            "target_session_attrs": self.target_session_attrs,
        }
        return {key: value for key, value in given.items() if value is not None}


class StreamSettings(_Record):
    """One stream entry: which messages, what they are, where they go. It may also be just a name, as text."""

    name: Annotated[str, Field(min_length=1, pattern=r"^[^\s/]+$")]
    """What `status` and the logs call it, and the end of the durable's name. Names like TELEMETRY bring subjects and
    kind along. Default: the table's name in capitals. No white space, no slash."""
    stream_name: NatsName
    """JetStream's stream. Default: the top level's `stream_name`."""
    subjects: tuple[Subject, ...] = Field(min_length=1)
    """Which of the stream's messages; one may be written as `subject`. Default: by the entry's name. They must not
    overlap: NATS refuses a consumer whose filters do."""
    kind: Kind
    """What the messages are. Default: by the table, else by the name, else `json`."""
    tables: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Every message goes into each of them, in one transaction; one may be written as `table`, and as `schema.table`.
    Default: the kind's."""
    schema_name: str | None = Field(None, alias="schema")
    """Schema of tables, ledger and dead letters. Default: found by the search path."""
    partitions: int = Field(1, ge=1, le=256)
    """Workers that share the entry's messages. Default 1: enough until one CPU is. With more, say how they share:
    write `{partition}` in the subjects, or give `partition_subjects`, or set `partition_mode` to shared."""
    partition_mode: Literal["exclusive", "shared"] = "exclusive"
    """`exclusive`: each worker has a durable and subjects of its own, and order is kept within a partition. `shared`:
    all pull from one durable, on one host or several, in no order; a dead worker's messages come after `ack_wait`."""
    partition_subjects: tuple[Annotated[tuple[Subject, ...], Field(min_length=1)], ...] = ()
    """The subjects of each partition, as a list of lists, where they are shared out by hand. `subjects` is then not
    given. Default: `subjects`, with `{partition}` in them counted from 0."""
    batch_size: int = Field(100, ge=1, le=BATCH_MESSAGES_MAX)
    """Messages after which a batch is written when nothing more waits. 100 is the predecessor's. Lower: fresher rows,
    more commits."""
    batch_timeout_s: Millis = Field(1.0, alias="batch_timeout")
    """Age at which a batch is written, however small; a plain number counts milliseconds, as the predecessor's 1000
    did. Too low: commits of single rows. Too high: rows come late."""
    max_batch_size: int = Field(5000, ge=1, le=BATCH_MESSAGES_MAX)
    """Rows that a batch grows to under backlog; at least `batch_size`. Beyond 5000 COPY gets hardly cheaper.
    Higher: more memory, and more to repeat after a failure."""
    max_batch_bytes: int = Field(16 * MiB, ge=MiB)
    """Payload bytes that a batch grows to. A worker holds three batches and their rows, so mind
    `worker_memory_bytes_max`. Too low: big messages make tiny batches."""
    max_payload_bytes: int = Field(16 * MiB, ge=1024)
    """Bytes of a payload above which the message becomes a dead letter unread. NATS itself allows up to 64 MiB, and
    1 MiB by default. Higher: one message may take many times its size of memory; mind `worker_memory_bytes_max`."""
    on_conflict: Literal["append", "nothing", "replace"] | None = None
    """What becomes of a row whose key the table has already: `nothing` keeps the old one, `replace` the new one,
    `append` takes it for an error of the row. Default: the table's own rule."""
    dead_letter_share_max: float = Field(0.05, ge=0, le=1)
    """Share of messages, from 0 to 1, that may become dead letters within a minute, of a hundred messages at least;
    above it status is degraded and says so. Default 0.05: a publisher that goes wrong is seen, one odd device is not.
    1 never says anything."""
    enabled: bool = True
    """False: the entry is read and checked, and no worker runs for it."""
    ignore_subjects: tuple[Subject, ...] = ()
    """Patterns of subjects that are counted and dropped. Default: none; for logs the raw inputs of other programs
    (logs.syslog, logs.snmp, logs.otel), unless `subjects` names them."""
    durable: NatsName | None = None
    """Name of the durable consumer, which remembers how far we are. Default: `consumer_name` and the entry's name.
    Another name is another consumer, which begins where the ledger has no entry: at `start`."""
    start: Instant | None = None
    """Where a durable begins that does not exist yet and of which the ledger knows nothing: at the first message that
    was stored then or later, like "2026-11-25T10:00:00Z". Default: at the stream's first message. A durable that
    exists is used as it is; one that was removed is made anew where the ledger ends."""
    ack_wait_s: Seconds = Field(60.0, alias="ack_wait", ge=1)
    """After which JetStream delivers again what was not answered. Seconds, above `batch_timeout`; we say `in progress`
    three times as often, so slow writing is no reason to raise it. Too low: redeliveries while a worker is busy. Too
    high: a crashed host's messages come late."""
    keep_raw: bool | None = None
    """Keep the payload as it came in `raw_data`, where the table has that column. Default: in table `events` only,
    where it alone holds what has no column; elsewhere that copy can be most of a table's size."""
    map: dict[str, str | None] = Field(default_factory=dict)
    """For kind json: column → path in the record ("a.b.c"), or $subject, $sequence, $timestamp, $header.NAME, $payload.
    Null leaves the column to its default. Default: keys go to columns of the same name."""
    rest: str | None = None
    """For kind json: the jsonb column that takes the keys without a column. Default: they are counted and left out."""

    @property
    def options(self) -> dict[str, Any]:
        """What table builders are told: the options that are set."""
        given = {"keep_raw": self.keep_raw, "map": self.map, "rest": self.rest}
        return {key: value for key, value in given.items() if value or value is False}

    @property
    def is_shared(self) -> bool:
        """Whether several workers, here or elsewhere, pull from one durable."""
        return self.partition_mode == "shared"

    @property
    def every_subject(self) -> tuple[str, ...]:
        """The subjects of all partitions together."""
        if self.partition_subjects:
            return tuple(dict.fromkeys(subject for part in self.partition_subjects for subject in part))
        return tuple(subject.replace(PARTITION, "*") for subject in self.subjects)

    def filters(self, partition: int) -> tuple[str, ...]:
        """Return the subjects of one partition."""
        if self.partition_subjects:
            return self.partition_subjects[partition]
        return tuple(subject.replace(PARTITION, str(partition)) for subject in self.subjects)

    def durable_name(self, consumer_name: str, partition: int) -> str:
        """Return the durable's name for one partition; only characters that NATS allows."""
        base = self.durable or f"{consumer_name}-{re.sub(r'[^a-z0-9_-]', '-', self.name.lower())}"
        return f"{base}-{partition}" if self.partitions > 1 and not self.is_shared else base


class SupervisorSettings(_Record):
    """How workers are watched."""

    heartbeat_s: Seconds = Field(1.0, alias="heartbeat")
    """How often a worker reports. Seconds. Lower: fresher figures, more CPU. At most half of `hang_max`."""
    hang_s_max: Seconds = Field(20.0, alias="hang_max")
    """Silence after which a worker is killed; its stacks are dumped first. Seconds. Too low: a busy machine's workers
    are killed for nothing."""
    backoff_s_min: Seconds = Field(0.2, alias="backoff_min")
    """Rest after a worker's first unasked exit, doubled with each further one. Seconds."""
    backoff_s_max: Seconds = Field(30.0, alias="backoff_max")
    """Longest rest, also of a slot that has failed. Seconds. Too high: a mended slot comes back late."""
    crash_loop_exits_max: int = Field(5, ge=1)
    """Unasked exits within `crash_loop_window` that make a slot FAILED; the others run on."""
    crash_loop_window_s: Seconds = Field(60.0, alias="crash_loop_window")
    """The window for `crash_loop_exits_max`. Seconds."""
    start_s_max: Seconds = Field(60.0, alias="start_max")
    """How long a new worker may take until it first reports. Seconds; servers that are away do not count."""
    drain_s_max: Seconds = Field(30.0, alias="drain_max")
    """How long a worker may take to finish what is open; then it is killed, and its messages come again. Seconds.
    systemd's TimeoutStopSec must be longer."""
    worker_memory_bytes_max: int = Field(1024 * MiB, ge=64 * MiB)
    """Resident bytes above which a worker is drained and replaced. Must hold the batches of its stream."""


def _default_socket() -> str:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    for folder, name in (("/run/eventwriter", "control.sock"), (runtime or "", "eventwriter.sock")):
        if folder and os.path.isdir(folder) and os.access(folder, os.W_OK):
            return os.path.join(folder, name)
    return os.path.join(tempfile.gettempdir(), f"eventwriter-{os.getuid()}.sock")


class ControlSettings(_Record):
    """The control socket."""

    socket: str = Field(default_factory=_default_socket)
    """Path, at most 107 bytes. Default: /run/eventwriter/control.sock where that folder can be written, else
    $XDG_RUNTIME_DIR/eventwriter.sock, else one in the folder for temporary files."""
    mode: Annotated[int, BeforeValidator(_mode), WithJsonSchema({"type": ["string", "integer"]})] = 0o660
    """Permission bits of the socket, as octal text: who may connect. Default "0660". With "0666" everybody on the
    machine may look (`status`), but still only root, the daemon's user, the socket's owner and its group may change
    anything."""
    owner: str | None = None
    """User that owns the socket. Default: the daemon's own; only a daemon that runs as root can give it away."""
    group: str | None = None
    """Group that owns the socket; its members may connect and change things. Default: the daemon's own. The daemon's
    user must be a member (`SupplementaryGroups=` in the unit)."""


class DeadLetterSettings(_Record):
    """
    How long dead letters are kept. One that is deleted is gone for good; by default none ever is.

    Each worker looks after its table of them, one at a time, in small deletes.
    """

    keep_s: Seconds | None = Field(None, alias="keep")
    """Age above which a letter is deleted, whether it was replayed or not, like "90d". No younger one ever is by this
    key. Default: kept for ever."""
    keep_max: int | None = Field(None, ge=1)
    """Number of letters above which the oldest are deleted, however young they are. Too low: a publisher that goes
    wrong overnight drives out all others. Default: no limit."""


HOUR_S, DAY_S = 3600.0, 86400.0


def _width(width_s: float) -> float:
    """Check how much time one partition spans."""
    if width_s < HOUR_S or width_s % HOUR_S:
        raise ValueError('whole hours are wanted, like "1d", "6h" or "7d"')
    return width_s


Width = Annotated[float, BeforeValidator(lambda v: seconds(v, 1.0)), AfterValidator(_width), _DURATION]
"""How much time one partition of a table spans."""


class TableStorage(_Record):
    """What is otherwise for one table; a key that is not given is as in `storage`."""

    keep_s: Keep | None = Field(None, alias="keep")
    """How long its rows are kept. Default: `storage.keep`."""
    partition_s: Width | None = Field(None, alias="partition")
    """How much time one of its partitions spans. Default: `storage.partition`."""
    ahead: int | None = Field(None, ge=1, le=1000)
    """How many of its partitions are made ahead. Default: `storage.ahead`."""
    behind: int | None = Field(None, ge=0, le=1000)
    """How many of its periods back late rows get a partition. Default: `storage.behind`."""
    compress_after_s: Seconds | None = Field(None, alias="compress_after")
    """Age at which its chunks are compressed. Default: `storage.compress_after`."""


class StorageSettings(_Record):
    """
    How the tables that `eventwriter migrate` made are looked after: time partitions on plain PostgreSQL, policies on
    TimescaleDB. `eventwriter migrate --maintain` does it once; see `docs/storage.md`.
    """

    maintain: bool = False
    """The daemon does it at intervals. Default false: the running writer issues no DDL unless it is told to. Its role
    must then own the tables."""
    every_s: Seconds = Field(HOUR_S, alias="every", ge=1)
    """Between two looks of the daemon. Seconds. Must be well below `ahead` times `partition`."""
    keep_s: Keep = Field(math.inf, alias="keep")
    """How long rows are kept, by their own time, like "30d", or "forever". A partition is dropped when the youngest row
    that it may hold is older, so rows live up to one `partition` longer. What is dropped is gone."""
    partition_s: Width = Field(DAY_S, alias="partition")
    """How much time one partition spans; whole hours. Too short: thousands of tables. Too long: retention is coarse.
    For TimescaleDB's chunks see `migrate --chunk-interval`."""
    ahead: int = Field(7, ge=1, le=1000)
    """How many partitions are made ahead of the current one: how long nobody need look. Rows beyond go to the default
    partition."""
    behind: int = Field(30, ge=0, le=1000)
    """How many periods back late rows get a partition of their own, where there are any in the default partition. Older
    ones stay in it."""
    compress_after_s: Seconds | None = Field(None, alias="compress_after")
    """TimescaleDB: age at which chunks are compressed. Default: never by eventwriter. Plain PostgreSQL has no such
    thing."""
    move_max: int = Field(100_000, ge=0)
    """Rows that are moved from the default partition into a new one at most; writing of that table rests meanwhile,
    a second or two for the default. With more there, that partition is not made, and it is said."""
    tables: dict[str, TableStorage] = Field(default_factory=dict)
    """What is otherwise for single tables, by name, like `{"logs": {"keep": "90d"}}`."""

    def of(self, table: str) -> "StorageSettings":
        """Return what holds for one table."""
        own = self.tables.get(table)
        given = own.model_dump(exclude_none=True) if own is not None else {}
        return self.model_copy(update=given)


def _listen(text: str) -> str:
    """Check an address to listen on, and write the host out."""
    return str(read_address(text))


class HttpSettings(_Record):
    """
    The web child: health, status, metrics and the dashboard, all read-only. Off unless `listen` is set.

    It is a process of its own: workers and what they write do not notice when it ends.
    """

    listen: Annotated[str, AfterValidator(_listen)] | None = None
    """Address and port, like "127.0.0.1:8088", or ":8088" for this machine only. Any other than this machine's own
    needs `token_file`. Default: none, no web child runs."""
    token_file: str | None = None
    """File with the token that readers must show, as `Authorization: Bearer …` or on the login page; at least 16
    characters. Read anew when it changes: who was logged in must log in again. Default: no token, this machine only."""
    cert_file: str | None = None
    """PEM file of the certificate to be read by HTTPS, with the chain to its authority. Read anew when it changes.
    Default: plain HTTP."""
    key_file: str | None = None
    """PEM file of the key of `cert_file`. Default: the key is in `cert_file` itself."""

    @property
    def address(self) -> Address | None:
        """Where to listen, None for nowhere."""
        return read_address(self.listen) if self.listen else None


class LogSettings(_Record):
    """Logs go to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least that is logged. `info` has a line for each change of state, never one for a message."""
    format: Literal["auto", "json", "text"] = "auto"
    """`auto` is text on a terminal and one JSON object a line elsewhere."""


class Settings(_Record):
    """All of it."""

    enabled: bool = False
    """Whether `run` runs at all. Default false, as the predecessor's: a writer that is not enabled says so and ends."""
    consumer_name: NatsName = "eventwriter"
    """The beginning of the durables' names."""
    stream_name: NatsName = "events"
    """JetStream's stream, for entries that give none. `events` is where ServiceRadar's programs publish."""
    ocsf_version: str = "1.3.0"
    """OCSF version that is written into metadata."""
    redact: tuple[str, ...] = ("community",)
    """Keys, in any case, whose values are never stored. Default: SNMP communities, which are credentials."""
    nats: NatsSettings = NatsSettings()
    """Where JetStream is, and who we are there."""
    postgres: PostgresSettings = PostgresSettings()
    """Where PostgreSQL is, and who we are there."""
    streams: tuple[StreamSettings, ...] = ()
    """What is written where: names, or entries with keys. One worker for each. Default: the names
    TELEMETRY, EVENTS, SWEEP, NETFLOW, OTEL_METRICS, OTEL_TRACES and LOGS."""
    supervisor: SupervisorSettings = SupervisorSettings()
    """How workers are watched."""
    control: ControlSettings = Field(default_factory=ControlSettings)
    """The control socket."""
    dead_letters: DeadLetterSettings = DeadLetterSettings()
    """How long dead letters are kept."""
    storage: StorageSettings = StorageSettings()
    """How the tables are looked after: partitions, retention, compression."""
    http: HttpSettings = HttpSettings()
    """The web child."""
    log: LogSettings = LogSettings()
    """What is logged, and how."""

    def slots(self) -> list[SlotName]:
        """Return the slots to run: enabled streams times partitions."""
        return [SlotName(s.name, p) for s in self.streams if s.enabled for p in range(s.partitions)]

    def stream(self, name: str) -> StreamSettings:
        """Return the entry of that name. Raises Fatal where there is none."""
        for stream in self.streams:
            if stream.name == name:
                return stream
        raise Fatal(f"no stream entry is called {name!r}; there are {', '.join(s.name for s in self.streams)}")
