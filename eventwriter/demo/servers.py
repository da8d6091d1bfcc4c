"""A NATS server and a PostgreSQL server with their data in one folder."""

import json
import os
import shutil
import signal
import subprocess
import weakref
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from eventwriter.demo import data_dirs
from eventwriter.demo.binaries import first_closed_to_others, nats_binary, postgres_account, postgres_bin
from eventwriter.demo.process import (
    Server,
    free_port,
    interrupted_once,
    interrupts_deferred,
    interrupts_ignored,
    is_taken,
)
from eventwriter.errors import Fatal

_PORTS_TRIED_MAX = 5
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    # Shared memory is kept in files of the data folder, so that nothing remains in /dev/shm after a kill.
    "dynamic_shared_memory_type": "mmap",
}
_INITDB_OPTIONS = ("-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
_VOLATILE = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


class EmbeddedServers:
    """
    Both servers as a context manager; only for use in the main thread.

    Args:
        folder: Permanent data folder; default: a temporary folder that is removed at the end.
        durable: Keep PostgreSQL's default fsync settings. Without it, a crash of the host
            (not of the server) may lose data, which is acceptable in tests.
        ports: Returns a free port; if it is taken in the meantime, the next one is tried.

    Raises:
        Fatal: The server binaries are missing, or the folder cannot be used.
    """

    def __init__(self, folder: Path | None = None, durable: bool = False, ports: Callable[[], int] = free_port) -> None:
        self._account = postgres_account()
        self._nats_program, programs = nats_binary(), postgres_bin()
        self._durable = durable
        self._ports = ports
        self._data_is_new = folder is None or not folder.exists()
        self._nats_port = self._postgres_port = 0
        with interrupted_once():
            with interrupts_deferred():  # so that a created folder is always recorded
                if folder is None:
                    self.folder, lock = data_dirs.create_temporary()
                else:
                    self.folder = folder.absolute()
                    lock = data_dirs.lock_permanent(self.folder)
                # Also runs when this object is discarded, for example if the constructor is interrupted.
                self._release = weakref.finalize(self, _release, self.folder, lock, folder is not None, os.getpid())
            try:
                self._open_to_account()
                self._bin = self._accessible(programs)
                self.nats, self.postgres = self._nats(), self._postgres()
            except BaseException:
                self._release()
                raise

    @property
    def nats_url(self) -> str:
        """URL of the NATS server."""
        return f"nats://127.0.0.1:{self._nats_port}"

    def postgres_dsn(self, database: str = "postgres") -> str:
        """Return a connection URL for a database of the PostgreSQL server."""
        return f"postgresql://postgres@127.0.0.1:{self._postgres_port}/{database}"

    def __enter__(self) -> "EmbeddedServers":
        """
        Start both servers.

        Raises:
            Fatal: A server did not start.
        """
        with interrupted_once():
            try:
                self._start(self._nats)
                with interrupts_deferred():  # an interrupted initdb leaves shared memory behind
                    self._initdb()
                self._start(self._postgres)
            except BaseException:
                self.stop()
                raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop both servers."""
        self.stop()

    def stop(self) -> None:
        """Stop both servers and remove a temporary folder, ignoring SIGINT and SIGTERM."""
        with interrupts_ignored():
            self.nats.stop()
            self.postgres.stop()
            data_dirs.stop_servers(self.folder)
            self._release()

    def _start(self, make: Callable[[], Server]) -> None:
        """Start a server, on another port if its port was taken in the meantime."""
        for _ in range(_PORTS_TRIED_MAX):
            server = make()
            if server.name == "nats":  # recorded first, so that an interrupted start is stopped too
                self.nats, port = server, self._nats_port
            else:
                self.postgres, port = server, self._postgres_port
            try:
                return server.start()
            except Fatal:
                if not is_taken(port):
                    raise
        raise Fatal(
            f"{server.name} could not listen: other programs took {_PORTS_TRIED_MAX} ports of 127.0.0.1 in a row"
        )

    def _nats(self) -> Server:
        self._nats_port = self._ports()
        folder = self.folder / "nats"
        folder.mkdir(exist_ok=True)
        config = {
            "listen": f"127.0.0.1:{self._nats_port}",
            "jetstream": {"store_dir": str(folder)},
            "max_payload": 1024 * 1024,
            "ports_file_dir": str(folder),
        }
        path = folder / "nats.conf"
        path.write_text(json.dumps(config))

        def ready(pid: int) -> bool:
            # The server writes this file once it listens; a connection test could reach another program.
            return bool(list(folder.glob(f"*_{pid}.ports")))

        return Server("nats", [str(self._nats_program), "-c", str(path)], ready, self.folder, signal.SIGTERM)

    def _postgres(self) -> Server:
        self._postgres_port = self._ports()
        data = self.folder / "postgres"
        settings = {**_SETTINGS, **({} if self._durable else _VOLATILE), "port": str(self._postgres_port)}
        command = [str(self._bin / "postgres"), "-D", str(data)]
        for key, value in settings.items():
            command += ["-c", f"{key}={value}"]

        def ready(pid: int) -> bool:
            try:
                lines = (data / "postmaster.pid").read_text().splitlines()
            except OSError:
                return False
            return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"

        uid = (self._account.uid, self._account.gid) if self._account else None
        return Server("postgres", command, ready, self.folder, signal.SIGINT, uid)

    def _open_to_account(self) -> None:
        """Let PostgreSQL's unprivileged account enter the data folder; no other folder is changed."""
        if self._account is None:
            return
        if self._data_is_new:
            self.folder.chmod(0o755)
        if closed := first_closed_to_others(self.folder):
            raise Fatal(
                f"PostgreSQL runs as user {self._account.name}, which cannot enter {closed}; choose another folder "
                f"(TMPDIR for temporary data), or run as an ordinary user"
            )

    def _accessible(self, programs: Path) -> Path:
        """Return a folder of binaries that PostgreSQL's account can read, copying them to the data folder if needed."""
        if self._account is None or first_closed_to_others(programs) is None:
            return programs
        copy = self.folder / "pginstall"
        shutil.copytree(programs.parent, copy, symlinks=True, dirs_exist_ok=True)
        return copy / "bin"

    def _initdb(self) -> None:
        data, unfinished = self.folder / "postgres", self.folder / "postgres.new"
        if (data / "PG_VERSION").exists():
            return
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        account = self._account
        if account is not None:
            os.chown(unfinished, account.uid, account.gid)
        result = subprocess.run(
            [
                str(self._bin / "initdb"),
                "-D",
                str(unfinished),
                *_INITDB_OPTIONS,
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd="/",
            start_new_session=True,  # SIGINT must reach this process only
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            env={"LC_ALL": "C", "TZ": "UTC", "PATH": "/usr/bin:/bin"},
            check=False,
        )
        if result.returncode:
            reason = result.stderr.decode(errors="replace").strip() or f"exit code {result.returncode}"
            raise Fatal(f"initdb failed in {unfinished}: {' '.join(reason.split())}")
        unfinished.rename(data)  # an interrupted initdb leaves no folder that looks like a database


def _release(folder: Path, lock: int, keep: bool, owner: int) -> None:
    """Remove a temporary data folder and release the lock on it; a forked child does neither."""
    if os.getpid() != owner:
        return
    if not keep:
        shutil.rmtree(folder, ignore_errors=True)
    os.close(lock)
