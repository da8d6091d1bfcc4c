"""A PostgreSQL primary with a synchronous standby."""

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from fix_postgres import Postgres

from eventwriter.demo import data_dirs
from eventwriter.demo.binaries import first_closed_to_others, postgres_bin

HBA = "local all all trust\nlocal replication all trust\nhost all all 127.0.0.1/32 trust\n"


class Pair:
    """A primary and its streaming standby, for which commits of the primary wait."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.primary, self.standby = Postgres(programs, folder / "primary"), Postgres(programs, folder / "standby")

    def start(self) -> None:
        """Start both servers and make replication synchronous."""
        primary, standby = self.primary, self.standby
        primary.run(
            "initdb", "-D", str(primary.data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"
        )
        (primary.data / "pg_hba.conf").write_text(HBA)
        primary.server.start()
        source = f"host={primary.folder} port={primary.port} user=postgres"
        standby.run("pg_basebackup", "-D", str(standby.data), "-d", source, "-c", "fast", "-R", "-X", "stream", "-N")
        standby.server.start()
        self.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.execute("SELECT pg_reload_conf()")
        self.wait_for("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'")

    def stop(self) -> None:
        """Stop both servers."""
        self.resume_standby()
        self.standby.server.stop()
        self.primary.server.stop()

    @property
    def dsn(self) -> str:
        """Connection string with both hosts that finds the server that accepts writes."""
        ports = f"{self.primary.port},{self.standby.port}"
        return f"host=127.0.0.1,127.0.0.1 port={ports} user=postgres dbname=postgres target_session_attrs=read-write"

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        """Execute a statement on the primary, without waiting for the standby, and return its rows."""
        return self._execute(self.primary, sql)

    def execute_on_standby(self, sql: str) -> list[tuple[Any, ...]]:
        """Execute a statement on the standby and return its rows."""
        return self._execute(self.standby, sql)

    @staticmethod
    def _execute(server: Postgres, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(
            f"host=127.0.0.1 port={server.port} user=postgres dbname=postgres application_name=test"
            " options='-c synchronous_commit=local'",
            autocommit=True,
        ) as conn:
            cursor = conn.execute(sql)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    def wait_for(self, sql: str, limit_s: float = 60.0) -> list[tuple[Any, ...]]:
        """Wait until a query on the primary returns rows, and return them."""
        deadline_s = time.monotonic() + limit_s
        while not (rows := self.execute(sql)):
            assert time.monotonic() < deadline_s, f"no rows within {limit_s:g} s: {sql}"
            time.sleep(0.05)
        return rows

    def suspend_standby(self) -> None:
        """Suspend all processes of the standby, so that it confirms no commit."""
        for process in self._standby_processes():
            process.send_signal(signal.SIGSTOP)

    def resume_standby(self) -> None:
        """Resume the standby."""
        for process in self._standby_processes():
            process.send_signal(signal.SIGCONT)

    def _standby_processes(self) -> list[psutil.Process]:
        if not self.standby.server.pid:
            return []
        postmaster = psutil.Process(self.standby.server.pid)
        return [postmaster, *postmaster.children(recursive=True)]

    def fail_over(self) -> None:
        """Kill the primary and promote the standby, which no longer has a standby of its own."""
        sessions = psutil.Process(self.primary.server.pid).children(recursive=True)
        self.primary.server.kill()
        psutil.wait_procs(sessions, timeout=60)  # they exit when the postmaster is gone
        self.resume_standby()
        self.execute_on_standby("SELECT pg_promote(true, 60)")
        self.execute_on_standby("ALTER SYSTEM RESET synchronous_standby_names")
        self.execute_on_standby("SELECT pg_reload_conf()")


def _pair() -> Iterator[Pair]:
    programs = postgres_bin()
    if not (programs / "pg_basebackup").exists():
        pytest.skip("the PostgreSQL binaries lack pg_basebackup")
    folder, lock = data_dirs.create_temporary()
    folder.chmod(0o755)
    if first_closed_to_others(programs):
        shutil.copytree(programs.parent, folder / "programs", symlinks=True)
        programs = folder / "programs" / "bin"
    pair = Pair(programs, folder)
    try:
        pair.start()
        yield pair
    finally:
        pair.stop()
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


@pytest.fixture(scope="module")
def shared_pair() -> Iterator[Pair]:
    """A pair for tests without a failover; the standby runs again after each of them."""
    yield from _pair()


@pytest.fixture
def pair(shared_pair: Pair) -> Iterator[Pair]:
    """The shared pair, with an empty schema."""
    shared_pair.execute("DROP SCHEMA public CASCADE")
    shared_pair.execute("CREATE SCHEMA public")
    yield shared_pair
    shared_pair.resume_standby()


@pytest.fixture
def failover_pair() -> Iterator[Pair]:
    """A pair of its own for a test that kills the primary."""
    yield from _pair()
