"""Environments with a special PostgreSQL configuration, and their requirements."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psycopg
from faults.environment import WAIT_S_MAX, Environment, Setup

from eventwriter.demo.binaries import postgres_account
from eventwriter.demo.process import Server, free_port

FAKETIME = next(Path("/usr").glob("lib/*/faketime/libfaketime.so.1"), None)
"""Path of libfaketime; None if it is not installed."""
CONNECTIONS_MAX = 14
DISK_BYTES = 16 * 2**20
HBA = "host all writer 127.0.0.1/32 scram-sha-256\n"


def with_short_timeout(env: Environment) -> None:
    """Let the daemon give up an unresponsive server after 6 s."""
    env.write(postgres={"statement_timeout": 1})


def with_few_connections(env: Environment) -> None:
    """Limit the server to a few connections."""
    command = env.servers.postgres.command
    env.servers.postgres.command = [*command, "-c", f"max_connections={CONNECTIONS_MAX}"]
    env.servers.postgres.restart()
    env.write()


def with_password(env: Environment) -> None:
    """Log the daemon in with a password file."""
    hba = env.servers.folder / "postgres" / "pg_hba.conf"
    hba.write_text(HBA + hba.read_text())
    env.sql("CREATE ROLE writer LOGIN PASSWORD 'first'")
    env.sql("GRANT ALL ON ALL TABLES IN SCHEMA public TO writer")
    env.sql("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO writer")
    env.sql("SELECT pg_reload_conf()")
    (env.folder / "password").write_text("first\n")
    dsn = f"postgresql://writer@127.0.0.1:{env.postgres.port}/postgres"
    env.write(postgres={"dsn": dsn, "password_file": str(env.folder / "password")})


def with_small_disk(env: Environment) -> None:
    """Put the table on a small file system of its own."""
    disk = env.servers.folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", str(disk)], check=True)
    env.on_close(lambda: subprocess.run(["umount", "-l", str(disk)], check=False))
    (disk / "space").mkdir()
    give_to_postgres(disk / "space")
    env.sql(f"CREATE TABLESPACE small LOCATION '{disk / 'space'}'")
    leaves = "SELECT relid::regclass::text FROM pg_partition_tree('timeseries_metrics') WHERE isleaf"
    for (leaf,) in env.sql(leaves) or [("timeseries_metrics",)]:
        env.sql(f"ALTER TABLE {leaf} SET TABLESPACE small")
        for (index,) in env.sql(f"SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = '{leaf}'::regclass"):
            env.sql(f"ALTER INDEX {index} SET TABLESPACE small")
    env.write()


def with_replica(env: Environment) -> None:
    """Add a synchronous streaming replica; the daemon lists both servers and connects to the primary."""
    primary, folder = env.servers.postgres, env.servers.folder
    data, port = folder / "replica", free_port()
    binaries, old = Path(primary.command[0]).parent, env.servers.postgres_dsn().rpartition(":")[2].split("/")[0]
    account = postgres_account()
    uid, gid = (account.uid, account.gid) if account else (os.getuid(), os.getgid())
    data.mkdir(mode=0o700)
    give_to_postgres(data)
    subprocess.run(
        [str(binaries / "pg_basebackup"), "-D", str(data), "-d", env.servers.postgres_dsn(), "-c", "fast", "-R",
         "-X", "stream", "--no-sync"],
        check=True, capture_output=True, cwd="/", user=uid, group=gid, extra_groups=[], env={"LC_ALL": "C"},
    )  # fmt: skip
    command = [word.replace(f"port={old}", f"port={port}") for word in primary.command]
    command[command.index("-D") + 1] = str(data)
    replica = Server("replica", command, lambda pid: is_ready(data, pid), folder, signal.SIGINT, primary.uid)
    replica.start()
    env.on_close(replica.stop)
    env.resources["replica"], env.resources["replica_port"] = replica, port
    env.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
    env.sql("SELECT pg_reload_conf()")
    hosts = f"127.0.0.1:{old},127.0.0.1:{port}"
    dsn = f"postgresql://postgres@{hosts}/postgres?target_session_attrs=read-write"
    # Acknowledged rows must also be on the replica, otherwise a failover loses them.
    env.write(postgres={"dsn": dsn, "connect_timeout": 2, "runtime_params": {"synchronous_commit": "on"}})


def with_pgbouncer(env: Environment) -> None:
    """Put PgBouncer in transaction mode between the daemon and PostgreSQL."""
    folder, port = env.servers.folder / "pgbouncer", free_port()
    folder.mkdir()
    give_to_postgres(folder)
    host = f"host=127.0.0.1 port={env.postgres.port}"
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\npostgres = {host} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
        f"auth_type = any\npool_mode = transaction\ndefault_pool_size = 2\n"
        f"unix_socket_dir =\nadmin_users = postgres\nserver_login_retry = 0.2\n"
    )
    account = postgres_account()
    uid = (account.uid, account.gid) if account else None
    binary = shutil.which("pgbouncer")
    assert binary is not None
    server = Server(
        "pgbouncer", [binary, str(folder / "pgbouncer.ini")], lambda _: accepts_connections(port), env.servers.folder,
        signal.SIGINT, uid,
    )  # fmt: skip
    server.start()
    env.on_close(server.stop)
    env.resources["pgbouncer"] = server
    env.write(postgres={"dsn": f"postgresql://postgres@127.0.0.1:{port}/postgres"})


def with_fake_clock(env: Environment) -> None:
    """Let the server take the time from a file."""
    clock = env.servers.folder / "clock"
    clock.write_text("+0s\n")
    clock.chmod(0o644)
    postgres = env.servers.postgres
    postgres.stop()
    # Only the wall clock is faked: a monotonic clock never steps back.
    variables = [f"LD_PRELOAD={FAKETIME}", f"FAKETIME_TIMESTAMP_FILE={clock}", "FAKETIME_NO_CACHE=1",
             "FAKETIME_DONT_FAKE_MONOTONIC=1", "FAKETIME_DONT_RESET=1"]  # fmt: skip
    postgres.command = ["/usr/bin/env", *variables, *postgres.command]
    postgres.start()
    env.resources["clock"] = clock
    env.write()


def give_to_postgres(path: Path) -> None:
    """Make PostgreSQL's account the owner of a file."""
    if (account := postgres_account()) is not None:
        os.chown(path, account.uid, account.gid)


def is_ready(data: Path, pid: int) -> bool:
    """Return whether a server accepts connections, as a primary or a standby."""
    with contextlib.suppress(OSError):
        lines = (data / "postmaster.pid").read_text().splitlines()
        return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() in ("ready", "standby")
    return False


def accepts_connections(port: int) -> bool:
    """Return whether PgBouncer answers."""
    with contextlib.suppress(psycopg.Error):
        psycopg.connect(f"postgresql://postgres@127.0.0.1:{port}/pgbouncer", autocommit=True, connect_timeout=2).close()
        return True
    return False


def promote(env: Environment) -> None:
    """Promote the replica; the test itself connects to it from now on."""
    servers, port = env.servers, env.resources["replica_port"]
    dsn = f"postgresql://postgres@127.0.0.1:{port}/postgres"
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute("SELECT pg_promote(true, 30)")
    servers.postgres, servers._postgres_port = env.resources["replica"], port
    until = time.monotonic() + WAIT_S_MAX
    while env.sql("SELECT pg_is_in_recovery()") != [(False,)]:
        assert time.monotonic() < until
        time.sleep(0.02)


def cannot_mount() -> str | None:
    """Return why no file system can be mounted; None if it can."""
    return None if os.geteuid() == 0 and shutil.which("mount") else "mounting a file system requires root"


def lacks_pgbouncer() -> str | None:
    """Return the reason to skip if PgBouncer is not installed."""
    return None if shutil.which("pgbouncer") else "PgBouncer is not installed (Debian: pgbouncer)"


def lacks_faketime() -> str | None:
    """Return the reason to skip if libfaketime is not installed."""
    return None if FAKETIME else "libfaketime is not installed (Debian: libfaketime)"


SHORT_TIMEOUT = Setup("short timeout", with_short_timeout)
FEW_CONNECTIONS = Setup("few connections", with_few_connections)
PASSWORD = Setup("password file", with_password)
SMALL_DISK = Setup("small disk", with_small_disk)
REPLICA = Setup("replica", with_replica)
PGBOUNCER = Setup("pgbouncer", with_pgbouncer)
FAKE_CLOCK = Setup("fake clock of the server", with_fake_clock)
