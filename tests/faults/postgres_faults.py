"""Faults of PostgreSQL. `harness` describes how faults are written."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
from faults import postgres_setups
from faults.environment import WAIT_S_MAX, Environment, memory_bytes
from faults.harness import Fault, Injection

from eventwriter.errors import Fatal

TABLE = "timeseries_metrics"
DAEMON_SESSIONS = "application_name LIKE 'eventwriter%' AND pid <> pg_backend_pid()"
HELD_MAX = 15_000
"""Bound of the messages that a worker holds: three batches of the largest size."""
GROWTH_BYTES_MAX = 4 * 2**20
"""Allowed growth of a worker that has reached this bound."""


def restarted(env: Environment) -> Injection:
    env.servers.postgres.restart()
    yield


def stopped_immediately(env: Environment) -> Injection:
    server = env.servers.postgres.process
    assert server is not None
    server.send_signal(signal.SIGQUIT)
    server.wait(WAIT_S_MAX)
    start_again(env)
    yield


def killed(env: Environment) -> Injection:
    env.servers.postgres.kill()
    start_again(env)
    yield


def start_again(env: Environment) -> None:
    """Start the server, as soon as the last backends of the killed one have exited."""
    for _ in range(300):
        with contextlib.suppress(Fatal):
            env.servers.postgres.start()
            return
        env.wait(0.1)
    raise AssertionError("PostgreSQL does not start again")


def down(duration_s: float) -> Callable[[Environment], Injection]:
    """Return an injection that stops the server for a while."""

    def inject(env: Environment) -> Injection:
        redelivered = env.slot()["redelivered_total"]
        env.servers.postgres.stop()
        status = env.until("the circuit is open", lambda status: status["postgres"]["circuit"]["state"] == "open")
        assert "degraded" == status["status"]
        assert "PostgreSQL" in status["reason"]
        env.wait(2.0)
        pid, full_bytes, until = env.worker_pids()[0], None, time.monotonic() + duration_s - 2.0
        while time.monotonic() < until:
            before = env.slot()["held_messages"]
            env.wait(1.0)
            slot = env.slot()
            assert ("waiting", "degraded", 0) == (slot["worker_state"], slot["health"], slot["restarts"])
            assert slot["held_messages"] <= HELD_MAX, "the worker goes on pulling"
            if slot["held_messages"] == before:
                full_bytes = full_bytes or memory_bytes(pid)
                assert memory_bytes(pid) <= full_bytes + GROWTH_BYTES_MAX, "memory grows"
        assert duration_s < 30 or full_bytes, "the worker never reached its bound"
        assert slot["postgres_circuit"]["attempts"] >= 3
        env.servers.postgres.start()
        yield
        slot = env.slot()
        assert ({"state": "closed"}, 0) == (slot["postgres_circuit"], slot["restarts"])
        # An outage of 60 s is twelve times ack_wait: in-progress acks prevent redelivery.
        assert redelivered == slot["redelivered_total"]

    return inject


def backends(env: Environment) -> list[int]:
    """Return the process ids of the daemon's backends."""
    return [pid for (pid,) in env.sql(f"SELECT pid FROM pg_stat_activity WHERE {DAEMON_SESSIONS}")]


def backend_killed(env: Environment) -> Injection:
    for pid in backends(env)[:1]:
        os.kill(pid, signal.SIGKILL)
    yield


def backend_terminated(env: Environment) -> Injection:
    for _ in range(8):
        env.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {DAEMON_SESSIONS}")
        env.wait(env.rng.uniform(0, 0.2))
    yield


def statement_cancelled(env: Environment) -> Injection:
    for _ in range(40):
        env.sql(f"SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE {DAEMON_SESSIONS}")
        env.wait(0.02)
    yield


KILL_TRIGGERS = {
    "in COPY": f"CREATE TRIGGER kill BEFORE INSERT ON {TABLE} FOR EACH ROW EXECUTE FUNCTION kill_backend()",
    "after COPY": "CREATE TRIGGER kill BEFORE UPDATE ON eventwriter_ledger FOR EACH ROW EXECUTE FUNCTION"
    " kill_backend()",
    "at COMMIT": f"CREATE CONSTRAINT TRIGGER kill AFTER INSERT ON {TABLE} INITIALLY DEFERRED"
    " FOR EACH ROW EXECUTE FUNCTION kill_backend()",
}
KILL_FUNCTION = """
CREATE OR REPLACE FUNCTION kill_backend() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('kill_calls') = 5 THEN
        EXECUTE format('COPY (SELECT 1) TO PROGRAM %L',
                       'cat > /dev/null; test -e killed || { touch killed; kill -9 ' || pg_backend_pid() || '; }');
    END IF;
    RETURN NEW;
END $$
"""
"""
Kills its own backend once. A file records that, because a crash resets the sequence, whose only purpose is that few
rows run the program. The program reads its input first: if it exited before, COPY would fail with a broken pipe.
"""


def backend_killed_at(point: str) -> Callable[[Environment], Injection]:
    """Return an injection in which a trigger kills its own backend with SIGKILL, once."""

    def inject(env: Environment) -> Injection:
        env.sql("DROP SEQUENCE IF EXISTS kill_calls; CREATE SEQUENCE kill_calls")
        env.sql("COPY (SELECT 1) TO PROGRAM 'cat > /dev/null; rm -f killed'")
        env.sql(KILL_FUNCTION)
        before = env.slot()["postgres_reconnects"]
        # Without synchronous_commit the crash would lose the trigger itself.
        env.sql(f"SET synchronous_commit = on; {KILL_TRIGGERS[point]}")
        env.until_slot("reconnected", lambda slot: slot["postgres_reconnects"] > before)
        yield
        table = "eventwriter_ledger" if point == "after COPY" else TABLE
        env.sql(f"DROP TRIGGER IF EXISTS kill ON {table}")

    return inject


def backend_killed_before_copy(env: Environment) -> Injection:
    """The transaction has begun, and COPY is sent to a backend that no longer exists."""
    before, killed = env.slot()["postgres_reconnects"], []

    def kill() -> None:
        query = f"SELECT pid FROM pg_stat_activity WHERE {DAEMON_SESSIONS} AND state = 'idle in transaction'"
        for (pid,) in env.sql(query):
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)

    env.postgres.before(b"COPY ", kill)
    env.until_slot("reconnected", lambda slot: slot["postgres_reconnects"] > before)
    yield
    assert 1 == len(killed)


def commit_answer_lost(env: Environment) -> Injection:
    already_written = env.slot()["already_written_total"]
    for _ in range(3):
        cuts, until = env.postgres.cuts, time.monotonic() + WAIT_S_MAX
        # Only the transaction of a batch has a COPY; transactions that read are committed, too.
        env.postgres.before(b"COPY ", lambda: env.postgres.cut_at(b"COMMIT\0"))
        while env.postgres.cuts == cuts:
            assert time.monotonic() < until, "no batch was committed"
            env.wait(0.05)
    yield
    env.until_slot("skipped", lambda slot: slot["already_written_total"] > already_written)


def reset_in_copy(env: Environment) -> Injection:
    env.postgres.cut_at(b"COPY ", times=2)
    env.wait(1.0)
    env.postgres.heal()
    yield


def network_fault(disturb: Callable[[Environment], None], duration_s: float) -> Callable[[Environment], Injection]:
    """Return an injection that disturbs the network to PostgreSQL for a while."""

    def inject(env: Environment) -> Injection:
        disturb(env)
        env.wait(duration_s)
        env.postgres.heal()
        yield

    return inject


def repeatedly_reset(env: Environment) -> Injection:
    for _ in range(5):
        cuts = env.postgres.cuts
        env.postgres.cut_after(env.rng.randrange(1, 2000))
        for _ in range(60):
            if env.postgres.cuts > cuts:
                break
            env.wait(0.02)
    env.postgres.heal()
    yield


def network_timeout(env: Environment) -> Injection:
    env.postgres.black_hole()
    env.until_slot("waiting", lambda slot: slot["worker_state"] == "waiting")
    env.postgres.heal()
    yield


def half_open(env: Environment) -> Injection:
    env.postgres.half_open()
    yield


def hung(env: Environment) -> Injection:
    server = env.servers.postgres.process
    assert server is not None
    pids = [server.pid, *backends(env)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        env.until_slot("waiting", lambda slot: slot["worker_state"] == "waiting")
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    yield


@contextlib.contextmanager
def session(env: Environment) -> Iterator[psycopg.Connection[Any]]:
    """Open a transaction in a session of the test itself."""
    with psycopg.connect(env.servers.postgres_dsn()) as conn:
        yield conn


def locked(env: Environment) -> Injection:
    with session(env) as conn:
        conn.execute(f"LOCK TABLE {TABLE} IN ACCESS EXCLUSIVE MODE")
        slot = env.until_slot("the reason is the lock", lambda slot: "lock timeout" in (slot["reason"] or ""))
        assert ("waiting", "degraded") == (slot["worker_state"], slot["health"])
    yield


def altered(change: str, back: str) -> Callable[[Environment], Injection]:
    """Return an injection that alters the table of the running worker and reverts the change."""

    def inject(env: Environment) -> Injection:
        count, connections = f"SELECT count(*) FROM {TABLE}", env.slot()["postgres_reconnects"]
        env.sql(f"ALTER TABLE {TABLE} {change}")
        rows = env.sql(count)
        env.until("more rows are written", lambda _: env.sql(count) > rows)
        assert connections == env.slot()["postgres_reconnects"], "the daemon had to reconnect"
        env.sql(f"ALTER TABLE {TABLE} {back}")
        yield
        assert 0 == env.slot()["restarts"]

    return inject


def renamed(env: Environment) -> Injection:
    env.sql(f"ALTER TABLE {TABLE} RENAME TO renamed")
    slot = env.until_slot("parked", lambda slot: slot["worker_state"] == "parked")
    assert ("failing", True) == (slot["health"], TABLE in slot["reason"])
    env.sql(f"ALTER TABLE renamed RENAME TO {TABLE}")
    yield


def read_only(env: Environment) -> Injection:
    env.sql("ALTER SYSTEM SET default_transaction_read_only = on")
    env.sql("SELECT pg_reload_conf()")
    env.until_slot("the reason is read-only", lambda slot: "read-only" in (slot["reason"] or ""))
    env.sql("ALTER SYSTEM RESET default_transaction_read_only")
    env.sql("SELECT pg_reload_conf()")
    yield


def too_many_connections(env: Environment) -> Injection:
    with contextlib.ExitStack() as held:
        env.postgres.refuse()
        with contextlib.suppress(psycopg.OperationalError):
            while True:
                held.enter_context(session(env))
        env.postgres.heal()
        env.until_slot("the reason is the limit", lambda slot: "too many clients" in (slot["reason"] or ""))
        env.wait(0.5)
    yield


def password_rotated(env: Environment) -> Injection:
    env.sql("ALTER ROLE writer PASSWORD 'second'")
    env.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'writer'")
    slot = env.until_slot("parked", lambda slot: slot["worker_state"] == "parked")
    assert "login" in slot["reason"]
    (env.folder / "password").write_text("second\n")
    yield
    assert 0 == env.slot()["restarts"]


def password_rotated_with_file(env: Environment) -> Injection:
    env.sql("ALTER ROLE writer PASSWORD 'third'")
    (env.folder / "password").write_text("third\n")
    env.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'writer'")
    yield


def disk_full(env: Environment) -> Injection:
    disk = env.servers.folder / "disk"
    with open(disk / "filler", "wb", buffering=0) as filler, contextlib.suppress(OSError):
        while filler.write(b"x" * 4096):
            pass
    env.until_slot("the reason is the disk", lambda slot: "No space left" in (slot["reason"] or ""))
    env.wait(1.0)
    assert "waiting" == env.slot()["worker_state"]
    (disk / "filler").unlink()
    yield


def failed_over(env: Environment) -> Injection:
    env.servers.postgres.kill()
    env.wait(0.5)
    postgres_setups.promote(env)
    yield


def pgbouncer_restarted(env: Environment) -> Injection:
    env.resources["pgbouncer"].restart()
    yield


def clock_steps(env: Environment) -> Injection:
    clock = env.resources["clock"]
    for text in ("+3h", "-2h", "+0s"):
        clock.write_text(text + "\n")
        env.wait(0.4)
    yield


def fault(name: str, description: str, inject: Callable[[Environment], Injection], **more: Any) -> Fault:
    """Return a fault of PostgreSQL."""
    return Fault(name, "postgres", description, inject, **more)


NETWORK_FAULTS: dict[str, tuple[str, float, Callable[[Environment], None]]] = {
    "black hole": ("all bytes are held for 2 s", 2.0, lambda env: env.postgres.black_hole()),
    "client does not read": (
        "bytes from the server are held for 1 s", 1.0, lambda env: env.postgres.not_reading("client"),
    ),
    "server does not read": (
        "bytes to the server are held for 1 s", 1.0, lambda env: env.postgres.not_reading("server"),
    ),
    "one byte at a time": ("every write has one byte, for 1 s", 1.0, lambda env: env.postgres.one_byte()),
    "latency": ("50 ms in each direction, for 1 s", 1.0, lambda env: env.postgres.latency(0.05)),
    "connection refused": ("the port is closed for 1 s", 1.0, lambda env: env.postgres.refuse()),
    "connection reset": ("RST", 0.0, lambda env: env.postgres.cut()),
    "connection closed": ("FIN", 0.0, lambda env: env.postgres.cut(rst=False)),
}  # fmt: skip
ALTERATIONS = {
    "column added": ("ADD COLUMN extra int", "DROP COLUMN extra"),
    "column dropped": ("DROP COLUMN unit", "ADD COLUMN unit text"),
    "type changed": ("ALTER COLUMN if_index TYPE bigint", "ALTER COLUMN if_index TYPE integer"),
    "type changed to one of equal width": (
        "ALTER COLUMN value TYPE numeric", "ALTER COLUMN value TYPE double precision",
    ),
}  # fmt: skip

FAULTS = (
    fault("server restarted", "fast shutdown and restart", restarted),
    fault("server stopped immediately", "SIGQUIT and restart", stopped_immediately),
    fault("server killed", "kill -9 of the postmaster, and restart", killed),
    fault("server down for 5 s", "the circuit breaker opens and status reports it", down(5.0)),
    fault(
        "server down for 60 s", "memory stays flat; then 57,000 messages are written", down(60.0), quick=False,
        memory_margin_bytes=64 * 2**20, recovery_s_max=120.0,
    ),
    fault("backend killed", "kill -9 of the daemon's backend; the server restarts itself", backend_killed),
    fault("backend terminated", "pg_terminate_backend eight times, at random moments", backend_terminated),
    fault("statement cancelled", "pg_cancel_backend forty times", statement_cancelled),
    *(
        fault(f"backend killed {point}", "kill -9 of the backend at this point of a batch", backend_killed_at(point))
        for point in KILL_TRIGGERS
    ),
    fault(
        "backend killed before COPY", "kill -9 of the backend after BEGIN of a batch", backend_killed_before_copy
    ),
    fault("COMMIT answer lost", "three COMMITs are executed, and the connection is reset", commit_answer_lost),
    fault("reset in COPY", "the connection is reset after the start of COPY, twice", reset_in_copy),
    *(
        fault(name, description, network_fault(disturb, duration_s))
        for name, (description, duration_s, disturb) in NETWORK_FAULTS.items()
    ),
    fault("repeated resets", "five RSTs, each after a random number of bytes", repeatedly_reset),
    fault("table locked", "ACCESS EXCLUSIVE until the daemon reports the lock", locked),
    *(fault(name, f"{change}; then {back}", altered(change, back)) for name, (change, back) in ALTERATIONS.items()),
    fault("table renamed", "until the slot is parked, and back", renamed),
    fault("server read-only", "default_transaction_read_only until the daemon reports it", read_only),
    fault(
        "network timeout", "all bytes are held until the daemon gives up the connection", network_timeout,
        setup=postgres_setups.SHORT_TIMEOUT, quick=False,
    ),
    fault(
        "half-open connection", "the connection is closed on the server's side only", half_open,
        setup=postgres_setups.SHORT_TIMEOUT, quick=False,
    ),
    fault(
        "server hung", "SIGSTOP of all its processes until the daemon gives up", hung,
        setup=postgres_setups.SHORT_TIMEOUT, quick=False,
    ),
    fault(
        "too many connections", "other sessions take all connections until 0.5 s after the daemon reports it",
        too_many_connections, setup=postgres_setups.FEW_CONNECTIONS, quick=False,
    ),
    fault(
        "password rotated", "on the server, later in the file", password_rotated,
        setup=postgres_setups.PASSWORD, quick=False,
    ),
    fault(
        "password rotated with file", "on the server and in the file at once", password_rotated_with_file,
        setup=postgres_setups.PASSWORD, quick=False,
    ),
    fault(
        "disk full", "until 1 s after the daemon reports it", disk_full, setup=postgres_setups.SMALL_DISK, quick=False,
        missing=postgres_setups.cannot_mount,
    ),
    fault(
        "failover", "the primary is killed and its synchronous replica promoted", failed_over,
        setup=postgres_setups.REPLICA, quick=False, single_use=True,
    ),
    fault(
        "PgBouncer restarted", "in transaction mode", pgbouncer_restarted, setup=postgres_setups.PGBOUNCER,
        quick=False, missing=postgres_setups.lacks_pgbouncer,
    ),
    fault(
        "server behind PgBouncer restarted", "in transaction mode", restarted,
        setup=postgres_setups.PGBOUNCER, missing=postgres_setups.lacks_pgbouncer, quick=False,
    ),
    fault(
        "COMMIT answer to PgBouncer lost", "three times", commit_answer_lost,
        setup=postgres_setups.PGBOUNCER, quick=False, missing=postgres_setups.lacks_pgbouncer,
    ),
    fault(
        "server clock steps", "3 h ahead, 2 h back, and correct again", clock_steps,
        setup=postgres_setups.FAKE_CLOCK, quick=False, missing=postgres_setups.lacks_faketime,
    ),
)  # fmt: skip
