"""
A daemon with scripted workers: the real supervisor and real processes, but no servers.

Usage: python scripted_daemon.py FOLDER. The folder contains `desired.json`
(`{"slots": {"A/0": "fingerprint"}, "limits": {...}}`, read again on reload), and for
each slot a file such as `A_0` with the name of a script, which is read at each start of its worker.
"""

import faulthandler
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from eventwriter.config.settings import LogSettings
from eventwriter.control.socket_lock import acquire
from eventwriter.errors import ConfigError, EventwriterError
from eventwriter.model import SlotName
from eventwriter.observe import logging
from eventwriter.supervisor.backoff import Limits
from eventwriter.supervisor.desired_state import DesiredState
from eventwriter.supervisor.main import Supervisor
from eventwriter.supervisor.slot import ChildName
from eventwriter.supervisor.systemd import Notifier

BEAT_S = 0.05
BASE = {"nats_connected": True, "postgres_connected": True, "lag_messages": 0, "rss_bytes": 1 << 20}


def send_heartbeat(link: socket.socket, **fields: object) -> None:
    """Send one heartbeat without blocking, like a worker."""
    packet = {"type": "heartbeat", "state": "running", **BASE, **fields}
    link.send(json.dumps(packet).encode(), socket.MSG_DONTWAIT)


def next_command(link: socket.socket, wait_s: float) -> str | None:
    """Return the type of the next command, None if there is none in time."""
    if not select.select([link], [], [], wait_s)[0]:
        return None
    return str(json.loads(link.recv(65536))["type"])


def steady(link: socket.socket) -> int:
    """Run, count ten rows per heartbeat, and exit on drain or stop."""
    rows = 0
    while True:
        rows += 10
        send_heartbeat(link, rows_total=rows, messages_total=rows)
        if next_command(link, BEAT_S) in ("drain", "stop"):
            link.send(json.dumps({"type": "stopped", **BASE, "rows_total": rows, "messages_total": rows}).encode())
            return 0


def exits(link: socket.socket) -> int:
    """Exit with a code at once."""
    return 3


def crashes(link: socket.socket) -> int:
    """Raise an unexpected exception."""
    raise RuntimeError("a scripted crash")


def dies_in_quarantine(link: socket.socket) -> int:
    """Report a suspect, and die."""
    send_heartbeat(link, suspects=1)
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def hangs(link: socket.socket) -> int:
    """Report that it is running, then block."""
    send_heartbeat(link, rows_total=7)
    time.sleep(600)
    return 0


def never_sends(link: socket.socket) -> int:
    """Loop for ever without a heartbeat."""
    while True:
        pass


def grows(link: socket.socket) -> int:
    """Report excessive memory, and exit on drain."""
    while True:
        send_heartbeat(link, rss_bytes=1 << 40)
        if next_command(link, BEAT_S) == "drain":
            return 0


def ignores_commands(link: socket.socket) -> int:
    """Run, and ignore all commands."""
    while True:
        send_heartbeat(link)
        next_command(link, BEAT_S)


def ignores_drain(link: socket.socket) -> int:
    """Run, ignore drain, and exit on stop."""
    while True:
        send_heartbeat(link)
        if next_command(link, BEAT_S) == "stop":
            return 0


def starts_slowly(link: socket.socket) -> int:
    """Stay in state starting, as if servers were unreachable, and exit on drain."""
    while True:
        send_heartbeat(link, state="starting", reason="NATS is unreachable", nats_connected=False)
        if next_command(link, BEAT_S) == "drain":
            return 0


SCRIPTS: dict[str, Callable[[socket.socket], int]] = {
    script.__name__: script
    for script in (
        steady,
        exits,
        crashes,
        dies_in_quarantine,
        hangs,
        never_sends,
        grows,
        ignores_commands,
        ignores_drain,
        starts_slowly,
    )
}

LIMITS = {
    "hang_max_s": 0.5,
    "start_max_s": 0.7,
    "drain_max_s": 0.6,
    "backoff_min_s": 0.02,
    "backoff_max_s": 0.4,
    "crash_loop_exits_max": 4,
    "crash_loop_window_s": 10.0,
    "worker_memory_bytes_max": 1 << 30,
}


def run_worker(folder: Path, slot: ChildName, link: socket.socket) -> int:
    """Run the script that the slot's file names."""
    return SCRIPTS[(folder / str(slot).replace("/", "_")).read_text()](link)


def desired_state(folder: Path) -> DesiredState:
    """Read `desired.json`."""
    try:
        data = json.loads((folder / "desired.json").read_text())
    except ValueError as error:
        raise ConfigError([f"desired.json: {error}"]) from None
    fingerprints: dict[ChildName, str] = {SlotName.parse(name): text for name, text in data["slots"].items()}
    return DesiredState(fingerprints, Limits(**{**LIMITS, **data.get("limits", {})}), partial(run_worker, folder))


def main(folder: Path) -> int:
    """Run until the daemon is stopped."""
    logging.configure(LogSettings(format="json"))
    faulthandler.register(signal.SIGUSR1, file=2)
    try:
        bound_socket = acquire(str(folder / "ctl.sock"), 0o660, None)
    except EventwriterError as error:
        print(error, file=sys.stderr)
        return 3
    notifier = Notifier.from_environ(os.environ)
    return Supervisor(desired_state(folder), bound_socket, partial(desired_state, folder), notifier, lambda: 0.5).run()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
