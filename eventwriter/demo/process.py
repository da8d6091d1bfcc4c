"""
Starting a server that dies with us, whatever happens to us.

The kernel is asked (PR_SET_PDEATHSIG) to signal the child when the thread that made
it ends: start servers from the main thread. Standard input and output are closed to
the child, because an inherited pipe would keep whoever reads it waiting for ever.

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
"""What a server's line begins with that says why it ended."""


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def taken(port: int) -> bool:
    """Say whether somebody has this TCP port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
        return False


def die_with(parent: int, number: int) -> None:
    """
    Ask the kernel to signal this process when its parent ends; for the child, right after the fork.

    Args:
        parent: The parent's process id; where it is gone already, this process ends at once.
        number: Of the signal.
    """
    _LIBC.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


@contextlib.contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Let ^C and SIGTERM wait until this is done: for what must not be left half done, and is quick."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda number, _frame: waiting.append(number)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for arrived in waiting[:1]:
            os.kill(os.getpid(), arrived)


@contextlib.contextmanager
def interrupts_ignored() -> Iterator[None]:
    """Let ^C and SIGTERM pass unheard: for the end, which would come anyway."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass(slots=True)
class Server:
    """
    One server process, started from the same command each time.

    Attributes:
        name: For people.
        command: Program and arguments.
        ready: Says whether the process of this id answers yet.
        folder: Where what it says is kept, in `<name>.out`.
        stop_signal: Asks for a clean and prompt end; also what the kernel sends when we die.
        uid: The user and group to run as; None for ours.
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
        """The process id; 0 where it does not run."""
        return self.process.pid if self.process else 0

    @property
    def words(self) -> Path:
        """The file with what it says."""
        return self.folder / f"{self.name}.out"

    def start(self) -> None:
        """
        Start and wait until it answers.

        Raises:
            Fatal: It ended, or does not answer within 30 s.
        """
        if threading.current_thread() is not threading.main_thread():
            raise Fatal(f"{self.name} is to be started from the main thread: it ends with the thread that starts it")
        said = self.words.stat().st_size if self.words.exists() else 0
        with interrupts_deferred():  # between its birth and our knowing of it
            self.process = self._spawn()
        until = time.monotonic() + _START_S_MAX
        while not self.ready(self.process.pid):
            if self.process.poll() is not None or time.monotonic() > until:
                self.kill()
                raise Fatal(f"{self.name} did not start: {self._complaint(said)} (all of it is in {self.words})")
            time.sleep(0.01)

    def _spawn(self) -> "subprocess.Popen[bytes]":
        parent, on_death = os.getpid(), self.stop_signal
        with open(self.words, "ab") as log:
            return subprocess.Popen(
                list(self.command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
                # It runs after the change of user, which would undo it.
                preexec_fn=lambda: die_with(parent, on_death),
                user=self.uid[0] if self.uid else None,
                group=self.uid[1] if self.uid else None,
                extra_groups=[] if self.uid else None,
                env={"LC_ALL": "C", "TZ": "UTC", "PATH": "/usr/bin:/bin"},
            )

    def _complaint(self, since_bytes: int) -> str:
        """Return the line that says why it ended: the first complaint of this start, else the last line."""
        with open(self.words, "rb") as file:
            file.seek(since_bytes)
            lines = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
        complaints = [line for line in lines if any(word in line for word in _COMPLAINTS)]
        return (complaints[:1] or lines[-1:] or ["it said nothing"])[0].strip()

    def stop(self) -> None:
        """End it cleanly; kill it if it takes more than 15 s."""
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
        """End it at once, as a power cut would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def pause(self) -> None:
        """Stop it without closing its connections."""
        if self.process is not None:
            self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """Stop and start again: same port, same data."""
        self.stop()
        self.start()
