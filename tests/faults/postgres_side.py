"""Faults of the PostgreSQL side; how they are written is said in `harness`."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
from faults import postgres_beds
from faults.bed import Bed, memory_bytes
from faults.harness import Act, Fault

from eventwriter.errors import Fatal

TABLE = "timeseries_metrics"
OURS = "application_name LIKE 'eventwriter%' AND pid <> pg_backend_pid()"
RETURN_S_MAX = 5.0
"""From a server's return to everything being written and healthy."""
HELD_MAX = 15_000
"""Three batches of the largest size: what a worker holds at most, whatever goes on."""
GROWTH_BYTES_MAX = 4 * 2**20
"""Of a worker that holds as much as it may."""


def restarted(bed: Bed) -> Act:
    bed.servers.postgres.restart()
    yield


def stopped_immediately(bed: Bed) -> Act:
    server = bed.servers.postgres.process
    assert server is not None
    server.send_signal(signal.SIGQUIT)
    server.wait(10)
    started(bed)
    yield


def killed(bed: Bed) -> Act:
    bed.servers.postgres.kill()
    started(bed)
    yield


def started(bed: Bed) -> None:
    """Start a server whose last processes may have to end first."""
    for _ in range(50):
        with contextlib.suppress(Fatal):
            bed.servers.postgres.start()
            return
        bed.wait(0.1)
    raise AssertionError("PostgreSQL does not start again")


def away(duration_s: float) -> Callable[[Bed], Act]:
    """Return an act: there is no server for so long."""

    def act(bed: Bed) -> Act:
        again = bed.slot()["redelivered_total"]
        bed.servers.postgres.stop()
        status = bed.until("the circuit is open", lambda status: status["postgres"]["circuit"]["state"] == "open")
        assert "degraded" == status["status"]
        assert "PostgreSQL" in status["reason"]
        bed.wait(2.0)
        pid, full_bytes, until = bed.worker_pids()[0], None, time.monotonic() + duration_s - 2.0
        while time.monotonic() < until:
            before = bed.slot()["held_messages"]
            bed.wait(1.0)
            slot = bed.slot()
            assert ("waiting", "degraded", 0) == (slot["worker_state"], slot["health"], slot["restarts"])
            assert slot["held_messages"] <= HELD_MAX, "pulling goes on"
            if slot["held_messages"] == before:
                full_bytes = full_bytes or memory_bytes(pid)
                assert memory_bytes(pid) <= full_bytes + GROWTH_BYTES_MAX, "memory grows"
        assert duration_s < 30 or full_bytes, "a worker is never full"
        assert slot["postgres_circuit"]["attempts"] >= 3
        bed.servers.postgres.start()
        yield
        slot = bed.slot()
        assert ({"state": "closed"}, 0) == (slot["postgres_circuit"], slot["restarts"])
        # An outage of a minute is twelve times ack_wait: that we are at it is what keeps messages ours.
        assert again == slot["redelivered_total"]

    return act


def backends(bed: Bed) -> list[int]:
    """Return the process ids of the daemon's sessions."""
    return [pid for (pid,) in bed.sql(f"SELECT pid FROM pg_stat_activity WHERE {OURS}")]


def backend_killed(bed: Bed) -> Act:
    for pid in backends(bed)[:1]:
        os.kill(pid, signal.SIGKILL)
    yield


def backend_terminated(bed: Bed) -> Act:
    for _ in range(8):
        bed.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {OURS}")
        bed.wait(bed.rng.uniform(0, 0.2))
    yield


def statement_cancelled(bed: Bed) -> Act:
    for _ in range(40):
        bed.sql(f"SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE {OURS}")
        bed.wait(0.02)
    yield


POINTS = {
    "in COPY": f"CREATE TRIGGER die BEFORE INSERT ON {TABLE} FOR EACH ROW EXECUTE FUNCTION die()",
    "after COPY": "CREATE TRIGGER die BEFORE UPDATE ON eventwriter_ledger FOR EACH ROW EXECUTE FUNCTION die()",
    "at COMMIT": f"CREATE CONSTRAINT TRIGGER die AFTER INSERT ON {TABLE} INITIALLY DEFERRED"
    " FOR EACH ROW EXECUTE FUNCTION die()",
}


def dies(point: str) -> Callable[[Bed], Act]:
    """Return an act: the backend kills itself, once, with SIGKILL and at this point."""

    def act(bed: Bed) -> Act:
        # A crash takes back what a sequence counted; a file stays. The sequence only keeps rows from asking for it.
        bed.sql("DROP SEQUENCE IF EXISTS deaths; CREATE SEQUENCE deaths")
        bed.sql("COPY (SELECT 1) TO PROGRAM 'rm -f died'")
        bed.sql(
            "CREATE OR REPLACE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF nextval('deaths') = 5"
            " THEN EXECUTE format('COPY (SELECT 1) TO PROGRAM %L', 'test -e died || { touch died; kill -9 '"
            " || pg_backend_pid() || '; }'); END IF; RETURN NEW; END $$"
        )
        before = bed.slot()["postgres_reconnects"]
        # Or the crash takes the trigger along.
        bed.sql(f"SET synchronous_commit = on; {POINTS[point]}")
        bed.until_slot("it came back", lambda slot: slot["postgres_reconnects"] > before)
        yield
        table = "eventwriter_ledger" if point == "after COPY" else TABLE
        bed.sql(f"DROP TRIGGER IF EXISTS die ON {table}")

    return act


def dies_before_copy(bed: Bed) -> Act:
    """The transaction has begun, and COPY is on its way to a backend that is no more."""
    before, killed = bed.slot()["postgres_reconnects"], []

    def kill() -> None:
        query = f"SELECT pid FROM pg_stat_activity WHERE {OURS} AND state = 'idle in transaction'"
        for (pid,) in bed.sql(query):
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)

    bed.postgres.before(b"COPY ", kill)
    bed.until_slot("it came back", lambda slot: slot["postgres_reconnects"] > before)
    yield
    assert 1 == len(killed)


def commit_unanswered(bed: Bed) -> Act:
    cuts, known = bed.postgres.cuts, bed.slot()["already_written_total"]
    bed.postgres.cut_at(b"COMMIT\0", times=3)
    until = time.monotonic() + 10
    while bed.postgres.cuts < cuts + 3:
        assert time.monotonic() < until
        bed.wait(0.05)
    yield
    assert bed.slot()["already_written_total"] > known


def cut_at_copy(bed: Bed) -> Act:
    bed.postgres.cut_at(b"COPY ", times=2)
    bed.wait(1.0)
    bed.postgres.heal()
    yield


def network(harm: Callable[[Bed], None], duration_s: float) -> Callable[[Bed], Act]:
    """Return an act: the network to PostgreSQL is so for a while."""

    def act(bed: Bed) -> Act:
        harm(bed)
        bed.wait(duration_s)
        bed.postgres.heal()
        yield

    return act


def cut_again_and_again(bed: Bed) -> Act:
    for _ in range(5):
        cuts = bed.postgres.cuts
        bed.postgres.cut_after(bed.rng.randrange(1, 2000))
        for _ in range(60):
            if bed.postgres.cuts > cuts:
                break
            bed.wait(0.02)
    bed.postgres.heal()
    yield


def silent_until_given_up(bed: Bed) -> Act:
    bed.postgres.black_hole()
    bed.until_slot("it is given up", lambda slot: slot["worker_state"] == "waiting", 12.0)
    bed.postgres.heal()
    yield


def half_open(bed: Bed) -> Act:
    bed.postgres.half_open()
    yield


def hung(bed: Bed) -> Act:
    server = bed.servers.postgres.process
    assert server is not None
    pids = [server.pid, *backends(bed)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        bed.until_slot("it is given up", lambda slot: slot["worker_state"] == "waiting", 12.0)
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    yield


@contextlib.contextmanager
def session(bed: Bed) -> Iterator[psycopg.Connection[Any]]:
    """Open a session of the test's own, in a transaction."""
    with psycopg.connect(bed.servers.postgres_dsn()) as conn:
        yield conn


def locked(bed: Bed) -> Act:
    with session(bed) as conn:
        conn.execute(f"LOCK TABLE {TABLE} IN ACCESS EXCLUSIVE MODE")
        slot = bed.until_slot("the lock is named", lambda slot: "lock timeout" in (slot["reason"] or ""))
        assert ("waiting", "degraded") == (slot["worker_state"], slot["health"])
    yield


def altered(change: str, back: str) -> Callable[[Bed], Act]:
    """Return an act that alters the table under the running worker and reverts it later."""

    def act(bed: Bed) -> Act:
        count, connections = f"SELECT count(*) FROM {TABLE}", bed.slot()["postgres_reconnects"]
        bed.sql(f"ALTER TABLE {TABLE} {change}")
        rows = bed.sql(count)
        bed.until("rows go on", lambda _: bed.sql(count) > rows)
        assert connections == bed.slot()["postgres_reconnects"], "it was noticed by a new connection only"
        bed.sql(f"ALTER TABLE {TABLE} {back}")
        yield
        assert 0 == bed.slot()["restarts"]

    return act


def renamed(bed: Bed) -> Act:
    bed.sql(f"ALTER TABLE {TABLE} RENAME TO elsewhere")
    slot = bed.until_slot("it is parked", lambda slot: slot["worker_state"] == "parked")
    assert ("failing", True) == (slot["health"], f"table {TABLE} does not exist" in slot["reason"])
    bed.sql(f"ALTER TABLE elsewhere RENAME TO {TABLE}")
    yield


def read_only(bed: Bed) -> Act:
    bed.sql("ALTER SYSTEM SET default_transaction_read_only = on")
    bed.sql("SELECT pg_reload_conf()")
    bed.until_slot("it is said", lambda slot: "read-only" in (slot["reason"] or ""))
    bed.sql("ALTER SYSTEM RESET default_transaction_read_only")
    bed.sql("SELECT pg_reload_conf()")
    yield


def no_connection_left(bed: Bed) -> Act:
    with contextlib.ExitStack() as held:
        bed.postgres.refuse()
        with contextlib.suppress(psycopg.OperationalError):
            while True:
                held.enter_context(session(bed))
        bed.postgres.heal()
        bed.until_slot("it is said", lambda slot: "too many clients" in (slot["reason"] or ""))
        bed.wait(0.5)
    yield


def password_rotated(bed: Bed) -> Act:
    bed.sql("ALTER ROLE writer PASSWORD 'second'")
    bed.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'writer'")
    slot = bed.until_slot("the login is refused", lambda slot: slot["worker_state"] == "parked")
    assert "refused the login" in slot["reason"]
    (bed.folder / "password").write_text("second\n")
    yield
    assert 0 == bed.slot()["restarts"]


def password_rotated_in_order(bed: Bed) -> Act:
    bed.sql("ALTER ROLE writer PASSWORD 'third'")
    (bed.folder / "password").write_text("third\n")
    bed.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'writer'")
    yield


def disk_full(bed: Bed) -> Act:
    disk = bed.servers.folder / "disk"
    with open(disk / "filler", "wb", buffering=0) as filler, contextlib.suppress(OSError):
        while filler.write(b"x" * 4096):
            pass
    bed.until_slot("it is said", lambda slot: "No space left" in (slot["reason"] or ""), 20.0)
    bed.wait(1.0)
    assert "waiting" == bed.slot()["worker_state"]
    (disk / "filler").unlink()
    yield


def failed_over(bed: Bed) -> Act:
    bed.servers.postgres.kill()
    bed.wait(0.5)
    postgres_beds.promote(bed)
    yield


def proxy_restarted(bed: Bed) -> Act:
    bed.kept["pgbouncer"].restart()
    yield


def server_behind_proxy_restarted(bed: Bed) -> Act:
    bed.servers.postgres.restart()
    yield


def commit_unanswered_to_proxy(bed: Bed) -> Act:
    yield from commit_unanswered(bed)


def clock_jumps(bed: Bed) -> Act:
    clock = bed.kept["clock"]
    for text in ("+3h", "-2h", "+0s"):
        clock.write_text(text + "\n")
        bed.wait(0.4)
    yield


def fault(name: str, does: str, act: Callable[[Bed], Act], **more: Any) -> Fault:
    """Return a fault of this side."""
    return Fault(name, "postgres", does, act, **{"recovery_s_max": RETURN_S_MAX, **more})


WAYS = {
    "black hole": (
        "no byte passes for 2 s, nobody is told; then everything",
        2.0,
        lambda bed: bed.postgres.black_hole(),
    ),
    "client does not read": (
        "for 1 s nothing comes from the server",
        1.0,
        lambda bed: bed.postgres.not_reading("client"),
    ),
    "server does not read": ("for 1 s nothing reaches the server", 1.0, lambda bed: bed.postgres.not_reading("server")),
    "one byte at a time": ("for 1 s every read gives one byte", 1.0, lambda bed: bed.postgres.one_byte()),
    "latency": ("for 1 s 50 ms in each direction", 1.0, lambda bed: bed.postgres.latency(0.05)),
    "refused": ("for 1 s nobody listens", 1.0, lambda bed: bed.postgres.refuse()),
    "RST": ("the connection is reset", 0.0, lambda bed: bed.postgres.cut()),
    "FIN": ("the connection is closed from outside", 0.0, lambda bed: bed.postgres.cut(rst=False)),
}
ALTERATIONS = {
    "column added": ("ADD COLUMN extra int", "DROP COLUMN extra"),
    "column dropped": ("DROP COLUMN unit", "ADD COLUMN unit text"),
    "type changed": ("ALTER COLUMN if_index TYPE bigint", "ALTER COLUMN if_index TYPE integer"),
    "type of the same width changed": (
        "ALTER COLUMN value TYPE numeric", "ALTER COLUMN value TYPE double precision",
    ),
}  # fmt: skip

FAULTS = (
    fault("server restarted", "fast shutdown and start", restarted),
    fault("server stopped immediately", "SIGQUIT, and started again", stopped_immediately),
    fault("server killed", "kill -9 of the postmaster, and started again", killed),
    fault("server away", "5 s without a server; the circuit is open and says so", away(5.0)),
    fault(
        "server away for a minute", "memory stays flat; then 57,000 messages at once", away(60.0), brief=False,
        memory_margin_bytes=64 * 2**20,
    ),
    fault("backend killed", "kill -9 of the daemon's backend: the server restarts itself", backend_killed),
    fault("backend terminated", "eight times, at random moments", backend_terminated),
    fault("statement cancelled", "forty times", statement_cancelled),
    *(fault(f"backend killed {point}", "kill -9 of the backend at this point", dies(point)) for point in POINTS),
    fault("backend killed before COPY", "kill -9 of the backend whose transaction has just begun", dies_before_copy),
    fault("COMMIT unanswered", "three COMMITs reach the server, their answers nobody", commit_unanswered),
    fault("cut in COPY", "the connection is reset when COPY has begun, twice", cut_at_copy),
    *(fault(name, does, network(harm, duration_s)) for name, (does, duration_s, harm) in WAYS.items()),
    fault("RST in the middle", "reset five times, each after a random number of bytes", cut_again_and_again),
    fault("table locked", "ACCESS EXCLUSIVE until the daemon names the lock", locked),
    *(fault(name, f"{there}; then {back}", altered(there, back)) for name, (there, back) in ALTERATIONS.items()),
    fault("table renamed", "away until the slot is parked, and back", renamed),
    fault("server read-only", "default_transaction_read_only on, until it is noticed", read_only),
    fault(
        "silent network", "no byte passes until the daemon gives the connection up", silent_until_given_up,
        setup=postgres_beds.QUICK_DEADLINE, brief=False,
    ),
    fault(
        "half-open", "the server's side of the connection ends, ours is not told", half_open, recovery_s_max=10.0,
        setup=postgres_beds.QUICK_DEADLINE, brief=False,
    ),
    fault(
        "server hung", "SIGSTOP of all its processes until the daemon gives it up", hung,
        setup=postgres_beds.QUICK_DEADLINE, brief=False,
    ),
    fault(
        "no connection left", "others take all connections, for 0.5 s after it is said", no_connection_left,
        setup=postgres_beds.FEW_CONNECTIONS, brief=False,
    ),
    fault(
        "password rotated", "at the server, then in the file", password_rotated,
        setup=postgres_beds.PASSWORD, brief=False,
    ),
    fault(
        "password rotated in order", "at the server and in the file at once", password_rotated_in_order,
        setup=postgres_beds.PASSWORD, brief=False,
    ),
    fault(
        "disk full", "until it is said, and 1 s more", disk_full, setup=postgres_beds.SMALL_DISK, brief=False,
        needs=postgres_beds.may_mount,
    ),
    fault(
        "failover", "the primary is killed, its synchronous replica promoted", failed_over, recovery_s_max=10.0,
        setup=postgres_beds.REPLICA, brief=False, spoils=True,
    ),
    fault(
        "PgBouncer restarted", "in transaction mode", proxy_restarted, setup=postgres_beds.PGBOUNCER, brief=False,
        needs=postgres_beds.has_pgbouncer,
    ),
    fault(
        "server behind PgBouncer restarted", "in transaction mode", server_behind_proxy_restarted,
        setup=postgres_beds.PGBOUNCER, needs=postgres_beds.has_pgbouncer, brief=False,
    ),
    fault(
        "COMMIT unanswered to PgBouncer", "three times", commit_unanswered_to_proxy,
        setup=postgres_beds.PGBOUNCER, brief=False, needs=postgres_beds.has_pgbouncer,
    ),
    fault(
        "server's clock jumps", "3 h ahead, 2 h back, and right again", clock_jumps,
        setup=postgres_beds.FALSE_CLOCK, brief=False, needs=postgres_beds.has_faketime,
    ),
)  # fmt: skip
