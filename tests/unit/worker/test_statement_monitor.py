"""The monitor of a batch's running statement, with scripted lookups of blocking sessions."""

from types import SimpleNamespace
from typing import Any

import pytest

from eventwriter import clock
from eventwriter.config.settings import PostgresSettings
from eventwriter.postgres.blocking import Blocking, BlockingSession
from eventwriter.postgres.session import RunningStatement
from eventwriter.worker import statement_monitor
from eventwriter.worker.statement_monitor import UNANSWERED_S, StatementMonitor

BLOCKING = BlockingSession(7, "x", "psql", "idle in transaction", 12.4)


@pytest.fixture
def session() -> Any:
    """A session without a running statement."""
    return SimpleNamespace(running=None, circuit_breaker=SimpleNamespace(is_open=False))


@pytest.fixture
def lookups(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The backends whose blocking sessions were looked up."""
    looked_up: list[int] = []

    async def find_blocking(_settings: PostgresSettings, backend_pid: int) -> Blocking:
        looked_up.append(backend_pid)
        return Blocking(sessions=(BLOCKING,))

    monkeypatch.setattr(statement_monitor, "find_blocking", find_blocking)
    return looked_up


def running_for(elapsed_s: float) -> RunningStatement:
    return RunningStatement("COPY", clock.monotonic_s() - elapsed_s, 42)


async def test_short_statement_is_not_looked_up(session: Any, lookups: list[int]) -> None:
    """A statement below the limit costs no connection."""
    monitor = StatementMonitor(PostgresSettings(), session)
    session.running = running_for(UNANSWERED_S - 1)

    await monitor._check()

    assert ([], None) == (lookups, monitor.blocked_by)
    assert UNANSWERED_S - 1 <= monitor.unanswered_s() < UNANSWERED_S


async def test_unanswered_statement_names_its_blocker(
    session: Any, lookups: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    """The blocking session of an unanswered statement is known, and is logged once per statement."""
    monitor = StatementMonitor(PostgresSettings(), session)
    session.running = running_for(UNANSWERED_S)

    await monitor._check()
    await monitor._check()

    assert ([42, 42], "session 7 (role x, psql, idle in transaction for 12 s)") == (lookups, monitor.blocked_by)
    assert 1 == len(caplog.records)


async def test_blocker_is_kept_between_attempts(session: Any, lookups: list[int]) -> None:
    """After a lock timeout the blocking session stays known until a write succeeds."""
    monitor = StatementMonitor(PostgresSettings(), session)
    session.running = running_for(UNANSWERED_S)
    await monitor._check()

    session.running, session.circuit_breaker.is_open = None, True
    await monitor._check()
    assert monitor.blocked_by is not None

    session.circuit_breaker.is_open = False
    await monitor._check()
    assert (None, 0.0) == (monitor.blocked_by, monitor.unanswered_s())


@pytest.mark.parametrize(
    ("session_row", "text"),
    [
        (BlockingSession(0, None, None, None, None), "a prepared transaction"),
        (BlockingSession(7, None, None, None, None), "session 7"),
        (BlockingSession(7, "x", "", None, None), "session 7 (role x)"),
        (BlockingSession(7, "x", "", "active", 3.0), "session 7 (role x, active for 3 s)"),
        (
            BlockingSession(7, "x", "", "active", 3.0, waits_for_standby=True),
            "session 7 (role x, waiting for a synchronous standby for 3 s)",
        ),
    ],
)
def test_blocking_session_shows_what_is_known(session_row: BlockingSession, text: str) -> None:
    """The text of a blocking session leaves out what the role may not see."""
    assert text == str(session_row)
