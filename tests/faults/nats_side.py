"""Faults of the NATS side; how they are written is said in `harness`."""

import json
import shutil
import signal
from collections.abc import Callable
from typing import Any

import nats
import nats.js.client
from faults import nats_secured, nats_versions
from faults.bed import Bed
from faults.book import SUBJECT, large, sample
from faults.harness import Act, Fault

from eventwriter.observe.logging import BURST

JetStream = nats.js.client.JetStreamContext
DURABLE = "eventwriter-telemetry"
STREAM = {"name": "events", "subjects": ["telemetry.>", "netflow.>"]}
MIB = 2**20


def killed(bed: Bed) -> Act:
    bed.servers.nats.kill()
    bed.wait(0.5)
    bed.servers.nats.start()
    yield
    assert 0 == bed.slot()["restarts"]


def restarted(bed: Bed) -> Act:
    bed.servers.nats.restart()
    yield


def paused(bed: Bed) -> Act:
    bed.servers.nats.pause()
    bed.until_slot("the silence is noticed", lambda slot: not slot["nats_connected"])
    bed.wait(0.3)
    bed.servers.nats.resume()
    yield


def lame_duck(bed: Bed) -> Act:
    server = bed.servers.nats.process
    assert server is not None
    server.send_signal(signal.SIGUSR2)
    server.wait(20)
    bed.servers.nats.start()
    yield


def network(harm: Callable[[Bed], None], duration_s: float) -> Callable[[Bed], Act]:
    """Return an act: the network to NATS is so for a while."""

    def act(bed: Bed) -> Act:
        harm(bed)
        bed.wait(duration_s)
        bed.nats.heal()
        yield

    return act


def half_open(bed: Bed) -> Act:
    accepted = bed.nats.accepted
    bed.nats.half_open()
    yield
    assert bed.nats.accepted > accepted, "the dead connection is kept"


def cut_again_and_again(bed: Bed) -> Act:
    for _ in range(5):
        cuts = bed.nats.cuts
        bed.nats.cut_after(bed.rng.randrange(1, 40_000))
        for _ in range(100):
            if bed.nats.cuts > cuts:
                break
            bed.wait(0.02)
    bed.nats.heal()
    yield


def cut(rst: bool) -> Callable[[Bed], Act]:
    """Return an act: the connection is cut once."""

    def act(bed: Bed) -> Act:
        bed.nats.cut(rst)
        yield

    return act


def away(bed: Bed, meanwhile: Callable[[JetStream], Any]) -> None:
    """Change something in JetStream that the daemon sees only afterwards."""
    bed.nats.refuse()
    bed.js(meanwhile)
    bed.nats.heal()


def purged(bed: Bed) -> Act:
    bed.nats.refuse()
    bed.wait(0.3)
    with bed.publisher.resting():
        bed.js(lambda js: js.purge_stream("events"))
        bed.publisher.excused |= bed.publisher.stored.keys()
    bed.nats.heal()
    yield


def recreated(bed: Bed) -> Act:
    async def again(js: JetStream) -> None:
        await js.delete_stream("events")
        await js.add_stream(**STREAM)

    incarnations = "SELECT count(DISTINCT incarnation) FROM eventwriter_ledger"
    before = bed.sql(incarnations)[0][0]
    with bed.publisher.resting():
        bed.js(again)
        bed.publisher.excused |= bed.publisher.stored.keys()
    yield
    assert before + 1 == bed.sql(incarnations)[0][0]


def restored(daemon_first: bool) -> Callable[[Bed], Act]:
    """Return an act: the stream is restored to an older state, and goes on before or after the daemon looks."""

    def act(bed: Bed) -> Act:
        log_bytes, (epoch, known) = bed.log_bytes(), (bed.slot()[name] for name in ("epoch", "already_written_total"))
        nats_server, store = bed.servers.nats, bed.servers.folder / "nats" / "jetstream"
        with bed.settled():
            nats_server.stop()
            backup = bed.folder / "backup"
            shutil.copytree(store, backup)
            settled = len(bed.publisher.stored)
            nats_server.start()
        bed.publisher.add(300)
        bed.until_settled()
        bed.nats.refuse()
        nats_server.kill()
        shutil.rmtree(store)
        backup.rename(store)
        nats_server.start()
        bed.js(consumer_by_hand)
        if not daemon_first:
            bed.publisher.add(600)
        bed.publisher.start()
        bed.nats.heal()
        yield
        bed.until_slot("the epoch counts", lambda slot: (slot["epoch"] or 0) > epoch)
        assert any("a new epoch starts" in str(line) for line in bed.log(log_bytes))
        # What is left of the old end is delivered again, and known by sequence and time.
        bed.until_slot("it is known", lambda slot: slot["already_written_total"] - known >= settled)

    return act


def consumer_deleted(bed: Bed) -> Act:
    bed.js(lambda js: js.delete_consumer("events", DURABLE))
    yield


async def consumer_by_hand(js: JetStream) -> None:
    """Make the consumer anew: its ack floor is lost, and it begins with the stream's first message."""
    await js.delete_consumer("events", DURABLE)
    await js.add_consumer(
        "events", durable_name=DURABLE, ack_policy="explicit", filter_subject="telemetry.>", deliver_policy="all"
    )


def ack_floor_lost(bed: Bed) -> Act:
    stored = len(bed.publisher.stored)
    known = bed.slot()["already_written_total"]
    with bed.publisher.resting():
        bed.until_settled()
        away(bed, consumer_by_hand)
    yield
    bed.until_slot("all is known", lambda slot: slot["already_written_total"] - known >= stored)


def settings_changed(**changes: Any) -> Callable[[Bed], Act]:
    """Return an act that changes the consumer's settings while it is in use."""

    async def change(js: JetStream) -> None:
        await update(js, changes)

    def act(bed: Bed) -> Act:
        log_bytes = bed.log_bytes()
        bed.js(change)
        yield
        bed.until("it is set right", lambda _: as_wished(bed), 15.0)
        said = [line for line in bed.log(log_bytes) if line.get("event") == "consumer updated"]
        # Lines of one event are limited: after a burst of other changes this one is counted only, not written.
        before = [line for line in bed.log(0) if line.get("event") == "consumer updated"]
        assert any(name in str(line) for line in said for name in changes) or (not said and len(before) >= BURST)

    return act


def filter_narrowed(bed: Bed) -> Act:
    """Every second message is passed over, and the next one seems to account for it."""
    bed.publisher.subject = lambda n: ("telemetry.test", "telemetry.more")[n % 2]
    bed.wait(0.3)
    yield from settings_changed(filter_subject="telemetry.test")(bed)
    bed.publisher.subject = lambda _: SUBJECT


def as_wished(bed: Bed) -> bool:
    """Say whether the consumer has the daemon's settings."""
    config = bed.js(lambda js: js.consumer_info("events", DURABLE)).config
    return (config.filter_subject, config.ack_wait) == ("telemetry.>", 5.0) and config.max_ack_pending > 1000


async def update(js: JetStream, changes: dict[str, Any]) -> None:
    """Change the consumer as `nats consumer edit` would."""
    client = js._nc
    info = json.loads((await client.request(f"$JS.API.CONSUMER.INFO.events.{DURABLE}")).data)
    body = {"stream_name": "events", "config": {**info["config"], **changes}, "action": "update"}
    answer = await client.request(f"$JS.API.CONSUMER.DURABLE.CREATE.events.{DURABLE}", json.dumps(body).encode())
    assert "error" not in json.loads(answer.data), answer.data


def tls_required(bed: Bed) -> Act:
    folder = bed.folder / "certificates"
    bed.configure_nats(tls=nats_secured.server_tls(folder))
    bed.until_slot("the reason names TLS", lambda slot: "nats.tls" in (slot["reason"] or ""))
    bed.configure_nats(tls=None)
    yield


def slow_consumer(bed: Bed) -> Act:
    reconnects = bed.slot()["nats_reconnects"]
    bed.configure_nats(write_deadline="300ms")
    bed.until_slot("it is back", lambda slot: slot["nats_connected"] and slot["nats_reconnects"] > reconnects)
    # Who has not begun to pull is sent nothing, and is not slow.
    newest = "SELECT coalesce(max((metadata->>'n')::bigint), 0) FROM timeseries_metrics"
    after = bed.publisher.next
    bed.until("it pulls again", lambda _: bed.sql(newest)[0][0] > after)
    words = bed.servers.nats.log_file
    said = words.stat().st_size
    bed.publisher.body = lambda n: json.dumps({"value": n, "metadata": {"n": n, "pad": "x" * 20_000}}).encode()
    bed.nats.not_reading("client")
    for _ in range(400):
        if b"Slow Consumer" in words.read_bytes()[said:]:
            break
        bed.wait(0.05)
    bed.publisher.body = sample
    bed.nats.heal()
    yield
    bed.configure_nats(write_deadline=None)
    assert b"Slow Consumer" in words.read_bytes()[said:]


def largest_messages(bed: Bed) -> Act:
    with burst(bed, 5):
        bed.publisher.body = large(MIB)
        bed.wait(0.6)
    yield


class burst:
    """Other bursts for a while."""

    def __init__(self, bed: Bed, size: int, gap_s: float = 0.05) -> None:
        self._publisher, self._wanted = bed.publisher, (size, gap_s)
        self._before = (bed.publisher.burst, bed.publisher.gap_s)

    def __enter__(self) -> None:
        self._publisher.burst, self._publisher.gap_s = self._wanted

    def __exit__(self, *_: object) -> None:
        self._publisher.burst, self._publisher.gap_s = self._before
        self._publisher.body = sample


def flood(bed: Bed) -> Act:
    with burst(bed, 3000, 0.0):
        bed.publisher.body = lambda n: b'{"value":%d,"metadata":{"n":%d}}' % (n, n)
        bed.wait(1.0)
    yield


def servers_come_later(bed: Bed) -> Act:
    bed.daemon.stop()
    bed.nats.refuse()
    bed.postgres.refuse()
    bed.daemon.start()
    bed.until_slot("starting, with the reason", lambda slot: says(slot, "starting", "NATS at"))
    bed.nats.heal()
    bed.until_slot("starting, with the other reason", lambda slot: says(slot, "starting", "PostgreSQL"))
    bed.postgres.heal()
    yield
    assert bed.daemon.process is not None
    assert bed.daemon.process.poll() is None


def says(slot: dict[str, Any], state: str, words: str) -> bool:
    """Say whether a slot is in this state and gives a reason with these words."""
    return slot["state"] == state and words in (slot["reason"] or "")


def fault(name: str, does: str, act: Callable[[Bed], Act], **more: Any) -> Fault:
    """Return a fault of this side."""
    return Fault(name, "nats", does, act, **more)


WAYS = {
    "black hole": ("no byte passes for 2 s, nobody is told; then everything", 2.0, lambda bed: bed.nats.black_hole()),
    "client does not read": (
        "for 1.5 s nothing comes from the server",
        1.5,
        lambda bed: bed.nats.not_reading("client"),
    ),
    "server does not read": ("for 1.5 s nothing reaches the server", 1.5, lambda bed: bed.nats.not_reading("server")),
    "one byte at a time": ("for 1 s every read gives one byte", 1.0, lambda bed: bed.nats.one_byte()),
    "latency": ("for 2 s 200 ms in each direction", 2.0, lambda bed: bed.nats.latency(0.2)),
    "refused": ("for 1 s nobody listens", 1.0, lambda bed: bed.nats.refuse()),
}
OLDER = "an older state comes back, its consumer's ack floor lost; other messages get the same sequences"
MADE_BY_HAND = "the consumer is deleted and made by hand from the stream's beginning"
MORE_MEMORY = 96 * MIB
"""What the largest batches (16 MiB of payload, its rows, and what is on its way) leave with malloc."""

FAULTS = (
    fault("server killed", "kill -9, 0.5 s down, started again", killed),
    fault("server restarted", "SIGTERM and started again", restarted),
    fault("server stopped", "SIGSTOP until the daemon has missed its pings, then SIGCONT", paused),
    fault("lame duck", "SIGUSR2: the server sends its clients away and ends; started again", lame_duck),
    *(fault(name, does, network(harm, duration_s)) for name, (does, duration_s, harm) in WAYS.items()),
    fault("half-open", "the server's side of the connection ends, ours is not told", half_open),
    fault("RST", "the connection is reset", cut(rst=True)),
    fault("FIN", "the connection is closed from outside", cut(rst=False)),
    fault("RST in the middle", "reset five times, each after a random number of bytes", cut_again_and_again),
    fault("stream purged", "with messages that were not delivered; those that come afterwards count", purged),
    fault("stream recreated", "deleted and recreated: sequences begin at 1", recreated),
    fault("stream restored", f"{OLDER}; the daemon looks at once", restored(True)),
    fault("stream restored and ahead", f"{OLDER}; the daemon looks when they are beyond the old end", restored(False)),
    fault("consumer deleted", "deleted in use", consumer_deleted),
    fault("ack floor lost", MADE_BY_HAND, ack_floor_lost),
    fault("ack_wait changed", "the consumer's ack_wait set to 1 s by hand", settings_changed(ack_wait=10**9)),
    fault("max_ack_pending changed", "set to 10 by hand", settings_changed(max_ack_pending=10)),
    fault(
        "filter changed",
        "the consumer's filter set to another subject by hand",
        settings_changed(filter_subject="netflow.x"),
        recovery_s_max=20.0,
    ),
    fault("filter narrowed", "to every second message, by hand", filter_narrowed, recovery_s_max=20.0),
    fault("TLS required", "the server comes back wanting TLS, then without", tls_required),
    fault(
        "slow consumer", "the server gives up writing to us, and cuts", slow_consumer, memory_margin_bytes=MORE_MEMORY
    ),
    fault("largest messages", "1 MiB, the server's limit", largest_messages, memory_margin_bytes=MORE_MEMORY),
    fault("flood", "1 s of tiny messages as fast as they can be published", flood),
    fault("servers come later", "the daemon starts before NATS, which comes before PostgreSQL", servers_come_later),
    *nats_secured.FAULTS,
    *nats_versions.FAULTS,
)
