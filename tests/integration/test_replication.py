"""Commits that wait for a synchronous standby, and hosts that vanish within a transaction."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import psycopg
import pytest
from fix_pipeline import Bench
from fix_replication import Pair

from eventwriter.config.settings import PostgresSettings
from eventwriter.model import Outcome
from eventwriter.pipeline import retry
from eventwriter.postgres.session import PostgresSession, begin_sql
from eventwriter.worker.statement_monitor import StatementMonitor

THINGS = "CREATE TABLE things (n int, v text)"
WAITING = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name <> 'test'"
RETRY_S = 0.05

MakeBench = Callable[..., Bench]
Monitor = Callable[[Bench], StatementMonitor]


@pytest.fixture
async def benches(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MakeBench]:
    """The factory of benches on a pair, which retry at short intervals."""
    monkeypatch.setattr(retry, "pause_s", lambda attempt, share: RETRY_S)
    created: list[Bench] = []

    def create(pair: Pair, **postgres: Any) -> Bench:
        bench = Bench(pair.dsn, tables=("things",))
        bench.postgres = PostgresSession(PostgresSettings.model_validate({"dsn": pair.dsn, **postgres}))
        created.append(bench)
        return bench

    yield create
    for bench in created:
        await bench.postgres.close()


@pytest.fixture
async def monitor() -> AsyncIterator[Monitor]:
    """The factory of running monitors of a bench's statements."""
    tasks: list[asyncio.Task[None]] = []

    def start(bench: Bench) -> StatementMonitor:
        monitor = StatementMonitor(PostgresSettings.model_validate({"dsn": bench.dsn}), bench.postgres)
        tasks.append(asyncio.create_task(monitor.run()))
        return monitor

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def eventually(condition: Callable[[], Any], limit_s: float = 60.0) -> Any:
    """Wait until a condition, which may query a server, is true, and return its value."""
    async with asyncio.timeout(limit_s):
        while not (value := await asyncio.to_thread(condition)):  # noqa: ASYNC110  # the state of a server
            await asyncio.sleep(0.02)
    return value


async def waiting_session(pair: Pair) -> int:
    """Wait until a COMMIT waits for the standby, and return the number of its server process."""
    rows = await eventually(lambda: pair.execute(WAITING))
    return int(rows[0][0])


async def start_waiting_commit(pair: Pair, bench: Bench, *payloads: Any) -> asyncio.Task[Any]:
    """Bind a bench, suspend the standby, and start to settle a batch whose COMMIT then waits."""
    await bench.bind()
    pair.suspend_standby()
    settling = asyncio.create_task(bench.settle(*payloads))
    await waiting_session(pair)
    return settling


def rows(pair: Pair) -> list[tuple[Any, ...]]:
    return pair.execute("SELECT n FROM things ORDER BY n")


async def test_waiting_commit_is_named_and_settles_when_the_standby_returns(
    pair: Pair, benches: MakeBench, monitor: Monitor
) -> None:
    """A COMMIT that waits for the standby is named as such, has no deadline, and then settles the batch."""
    bench = benches(pair, statement_timeout=1).create_tables(THINGS)
    watching = monitor(bench)
    settling = await start_waiting_commit(pair, bench, {"n": 1})

    blocked_by = await eventually(lambda: watching.blocked_by)
    await asyncio.sleep(7)  # longer than the deadline of other statements
    pair.resume_standby()
    settled = await settling

    assert "a synchronous standby that has not confirmed the commit (wait event SyncRep)" == blocked_by
    assert (0, 0) == (bench.postgres.reconnects, bench.counters.retries_total)
    assert [Outcome.WRITTEN] == settled.outcomes
    assert [(1,)] == rows(pair)


async def interrupt_by_cancel(pair: Pair, pid: int) -> None:
    await asyncio.to_thread(pair.execute, f"SELECT pg_cancel_backend({pid})")


async def interrupt_by_terminate(pair: Pair, pid: int) -> None:
    await asyncio.to_thread(pair.execute, f"SELECT pg_terminate_backend({pid})")


@pytest.mark.parametrize("interrupt", [interrupt_by_cancel, interrupt_by_terminate])
async def test_interrupted_wait_does_not_settle_the_batch(
    pair: Pair, benches: MakeBench, interrupt: Callable[[Pair, int], Awaitable[None]]
) -> None:
    """If the wait is interrupted, the batch is visible but is not settled before the standby has it."""
    bench = benches(pair).create_tables(THINGS)
    settling = await start_waiting_commit(pair, bench, {"n": 1})

    await interrupt(pair, await waiting_session(pair))
    await eventually(lambda: bench.counters.retries_total and rows(pair))
    await waiting_session(pair)  # the commit that confirms the ledger
    done = settling.done()
    pair.resume_standby()
    settled = await settling

    assert not done
    assert ([Outcome.WRITTEN], 1) == (settled.outcomes, settled.already_written)
    assert [(1,)] == rows(pair)


async def test_interrupted_wait_is_noticed_without_client_messages(pair: Pair, benches: MakeBench) -> None:
    """A role whose client_min_messages suppresses warnings does not hide the interrupted wait."""
    bench = benches(pair).create_tables(THINGS, "ALTER ROLE postgres SET client_min_messages = 'error'")
    settling = await start_waiting_commit(pair, bench, {"n": 1})

    await interrupt_by_cancel(pair, await waiting_session(pair))
    await eventually(lambda: bench.counters.retries_total)
    pair.execute("ALTER ROLE postgres RESET client_min_messages")
    pair.resume_standby()
    await settling

    assert any("without its synchronous standby" in str(reason) for reason in bench.outages)


async def test_cancelled_task_does_not_interrupt_its_commit(pair: Pair, benches: MakeBench) -> None:
    """A worker that rebinds during a COMMIT closes its connection; the commit is visible once the standby has it."""
    bench = benches(pair).create_tables(THINGS)
    settling = await start_waiting_commit(pair, bench, {"n": 1})
    pid = await waiting_session(pair)

    settling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await settling
    still_waiting, visible = await waiting_session(pair), rows(pair)
    pair.resume_standby()
    await eventually(lambda: rows(pair))

    assert (pid, []) == (still_waiting, visible)


async def test_next_worker_waits_for_the_session_of_its_predecessor(
    pair: Pair, benches: MakeBench, monitor: Monitor
) -> None:
    """After a rebind, the new worker names the session that blocks it, and settles the batch without new rows."""
    first = benches(pair).create_tables(THINGS)
    message = first.message({"n": 1})
    settling = await start_waiting_commit(pair, first, message)
    pid = await waiting_session(pair)
    settling.cancel()
    second = benches(pair)

    watching = monitor(second)
    settling = asyncio.create_task(second.settle(message))
    blocked_by = await eventually(lambda: watching.blocked_by)
    pair.resume_standby()
    settled = await settling

    assert blocked_by.startswith(f"session {pid} (role postgres, eventwriter, waiting for a synchronous standby")
    assert (1, [(1,)]) == (settled.already_written, rows(pair))


async def test_failover_loses_no_settled_message(failover_pair: Pair, benches: MakeBench) -> None:
    """A batch whose wait was interrupted is missing on the promoted standby, is not settled, and is written there."""
    pair = failover_pair
    bench = benches(pair, connect_timeout=2).create_tables(THINGS)
    await bench.settle({"n": 0})
    settling = await start_waiting_commit(pair, bench, {"n": 1})
    await interrupt_by_cancel(pair, await waiting_session(pair))
    await eventually(lambda: bench.counters.retries_total and len(rows(pair)) == 2)
    await waiting_session(pair)  # the commit that confirms the ledger
    done = settling.done()

    await asyncio.to_thread(pair.fail_over)
    settled = await settling

    assert not done
    assert [Outcome.WRITTEN] == settled.outcomes
    assert [(0,), (1,)] == pair.execute_on_standby("SELECT n FROM things ORDER BY n")


async def test_vanished_client_releases_its_locks(pair: Pair, benches: MakeBench) -> None:
    """A transaction whose client vanishes after the update of the ledger is ended, and another worker continues."""
    bench = benches(pair).create_tables(THINGS)
    await bench.bind()
    settings = PostgresSettings.model_validate({"dsn": pair.dsn, "idle_in_transaction_timeout": 1})
    async with await psycopg.AsyncConnection.connect(pair.dsn, autocommit=True) as vanished:
        await vanished.execute(begin_sql(settings))
        await vanished.execute("UPDATE eventwriter_ledger SET updated_at = now()")

        settled = await bench.settle({"n": 1})

        with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout):
            await vanished.execute("SELECT 1")
    assert ([Outcome.WRITTEN], [(1,)]) == (settled.outcomes, rows(pair))


async def test_server_detects_a_vanished_client(pair: Pair, benches: MakeBench) -> None:
    """The server's end of a connection sends keepalives as configured, and the client's end does as well."""
    bench = benches(pair, tcp_timeout=12).create_tables(THINGS)

    async with bench.postgres.transaction() as conn:
        names = ("keepalives_idle", "keepalives_interval", "keepalives_count", "user_timeout")
        query = ", ".join(f"current_setting('tcp_{name}')" for name in names)
        row = await (await conn.execute(f"SELECT {query}")).fetchone()
        parameters = conn.info.get_parameters()

    assert ("6", "2", "3", "12000") == row
    assert ["6", "2", "3", "42000"] == [
        parameters[name] for name in ("keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout")
    ]
