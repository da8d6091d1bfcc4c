"""The installed commands with any configuration, run to completion or in the background."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from eventwriter.control.client import Client
from eventwriter.errors import EventwriterError

COMMANDS = Path(sys.executable).parent
WAIT_S = 30.0


def clean(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment without eventwriter's variables of this machine, with some added."""
    prefixes = ("EVENT_WRITER_", "CNPG_", "DB_EVENT_WRITER_", "CONFIG_", "PG", "SPIFFE_")
    return {**{k: v for k, v in os.environ.items() if not k.startswith(prefixes)}, **(environ or {})}


def command(*arguments: str, environ: Mapping[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    """Run `eventwriter` or `eventwriter-ctl` to completion."""
    return subprocess.run(
        [str(COMMANDS / arguments[0]), *arguments[1:]],
        capture_output=True, text=True, stdin=subprocess.DEVNULL, env=clean(environ), timeout=WAIT_S, check=False,
    )  # fmt: skip


class Run:
    """A running `eventwriter run`."""

    def __init__(
        self, folder: Path, config: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
    ) -> None:
        self.folder = folder
        self.socket = str(folder / "control.sock")
        self.config = folder / "eventwriter.json"
        self.environ = {"EVENT_WRITER_CONTROL_SOCKET": self.socket, **(environ or {})}
        self.arguments = ["run", "--config", str(self.config)] if config is not None else ["run"]
        if config is not None:
            self.config.write_text(json.dumps({"enabled": True, "control": {"socket": self.socket}, **config}))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Run":
        """Start the daemon."""
        with open(self.folder / "daemon.log", "ab") as log:
            self.process = subprocess.Popen(
                [str(COMMANDS / "eventwriter"), *self.arguments],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=clean(self.environ), start_new_session=True,
            )  # fmt: skip
        return self

    def ctl(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run `eventwriter-ctl` for the daemon."""
        return command("eventwriter-ctl", "--socket", self.socket, *arguments)

    def status(self) -> dict[str, Any] | None:
        """Return the snapshot, or None if the daemon does not answer."""
        client = Client(self.socket)
        try:
            answer: dict[str, Any] = client.call("status")
        except EventwriterError:
            return None
        finally:
            client.close()
        return answer

    def until(self, wanted: Callable[[dict[str, Any]], object], what: str) -> dict[str, Any]:
        """Wait until the snapshot meets a condition, and return it."""
        last: dict[str, Any] | None = None
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until:
            last = self.status()
            if last is not None and wanted(last):
                return last
            time.sleep(0.05)
        raise AssertionError(f"never {what}: {json.dumps(last, indent=1)}\n{self.log()[-4000:]}")

    def slot(self, status: Mapping[str, Any], stream: str) -> dict[str, Any]:
        """Return one slot of a snapshot."""
        found: dict[str, Any] = next(slot for slot in status["slots"] if slot["name"] == f"{stream}/0")
        return found

    def log(self) -> str:
        """Return the log of the daemon."""
        return (self.folder / "daemon.log").read_text()

    def stop(self) -> int:
        """Stop the daemon and return its exit code."""
        if self.process is None:
            return 0
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(WAIT_S)
        finally:
            self.process.kill()
            self.process.wait()
            self.process = None
