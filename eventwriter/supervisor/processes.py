"""
System calls of the supervisor: fork a child process, exchange packets with it, reap it, and describe its exit.

Everything specific to Linux is here: pidfds, `prctl`, sequenced-packet sockets.
"""

import contextlib
import ctypes
import faulthandler
import json
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Never

from eventwriter.observe import stderr
from eventwriter.supervisor.slot import ChildName, Worker

ChildMain = Callable[[ChildName, socket.socket], int]
"""Entry point of a child process: receives its name and its end of the link, returns the exit code."""

EXIT_BROKEN = 70  # EX_SOFTWARE: an unexpected exception
EXIT_ORPHAN = 71  # the parent died before prctl was called
PACKET_BYTES_MAX = 64 * 1024
PACKETS_MAX = 256  # read from one worker per turn of the loop, so that no worker can occupy the loop
PR_SET_PDEATHSIG = 1  # linux/prctl.h
PR_SET_NAME = 15
STACKS_BYTES_MAX = 256 * 1024  # of one dump; a worker has one thread, whose stack takes a few kilobytes
STDERR = 2  # the descriptor, because sys.stderr may be an object without one
VMSTAT = "/proc/vmstat"
NAME_BYTES_MAX = 15  # TASK_COMM_LEN of linux/sched.h, without the trailing zero
LIBC = ctypes.CDLL(None, use_errno=True)  # loaded once, before forking


class Started(NamedTuple):
    """A child process that was forked, and the parent's descriptors of it."""

    pid: int
    pidfd: int
    link: socket.socket
    """The parent's end, non-blocking."""
    stacks_fd: int
    """A file in memory that the child writes its stacks to on SIGUSR2, even while it is blocked."""


def start(name: ChildName, child_main: ChildMain, close_parent_fds: Callable[[], None]) -> Started:
    """
    Fork a child process.

    Args:
        name: Name of the child.
        child_main: Entry point; the process exits with its result.
        close_parent_fds: Closes, in the child, all descriptors that belong to the supervisor.

    Raises:
        OSError: No process, descriptor or memory was available; nothing is left behind.
    """
    stacks_fd = os.memfd_create("stacks")
    try:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    except OSError:
        os.close(stacks_fd)
        raise
    ours.setblocking(False)
    parent = os.getpid()
    stderr.flush()  # otherwise the child would write the buffered text a second time
    try:
        with signals_blocked() as mask:
            pid = os.fork()
            if pid == 0:
                enable_stack_dump(stacks_fd)
                run_child(lambda: become_worker(name, child_main, theirs, parent, mask), (ours.close, close_parent_fds))
        pidfd = open_pidfd(pid)
    except OSError:
        ours.close()
        os.close(stacks_fd)
        raise
    finally:
        theirs.close()
    return Started(pid, pidfd, ours, stacks_fd)


def enable_stack_dump(fd: int) -> None:
    """Make this process write its stacks to `fd` on SIGUSR2; it works from C, so also while Python is blocked."""
    faulthandler.register(signal.SIGUSR2, file=fd, all_threads=True)


def request_stack_dump(worker: Worker) -> None:
    """Make a worker write its stacks to its file; they are complete a moment later."""
    os.ftruncate(worker.stacks_fd, 0)
    os.lseek(worker.stacks_fd, 0, os.SEEK_SET)  # parent and child share the file position
    signal_worker(worker, signal.SIGUSR2)


def read_stack_dump(worker: Worker) -> str:
    """Return the stacks that a worker has written since the last request; empty if it could not, as when stopped."""
    return os.pread(worker.stacks_fd, STACKS_BYTES_MAX, 0).decode(errors="replace")


@contextlib.contextmanager
def signals_blocked() -> Iterator[set[int]]:
    """
    Block all signals within the context; gives the previous mask.

    A forked child inherits the parent's wakeup descriptor. A signal to the child before the child
    has closed this descriptor would look like a signal to the parent.
    """
    mask = {int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())}
    try:
        yield mask
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def open_pidfd(pid: int) -> int:
    """
    Return a pidfd of a child process.

    Raises:
        OSError: No descriptor was available; the child has been killed and reaped.
    """
    try:
        return os.pidfd_open(pid)
    except OSError:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise


def run_child(main: Callable[[], int], prepare: Iterable[Callable[[], None]]) -> Never:
    """Run a forked child and exit; the parent's stack frames are never returned to."""
    code = EXIT_BROKEN
    try:
        for step in prepare:
            step()
        code = main()
    finally:
        # `finally` instead of `except`: this copy of the parent must end here after any exception.
        if (error := sys.exc_info()[1]) is not None:
            with contextlib.suppress(OSError, ValueError):
                traceback.print_exception(error)
        stderr.flush()
        os._exit(code)


def become_worker(name: ChildName, child_main: ChildMain, link: socket.socket, parent: int, mask: set[int]) -> int:
    """Replace the supervisor's signal handling and process name by the child's, then run it; return its exit code."""
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    # A terminal sends ^C and its hang-up to the whole process group; the parent responds with a drain.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    LIBC.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        return EXIT_ORPHAN  # the parent died before prctl, so its death signal will not come
    LIBC.prctl(PR_SET_NAME, process_name(name), 0, 0, 0)
    faulthandler.unregister(signal.SIGUSR1)  # inherited from the parent; otherwise register() would do nothing
    faulthandler.register(signal.SIGUSR1, file=STDERR, all_threads=True)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return child_main(name, link)


def process_name(name: ChildName) -> bytes:
    """Return the name that `ps` shows: `ew:NETFLOW/0`, with the stream truncated to fit into 15 bytes."""
    stream, slash, last = str(name).rpartition("/")  # the web child's name has no slash
    tail = (slash + last).encode()
    return b"ew:" + stream.encode()[: NAME_BYTES_MAX - 3 - len(tail)] + tail


def reap() -> Iterator[tuple[int, int]]:
    """
    Yield (process id, wait status) of every child process that has exited.

    If the supervisor is process 1 of a container, unrelated processes are among them.
    """
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, status


def oom_kills() -> int:
    """Return how many processes the kernel's out-of-memory killer has killed on this machine; 0 if it is unknown."""
    try:
        with open(VMSTAT, encoding="ascii") as lines:
            return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
    except (OSError, ValueError):
        return 0


def describe_exit(status: int, kill_reason: str | None = None, oom: bool = False) -> str:
    """
    Return how a process ended.

    Args:
        status: Wait status.
        kill_reason: Why the supervisor sent SIGKILL; None if it did not.
        oom: Whether the out-of-memory killer has killed a process since this one started.
    """
    if kill_reason is not None and os.WIFSIGNALED(status):
        return f"killed by the supervisor: {kill_reason}"
    if not os.WIFSIGNALED(status):
        code = os.waitstatus_to_exitcode(status)
        return "exit code 70 (an unexpected exception; see the log)" if code == EXIT_BROKEN else f"exit code {code}"
    number = os.WTERMSIG(status)
    try:
        signal_name = signal.Signals(number).name
    except ValueError:
        signal_name = f"signal {number}"
    if number == signal.SIGKILL:
        cause = "the kernel's out-of-memory killer was active meanwhile" if oom else "sent from outside eventwriter"
        return f"killed by SIGKILL; {cause}"
    return f"killed by {signal_name}"


def send(worker: Worker, command: Mapping[str, Any]) -> bool:
    """Send a command to a worker; return whether its link accepted it."""
    try:
        worker.link.send(json.dumps(command).encode(), socket.MSG_NOSIGNAL)
    except OSError:  # full, or closed by either side; deadlines handle each case
        return False
    return True


def receive(link: socket.socket) -> Iterator[dict[str, Any]]:
    """
    Yield the packets that a worker has sent, oldest first, without waiting.

    Raises:
        EOFError: The worker has closed its end.
    """
    for _ in range(PACKETS_MAX):
        try:
            packet = link.recv(PACKET_BYTES_MAX)
        except BlockingIOError:
            return
        except OSError as error:  # reset, because the worker died with unread commands
            raise EOFError from error
        if not packet:
            raise EOFError
        with contextlib.suppress(ValueError):  # a packet truncated at the limit is ignored
            decoded = json.loads(packet)
            if isinstance(decoded, dict):
                yield decoded


def signal_worker(worker: Worker, number: signal.Signals) -> None:
    """Send a signal to a worker through its pidfd, so that a recycled process id is never hit."""
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(worker.pidfd, number)
