"""
What settings must be to each other; pure.

A mistake is what keeps a worker from doing its work, or makes it repeat it for
ever. A warning is what works, and is likely not meant.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from eventwriter.config.durations import shown
from eventwriter.config.errors import Path, named, near
from eventwriter.config.errors import shown as shown_value
from eventwriter.config.settings import (
    DEFAULT_TABLES,
    KIND_OF_TABLE,
    PARTITION,
    HttpSettings,
    NatsSettings,
    PostgresSettings,
    Settings,
    StorageSettings,
    StreamSettings,
)
from eventwriter.config.subjects import covers, overlap, overlaps

HELD_BATCHES = 3
"""Batches that a worker holds at most (`worker.wiring.HELD_BATCHES`, which is counted there)."""


def mistakes(settings: Settings, names: Mapping[Path, str] | None = None) -> list[str]:
    """
    Return what contradicts itself, one sentence each.

    Args:
        settings: What is to be in effect.
        names: What to call a path, where it was not written under its own name: a variable, a Go key.
    """
    return [
        *_twice(settings),
        *(wrong for stream in settings.streams for wrong in _of_stream(stream, settings)),
        *_between(settings.streams),
        *_of_supervisor(settings),
        *_of_nats(settings.nats),
        *postgres_mistakes(settings.postgres, names or {}),
        *http_mistakes(settings.http),
        *_of_storage(settings.storage),
    ]


def warnings(settings: Settings) -> list[str]:
    """Return what works and is likely not meant."""
    said = [
        f"streams: {one.name} and {other.name} both take {both} of stream {one.stream_name}: each such message is"
        " written by both, into different tables"
        for one, other, both in _pairs(settings.streams)
        if not _same_table(one, other)
    ]
    said += http_warnings(settings.http)
    drain_s, statement_s = settings.supervisor.drain_s_max, settings.postgres.statement_timeout_s
    if drain_s < statement_s:
        said.append(
            f"supervisor.drain_max {shown(drain_s)} is below postgres.statement_timeout {shown(statement_s)}: a stop"
            " while PostgreSQL is slow ends in a kill (nothing is lost; what was open is delivered again)"
        )
    return said


def _twice(settings: Settings) -> Iterator[str]:
    for name, count in Counter(s.name for s in settings.streams).items():
        if count > 1:
            yield f"streams: the name {name} is given to {count} entries; each needs its own"
    durables: dict[tuple[str, str], str] = {}
    for stream, partition in ((one, p) for one in settings.streams for p in range(one.partitions)):
        durable = stream.durable_name(settings.consumer_name, partition)
        before = durables.setdefault((stream.stream_name, durable), stream.name)
        if before != stream.name:
            yield f"streams: {before} and {stream.name} would share the durable {durable}; set `durable` in one of them"


def _of_stream(stream: StreamSettings, settings: Settings) -> Iterator[str]:
    name = f"streams: {stream.name}:"
    if stream.max_batch_size < stream.batch_size:
        yield f"{name} max_batch_size {stream.max_batch_size} is below batch_size {stream.batch_size}; raise it"
    if stream.ack_wait_s <= stream.batch_timeout_s:
        yield (
            f"{name} ack_wait {shown(stream.ack_wait_s)} must be above batch_timeout {shown(stream.batch_timeout_s)},"
            " or messages come again while their batch is open"
        )
    held_bytes, limit = HELD_BATCHES * stream.max_batch_bytes, settings.supervisor.worker_memory_bytes_max
    if held_bytes >= limit:
        yield (
            f"{name} max_batch_bytes {stream.max_batch_bytes}: a worker holds up to {HELD_BATCHES} batches,"
            f" {held_bytes} bytes, which must be below supervisor.worker_memory_bytes_max {limit};"
            " lower the one or raise the other"
        )
    for one, other in overlaps(stream.every_subject):
        remove = f"remove {narrow!r}" if (narrow := _covered(one, other)) else "make them disjoint"
        within = "give messages to two partitions" if stream.partition_subjects else "NATS refuses within one consumer"
        yield f"{name} subjects {one!r} and {other!r} overlap, which {within}; {remove}"
    yield from _of_partitions(stream, name)


def _of_partitions(stream: StreamSettings, name: str) -> Iterator[str]:
    count, lists = stream.partitions, stream.partition_subjects
    numbered = [subject for subject in stream.subjects if PARTITION in subject]
    if lists and count != len(lists):
        yield f"{name} partitions {count}, and partition_subjects has {len(lists)} lists; give one list for each"
    if stream.is_shared and (lists or numbered):
        what = "partition_subjects" if lists else PARTITION
        yield f"{name} partition_mode shared and {what} exclude each other: shared workers all take the same subjects"
    elif count > 1 and not lists and not stream.is_shared and len(numbered) < len(stream.subjects):
        yield (
            f"{name} partitions {count}: each of them would be given every message; write {PARTITION} in each of the"
            " subjects where NATS puts the partition's number, or give partition_subjects, or set partition_mode to"
            " shared"
        )


def _covered(one: str, other: str) -> str | None:
    return other if covers(one, other) else one if covers(other, one) else None


def _between(streams: Sequence[StreamSettings]) -> Iterator[str]:
    for one, other, both in _pairs(streams):
        if table := _same_table(one, other):
            yield (
                f"streams: {one.name} and {other.name} both take {both} of stream {one.stream_name} and both write"
                f" {table}: each such message would be written twice; join them, or make their subjects disjoint"
            )


def _pairs(streams: Sequence[StreamSettings]) -> Iterator[tuple[StreamSettings, StreamSettings, str]]:
    """Yield enabled entries that overlap on one stream, with the subjects."""
    running = [stream for stream in streams if stream.enabled]
    for one, other in combinations(running, 2):
        if one.stream_name != other.stream_name:
            continue
        both = [_covered(a, b) or f"{a} ∩ {b}" for a in one.every_subject for b in other.every_subject if overlap(a, b)]
        if both:
            yield one, other, ", ".join(dict.fromkeys(both))


def _same_table(one: StreamSettings, other: StreamSettings) -> str | None:
    """Return the tables that both entries write, None where there are none."""
    if one.schema_name != other.schema_name:
        return None
    both = [table for table in _tables(one) if table in _tables(other)]
    return ", ".join(both) or None


def _tables(stream: StreamSettings) -> tuple[str, ...]:
    return stream.tables or DEFAULT_TABLES.get(stream.kind, ())


def _of_supervisor(settings: Settings) -> Iterator[str]:
    limits = settings.supervisor
    if limits.hang_s_max < 2 * limits.heartbeat_s:
        yield (
            f"supervisor.hang_max {shown(limits.hang_s_max)} must be at least twice supervisor.heartbeat"
            f" {shown(limits.heartbeat_s)}, or workers that are well are killed"
        )
    if limits.backoff_s_max < limits.backoff_s_min:
        yield (
            f"supervisor.backoff_max {shown(limits.backoff_s_max)} is below supervisor.backoff_min"
            f" {shown(limits.backoff_s_min)}; raise it"
        )


def _of_nats(nats: NatsSettings) -> Iterator[str]:
    given = {
        "creds_file": nats.creds_file,
        "nkey_seed_file": nats.nkey_seed_file,
        "user": nats.user,
        "token": nats.token or nats.token_file,
    }
    if len(ways := [key for key, value in given.items() if value]) > 1:
        yield f"nats: {' and '.join(ways)} are given: they are different ways to log in; keep one"
    if (nats.password or nats.password_file) and not nats.user:
        yield f"nats.{'password' if nats.password else 'password_file'}: given without nats.user; give both, or neither"
    if nats.tls and nats.tls.key_file and not nats.tls.cert_file:
        yield "nats.tls.key_file: given without nats.tls.cert_file; give both, or neither"


def _of_storage(storage: StorageSettings) -> Iterator[str]:
    for name in storage.tables:
        if name not in KIND_OF_TABLE:
            yield f"storage.tables: {name} is none of eventwriter's tables{near(name, KIND_OF_TABLE)}"
    sections = {"storage": storage, **{f"storage.tables.{name}": storage.of(name) for name in storage.tables}}
    said: set[float] = set()
    for name, wish in sections.items():
        ahead_s = wish.ahead * wish.partition_s
        if storage.maintain and storage.every_s > ahead_s / 2 and ahead_s not in said:
            said.add(ahead_s)
            yield (
                f"storage.every {shown(storage.every_s)} is more than half of what {name} makes ahead"
                f" ({wish.ahead} partitions of {shown(wish.partition_s)}); lower it, or raise ahead"
            )
        if wish.compress_after_s is not None and wish.compress_after_s >= wish.keep_s:
            yield (
                f"{name}: compress_after {shown(wish.compress_after_s)} must be below keep {shown(wish.keep_s)},"
                " or chunks are dropped before they are compressed"
            )


def http_mistakes(http: HttpSettings) -> Iterator[str]:
    """Yield what contradicts itself, one sentence each."""
    if http.address and not http.address.is_loopback and not http.token_file:
        yield (
            f"http.listen {http.listen}: other machines reach it, and whoever does would read everything; give"
            f" http.token_file too, or listen on 127.0.0.1:{http.address.port}"
        )
    if http.key_file and not http.cert_file:
        yield "http.key_file: given without http.cert_file; give both, or neither"


def http_warnings(http: HttpSettings) -> Iterator[str]:
    """Yield what works and is likely not meant."""
    if http.address and not http.address.is_loopback and not http.cert_file:
        yield (
            f"http.listen {http.listen}: without http.cert_file the token crosses the network readable for all; give"
            " a certificate, or put a proxy with TLS before it"
        )


_VERIFYING = ("verify-full", "verify-ca")


def postgres_mistakes(postgres: PostgresSettings, names: Mapping[Path, str]) -> Iterator[str]:
    """
    Yield what contradicts itself, one sentence each.

    Args:
        postgres: The settings.
        names: What to call a path, where it was not written under its own name.
    """
    if postgres.sslkey and not postgres.sslcert and postgres.dsn is None:
        yield "postgres.sslkey: given without postgres.sslcert; give both, or neither"
    hosts, ports = (len(text.split(",")) if text else 0 for text in (postgres.host, postgres.port))
    if ports > 1 and hosts and ports != hosts:
        yield f"postgres.port: {ports} ports for {hosts} hosts; give one, or one for each host"
    yield from _tls(postgres, names)


def _tls(postgres: PostgresSettings, names: Mapping[Path, str]) -> Iterator[str]:
    """Certificates say that the other side is to be known; a mode that does not look at it says the contrary."""
    key, given = postgres.certificate_key(), postgres.parameters()
    mode = given.get("sslmode")
    if key is None or mode is None:
        return
    # With the system's authorities, anybody's certificate is good but for its name: libpq refuses less.
    allowed = _VERIFYING[:1] if given.get("sslrootcert") == "system" else _VERIFYING
    if mode not in allowed:
        place = _place(postgres, "sslmode", names)
        yield (
            f"{place}: {shown_value(mode)} contradicts {_place(postgres, key, names)},"
            f" with which the server is verified;"
            f" allowed beside it are {' and '.join(allowed)}; write {allowed[0]}, or remove one of the two"
        )


def _place(postgres: PostgresSettings, key: str, names: Mapping[Path, str]) -> str:
    """Say where a parameter is given: beside the DSN, which wins, or in it."""
    if getattr(postgres, key) is not None:
        return named(("postgres", key), names)
    return f"{named(('postgres', 'dsn'), names)} ({key})"
