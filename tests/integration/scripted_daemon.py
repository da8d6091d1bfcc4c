"""
A daemon whose workers follow scripts: the real supervisor, real forks, no servers.

Usage: python scripted_daemon.py FOLDER. The folder holds `fleet.json`
(`{"slots": {"A/0": "fingerprint"}, "limits": {...}}`, read again on reload), and for
each slot a file `A_0` with the script's name, read at each start of its worker.
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
from eventwriter.control.socket_lock import claim
from eventwriter.errors import ConfigError, EventwriterError
from eventwriter.model import SlotName
from eventwriter.observe import logging
from eventwriter.supervisor.backoff import Limits
from eventwriter.supervisor.desired_state import DesiredState
from eventwriter.supervisor.main import Supervisor
from eventwriter.supervisor.systemd import Notifier

BEAT_S = 0.05
BASE = {"nats_connected": True, "postgres_connected": True, "lag_messages": 0, "rss_bytes": 1 << 20}


def beat(link: socket.socket, **fields: object) -> None:
    """Send one heartbeat, as a worker does: without ever waiting."""
    packet = {"type": "heartbeat", "state": "running", **BASE, **fields}
    link.send(json.dumps(packet).encode(), socket.MSG_DONTWAIT)


def commanded(link: socket.socket, wait_s: float) -> str | None:
    """Return the next command's type, None if none comes in time."""
    if not select.select([link], [], [], wait_s)[0]:
        return None
    return str(json.loads(link.recv(65536))["type"])


def steady(link: socket.socket) -> int:
    """Run, count ten rows a heartbeat, obey drain."""
    rows = 0
    while True:
        rows += 10
        beat(link, rows_total=rows, messages_total=rows)
        if commanded(link, BEAT_S) in ("drain", "stop"):
            link.send(json.dumps({"type": "stopped", **BASE, "rows_total": rows, "messages_total": rows}).encode())
            return 0


def loses(link: socket.socket) -> int:
    """Exit with a code at once."""
    return 3


def crashes(link: socket.socket) -> int:
    """Raise what nobody foresaw."""
    raise RuntimeError("a scripted crash")


def dies_of_suspects(link: socket.socket) -> int:
    """Say that it decodes what may kill it, and die."""
    beat(link, suspects=1)
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def hangs(link: socket.socket) -> int:
    """Say that it runs, then block."""
    beat(link, rows_total=7)
    time.sleep(600)
    return 0


def never_speaks(link: socket.socket) -> int:
    """Compute for ever without a heartbeat."""
    while True:
        pass


def grows(link: socket.socket) -> int:
    """Report much memory; obey drain."""
    while True:
        beat(link, rss_bytes=1 << 40)
        if commanded(link, BEAT_S) == "drain":
            return 0


def stubborn(link: socket.socket) -> int:
    """Run, and take no notice of commands."""
    while True:
        beat(link)
        commanded(link, BEAT_S)


def abandons(link: socket.socket) -> int:
    """Run; take no notice of drain, obey stop."""
    while True:
        beat(link)
        if commanded(link, BEAT_S) == "stop":
            return 0


def starts_slowly(link: socket.socket) -> int:
    """Stay in its start, as while servers are away; obey drain."""
    while True:
        beat(link, state="starting", reason="NATS is not there yet", nats_connected=False)
        if commanded(link, BEAT_S) == "drain":
            return 0


SCRIPTS: dict[str, Callable[[socket.socket], int]] = {
    script.__name__: script
    for script in (
        steady, loses, crashes, dies_of_suspects, hangs, never_speaks, grows, stubborn, abandons, starts_slowly,
    )
}  # fmt: skip

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


def child(folder: Path, slot: SlotName, link: socket.socket) -> int:
    """Follow the script that is in force now."""
    return SCRIPTS[(folder / str(slot).replace("/", "_")).read_text()](link)


def fleet(folder: Path) -> DesiredState:
    """Read `fleet.json`."""
    try:
        said = json.loads((folder / "fleet.json").read_text())
    except ValueError as error:
        raise ConfigError([f"fleet.json: {error}"]) from None
    fingerprints = {SlotName.parse(name): text for name, text in said["slots"].items()}
    return DesiredState(fingerprints, Limits(**{**LIMITS, **said.get("limits", {})}), partial(child, folder))


def main(folder: Path) -> int:
    """Run until told to stop."""
    logging.configure(LogSettings(format="json"))
    faulthandler.register(signal.SIGUSR1, file=2)
    try:
        claimed = claim(str(folder / "ctl.sock"), 0o660, None)
    except EventwriterError as error:
        print(error, file=sys.stderr)
        return 3
    notifier = Notifier.from_environ(os.environ)
    return Supervisor(fleet(folder), claimed, partial(fleet, folder), notifier, lambda: 0.5).run()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
