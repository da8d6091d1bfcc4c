"""
Daemon of the demo, started as an operator starts it: `eventwriter run` with a configuration file.
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
from eventwriter.demo.publisher import STREAM, PublishPlan, pattern
from eventwriter.demo.servers import EmbeddedServers
from eventwriter.demo.traffic import TRAFFIC
from eventwriter.errors import EventwriterError, Fatal

_SOCKET_BYTES_MAX = 100  # sockaddr_un holds 107
_DRAIN_S_MAX = 40.0
_FOREIGN = ("EVENT_WRITER_", "DB_EVENT_WRITER_", "CNPG_", "SPIFFE_", "NOTIFY_SOCKET", "WATCHDOG_", "CONFIG_PATH")


def own_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """
    Return the environment without eventwriter's and libpq's variables, which would select other servers.

    PG_BINDIR is kept: it is not one of libpq's variables, which have no underscore after PG.
    """
    return {
        name: value
        for name, value in environ.items()
        if not name.startswith(_FOREIGN) and not (name.startswith("PG") and not name.startswith("PG_"))
    }


def entries(kinds: Sequence[str]) -> list[dict[str, Any]]:
    """Return the stream entries of the configuration for these kinds."""
    return [
        {
            "name": kind.upper(), "stream_name": STREAM, "subject": pattern(kind), "kind": kind,
            **TRAFFIC[kind].entry,
        }
        for kind in kinds
    ]  # fmt: skip


def control_socket(folder: Path) -> str:
    """Return the path of the control socket: in the folder, unless that path is too long for a socket."""
    path = str(folder / "control.sock")
    if len(os.fsencode(path)) <= _SOCKET_BYTES_MAX:
        return path
    return os.path.join(tempfile.gettempdir(), f"eventwriter-demo-{os.getpid()}.sock")


def prepare(servers: EmbeddedServers, kinds: Sequence[str], socket: str, listen: str | None = None) -> Path:
    """
    Create the tables and write the configuration of the daemon.

    Args:
        servers: The running servers.
        kinds: Kinds to write.
        socket: Path of the control socket.
        listen: Address of the dashboard; None for no dashboard.

    Returns:
        Path of the configuration file.

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
        # The demo kills workers deliberately; their exits must not count as a crash loop.
        "supervisor": {"crash_loop_exits_max": 1000, "backoff_max": 1},
    }
    path = servers.folder / "eventwriter.json"
    path.write_text(json.dumps(config, indent=2))
    return path


@contextlib.contextmanager
def running(config: Path, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the daemon. At the end it drains; after an exception it is killed."""
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
        raise Fatal(
            f"the daemon did not exit within {_DRAIN_S_MAX:g} s; its last log line is: {_last_line(log)}"
        ) from None
    finally:
        daemon.kill()
        daemon.wait()


@dataclass(slots=True)
class Publisher:
    """
    A running publisher process.

    Attributes:
        process: The process.
        acked: Number of stored messages by kind; set when the process has exited.
    """

    process: "subprocess.Popen[bytes]"
    acked: dict[str, int] = field(default_factory=dict)


@contextlib.contextmanager
def publishing(plan: PublishPlan, log: Path) -> Iterator[Publisher]:
    """
    Publish in the background. At the end every message that was sent is stored and counted.

    Raises:
        Fatal: The publisher exited with an error.
    """
    publisher = Publisher(
        _child(["-m", "eventwriter.demo.publisher", json.dumps(asdict(plan))], log, subprocess.PIPE, block_sigterm=True)
    )
    process = publisher.process
    try:
        yield publisher
        process.terminate()
        output = process.communicate()[0]
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
    if process.returncode:
        raise exited("publisher", process.returncode, log)
    publisher.acked.update(json.loads(output))


def exited(name: str, code: int, log: Path) -> Fatal:
    """Return the error for a process that exited unexpectedly, with the last line of its log."""
    return Fatal(f"the {name} exited with code {code}; its last log line is: {_last_line(log)}")


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "nothing"


def _child(
    arguments: Sequence[str], log: Path, stdout: int | None = None, *, block_sigterm: bool = False
) -> "subprocess.Popen[bytes]":
    """
    Start a Python process that logs to a file and is killed when this process exits.

    Args:
        block_sigterm: Start with SIGTERM blocked; the program unblocks it once it has installed its handler.
    """
    parent = os.getpid()

    def before_exec() -> None:
        die_with(parent, signal.SIGKILL)
        if block_sigterm:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    with log.open("ab") as out:
        return subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL, stdout=out if stdout is None else stdout, stderr=out, start_new_session=True,
            preexec_fn=before_exec,
        )  # fmt: skip


def status(socket: str) -> dict[str, Any] | None:
    """Return the daemon's answer to `status`; None if it does not answer."""
    client = Client(socket)
    try:
        answer: dict[str, Any] = client.call("status")
    except EventwriterError:
        return None
    finally:
        client.close()
    return answer


def is_caught_up(socket: str) -> bool:
    """Return whether the daemon reports a lag of zero for every slot."""
    snapshot = status(socket)
    return snapshot is not None and all(slot["lag_messages"] == 0 for slot in snapshot["slots"])


def kill_one(snapshot: Mapping[str, Any], rng: random.Random) -> str | None:
    """Kill a random worker and return a line that names it; None if no worker is running."""
    alive = [slot for slot in snapshot["slots"] if slot["pid"]]
    if not alive:
        return None
    victim = rng.choice(alive)
    try:
        os.kill(victim["pid"], signal.SIGKILL)
    except ProcessLookupError:
        return None
    return f"chaos: killed {victim['name']} (pid {victim['pid']})"
