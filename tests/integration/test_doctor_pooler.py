"""What doctor reports about a pooler in front of PostgreSQL; requires PgBouncer on PATH."""

import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from eventwriter.admin.doctor.context import create_context
from eventwriter.admin.doctor.findings import Reporter
from eventwriter.admin.doctor.postgres import pooler_finding
from eventwriter.config.settings import PostgresSettings, Settings
from eventwriter.demo.binaries import postgres_account
from eventwriter.demo.process import Server, free_port
from eventwriter.postgres.connect import connect
from eventwriter.postgres.read_only import open_read_only
from eventwriter.postgres.server_info import pooler_mode

Start = Callable[[str], str]


@pytest.fixture
def start_pooler(temporary: Path, database: str) -> Iterator[Start]:
    """Start a PgBouncer of a mode for the test's database; return its connection string."""
    program = shutil.which("pgbouncer")
    if program is None:
        pytest.skip("no pgbouncer on PATH: apt-get install pgbouncer")
    started: list[Server] = []

    def start(mode: str) -> str:
        behind, port, account = urlsplit(database), free_port(), postgres_account()
        ini = temporary / "pgbouncer.ini"
        ini.write_text(
            f"[databases]\n* = host={behind.hostname} port={behind.port}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
            f"pool_mode = {mode}\nlogfile =\n"
            # One user for all, as auth_type any wants it.
            .replace(f"port={behind.port}", f"port={behind.port} user={behind.username}")
        )
        ini.chmod(0o644)

        def ready(_pid: int) -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        who = (account.uid, account.gid) if account else None
        server = Server("pgbouncer", [program, str(ini)], ready, temporary, signal.SIGTERM, who)
        started.append(server)
        server.start()
        return f"host=127.0.0.1 port={port} user={behind.username} dbname={behind.path[1:]}"

    yield start
    for server in started:
        server.stop()


async def detected_mode(dsn: str) -> str | None:
    """Return the pooling mode that doctor detects."""
    settings = PostgresSettings.model_validate({"dsn": dsn})
    conn = await connect(settings)
    try:
        return await pooler_mode(settings, conn)
    finally:
        await conn.close()


@pytest.mark.parametrize("mode", ["transaction", "session"])
async def test_pooler_mode_is_detected(start_pooler: Start, mode: str) -> None:
    """A pooler is detected by the server's pid, and its mode by two connections that share one."""
    assert mode == await detected_mode(start_pooler(mode))


async def message_for(dsn: str) -> str:
    """Return doctor's message."""
    case = create_context(Settings.model_validate({"postgres": {"dsn": dsn}}))
    case.reader = await open_read_only(case.settings.postgres)
    try:
        found = await pooler_finding(Reporter("PostgreSQL", "pooler"), case)
    finally:
        await case.close()
    assert "ok" == str(found.status)
    return found.message


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("transaction", "connections are pooled by transaction (PgBouncer or similar), which is supported"),
        ("session", "connections are pooled by session (PgBouncer or similar); each worker occupies one permanently"),
    ],
)
async def test_pooler_is_reported(start_pooler: Start, mode: str, expected: str) -> None:
    """Doctor reports the mode of a pooler."""
    assert expected == await message_for(start_pooler(mode))


async def test_missing_pooler_is_reported(database: str) -> None:
    """Doctor reports that connections lead directly to the server."""
    assert "none: connections reach the server directly" == await message_for(database)


async def test_direct_connection_is_no_pooler(database: str) -> None:
    """A direct connection to the server is detected as such."""
    assert await detected_mode(database) is None
