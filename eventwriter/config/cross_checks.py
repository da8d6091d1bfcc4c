"""
Checks that concern several settings at once. Pure.

An error is a combination with which a worker cannot do its work, or would repeat it for ever. A
warning is a combination that works but is probably not intended.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from eventwriter.config.durations import format_duration
from eventwriter.config.errors import Path, SettingError, display, key_name, suggest
from eventwriter.config.settings import (
    PARTITION,
    HttpSettings,
    NatsSettings,
    PostgresSettings,
    Settings,
    StorageSettings,
    StreamSettings,
)
from eventwriter.config.subjects import covers, overlap, overlapping_pairs
from eventwriter.kinds.names import KIND_OF_TABLE, KINDS, KindNames
from eventwriter.model import HELD_BATCHES_MAX


def errors(settings: Settings, names: Mapping[Path, str] | None = None) -> list[SettingError]:
    """
    Return all contradictions.

    Args:
        settings: The settings.
        names: Names of key paths that were written differently: a variable, or a key of the Go writer.
    """
    return [
        *_duplicates(settings),
        *(error for stream in settings.streams for error in _stream_errors(stream, settings)),
        *_overlap_errors(settings.streams),
        *_supervisor_errors(settings),
        *_nats_errors(settings.nats),
        *_postgres_errors(settings.postgres, names or {}),
        *_http_errors(settings.http),
        *_storage_errors(settings.storage),
    ]


def warnings(settings: Settings) -> list[str]:
    """Return what works but is probably not intended."""
    result = [
        f"streams: {one.name} and {other.name} both read {both} of stream {one.stream_name}; each of these messages is"
        " written twice, to different tables"
        for one, other, both in _overlapping_entries(settings.streams)
        if not _common_tables(one, other)
    ]
    result += _http_warnings(settings.http)
    drain_s, statement_s = settings.supervisor.drain_max_s, settings.postgres.statement_timeout_s
    if drain_s < statement_s:
        result.append(
            f"supervisor.drain_max: {format_duration(drain_s)} is below postgres.statement_timeout"
            f" {format_duration(statement_s)}; if PostgreSQL is slow, a stop kills workers, and their open messages"
            " are redelivered (none is lost)"
        )
    return result


def _conflict(key: str, message: str) -> SettingError:
    return SettingError(key, "conflict", message)


def _duplicates(settings: Settings) -> Iterator[SettingError]:
    for name, count in Counter(stream.name for stream in settings.streams).items():
        if count > 1:
            yield SettingError("streams", "duplicate", f"{count} entries have the name {name}; names must be unique")
    durables: dict[tuple[str, str], str] = {}
    for stream, partition in ((entry, p) for entry in settings.streams for p in range(entry.partitions)):
        durable = stream.durable_name(settings.consumer_name, partition)
        owner = durables.setdefault((stream.stream_name, durable), stream.name)
        if owner != stream.name:
            message = f"{owner} and {stream.name} have the same durable {durable}; set `durable` in one of them"
            yield SettingError("streams", "duplicate", message)


def _stream_errors(stream: StreamSettings, settings: Settings) -> Iterator[SettingError]:
    key = f"streams[{stream.name}]"
    if stream.max_batch_size < stream.batch_size:
        message = f"{stream.max_batch_size} is below batch_size {stream.batch_size}; raise it"
        yield _conflict(f"{key}.max_batch_size", message)
    if stream.ack_wait_s <= stream.batch_timeout_s:
        yield _conflict(
            f"{key}.ack_wait",
            f"{format_duration(stream.ack_wait_s)} must be above batch_timeout"
            f" {format_duration(stream.batch_timeout_s)}, or messages are redelivered while their batch is open",
        )
    held_bytes, limit = HELD_BATCHES_MAX * stream.max_batch_bytes, settings.supervisor.worker_memory_bytes_max
    if held_bytes >= limit:
        yield _conflict(
            f"{key}.max_batch_bytes",
            f"a worker holds up to {HELD_BATCHES_MAX} batches of {stream.max_batch_bytes} bytes, which must be below"
            f" supervisor.worker_memory_bytes_max {limit}; lower the one or raise the other",
        )
    for one, other in overlapping_pairs(stream.every_subject):
        narrow = _covered(one, other)
        yield _conflict(
            f"{key}.{'partition_subjects' if stream.partition_subjects else 'subjects'}",
            f"{one} and {other} overlap;"
            f" {'partitions must be disjoint' if stream.partition_subjects else 'NATS refuses such a consumer'};"
            f" {f'remove {narrow}' if narrow else 'make them disjoint'}",
        )
    yield from _partition_errors(stream, key)


def _partition_errors(stream: StreamSettings, key: str) -> Iterator[SettingError]:
    count, lists = stream.partitions, stream.partition_subjects
    numbered = [subject for subject in stream.subjects if PARTITION in subject]
    if lists and count != len(lists):
        message = f"{count} partitions, but partition_subjects has {len(lists)} lists; write one list for each"
        yield _conflict(f"{key}.partitions", message)
    if stream.is_shared and (lists or numbered):
        other = "partition_subjects" if lists else PARTITION
        message = f"shared excludes {other}, because all shared workers read the same subjects"
        yield _conflict(f"{key}.partition_mode", message)
    elif count > 1 and not lists and not stream.is_shared and len(numbered) < len(stream.subjects):
        yield _conflict(
            f"{key}.partitions",
            f"each of the {count} partitions would receive every message; write {PARTITION} in each of the subjects,"
            " where NATS writes the number of the partition, or set partition_subjects, or set partition_mode to"
            " shared",
        )


def _covered(one: str, other: str) -> str | None:
    """Return the pattern that the other one covers."""
    return other if covers(one, other) else one if covers(other, one) else None


def _overlap_errors(streams: Sequence[StreamSettings]) -> Iterator[SettingError]:
    for one, other, both in _overlapping_entries(streams):
        if tables := _common_tables(one, other):
            yield _conflict(
                "streams",
                f"{one.name} and {other.name} both read {both} of stream {one.stream_name} and both write {tables},"
                " so these messages would be written twice; combine the entries, or make their subjects disjoint",
            )


def _overlapping_entries(
    streams: Sequence[StreamSettings],
) -> Iterator[tuple[StreamSettings, StreamSettings, str]]:
    """Yield pairs of enabled entries that overlap on one stream, with the common subjects."""
    enabled = [stream for stream in streams if stream.enabled]
    for one, other in combinations(enabled, 2):
        if one.stream_name != other.stream_name:
            continue
        both = [_covered(a, b) or f"{a} ∩ {b}" for a in one.every_subject for b in other.every_subject if overlap(a, b)]
        if both:
            yield one, other, ", ".join(dict.fromkeys(both))


def _common_tables(one: StreamSettings, other: StreamSettings) -> str | None:
    """Return the tables that both entries write, None if there are none."""
    if one.schema_name != other.schema_name:
        return None
    return ", ".join(table for table in _tables(one) if table in _tables(other)) or None


def _tables(stream: StreamSettings) -> tuple[str, ...]:
    return stream.tables or KINDS.get(stream.kind, KindNames()).tables


def _supervisor_errors(settings: Settings) -> Iterator[SettingError]:
    limits = settings.supervisor
    if limits.hang_max_s < 2 * limits.heartbeat_s:
        yield _conflict(
            "supervisor.hang_max",
            f"{format_duration(limits.hang_max_s)} must be at least twice supervisor.heartbeat"
            f" {format_duration(limits.heartbeat_s)}, or healthy workers are killed",
        )
    if limits.backoff_max_s < limits.backoff_min_s:
        yield _conflict(
            "supervisor.backoff_max",
            f"{format_duration(limits.backoff_max_s)} is below supervisor.backoff_min"
            f" {format_duration(limits.backoff_min_s)}; raise it",
        )


def _nats_errors(nats: NatsSettings) -> Iterator[SettingError]:
    logins = {
        "creds_file": nats.creds_file,
        "nkey_seed_file": nats.nkey_seed_file,
        "user": nats.user,
        "token": nats.token or nats.token_file,
    }
    if len(keys := [key for key, value in logins.items() if value]) > 1:
        yield _conflict("nats", f"{' and '.join(keys)} are different login methods; keep one")
    if (nats.password or nats.password_file) and not nats.user:
        yield _conflict(f"nats.{'password' if nats.password else 'password_file'}", "requires nats.user")
    secure = {url.startswith(("tls://", "wss://")) for url in nats.servers}
    if nats.tls is None and len(secure) > 1:
        yield _conflict(
            "nats.servers",
            "some URLs begin with tls:// and others do not, so after a reconnect the login could be sent unencrypted;"
            " begin all URLs with tls://, or set nats.tls",
        )
    if len(nats.url_logins()) > 1:
        yield _conflict(
            "nats.servers", "the URLs contain different logins; set the login once, as nats.user or in a file"
        )
    if nats.tls and nats.tls.key_file and not nats.tls.cert_file:
        yield _conflict("nats.tls.key_file", "requires nats.tls.cert_file")


def _storage_errors(storage: StorageSettings) -> Iterator[SettingError]:
    for name in storage.tables:
        if name not in KIND_OF_TABLE:
            message = f"{name} is not a table of eventwriter{suggest(name, KIND_OF_TABLE)}"
            yield SettingError("storage.tables", "not_allowed", message)
    sections = {"storage": storage, **{f"storage.tables.{name}": storage.of(name) for name in storage.tables}}
    reported: set[float] = set()
    for key, section in sections.items():
        ahead_s = section.ahead * section.partition_s
        if storage.maintain and storage.every_s > ahead_s / 2 and ahead_s not in reported:
            reported.add(ahead_s)
            yield _conflict(
                "storage.every",
                f"{format_duration(storage.every_s)} is more than half of the time that {key} creates in advance"
                f" ({section.ahead} partitions of {format_duration(section.partition_s)}); lower it, or raise ahead",
            )
        if section.compress_after_s is not None and section.compress_after_s >= section.keep_s:
            yield _conflict(
                f"{key}.compress_after",
                f"{format_duration(section.compress_after_s)} must be below keep {format_duration(section.keep_s)},"
                " or chunks are dropped before they are compressed",
            )


def _http_errors(http: HttpSettings) -> Iterator[SettingError]:
    if http.address and not http.address.is_loopback and not http.token_file:
        yield _conflict(
            "http.listen",
            f"{http.listen} can be reached from other machines, and without http.token_file everyone there can read"
            f" everything; set http.token_file, or listen on 127.0.0.1:{http.address.port}",
        )
    if http.key_file and not http.cert_file:
        yield _conflict("http.key_file", "requires http.cert_file")


def _http_warnings(http: HttpSettings) -> Iterator[str]:
    if http.address and not http.address.is_loopback and not http.cert_file:
        yield (
            f"http.listen: {http.listen} without http.cert_file sends the token unencrypted; set a certificate, or put"
            " a proxy with TLS in front"
        )


_VERIFYING = ("verify-full", "verify-ca")


def _postgres_errors(postgres: PostgresSettings, names: Mapping[Path, str]) -> Iterator[SettingError]:
    if postgres.sslkey and not postgres.sslcert and postgres.dsn is None:
        yield _conflict("postgres.sslkey", "requires postgres.sslcert")
    hosts, ports = (len(text.split(",")) if text else 0 for text in (postgres.host, postgres.port))
    if ports > 1 and hosts and ports != hosts:
        message = f"{ports} ports for {hosts} hosts; write one port, or one for each host"
        yield _conflict("postgres.port", message)
    yield from _postgres_tls_errors(postgres, names)


def _postgres_tls_errors(postgres: PostgresSettings, names: Mapping[Path, str]) -> Iterator[SettingError]:
    """Yield an error if certificates are set, but the TLS mode does not verify the server with them."""
    certificate, parameters = postgres.certificate_parameter(), postgres.parameters()
    mode = parameters.get("sslmode")
    if certificate is None or mode is None:
        return
    # Any certificate of a public authority is valid with "system", so libpq accepts only verify-full.
    allowed = _VERIFYING[:1] if parameters.get("sslrootcert") == "system" else _VERIFYING
    if mode not in allowed:
        yield _conflict(
            _parameter_place(postgres, "sslmode", names),
            f"{display(mode)} does not verify the server, but {_parameter_place(postgres, certificate, names)} is set;"
            f" use {' or '.join(allowed)}, or remove one of the two",
        )


def _parameter_place(postgres: PostgresSettings, name: str, names: Mapping[Path, str]) -> str:
    """Return where a parameter is set: its own key, which takes precedence, or the DSN."""
    if getattr(postgres, name) is not None:
        return key_name(("postgres", name), names)
    return f"{key_name(('postgres', 'dsn'), names)} ({name})"
