"""A daemon with scripted workers, and functions that wait for it: the real supervisor, but no servers."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from eventwriter.control.client import Client, Unreachable

DEADLINE_S = 30.0  # generous, for a loaded machine; a passing test does not wait for it
POLL_S = 0.02
SCRIPT = Path(__file__).parent / "integration" / "scripted_daemon.py"
CTL = [sys.executable, "-c", "from eventwriter.cli.ctl.main import main; main()"]


def until(probe: Callable[[], Any]) -> Any:
    """Call a function until its result is true, and return the result."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not (result := probe()):
        assert time.monotonic() < deadline_s, f"{probe} did not come true within {DEADLINE_S} s"
        time.sleep(POLL_S)
    return result


class Daemon:
    """A scripted daemon in its own directory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.client = Client(str(folder / "ctl.sock"))
        self.process: subprocess.Popen[bytes] | None = None

    def script(self, slot: str, script: str) -> None:
        """Set the script of the slot's next worker."""
        (self.folder / slot.replace("/", "_")).write_text(script)

    def configure(self, slots: dict[str, str], **limits: float) -> None:
        """Write the configuration: the fingerprint of each slot, and the limits."""
        (self.folder / "desired.json").write_text(json.dumps({"slots": slots, "limits": limits}))

    def start(self, scripts: dict[str, str], env: dict[str, str] | None = None, **limits: float) -> "Daemon":
        """Start the daemon with these scripts, and wait for the control socket."""
        for slot, script in scripts.items():
            self.script(slot, script)
        self.configure(dict.fromkeys(scripts, "v1"), **limits)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(SCRIPT), str(self.folder)], stderr=log, env={**os.environ, **(env or {})}
            )
        until(self.answers)
        return self

    def answers(self) -> bool:
        """Return whether the daemon answers; fail if it has exited."""
        assert self.process is None or self.process.poll() is None, (self.folder / "log").read_text()
        try:
            self.client.call("ping")
        except Unreachable:
            return False
        return True

    def slot(self, name: str) -> dict[str, Any]:
        """Return one slot of the status."""
        slots: list[dict[str, Any]] = self.client.call("status")["slots"]
        return next(slot for slot in slots if slot["name"] == name)

    def await_state(self, name: str, state: str) -> dict[str, Any]:
        """Wait until a slot is in a state, and return the slot."""
        return dict(until(lambda: (slot := self.slot(name))["state"] == state and slot))

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the supervisor."""
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait until the supervisor exits, and return its exit code."""
        assert self.process is not None
        return self.process.wait(DEADLINE_S)

    def log(self) -> list[dict[str, Any]]:
        """Return the log lines that are JSON, without stacks."""
        return [json.loads(line) for line in (self.folder / "log").read_text().splitlines() if line.startswith("{")]

    def close(self) -> None:
        """Kill the daemon if it is running."""
        self.client.close()
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
