"""Faults of NATS and JetStream. `harness` describes how faults are written."""

import contextlib
import json
import shutil
import signal
from collections.abc import Callable, Iterator
from typing import Any

import nats
import nats.js.client
from faults import nats_security_faults, nats_version_faults
from faults.environment import Environment
from faults.harness import Fault, Injection
from faults.publisher import SUBJECT, large, sample

from eventwriter.observe.logging import BURST

JetStream = nats.js.client.JetStreamContext
DURABLE = "eventwriter-telemetry"
STREAM = {"name": "events", "subjects": ["telemetry.>", "netflow.>"]}
MIB = 2**20


def killed(env: Environment) -> Injection:
    env.servers.nats.kill()
    env.wait(0.5)
    env.servers.nats.start()
    yield
    assert 0 == env.slot()["restarts"]


def restarted(env: Environment) -> Injection:
    env.servers.nats.restart()
    yield


def paused(env: Environment) -> Injection:
    env.servers.nats.pause()
    env.until_slot("disconnected", lambda slot: not slot["nats_connected"])
    env.wait(0.3)
    env.servers.nats.resume()
    yield


def lame_duck(env: Environment) -> Injection:
    server = env.servers.nats.process
    assert server is not None
    server.send_signal(signal.SIGUSR2)
    server.wait(20)
    env.servers.nats.start()
    yield


def network_fault(disturb: Callable[[Environment], None], duration_s: float) -> Callable[[Environment], Injection]:
    """Return an injection that disturbs the network to NATS for a while."""

    def inject(env: Environment) -> Injection:
        disturb(env)
        env.wait(duration_s)
        env.nats.heal()
        yield

    return inject


def half_open(env: Environment) -> Injection:
    accepted = env.nats.accepted
    env.nats.half_open()
    yield
    assert env.nats.accepted > accepted, "the daemon kept the dead connection"


def repeatedly_reset(env: Environment) -> Injection:
    for _ in range(5):
        cuts = env.nats.cuts
        env.nats.cut_after(env.rng.randrange(1, 40_000))
        for _ in range(100):
            if env.nats.cuts > cuts:
                break
            env.wait(0.02)
    env.nats.heal()
    yield


def disconnected(rst: bool) -> Callable[[Environment], Injection]:
    """Return an injection that closes the connection once, with RST or FIN."""

    def inject(env: Environment) -> Injection:
        env.nats.cut(rst)
        yield

    return inject


def while_disconnected(env: Environment, change: Callable[[JetStream], Any]) -> None:
    """Change something in JetStream while the daemon is disconnected."""
    env.nats.refuse()
    env.js(change)
    env.nats.heal()


def purged(env: Environment) -> Injection:
    env.nats.refuse()
    env.wait(0.3)
    with env.publisher.paused():
        env.js(lambda js: js.purge_stream("events"))
        env.publisher.optional |= env.publisher.stored.keys()
    env.nats.heal()
    yield


def recreated(env: Environment) -> Injection:
    async def recreate(js: JetStream) -> None:
        await js.delete_stream("events")
        await js.add_stream(**STREAM)

    incarnations = "SELECT count(DISTINCT incarnation) FROM eventwriter_ledger"
    before = env.sql(incarnations)[0][0]
    with env.publisher.paused():
        env.js(recreate)
        env.publisher.optional |= env.publisher.stored.keys()
    yield
    assert before + 1 == env.sql(incarnations)[0][0]


def restored(daemon_first: bool) -> Callable[[Environment], Injection]:
    """Return an injection that restores an older stream, which receives messages after or before the reconnect."""

    def inject(env: Environment) -> Injection:
        log_bytes = env.log_bytes()
        epoch, already_written = (env.slot()[name] for name in ("epoch", "already_written_total"))
        nats_server, store = env.servers.nats, env.servers.folder / "nats" / "jetstream"
        with env.settled():
            nats_server.stop()
            backup = env.folder / "backup"
            shutil.copytree(store, backup)
            settled = len(env.publisher.stored)
            nats_server.start()
        env.publisher.add(300)
        env.until_settled()
        env.nats.refuse()
        nats_server.kill()
        shutil.rmtree(store)
        backup.rename(store)
        nats_server.start()
        env.js(recreate_consumer)
        if not daemon_first:
            env.publisher.add(600)
        env.publisher.start()
        env.nats.heal()
        yield
        env.until_slot("in the next epoch", lambda slot: (slot["epoch"] or 0) > epoch)
        assert any("a new epoch starts" in str(line) for line in env.log(log_bytes))
        # The remaining old messages are redelivered; the ledger recognizes them by sequence and time.
        env.until_slot("skipped", lambda slot: slot["already_written_total"] - already_written >= settled)

    return inject


def consumer_deleted(env: Environment) -> Injection:
    env.js(lambda js: js.delete_consumer("events", DURABLE))
    yield


async def recreate_consumer(js: JetStream) -> None:
    """Recreate the consumer at the first message of the stream; its ack floor is lost."""
    await js.delete_consumer("events", DURABLE)
    await js.add_consumer(
        "events", durable_name=DURABLE, ack_policy="explicit", filter_subject="telemetry.>", deliver_policy="all"
    )


def ack_floor_lost(env: Environment) -> Injection:
    stored = len(env.publisher.stored)
    already_written = env.slot()["already_written_total"]
    with env.publisher.paused():
        env.until_settled()
        while_disconnected(env, recreate_consumer)
    yield
    env.until_slot("skipped", lambda slot: slot["already_written_total"] - already_written >= stored)


def settings_changed(**changes: Any) -> Callable[[Environment], Injection]:
    """Return an injection that changes settings of the consumer in use."""

    async def change(js: JetStream) -> None:
        await update_consumer(js, changes)

    def inject(env: Environment) -> Injection:
        log_bytes = env.log_bytes()
        env.js(change)
        yield
        env.until("the consumer is restored", lambda _: has_daemon_settings(env))
        updates = [line for line in env.log(log_bytes) if line.get("event") == "consumer updated"]
        # The log limits the rate of each event: after a burst of other updates this one may only be counted.
        earlier = [line for line in env.log(0) if line.get("event") == "consumer updated"]
        assert any(name in str(line) for line in updates for name in changes) or (not updates and len(earlier) >= BURST)

    return inject


def filter_narrowed(env: Environment) -> Injection:
    """The consumer skips every second message; its next message must not mark the skipped one as written."""
    env.publisher.subject = lambda n: ("telemetry.test", "telemetry.more")[n % 2]
    env.wait(0.3)
    yield from settings_changed(filter_subject="telemetry.test")(env)
    env.publisher.subject = lambda _: SUBJECT


def has_daemon_settings(env: Environment) -> bool:
    """Return whether the consumer has the daemon's settings."""
    config = env.js(lambda js: js.consumer_info("events", DURABLE)).config
    return (config.filter_subject, config.ack_wait) == ("telemetry.>", 5.0) and config.max_ack_pending > 1000


async def update_consumer(js: JetStream, changes: dict[str, Any]) -> None:
    """Change the consumer as `nats consumer edit` does."""
    client = js._nc
    info = json.loads((await client.request(f"$JS.API.CONSUMER.INFO.events.{DURABLE}")).data)
    body = {"stream_name": "events", "config": {**info["config"], **changes}, "action": "update"}
    answer = await client.request(f"$JS.API.CONSUMER.DURABLE.CREATE.events.{DURABLE}", json.dumps(body).encode())
    assert "error" not in json.loads(answer.data), answer.data


def tls_required(env: Environment) -> Injection:
    folder = env.folder / "certificates"
    env.configure_nats(tls=nats_security_faults.server_tls(folder))
    env.until_slot("the reason is TLS", lambda slot: "nats.tls" in (slot["reason"] or ""))
    env.configure_nats(tls=None)
    yield


def slow_consumer(env: Environment) -> Injection:
    reconnects = env.slot()["nats_reconnects"]
    env.configure_nats(write_deadline="300ms")
    env.until_slot("reconnected", lambda slot: slot["nats_connected"] and slot["nats_reconnects"] > reconnects)
    # The server detects a slow consumer only once it sends messages.
    newest = "SELECT coalesce(max((metadata->>'n')::bigint), 0) FROM timeseries_metrics"
    after = env.publisher.next
    env.until("pulling again", lambda _: env.sql(newest)[0][0] > after)
    log = env.servers.nats.log_file
    log_bytes = log.stat().st_size
    env.publisher.body = lambda n: json.dumps({"value": n, "metadata": {"n": n, "pad": "x" * 20_000}}).encode()
    env.nats.not_reading("client")
    for _ in range(1200):
        if b"Slow Consumer" in log.read_bytes()[log_bytes:]:
            break
        env.wait(0.05)
    env.publisher.body = sample
    env.nats.heal()
    yield
    env.configure_nats(write_deadline=None)
    assert b"Slow Consumer" in log.read_bytes()[log_bytes:]


def largest_messages(env: Environment) -> Injection:
    with other_load(env, 5):
        env.publisher.body = large(MIB)
        env.wait(0.6)
    yield


@contextlib.contextmanager
def other_load(env: Environment, burst: int, gap_s: float = 0.05) -> Iterator[None]:
    """Change the publisher's load during the block, and restore load and payloads afterwards."""
    publisher = env.publisher
    before = publisher.burst, publisher.gap_s
    publisher.burst, publisher.gap_s = burst, gap_s
    try:
        yield
    finally:
        publisher.burst, publisher.gap_s = before
        publisher.body = sample


def flood(env: Environment) -> Injection:
    with other_load(env, 3000, 0.0):
        env.publisher.body = lambda n: b'{"value":%d,"metadata":{"n":%d}}' % (n, n)
        env.wait(1.0)
    yield


def servers_started_later(env: Environment) -> Injection:
    env.daemon.stop()
    env.nats.refuse()
    env.postgres.refuse()
    env.daemon.start()
    env.until_slot("waiting for NATS", lambda slot: is_starting(slot, "NATS"))
    env.nats.heal()
    env.until_slot("waiting for PostgreSQL", lambda slot: is_starting(slot, "PostgreSQL"))
    env.postgres.heal()
    yield
    assert env.daemon.process is not None
    assert env.daemon.process.poll() is None


def is_starting(slot: dict[str, Any], server: str) -> bool:
    """Return whether the slot is starting and its reason names this server."""
    return slot["state"] == "starting" and server in (slot["reason"] or "")


def fault(name: str, description: str, inject: Callable[[Environment], Injection], **more: Any) -> Fault:
    """Return a fault of NATS."""
    return Fault(name, "nats", description, inject, **more)


NETWORK_FAULTS: dict[str, tuple[str, float, Callable[[Environment], None]]] = {
    "black hole": ("all bytes are held for 2 s", 2.0, lambda env: env.nats.black_hole()),
    "client does not read": (
        "bytes from the server are held for 1.5 s", 1.5, lambda env: env.nats.not_reading("client"),
    ),
    "server does not read": ("bytes to the server are held for 1.5 s", 1.5, lambda env: env.nats.not_reading("server")),
    "one byte at a time": ("every write has one byte, for 1 s", 1.0, lambda env: env.nats.one_byte()),
    "latency": ("200 ms in each direction, for 2 s", 2.0, lambda env: env.nats.latency(0.2)),
    "connection refused": ("the port is closed for 1 s", 1.0, lambda env: env.nats.refuse()),
}  # fmt: skip
RESTORED = "an older copy of the stream is restored without the consumer's ack floor; sequences are assigned twice"
LARGE_BATCHES_MARGIN = 96 * MIB
"""Memory that malloc keeps after the largest batches: 16 MiB of payload, its rows, and messages in flight."""

FAULTS = (
    fault("server killed", "kill -9; restarted after 0.5 s", killed),
    fault("server restarted", "SIGTERM and restart", restarted),
    fault("server stopped", "SIGSTOP until the daemon has missed its pings, then SIGCONT", paused),
    fault("lame duck", "SIGUSR2: the server disconnects its clients and exits; restarted", lame_duck),
    *(
        fault(name, description, network_fault(disturb, duration_s))
        for name, (description, duration_s, disturb) in NETWORK_FAULTS.items()
    ),
    fault("half-open connection", "the connection is closed on the server's side only", half_open),
    fault("connection reset", "RST", disconnected(rst=True)),
    fault("connection closed", "FIN", disconnected(rst=False)),
    fault("repeated resets", "five RSTs, each after a random number of bytes", repeatedly_reset),
    fault("stream purged", "including undelivered messages; only later messages count", purged),
    fault("stream recreated", "deleted and created again: sequences start at 1", recreated),
    fault("stream restored", f"{RESTORED}; the daemon reconnects at once", restored(True)),
    fault(
        "stream restored and extended", f"{RESTORED}; the daemon reconnects when they are past the old end",
        restored(False),
    ),
    fault("consumer deleted", "while the daemon uses it", consumer_deleted),
    fault("ack floor lost", "the consumer is recreated at the first message of the stream", ack_floor_lost),
    fault("ack_wait changed", "the consumer's ack_wait is set to 1 s", settings_changed(ack_wait=10**9)),
    fault(
        "max_ack_pending changed", "the consumer's max_ack_pending is set to 10", settings_changed(max_ack_pending=10)
    ),
    fault(
        "filter changed", "the consumer's filter is set to another subject",
        settings_changed(filter_subject="netflow.x"),
    ),
    fault("filter narrowed", "the consumer's filter is set to every second message", filter_narrowed),
    fault("TLS required", "the server requires TLS after a restart, and no longer after another one", tls_required),
    fault(
        "slow consumer", "the server's write deadline expires and it disconnects the daemon", slow_consumer,
        memory_margin_bytes=LARGE_BATCHES_MARGIN,
    ),
    fault("largest messages", "1 MiB, the server's limit", largest_messages, memory_margin_bytes=LARGE_BATCHES_MARGIN),
    fault("flood", "small messages at full speed for 1 s", flood),
    fault("servers started later", "the daemon starts first, then NATS, then PostgreSQL", servers_started_later),
    *nats_security_faults.FAULTS,
    *nats_version_faults.FAULTS,
)  # fmt: skip
