"""Beds of the PostgreSQL side that differ from the plain one, and what they need."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psycopg
from faults.bed import Bed, Setup

from eventwriter.demo.binaries import postgres_account
from eventwriter.demo.process import Server, free_port

FAKETIME = next(Path("/usr").glob("lib/*/faketime/libfaketime.so.1"), None)
"""The library that falsifies clocks, in its machine's folder; None where it is not installed."""
CONNECTIONS_MAX = 14
DISK_BYTES = 16 * 2**20
HBA = "host all writer 127.0.0.1/32 scram-sha-256\n"


def with_quick_deadline(bed: Bed) -> None:
    """Prepare a bed whose daemon gives up a silent server after 6 s."""
    bed.write(postgres={"statement_timeout": 1})


def with_few_connections(bed: Bed) -> None:
    """Prepare a bed whose server has hardly a connection to spare."""
    command = bed.servers.postgres.command
    bed.servers.postgres.command = [*command, "-c", f"max_connections={CONNECTIONS_MAX}"]
    bed.servers.postgres.restart()
    bed.write()


def with_password(bed: Bed) -> None:
    """Prepare a bed whose daemon logs in by a password file."""
    hba = bed.servers.folder / "postgres" / "pg_hba.conf"
    hba.write_text(HBA + hba.read_text())
    bed.sql("CREATE ROLE writer LOGIN PASSWORD 'first'")
    bed.sql("GRANT ALL ON ALL TABLES IN SCHEMA public TO writer")
    bed.sql("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO writer")
    bed.sql("SELECT pg_reload_conf()")
    (bed.folder / "password").write_text("first\n")
    dsn = f"postgresql://writer@127.0.0.1:{bed.postgres.port}/postgres"
    bed.write(postgres={"dsn": dsn, "password_file": str(bed.folder / "password")})


def with_small_disk(bed: Bed) -> None:
    """Prepare a bed whose table lies on a small disk of its own."""
    disk = bed.servers.folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", str(disk)], check=True)
    bed.on_close(lambda: subprocess.run(["umount", "-l", str(disk)], check=False))
    (disk / "space").mkdir()
    own(disk / "space")
    bed.sql(f"CREATE TABLESPACE small LOCATION '{disk / 'space'}'")
    leaves = "SELECT relid::regclass::text FROM pg_partition_tree('timeseries_metrics') WHERE isleaf"
    for (leaf,) in bed.sql(leaves) or [("timeseries_metrics",)]:
        bed.sql(f"ALTER TABLE {leaf} SET TABLESPACE small")
        for (index,) in bed.sql(f"SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = '{leaf}'::regclass"):
            bed.sql(f"ALTER INDEX {index} SET TABLESPACE small")
    bed.write()


def with_replica(bed: Bed) -> None:
    """Prepare a bed with a synchronous streaming replica; the daemon knows both servers and wants the primary."""
    primary, folder = bed.servers.postgres, bed.servers.folder
    data, port = folder / "replica", free_port()
    programs, old = Path(primary.command[0]).parent, bed.servers.postgres_dsn().rpartition(":")[2].split("/")[0]
    account = postgres_account()
    uid = (account.uid, account.gid) if account else (os.getuid(), os.getgid())
    data.mkdir(mode=0o700)
    own(data)
    subprocess.run(
        [str(programs / "pg_basebackup"), "-D", str(data), "-d", bed.servers.postgres_dsn(), "-c", "fast", "-R",
         "-X", "stream", "--no-sync"],
        check=True, capture_output=True, cwd="/", user=uid[0], group=uid[1], extra_groups=[], env={"LC_ALL": "C"},
    )  # fmt: skip
    command = [word.replace(f"port={old}", f"port={port}") for word in primary.command]
    command[command.index("-D") + 1] = str(data)
    replica = Server("replica", command, lambda pid: standing(data, pid), folder, signal.SIGINT, primary.uid)
    replica.start()
    bed.on_close(replica.stop)
    bed.kept["replica"], bed.kept["replica_port"] = replica, port
    bed.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
    bed.sql("SELECT pg_reload_conf()")
    hosts = f"127.0.0.1:{old},127.0.0.1:{port}"
    dsn = f"postgresql://postgres@{hosts}/postgres?target_session_attrs=read-write"
    # Rows that are acknowledged must be with the replica as well, or a failover loses them.
    bed.write(postgres={"dsn": dsn, "connect_timeout": 2, "runtime_params": {"synchronous_commit": "on"}})


def with_pgbouncer(bed: Bed) -> None:
    """Prepare a bed whose daemon reaches PostgreSQL through PgBouncer in transaction mode."""
    folder, port = bed.servers.folder / "pgbouncer", free_port()
    folder.mkdir()
    own(folder)
    host = f"host=127.0.0.1 port={bed.postgres.port}"
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\npostgres = {host} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
        f"auth_type = any\npool_mode = transaction\ndefault_pool_size = 2\nmax_prepared_statements = 0\n"
        f"unix_socket_dir =\nadmin_users = postgres\nserver_login_retry = 0.2\n".replace(
            "max_prepared_statements = 0\n", ""
        )
    )
    account = postgres_account()
    uid = (account.uid, account.gid) if account else None
    program = shutil.which("pgbouncer")
    assert program is not None
    server = Server("pgbouncer", [program, str(folder / "pgbouncer.ini")], lambda _: listens(port), bed.servers.folder,
                    signal.SIGINT, uid)  # fmt: skip
    server.start()
    bed.on_close(server.stop)
    bed.kept["pgbouncer"] = server
    bed.write(postgres={"dsn": f"postgresql://postgres@127.0.0.1:{port}/postgres"})


def with_false_clock(bed: Bed) -> None:
    """Prepare a bed whose server takes the time from a file."""
    clock = bed.servers.folder / "clock"
    clock.write_text("+0s\n")
    clock.chmod(0o644)
    postgres = bed.servers.postgres
    postgres.stop()
    # Only the wall clock: a server whose monotonic clock steps back does not exist.
    words = [f"LD_PRELOAD={FAKETIME}", f"FAKETIME_TIMESTAMP_FILE={clock}", "FAKETIME_NO_CACHE=1",
             "FAKETIME_DONT_FAKE_MONOTONIC=1", "FAKETIME_DONT_RESET=1"]  # fmt: skip
    postgres.command = ["/usr/bin/env", *words, *postgres.command]
    postgres.start()
    bed.kept["clock"] = clock
    bed.write()


def own(path: Path) -> None:
    """Give a file to the user that PostgreSQL runs as."""
    if (account := postgres_account()) is not None:
        os.chown(path, account.uid, account.gid)


def standing(data: Path, pid: int) -> bool:
    """Say whether a server takes connections, as a primary or a standby."""
    with contextlib.suppress(OSError):
        lines = (data / "postmaster.pid").read_text().splitlines()
        return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() in ("ready", "standby")
    return False


def listens(port: int) -> bool:
    """Say whether PgBouncer answers."""
    with contextlib.suppress(psycopg.Error):
        psycopg.connect(f"postgresql://postgres@127.0.0.1:{port}/pgbouncer", autocommit=True, connect_timeout=2).close()
        return True
    return False


def promote(bed: Bed) -> None:
    """Make the replica the primary; the bed asks it from now on."""
    servers, port = bed.servers, bed.kept["replica_port"]
    dsn = f"postgresql://postgres@127.0.0.1:{port}/postgres"
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("SELECT pg_promote(true, 30)")
    servers.postgres, servers._postgres_port = bed.kept["replica"], port
    until = time.monotonic() + 20
    while bed.sql("SELECT pg_is_in_recovery()") != [(False,)]:
        assert time.monotonic() < until
        time.sleep(0.02)


def may_mount() -> str | None:
    """Say why no small disk can be made here."""
    return None if os.geteuid() == 0 and shutil.which("mount") else "mounting a small disk takes root"


def has_pgbouncer() -> str | None:
    """Say that PgBouncer is missing."""
    return None if shutil.which("pgbouncer") else "PgBouncer is not installed (Debian: pgbouncer)"


def has_faketime() -> str | None:
    """Say that the clock cannot be falsified."""
    return None if FAKETIME else "libfaketime is not installed (Debian: libfaketime)"


QUICK_DEADLINE = Setup("quick deadline", with_quick_deadline)
FEW_CONNECTIONS = Setup("few connections", with_few_connections)
PASSWORD = Setup("password file", with_password)
SMALL_DISK = Setup("small disk", with_small_disk)
REPLICA = Setup("replica", with_replica)
PGBOUNCER = Setup("pgbouncer", with_pgbouncer)
FALSE_CLOCK = Setup("false clock of the server", with_false_clock)
