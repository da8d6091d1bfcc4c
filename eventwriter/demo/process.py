"""
Server processes that exit with this process, even if it is killed.

With PR_SET_PDEATHSIG the kernel signals the child when the thread that created it ends,
so servers must be started from the main thread. The child does not inherit standard
input and output: an inherited pipe would keep its reader waiting.

Source: prctl(2), PR_SET_PDEATHSIG.
"""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from eventwriter.errors import Fatal

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)
_START_S_MAX = 30.0
_STOP_S_MAX = 15.0
_COMPLAINTS = ("FATAL", "[FTL]", "[ERR]", "nats-server:")
"""Markers of log lines that say why a server exited."""


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that is currently free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_taken(port: int) -> bool:
    """Return whether this TCP port of 127.0.0.1 is in use."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
        return False


def die_with(parent: int, number: int) -> None:
    """
    Ask the kernel to signal this process when its parent exits. Call it in the child right after the fork.

    Args:
        parent: Process id of the parent; if it has exited already, this process exits at once.
        number: Signal number.
    """
    _LIBC.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


@contextlib.contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Defer SIGINT and SIGTERM until the block ends; for short steps that must not be interrupted."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pending: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda number, _frame: pending.append(number)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for arrived in pending[:1]:
            os.kill(os.getpid(), arrived)


@contextlib.contextmanager
def interrupts_ignored() -> Iterator[None]:
    """Ignore SIGINT and SIGTERM during the block; for shutdown, which follows anyway."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def interrupted_once() -> Iterator[None]:
    """
    Raise KeyboardInterrupt at the first SIGINT or SIGTERM in the block, and ignore later ones until the block ends.

    For blocks that clean up when they are interrupted: a second Ctrl-C does not interrupt the cleanup.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def interrupt(_number: int, _frame: object) -> None:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, interrupt)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass(slots=True)
class Server:
    """
    One server process, which can be stopped and restarted with the same command.

    Attributes:
        name: Name in messages and of the log file.
        command: Program and arguments.
        ready: Returns whether the process with this id accepts connections.
        folder: Folder of the log file `<name>.out`.
        stop_signal: Signal for a clean and prompt shutdown, also sent by the kernel when this process exits.
        uid: User and group to run as; None for those of this process.
        process: The running process; None while stopped.
    """

    name: str
    command: Sequence[str]
    ready: Callable[[int], bool]
    folder: Path
    stop_signal: int
    uid: tuple[int, int] | None = None
    process: "subprocess.Popen[bytes] | None" = field(default=None)

    @property
    def pid(self) -> int:
        """Process id; 0 while the server is stopped."""
        return self.process.pid if self.process else 0

    @property
    def log_file(self) -> Path:
        """File with the output of the server."""
        return self.folder / f"{self.name}.out"

    def start(self) -> None:
        """
        Start the server and wait until it accepts connections.

        Raises:
            Fatal: The server exited, or does not accept connections within 30 s.
        """
        if threading.current_thread() is not threading.main_thread():
            raise Fatal(
                f"{self.name} must be started from the main thread, because it exits with the thread that started it"
            )
        log_bytes = self.log_file.stat().st_size if self.log_file.exists() else 0
        with interrupts_deferred():  # so that the process is always recorded
            self.process = self._spawn()
        until = time.monotonic() + _START_S_MAX
        while not self.ready(self.process.pid):
            if self.process.poll() is not None or time.monotonic() > until:
                self.kill()
                raise Fatal(
                    f"{self.name} did not start: {self._complaint(log_bytes)} (the whole log is in {self.log_file})"
                )
            time.sleep(0.01)

    def _spawn(self) -> "subprocess.Popen[bytes]":
        parent, on_death = os.getpid(), self.stop_signal
        with open(self.log_file, "ab") as log:
            return subprocess.Popen(
                list(self.command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
                # Runs after the change of user, which would reset PDEATHSIG.
                preexec_fn=lambda: die_with(parent, on_death),
                user=self.uid[0] if self.uid else None,
                group=self.uid[1] if self.uid else None,
                extra_groups=[] if self.uid else None,
                env={"LC_ALL": "C", "TZ": "UTC", "PATH": "/usr/bin:/bin"},
            )

    def _complaint(self, since_bytes: int) -> str:
        """Return the log line that says why the server exited: the first error since the start, else the last line."""
        with open(self.log_file, "rb") as file:
            file.seek(since_bytes)
            lines = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
        complaints = [line for line in lines if any(word in line for word in _COMPLAINTS)]
        return (complaints[:1] or lines[-1:] or ["its log is empty"])[0].strip()

    def stop(self) -> None:
        """Stop the server cleanly; kill it after 15 s."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGCONT)
        self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(_STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self.kill()
        self.process = None

    def kill(self) -> None:
        """Kill the server, as a power failure would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def pause(self) -> None:
        """Suspend the server with SIGSTOP; its connections stay open."""
        if self.process is not None:
            self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Resume the server after `pause`."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """Stop the server and start it again with the same port and data."""
        self.stop()
        self.start()
