"""
Starting a server that dies with us, whatever happens to us.

The kernel is asked (PR_SET_PDEATHSIG) to signal the child when the thread that made
it ends: start servers from the main thread. Standard input and output are closed to
the child, because an inherited pipe would keep whoever reads it waiting for ever.

Source: prctl(2), PR_SET_PDEATHSIG.
"""

import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from eventwriter.errors import Fatal

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)
_START_S_MAX = 30.0
_STOP_S_MAX = 15.0


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(slots=True)
class Server:
    """
    One server process, started from the same command each time.

    Attributes:
        name: For people.
        command: Program and arguments.
        ready: Says whether it answers yet.
        stop_signal: Asks for a clean and prompt end; also what the kernel sends when we die.
        uid: The user to run as; None for ours.
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

    def start(self) -> None:
        """
        Start and wait until it answers.

        Raises:
            Fatal: It ended, or does not answer within 30 s.
        """
        parent, on_death = os.getpid(), self.stop_signal

        def before_exec() -> None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, on_death, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)

        log = open(self.folder / f"{self.name}.out", "ab")  # noqa: SIM115  # the child keeps it
        with log:
            self.process = subprocess.Popen(
                list(self.command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
                preexec_fn=before_exec,
                user=self.uid[0] if self.uid else None,
                group=self.uid[1] if self.uid else None,
                extra_groups=[] if self.uid else None,
                env={"LC_ALL": "C", "TZ": "UTC", "PATH": "/usr/bin:/bin"},
            )
        until = time.monotonic() + _START_S_MAX
        while not self.ready(self.process.pid):
            if self.process.poll() is not None or time.monotonic() > until:
                self.kill()
                raise Fatal(f"{self.name} did not start; its words are in {self.folder / (self.name + '.out')}")
            time.sleep(0.01)

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
