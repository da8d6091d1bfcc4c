"""A NATS server and a PostgreSQL server in one folder."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from eventwriter.demo import data_dirs
from eventwriter.demo.binaries import closed_to_others, nats_binary, postgres_account, postgres_bin
from eventwriter.demo.process import Server, free_port, interrupts_deferred, interrupts_ignored, taken
from eventwriter.errors import Fatal

_PORTS_TRIED_MAX = 5
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    # Shared memory between its processes is files in its folder: none is left in /dev/shm, whoever is killed.
    "dynamic_shared_memory_type": "mmap",
}
_INITDB = ("-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
_VOLATILE = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


class EmbeddedServers:
    """
    Both servers, as a context manager; from the main thread only.

    Args:
        folder: Where their data goes, and stays; a temporary folder, removed afterwards, where absent.
        durable: PostgreSQL with its own settings for fsync; without, a crash of the
            machine (not of the server) may lose data: for tests.
        ports: Gives a port that is free at this moment; one that is taken meanwhile is given up for the next.

    Raises:
        Fatal: The programs are not there, or the folder cannot be used.
    """

    def __init__(self, folder: Path | None = None, durable: bool = False, ports: Callable[[], int] = free_port) -> None:
        self._account = postgres_account()
        self._nats_program, programs = nats_binary(), postgres_bin()
        self._keep = folder is not None
        self._durable = durable
        self._ports = ports
        self._data_is_new = folder is None or not folder.exists()
        if folder is None:
            self.folder, self._lock = data_dirs.temporary()
        else:
            self.folder = folder.absolute()
            self._lock = data_dirs.own(self.folder)
        self._nats_port = self._postgres_port = 0
        try:
            self._open_to_account()
            self._bin = self._reachable(programs)
            self.nats, self.postgres = self._nats(), self._postgres()
        except BaseException:
            self._leave()
            raise

    @property
    def nats_url(self) -> str:
        """NATS's address."""
        return f"nats://127.0.0.1:{self._nats_port}"

    def postgres_dsn(self, database: str = "postgres") -> str:
        """Return a connection URL for `database`."""
        return f"postgresql://postgres@127.0.0.1:{self._postgres_port}/{database}"

    def __enter__(self) -> "EmbeddedServers":
        """
        Start both.

        Raises:
            Fatal: One does not start.
        """
        try:
            self._start(self._nats)
            with interrupts_deferred():  # a PostgreSQL of initdb's that is interrupted leaves its shared memory
                self._initdb()
            self._start(self._postgres)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop both."""
        self.stop()

    def stop(self) -> None:
        """Stop both and remove a temporary folder; neither ^C nor SIGTERM interrupts that."""
        with interrupts_ignored():
            self.nats.stop()
            self.postgres.stop()
            data_dirs.end_servers(self.folder)
            self._leave()

    def _leave(self) -> None:
        if not self._keep:
            shutil.rmtree(self.folder, ignore_errors=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _start(self, make: Callable[[], Server]) -> None:
        """Start what `make` makes, at another port where somebody was quicker to take it."""
        for _ in range(_PORTS_TRIED_MAX):
            server = make()
            if server.name == "nats":  # known before it is started: an interrupted start is stopped like any other
                self.nats, port = server, self._nats_port
            else:
                self.postgres, port = server, self._postgres_port
            try:
                return server.start()
            except Fatal:
                if not taken(port):
                    raise
        raise Fatal(f"{_PORTS_TRIED_MAX} ports of 127.0.0.1 in a row were taken before {server.name} could listen")

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
            # Written when it listens. To ask the port would be to ask whoever has it.
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
        """Let PostgreSQL's unprivileged user pass to its data, through our own folder only."""
        if self._account is None:
            return
        if self._data_is_new:
            self.folder.chmod(0o755)
        if closed := closed_to_others(self.folder):
            raise Fatal(
                f"PostgreSQL runs as user {self._account.name}, who may not enter {closed}: choose a folder elsewhere "
                f"(TMPDIR for temporary data), or run as an ordinary user"
            )

    def _reachable(self, programs: Path) -> Path:
        """Copy the programs beside the data where the unprivileged user could not reach them."""
        if self._account is None or closed_to_others(programs) is None:
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
        made = subprocess.run(
            [
                str(self._bin / "initdb"),
                "-D",
                str(unfinished),
                *["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"],
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd="/",
            start_new_session=True,  # ^C is ours to hear
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            env={"LC_ALL": "C", "TZ": "UTC", "PATH": "/usr/bin:/bin"},
            check=False,
        )
        if made.returncode:
            words = made.stderr.decode(errors="replace").strip() or f"exit code {made.returncode}"
            raise Fatal(f"initdb failed in {unfinished}: {' '.join(words.split())}")
        unfinished.rename(data)  # whoever is killed before this leaves nothing that looks like a database
