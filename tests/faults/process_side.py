"""Faults of the process side; how they are written is said in `harness`."""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from faults.bed import Bed, Setup, open_files
from faults.book import large, sample
from faults.harness import Act, Fault
from faults.postgres_beds import FAKETIME, has_faketime

HANG_S = 1.0
MEMORY_BYTES = 64 * 2**20


def watched(bed: Bed) -> None:
    """Prepare a bed whose supervisor has little patience."""
    bed.write(supervisor={"hang_max": HANG_S})


def with_little_memory(bed: Bed) -> None:
    """Prepare a bed whose workers may hardly have more memory than Python takes."""
    bed.write(supervisor={"worker_memory_bytes_max": MEMORY_BYTES})


def with_false_clock(bed: Bed) -> None:
    """Prepare a bed whose daemon takes the time from a file."""
    clock = bed.folder / "clock"
    clock.write_text("+0s\n")
    bed.daemon.environ = {
        "LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_RESET": "1",
    }  # fmt: skip
    bed.write()


WATCHED = Setup("watched", watched)
LITTLE_MEMORY = Setup("little memory", with_little_memory)
FALSE_CLOCK = Setup("false clock of the daemon", with_false_clock)


def supervisor_pid(bed: Bed) -> int:
    """Return the supervisor's process id."""
    assert bed.daemon.process is not None
    return bed.daemon.process.pid


def worker_signalled(number: signal.Signals, times: int) -> Callable[[Bed], Act]:
    """Return an act: workers are ended by a signal, at random moments."""

    def act(bed: Bed) -> Act:
        restarts = bed.slot()["restarts"]
        for at in range(times):
            os.kill(bed.worker_pids()[0], number)
            wanted = restarts + at + 1
            bed.until_slot("it is replaced", lambda slot, n=wanted: slot["restarts"] >= n and slot["pid"])  # type: ignore[misc]
            bed.wait(bed.rng.uniform(0, 0.4))
        yield
        slot = bed.slot()
        assert restarts + times == slot["restarts"]
        assert number.name in slot["last_exit"]

    return act


def worker_stopped(bed: Bed) -> Act:
    restarts, pid = bed.slot()["restarts"], bed.worker_pids()[0]
    os.kill(pid, signal.SIGSTOP)
    slot = bed.until_slot("it is killed and replaced", lambda slot: slot["restarts"] > restarts and slot["pid"])
    yield
    assert slot["pid"] != pid
    assert "no heartbeat" in bed.slot()["last_exit"]


def memory_grown(bed: Bed) -> Act:
    restarts, log_bytes, publisher = bed.slot()["restarts"], bed.log_bytes(), bed.publisher
    publisher.burst, publisher.body = 10, large(2**20)
    try:
        bed.until_slot("it is drained and replaced", lambda slot: slot["restarts"] > restarts, 20.0)
    finally:
        publisher.burst, publisher.body = 60, sample
    yield
    assert any("of memory exceed" in str(line) for line in bed.log(log_bytes))
    assert not any("killed" in str(line) for line in bed.log(log_bytes))


@contextlib.contextmanager
def few_files(pid: int, more: int) -> Any:
    """Let a process open hardly more files than it has."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_files(pid) + more, before[1]))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def worker_without_files(bed: Bed) -> Act:
    pid = bed.worker_pids()[0]
    with few_files(pid, -1):
        bed.postgres.cut()
        bed.nats.cut()
        bed.until_slot("it waits", lambda slot: slot["worker_state"] == "waiting")
        bed.wait(1.0)
    yield
    assert [pid] == bed.worker_pids()


def supervisor_without_files(bed: Bed) -> Act:
    restarts = bed.slot()["restarts"]
    pid = supervisor_pid(bed)
    with few_files(pid, 0):
        # The connection of whoever asks for status is the last one.
        os.kill(bed.worker_pids()[0], signal.SIGKILL)
        bed.wait(1.0)
    bed.until_slot("a worker runs", lambda slot: slot["worker_state"] == "running")
    yield
    assert bed.slot()["restarts"] > restarts
    assert pid == supervisor_pid(bed)


def supervisor_killed(bed: Bed) -> Act:
    workers = bed.worker_pids()
    bed.daemon.kill()
    until = time.monotonic() + 2
    while any(os.path.exists(f"/proc/{pid}/fd/0") for pid in workers):
        assert time.monotonic() < until, "workers outlive their supervisor"
        time.sleep(0.02)
    bed.daemon.start()
    yield


def supervisor_stopped(bed: Bed) -> Act:
    restarts, pid = bed.slot()["restarts"], supervisor_pid(bed)
    count = "SELECT count(*) FROM timeseries_metrics"
    os.kill(pid, signal.SIGSTOP)
    rows = bed.sql(count)
    bed.wait(2.5 * HANG_S)
    written = bed.sql(count)
    os.kill(pid, signal.SIGCONT)
    yield
    assert written > rows, "workers do not need their supervisor to write"
    assert restarts == bed.slot()["restarts"]


def all_stopped(bed: Bed) -> Act:
    pids = [supervisor_pid(bed), *bed.worker_pids()]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    bed.wait(6.0)  # the consumer's ack_wait is 5 s
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    yield


def stopped_and_started(bed: Bed) -> Act:
    assert 0 == bed.daemon.stop()
    bed.daemon.start()
    yield


def terminated_twice(bed: Bed) -> Act:
    # Nothing can be drained while PostgreSQL does not answer.
    bed.postgres.black_hole()
    bed.wait(0.3)
    process = bed.daemon.process
    assert process is not None
    process.terminate()
    bed.until_slot("it drains", lambda slot: slot["state"] == "draining")
    began_s = time.monotonic()
    process.terminate()
    code = process.wait(10)
    took_s = time.monotonic() - began_s
    bed.postgres.heal()
    bed.daemon.start()
    yield
    assert (1, True) == (code, took_s < 4.0)


def terminated_in_backoff(bed: Bed) -> Act:
    content = bed.daemon.config.read_text()
    assert 0 == bed.daemon.stop()
    bed.write(supervisor={"backoff_min": 30, "backoff_max": 30})
    bed.daemon.start()
    bed.until("it is healthy", lambda status: status["status"] == "healthy")
    os.kill(bed.worker_pids()[0], signal.SIGKILL)
    bed.until_slot("it rests", lambda slot: slot["state"] == "backoff")
    process = bed.daemon.process
    assert process is not None
    began_s = time.monotonic()
    process.terminate()
    code = process.wait(10)
    took_s = time.monotonic() - began_s
    bed.daemon.config.write_text(content)
    bed.daemon.start()
    yield
    assert (0, True) == (code, took_s < 2.0)


def terminated_at_start(bed: Bed) -> Act:
    bed.daemon.stop()
    codes = []
    for _ in range(2):
        bed.daemon.start()
        bed.wait(bed.rng.uniform(0.5, 1.5))
        assert bed.daemon.process is not None
        bed.daemon.process.terminate()
        codes.append(bed.daemon.process.wait(10))
    bed.daemon.start()
    yield
    assert [0, 0] == codes


def hung_up_with_a_broken_file(bed: Bed) -> Act:
    content, pids, log_bytes = bed.daemon.config.read_text(), bed.worker_pids(), bed.log_bytes()
    try:
        for broken in ("", "{", '{"enabled": tru}', json.dumps({"streams": 5}), json.dumps({"enabled": False})):
            bed.daemon.config.write_text(broken)
            os.kill(supervisor_pid(bed), signal.SIGHUP)
            bed.wait(0.1)
        bed.daemon.config.unlink()
        os.kill(supervisor_pid(bed), signal.SIGHUP)
        bed.wait(0.1)
    finally:
        bed.daemon.config.write_text(content)
    os.kill(supervisor_pid(bed), signal.SIGHUP)
    yield
    assert pids == bed.worker_pids()
    assert [line for line in bed.log(log_bytes) if "nothing changed" in str(line)]


def hung_up_often(bed: Bed) -> Act:
    pids = bed.worker_pids()
    for _ in range(50):
        os.kill(supervisor_pid(bed), signal.SIGHUP)
        bed.wait(0.01)
    yield
    assert pids == bed.worker_pids()


def full() -> list[int]:
    """Return where a disk without space is written."""
    return [os.open("/dev/full", os.O_WRONLY)]


def broken() -> list[int]:
    """Return the end of a pipe whose reader is gone."""
    reader, writer = os.pipe()
    os.close(reader)
    return [writer]


def unread() -> list[int]:
    """Return the write end of an open pipe that is never read."""
    reader, writer = os.pipe()
    return [writer, reader]


def stderr_is(make: Callable[[], list[int]] | None) -> Callable[[Bed], Act]:
    """Return an act: the daemon runs for a while with its stderr so (None: closed), and loses a worker meanwhile."""

    def act(bed: Bed) -> Act:
        daemon = bed.daemon
        assert 0 == daemon.stop()
        fds = make() if make else []
        program = [sys.executable, "-m", "eventwriter", "--config", str(daemon.config), "run"]
        closed = ["/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *program]
        daemon.process = subprocess.Popen(
            program if make else closed, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=fds[0] if fds else subprocess.DEVNULL, env=os.environ | daemon.environ, start_new_session=True,
        )  # fmt: skip
        bed.until("it is healthy", lambda status: status["status"] == "healthy", 20.0)
        os.kill(bed.worker_pids()[0], signal.SIGKILL)
        bed.until(
            "it is replaced", lambda status: status["slots"][0]["restarts"] == 1 and status["status"] == "healthy"
        )
        for _ in range(60):
            os.kill(supervisor_pid(bed), signal.SIGHUP)
            time.sleep(0.002)
        bed.until("it is healthy", lambda status: status["status"] == "healthy")
        assert 0 == daemon.stop()
        for fd in fds:
            os.close(fd)
        daemon.start()
        yield

    return act


def clock_steps(bed: Bed) -> Act:
    restarts, clock = bed.slot()["restarts"], bed.folder / "clock"
    for text in ("+3h", "-2h", "+400d", "+0s"):
        clock.write_text(text + "\n")
        bed.wait(0.5)
        assert "running" == bed.slot()["worker_state"]
    yield
    assert restarts == bed.slot()["restarts"]


def fault(name: str, does: str, act: Callable[[Bed], Act], **more: Any) -> Fault:
    """Return a fault of this side."""
    return Fault(name, "process", does, act, **more)


SIGNALS = {signal.SIGKILL: 3, signal.SIGSEGV: 1, signal.SIGABRT: 1}
STDERRS = {
    "full": ("a disk without space", full),
    "closed": ("closed, as are stdin and stdout", None),
    "broken": ("a pipe whose reader is gone", broken),
    "unread": ("a pipe that nobody reads from", unread),
}

FAULTS = (
    *(
        fault(f"worker {number.name}", f"{times} times, at random moments", worker_signalled(number, times))
        for number, times in SIGNALS.items()
    ),
    fault("supervisor killed", "kill -9, started again", supervisor_killed),
    fault("daemon stopped", "all its processes, for longer than ack_wait", all_stopped, brief=False),
    fault("daemon restarted", "TERM, drain, started again", stopped_and_started),
    fault("TERM twice", "the second while nothing can be drained", terminated_twice),
    fault("TERM in backoff", "of 30 s, after a worker's kill -9", terminated_in_backoff),
    fault("TERM at start", "twice, at a random moment within a second", terminated_at_start),
    fault("HUP with a broken file", "empty, no JSON, mistakes, not enabled, gone", hung_up_with_a_broken_file),
    fault("HUP fifty times", "within a second", hung_up_often),
    fault("worker without files", "its file limit is reached, and both connections are cut", worker_without_files),
    fault("supervisor without files", "its file limit is reached, and a worker killed", supervisor_without_files),
    *(
        fault(f"stderr {name}", does, stderr_is(how), brief=name in ("full", "unread"))
        for name, (does, how) in STDERRS.items()
    ),
    fault("worker stopped", "SIGSTOP: killed after hang_max, and replaced", worker_stopped, setup=WATCHED, brief=False),
    fault("supervisor stopped", "SIGSTOP for longer than hang_max", supervisor_stopped, setup=WATCHED, brief=False),
    fault(
        "memory grown", "a worker is above its limit: drained and replaced", memory_grown,
        setup=LITTLE_MEMORY, brief=False, memory_margin_bytes=MEMORY_BYTES,
    ),
    fault(
        "clock steps", "3 h ahead, 2 h back, 400 days ahead, right again; the daemon's only", clock_steps,
        setup=FALSE_CLOCK, needs=has_faketime, brief=False,
    ),
)  # fmt: skip
