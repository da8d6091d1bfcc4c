"""What doctor says of a pooler before PostgreSQL; needs PgBouncer (Debian's package) on PATH."""

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
    """Start a PgBouncer of a mode before the test's database; returns how to connect through it."""
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


async def mode_of(dsn: str) -> str | None:
    """Return the mode that is found."""
    settings = PostgresSettings.model_validate({"dsn": dsn})
    conn = await connect(settings)
    try:
        return await pooler_mode(settings, conn)
    finally:
        await conn.close()


@pytest.mark.parametrize("mode", ["transaction", "session"])
async def test_pooler_and_its_mode_are_found(start_pooler: Start, mode: str) -> None:
    """A pooler is told by the server's process number, its mode by two connections that share one."""
    assert mode == await mode_of(start_pooler(mode))


async def said_of(dsn: str) -> str:
    """Return doctor's sentence."""
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
async def test_pooler_is_said(start_pooler: Start, mode: str, expected: str) -> None:
    """Doctor says how a pooler pools."""
    assert expected == await said_of(start_pooler(mode))


async def test_no_pooler_is_said(database: str) -> None:
    """Doctor says that nothing pools where connections lead to the server."""
    assert "none: connections reach the server directly" == await said_of(database)


async def test_server_itself_is_no_pooler(database: str) -> None:
    """A connection to the server itself is told as that."""
    assert await mode_of(database) is None
