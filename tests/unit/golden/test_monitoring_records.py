"""
The worker's heartbeat, the `status` snapshot and the Prometheus text, for fixed inputs.

Each step reads the golden file of the step before it, so each shows its own changes only.
"""

import json
import re
import socket
from collections import Counter
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from fix_golden import GOLDEN, CheckGolden

from eventwriter.config.settings import Settings
from eventwriter.jetstream.consumer import ConsumerState
from eventwriter.jetstream.stream_stats import StreamStats
from eventwriter.model import SlotName, Trigger
from eventwriter.supervisor.slot import Slot, State
from eventwriter.supervisor.slot import Worker as SlotWorker
from eventwriter.supervisor.status import Daemon, snapshot
from eventwriter.supervisor.web import web_to_dict
from eventwriter.web.exposition import Exposition, text
from eventwriter.worker.heartbeat import report
from eventwriter.worker.main import Worker

NOW_S = 5000.0
NOW_NS = 1_767_225_600_000_000_000
USAGE = {"rss_bytes": 50_000_000, "cpu_s": 1.5, "open_fds": 12}
SETTINGS = Settings.model_validate(
    {
        "nats": {"servers": ["nats://user:secret@nats.example:4222"]},
        "postgres": {"host": "db.example", "port": 5432, "database": "siem", "user": "writer"},
        "streams": [{"name": "NETFLOW", "stream_name": "events", "subjects": ["flows.raw.>"], "kind": "netflow"}],
    }
)


def as_json(value: object) -> str:
    """Return JSON with sorted keys, one line a key; lists of numbers and short texts stay on one line."""
    spread = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)
    return re.sub(r"\[\s+([^\[\]{}]+?)\s+\]", lambda found: f"[{' '.join(found[1].split())}]", spread) + "\n"


def stored(name: str) -> Any:
    return json.loads((GOLDEN / name).read_text(encoding="utf-8"))


@pytest.fixture(autouse=True)
def _fixed_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eventwriter.clock.monotonic_s", lambda: NOW_S)
    monkeypatch.setattr("eventwriter.clock.now_ns", lambda: NOW_NS)


@pytest.fixture
async def worker() -> Any:
    """A worker without connections that has not run yet."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, its:
        yield Worker(SETTINGS, SlotName("NETFLOW", 0), its)


def with_fixed_usage(packet: bytes) -> dict[str, Any]:
    """Return a heartbeat with this process's memory, CPU time and descriptors replaced by fixed numbers."""
    heartbeat: dict[str, Any] = json.loads(packet)
    assert {name: type(value) for name, value in USAGE.items()} == {name: type(heartbeat[name]) for name in USAGE}
    return heartbeat | USAGE


def fill(worker: Worker) -> None:
    """Give each number that a heartbeat carries a value of its own."""
    context, counters = worker.context, worker.context.counters
    counters.messages_total, counters.rows_total, counters.duplicates_total = 10_001, 9_002, 103
    counters.staged_merges_total, counters.dead_letters_total, counters.ignored_total = 4, 405, 106
    counters.already_written_total, counters.redelivered_total, counters.batches_total = 107, 108, 9
    counters.bytes_total, counters.retries_total, counters.dead_letters_expired_total = 1_000_010, 11, 15
    counters.acks_total, counters.acks_lost_total, counters.suspects = 10_012, 13, 14
    counters.batch_messages_last, counters.batch_trigger_last = 116, Trigger.AGE
    counters.last_commit_at_ns = NOW_NS - 170_000_000
    counters.dead_letters_by_reason = Counter({"malformed": 400, "bad_value": 5})
    counters.batches_by_trigger = Counter({trigger.value: at for at, trigger in enumerate(Trigger, 1)})
    counters.commits_s.extend([0.004, 0.005, 0.3])
    counters.dead_letter_ratio.add(NOW_S - 1, 1000, 300)
    times = counters.times
    for at, histogram in enumerate(times.stage_s.values(), 1):
        histogram.observe(0.001 * at, at)
    times.latency_s.observe(0.2, 10_001)
    for at, histogram in enumerate(times.batch_messages.values(), 1):
        histogram.observe(10**at, at)
    times.pull_wait_us_total, times.queue_wait_us_total, times.quarantine_us_total = 18_500_000, 19_500_000, 20_500_000
    adjustments = context.adjustments
    adjustments.timestamp_defaulted, adjustments.fields_ignored, adjustments.records_ignored = 21, 23, 24
    adjustments.clamped_by_column.update({"octets": 22, "if_index": 1})
    adjustments.nulled_by_column.update({"severity_number": 2})
    adjustments.redacted_by_key.update({"snmp_community": 3})
    context.postgres.errors.update({"23": 24, "connect": 25})
    context.warnings = ("a table warning",)
    context.stream_monitor.latest = StreamStats(26, 27_000, 0.28)
    storage = context.partition_maintenance.state
    storage.looked_at_ns, storage.steps, storage.default_rows, storage.warnings = NOW_NS, 29, 30, ["a storage warning"]


def test_heartbeat_of_bound_worker_is_unchanged(worker: Worker, check_golden: CheckGolden) -> None:
    """A worker with a session reports all its fields."""
    fill(worker)
    worker.context.status.set("waiting", "an outage")
    worker.context.status.set("running")
    worker.context.nats = SimpleNamespace(connected=True, reconnects=31, unanswered_s=lambda: 0.5)
    worker.context.postgres._conn, worker.context.postgres.reconnects = SimpleNamespace(closed=False), 32
    held = SimpleNamespace(
        in_flight=[None, None, None], count=lambda: 133, size_bytes=lambda: 13_400,
        oldest_ns=lambda: NOW_NS - 1_250_000_000,
    )  # fmt: skip
    session = SimpleNamespace(
        held=held,
        pull=SimpleNamespace(received_last_ns=NOW_NS),
        compactor=SimpleNamespace(missing="a message is missing"),
        ledger=SimpleNamespace(key=SimpleNamespace(origin=SimpleNamespace(epoch=2))),
    )
    consumer = ConsumerState("2026-01-01T00:00:00Z", 1, 2, 3, ack_pending=136, pending=1_037, start_seq=1)

    heartbeat = with_fixed_usage(report(worker.context, session, consumer))  # type: ignore[arg-type]

    check_golden("heartbeat_bound.json", as_json(heartbeat))


def test_heartbeat_of_new_worker_is_unchanged(worker: Worker, check_golden: CheckGolden) -> None:
    """A worker whose PostgreSQL is unreachable from the start reports the circuit, and no field of a session."""
    worker.context.status.set("waiting", "an outage")
    worker.context.postgres.circuit_breaker.record_failure(NOW_S - 3, "an outage", writing=False)
    worker.context.postgres.circuit_breaker.schedule_retry(NOW_S, 1.0)

    heartbeat = with_fixed_usage(report(worker.context, None, None))

    check_golden("heartbeat_unbound.json", as_json(heartbeat))


def slots() -> Iterator[Slot]:
    """Yield a slot in each state."""
    full, new = stored("heartbeat_bound.json"), stored("heartbeat_unbound.json")
    fine = full | {"dying": None, "missing": None}

    yield slot("BUSY", State.STARTING, fine, retired=full)
    yield slot("DEAD_LETTERS", State.STARTING, full | {"durable": "other"})
    yield slot("PAUSED", State.STARTING, fine | {"state": "paused", "reason": "paused by an operator"})
    yield slot("PARKED", State.STARTING, fine | {"state": "parked", "reason": "a table is missing"})
    yield slot("UNREACHABLE", State.STARTING, new)
    yield slot("DRAINING", State.DRAINING, fine)
    yield slot("NEW", State.STARTING)
    yield Slot(SlotName("STOPPED", 0), NOW_S - 100, State.STOPPED, drained=True)
    yield Slot(SlotName("BACKOFF", 0), NOW_S - 100, State.BACKOFF, retry_at_s=NOW_S + 3.25, last_exit="exit code 3")
    yield Slot(SlotName("FAILED", 1), NOW_S - 100, State.FAILED, retry_at_s=NOW_S + 60, last_exit="signal 9", starts=6)


def slot(
    name: str, state: State, heartbeat: Mapping[str, Any] | None = None, retired: Mapping[str, Any] | None = None
) -> Slot:
    """Return a slot whose worker sent two heartbeats; `retired` is the last heartbeat of an earlier worker."""
    worker = SlotWorker(7, -1, None, NOW_S - 90, "fingerprint")  # type: ignore[arg-type]
    one = Slot(SlotName(name, 0), NOW_S - 10, state, worker, starts=2)
    if retired:
        one.retired_counters |= {key: value for key, value in retired.items() if key in one.retired_counters}
        one.retired_split_counters |= {
            key: value for key, value in retired.items() if key in one.retired_split_counters
        }
        one.retired_histograms = retired["histograms"]
    if heartbeat:
        earlier = {key: value for key, value in heartbeat.items() if key not in ("messages_total", "rows_total")}
        one.record_heartbeat(NOW_S - 4.5, {**earlier, "lag_messages": heartbeat.get("lag_messages", 0) + 90})
        one.record_heartbeat(NOW_S - 0.5, heartbeat)
    return one


def test_status_is_unchanged(check_golden: CheckGolden) -> None:
    """The supervisor's snapshot of slots in each state, as `eventwriter-ctl status --json` prints it."""
    daemon = Daemon("1.2.3", 42, NOW_NS, NOW_S - 60, stopping=False)
    web = slot("WEB", State.STARTING, {"type": "heartbeat", "state": "running", "clients": 3, **USAGE})

    drawn = {**snapshot(NOW_S, daemon, slots()), "web": web_to_dict(NOW_S, web), "supervisor": USAGE}

    check_golden("status.json", as_json(drawn))


def test_metrics_are_unchanged(check_golden: CheckGolden) -> None:
    """The Prometheus text of some slots of the stored snapshot."""
    status = stored("status.json")
    status["slots"] = [one for one in status["slots"] if one["name"] in ("BUSY/0", "UNREACHABLE/0", "FAILED/1")]

    body, media_type = text(Exposition(status, 0.5), "")

    check_golden("metrics.txt", f"{media_type}\n{body.decode()}")
