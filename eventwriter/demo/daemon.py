"""
The demo's daemon, started as an operator would start it: `eventwriter run` with a configuration file.

Nothing in it knows that this is a demo.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from eventwriter.control.client import Client
from eventwriter.demo.process import die_with
from eventwriter.demo.publisher import STREAM, Wishes, pattern
from eventwriter.demo.servers import EmbeddedServers
from eventwriter.demo.traffic import TRAFFIC
from eventwriter.errors import EventwriterError, Fatal

_SOCKET_BYTES_MAX = 100  # sockaddr_un holds 107
_DRAIN_S_MAX = 40.0
_FOREIGN = ("EVENT_WRITER_", "DB_EVENT_WRITER_", "CNPG_", "SPIFFE_", "NOTIFY_SOCKET", "WATCHDOG_", "CONFIG_PATH")


def own_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """
    Return the environment without what would turn the demo to other servers: our variables and libpq's.

    PG_BINDIR stays, which is none of libpq's: those have no underscore after PG.
    """
    return {
        name: value
        for name, value in environ.items()
        if not name.startswith(_FOREIGN) and not (name.startswith("PG") and not name.startswith("PG_"))
    }


def entries(kinds: Sequence[str]) -> list[dict[str, Any]]:
    """Return the configuration's entries for these kinds."""
    return [
        {
            "name": kind.upper(), "stream_name": STREAM, "subject": pattern(kind), "kind": kind,
            **TRAFFIC[kind].entry,
        }
        for kind in kinds
    ]  # fmt: skip


def control_socket(folder: Path) -> str:
    """Return where the daemon is to listen: in the folder, unless the path would be too long for a socket."""
    path = str(folder / "control.sock")
    if len(os.fsencode(path)) <= _SOCKET_BYTES_MAX:
        return path
    return os.path.join(tempfile.gettempdir(), f"eventwriter-demo-{os.getpid()}.sock")


def prepare(servers: EmbeddedServers, kinds: Sequence[str], socket: str, listen: str | None = None) -> Path:
    """
    Make the tables, and write the daemon's configuration.

    Args:
        servers: Running.
        kinds: To be written.
        socket: Path of the control socket.
        listen: Where the dashboard is to be; None for nowhere.

    Returns:
        The configuration file.

    Raises:
        Fatal: `eventwriter migrate` failed.
    """
    migrated = subprocess.run(
        [sys.executable, "-m", "eventwriter", "migrate", "--dsn", servers.postgres_dsn()],
        check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if migrated.returncode:
        raise Fatal(f"migrate failed: {migrated.stderr.strip()}")
    with psycopg.connect(servers.postgres_dsn(), autocommit=True) as conn:
        for kind in kinds:
            if ddl := TRAFFIC[kind].ddl:
                conn.execute(ddl.encode())
    config = {
        "enabled": True,
        "nats": {"servers": [servers.nats_url]},
        "postgres": {"dsn": servers.postgres_dsn()},
        "streams": entries(kinds),
        "control": {"socket": socket},
        "http": {"listen": listen},
        # The demo kills workers on purpose: that many deaths are no crash loop.
        "supervisor": {"crash_loop_exits_max": 1000, "backoff_max": 1},
    }
    path = servers.folder / "eventwriter.json"
    path.write_text(json.dumps(config, indent=2))
    return path


@contextlib.contextmanager
def running(config: Path, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the daemon; at the end it drains, or, where something went wrong, ends at once."""
    daemon = _child(["-m", "eventwriter", "--config", str(config), "run"], log)
    try:
        yield daemon
    except BaseException:
        daemon.kill()
        daemon.wait()
        raise
    daemon.terminate()
    try:
        daemon.wait(_DRAIN_S_MAX)
    except subprocess.TimeoutExpired:
        raise Fatal(f"the daemon did not end within {_DRAIN_S_MAX:g} s; it last said: {_last_line(log)}") from None
    finally:
        daemon.kill()
        daemon.wait()


@dataclass(slots=True)
class Publisher:
    """
    The publisher's process.

    Attributes:
        acked: For each kind, how many messages were stored; known when it has ended.
    """

    process: "subprocess.Popen[bytes]"
    acked: dict[str, int] = field(default_factory=dict)


@contextlib.contextmanager
def publishing(wishes: Wishes, log: Path) -> Iterator[Publisher]:
    """
    Publish meanwhile; at the end everything that was sent is stored, and counted.

    Raises:
        Fatal: The publisher ended by itself.
    """
    publisher = Publisher(
        _child(["-m", "eventwriter.demo.publisher", json.dumps(asdict(wishes))], log, subprocess.PIPE, deaf=True)
    )
    process = publisher.process
    try:
        yield publisher
        process.terminate()
        said = process.communicate()[0]
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
    if process.returncode:
        raise ended("publisher", process.returncode, log)
    publisher.acked.update(json.loads(said))


def ended(name: str, code: int, log: Path) -> Fatal:
    """Return the sentence for a process that ended by itself, with its last words: its log may be gone by then."""
    return Fatal(f"the {name} ended with code {code}; it last said: {_last_line(log)}")


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "nothing"


def _child(
    arguments: Sequence[str], log: Path, stdout: int | None = None, *, deaf: bool = False
) -> "subprocess.Popen[bytes]":
    """
    Start Python with its words going to a file; it ends at once when we do.

    Args:
        deaf: SIGTERM waits until the program says that it listens: one that is only starting would just die of it.
    """
    parent = os.getpid()

    def prepared() -> None:
        die_with(parent, signal.SIGKILL)
        if deaf:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    with log.open("ab") as out:
        return subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL, stdout=out if stdout is None else stdout, stderr=out, start_new_session=True,
            preexec_fn=prepared,
        )  # fmt: skip


def status(socket: str) -> dict[str, Any] | None:
    """Return what the daemon answers to `status`; None where it does not answer (yet)."""
    client = Client(socket)
    try:
        answer: dict[str, Any] = client.call("status")
    except EventwriterError:
        return None
    finally:
        client.close()
    return answer


def has_nothing_left(socket: str) -> bool:
    """Say whether the daemon has written all that there is, by its own word."""
    picture = status(socket)
    return picture is not None and all(slot["lag_messages"] == 0 for slot in picture["slots"])


def kill_one(picture: Mapping[str, Any], rng: random.Random) -> str | None:
    """Kill a random worker; say which, None where there was none."""
    alive = [slot for slot in picture["slots"] if slot["pid"]]
    if not alive:
        return None
    victim = rng.choice(alive)
    try:
        os.kill(victim["pid"], signal.SIGKILL)
    except ProcessLookupError:
        return None
    return f"chaos: killed {victim['name']} (pid {victim['pid']})"
