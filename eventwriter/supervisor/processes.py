"""
The system calls of the supervisor: fork a worker, talk to it, notice its end, and say in words how it ended.

Everything Linux-specific is here: pidfds, `prctl`, sequenced-packet sockets.
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

from eventwriter.model import SlotName
from eventwriter.observe import stderr
from eventwriter.supervisor.slot import Worker

Child = Callable[[SlotName, socket.socket], int]
"""A worker's whole life: gets its slot and its end of the link, returns the exit code."""

EXIT_BROKEN = 70  # EX_SOFTWARE: an exception that the worker did not foresee
EXIT_ORPHAN = 71  # the parent died before the child could ask to die with it
PACKET_BYTES_MAX = 64 * 1024
PACKETS_MAX = 256  # read from one worker in one turn, so that a babbling one cannot occupy the loop
PR_SET_PDEATHSIG = 1  # linux/prctl.h
PR_SET_NAME = 15
STACKS_BYTES_MAX = 256 * 1024  # of one dump; a worker has one thread, and a stack of it a few kilobytes
STDERR = 2  # the descriptor: sys.stderr may have been replaced by an object without one
NAME_BYTES_MAX = 15  # TASK_COMM_LEN of linux/sched.h, without the trailing zero
LIBC = ctypes.CDLL(None, use_errno=True)  # loaded before forking: a child should not have to search for it


class Started(NamedTuple):
    """A child that was forked, and what its parent holds of it."""

    pid: int
    pidfd: int
    link: socket.socket
    """Our end, non-blocking."""
    stacks_fd: int
    """A file in memory that the child writes its stacks to on SIGUSR2, whatever it is doing."""


def start(name: SlotName, child: Child, close_parents: Callable[[], None]) -> Started:
    """
    Fork a worker.

    Args:
        name: Its slot.
        child: What it runs; the process exits with what this returns.
        close_parents: Closes, in the child, every descriptor that is the supervisor's own.

    Raises:
        OSError: No process, descriptor or memory was to be had; nothing is left behind.
    """
    stacks_fd = os.memfd_create("stacks")
    try:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    except OSError:
        os.close(stacks_fd)
        raise
    ours.setblocking(False)
    parent = os.getpid()
    stderr.flush()  # or the child would write what is buffered a second time
    try:
        with signals_held() as mask:
            pid = os.fork()
            if pid == 0:
                give_stacks(stacks_fd)
                live(lambda: descend(name, child, theirs, parent, mask), (ours.close, close_parents))
        pidfd = open_pidfd(pid)
    except OSError:
        ours.close()
        os.close(stacks_fd)
        raise
    finally:
        theirs.close()
    return Started(pid, pidfd, ours, stacks_fd)


def give_stacks(fd: int) -> None:
    """Have this process write its stacks to `fd` on SIGUSR2; from C, so that a blocked or looping one does it too."""
    faulthandler.register(signal.SIGUSR2, file=fd, all_threads=True)


def ask_stacks(worker: Worker) -> None:
    """Make a worker write its stacks for us; they are there once it has run for a moment."""
    os.ftruncate(worker.stacks_fd, 0)
    os.lseek(worker.stacks_fd, 0, os.SEEK_SET)  # the child writes at the position that we share
    signal_worker(worker, signal.SIGUSR2)


def read_stacks(worker: Worker) -> str:
    """Return what a worker has written since it was asked; empty where it did not come to it, as a stopped one."""
    return os.pread(worker.stacks_fd, STACKS_BYTES_MAX, 0).decode(errors="replace")


@contextlib.contextmanager
def signals_held() -> Iterator[set[int]]:
    """
    Hold all signals back for the duration; gives the mask that was in force.

    The child begins life with the parent's wakeup descriptor: a signal to the
    child before it has let go of that would look to the parent like its own.
    """
    mask = {int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())}
    try:
        yield mask
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def open_pidfd(pid: int) -> int:
    """
    Return a pidfd for our own child.

    Raises:
        OSError: No descriptor was free; the child has been killed and reaped.
    """
    try:
        return os.pidfd_open(pid)
    except OSError:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise


def live(life: Callable[[], int], prepare: Iterable[Callable[[], None]]) -> Never:
    """Run a worker's life and exit; whatever happens, the parent's stack is never returned to."""
    code = EXIT_BROKEN
    try:
        for step in prepare:
            step()
        code = life()
    finally:
        # `finally` rather than `except`: this copy of the parent must end here, by whatever it was left.
        if (error := sys.exc_info()[1]) is not None:
            with contextlib.suppress(OSError, ValueError):
                traceback.print_exception(error)
        stderr.flush()
        os._exit(code)


def descend(name: SlotName, child: Child, link: socket.socket, parent: int, mask: set[int]) -> int:
    """Turn the forked copy of the supervisor into a worker, then live its life; returns the exit code."""
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    # A terminal sends ^C and its hang-up to the whole group; the parent is the one to answer, with a drain.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    LIBC.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        return EXIT_ORPHAN  # it died before prctl could promise us its signal
    LIBC.prctl(PR_SET_NAME, process_name(name), 0, 0, 0)
    faulthandler.unregister(signal.SIGUSR1)  # the parent's registration, or register would think it is done
    faulthandler.register(signal.SIGUSR1, file=STDERR, all_threads=True)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return child(name, link)


def process_name(name: SlotName) -> bytes:
    """Return what `ps` shows for a worker: `ew:NETFLOW/0`, the stream cut short where 15 bytes do not hold it."""
    stream, slash, last = str(name).rpartition("/")  # the web child's name has no slash
    tail = (slash + last).encode()
    return b"ew:" + stream.encode()[: NAME_BYTES_MAX - 3 - len(tail)] + tail


def reap() -> Iterator[tuple[int, int]]:
    """
    Yield (process id, wait status) of every child that has exited.

    Strangers are among them where the supervisor is process 1 of a container.
    """
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, status


def in_words(status: int) -> str:
    """Say how a process ended, from its wait status."""
    if not os.WIFSIGNALED(status):
        code = os.waitstatus_to_exitcode(status)
        return "exit code 70 (an unforeseen exception; see the log)" if code == EXIT_BROKEN else f"exit code {code}"
    number = os.WTERMSIG(status)
    try:
        signal_name = signal.Signals(number).name
    except ValueError:
        signal_name = f"signal {number}"
    if number == signal.SIGKILL:
        return "killed by SIGKILL; the kernel's out-of-memory killer is the usual cause"
    return f"killed by {signal_name}"


def send(worker: Worker, command: Mapping[str, Any]) -> bool:
    """Send a command down a worker's link; False if the worker does not listen (any more)."""
    try:
        worker.link.send(json.dumps(command).encode(), socket.MSG_NOSIGNAL)
    except OSError:  # full, closed by the peer, or closed by us: a deadline deals with each
        return False
    return True


def receive(link: socket.socket) -> Iterator[dict[str, Any]]:
    """
    Yield what a worker has sent, oldest first, as far as it is there.

    Raises:
        EOFError: The worker has closed its end.
    """
    for _ in range(PACKETS_MAX):
        try:
            packet = link.recv(PACKET_BYTES_MAX)
        except BlockingIOError:
            return
        except OSError as error:  # reset by a peer that died with unread commands
            raise EOFError from error
        if not packet:
            raise EOFError
        with contextlib.suppress(ValueError):  # a packet cut off at its limit is not worth a worker's life
            decoded = json.loads(packet)
            if isinstance(decoded, dict):
                yield decoded


def signal_worker(worker: Worker, number: signal.Signals) -> None:
    """Signal a worker through its pidfd, so that a recycled process id is never hit."""
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(worker.pidfd, number)
