"""A daemon whose workers follow scripts, and what waits for it: the real supervisor, real forks, no servers."""

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

DEADLINE_S = 8.0  # generous for a loaded machine; a fine run waits for none of it
POLL_S = 0.02
SCRIPT = Path(__file__).parent / "integration" / "scripted_daemon.py"
CTL = [sys.executable, "-c", "from eventwriter.cli.ctl.main import main; main()"]


def until(probe: Callable[[], Any]) -> Any:
    """Ask again and again until the answer is true, and return it."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not (found := probe()):
        assert time.monotonic() < deadline_s, f"{probe} did not come true within {DEADLINE_S} s"
        time.sleep(POLL_S)
    return found


class Daemon:
    """A scripted daemon in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.client = Client(str(folder / "ctl.sock"))
        self.process: subprocess.Popen[bytes] | None = None

    def script(self, slot: str, script: str) -> None:
        """Say what the slot's next worker does."""
        (self.folder / slot.replace("/", "_")).write_text(script)

    def configure(self, slots: dict[str, str], **limits: float) -> None:
        """Write the configuration: fingerprint of each slot, and limits."""
        (self.folder / "fleet.json").write_text(json.dumps({"slots": slots, "limits": limits}))

    def start(self, scripts: dict[str, str], env: dict[str, str] | None = None, **limits: float) -> "Daemon":
        """Start with these workers, and wait for the control socket."""
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
        """Say whether the daemon answers; one that has ended never will."""
        assert self.process is None or self.process.poll() is None, (self.folder / "log").read_text()
        try:
            self.client.call("ping")
        except Unreachable:
            return False
        return True

    def slot(self, name: str) -> dict[str, Any]:
        """Return one slot's picture."""
        slots: list[dict[str, Any]] = self.client.call("status")["slots"]
        return next(slot for slot in slots if slot["name"] == name)

    def await_state(self, name: str, state: str) -> dict[str, Any]:
        """Wait until a slot is in a state, and return its picture."""
        return dict(until(lambda: (slot := self.slot(name))["state"] == state and slot))

    def signal(self, number: signal.Signals) -> None:
        """Signal the supervisor."""
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait for the supervisor's end and return its exit code."""
        assert self.process is not None
        return self.process.wait(DEADLINE_S)

    def log(self) -> list[dict[str, Any]]:
        """Return the log's lines, without what is no JSON (stacks)."""
        return [json.loads(line) for line in (self.folder / "log").read_text().splitlines() if line.startswith("{")]

    def close(self) -> None:
        """Kill what is left."""
        self.client.close()
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
