"""Faults of the daemon's processes. `harness` describes how faults are written."""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from faults.environment import WAIT_S_MAX, Environment, Setup, open_files
from faults.harness import Fault, Injection
from faults.postgres_setups import FAKETIME, lacks_faketime
from faults.publisher import large, sample

HANG_S = 1.0
LONG_BACKOFF_S = 600
MEMORY_BYTES = 64 * 2**20


def with_short_hang_max(env: Environment) -> None:
    """Let the supervisor kill unresponsive workers early."""
    env.write(supervisor={"hang_max": HANG_S})


def with_low_memory_limit(env: Environment) -> None:
    """Set a memory limit of the workers that is just above the memory of an idle worker."""
    env.write(supervisor={"worker_memory_bytes_max": MEMORY_BYTES})


def with_fake_clock(env: Environment) -> None:
    """Let the daemon take the time from a file."""
    clock = env.folder / "clock"
    clock.write_text("+0s\n")
    env.daemon.environ = {
        "LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_RESET": "1",
    }  # fmt: skip
    env.write()


SHORT_HANG_MAX = Setup("short hang_max", with_short_hang_max)
LOW_MEMORY_LIMIT = Setup("low memory limit", with_low_memory_limit)
FAKE_CLOCK = Setup("fake clock of the daemon", with_fake_clock)


def supervisor_pid(env: Environment) -> int:
    """Return the process id of the supervisor."""
    assert env.daemon.process is not None
    return env.daemon.process.pid


def worker_signalled(number: signal.Signals, times: int) -> Callable[[Environment], Injection]:
    """Return an injection that signals workers at random moments."""

    def inject(env: Environment) -> Injection:
        restarts = env.slot()["restarts"]
        for at in range(times):
            os.kill(env.worker_pids()[0], number)
            count = restarts + at + 1
            env.until_slot("replaced", lambda slot, n=count: slot["restarts"] >= n and slot["pid"])  # type: ignore[misc]
            env.wait(env.rng.uniform(0, 0.4))
        yield
        slot = env.slot()
        assert restarts + times == slot["restarts"]
        assert number.name in slot["last_exit"]

    return inject


def worker_stopped(env: Environment) -> Injection:
    restarts, pid = env.slot()["restarts"], env.worker_pids()[0]
    os.kill(pid, signal.SIGSTOP)
    slot = env.until_slot("killed and replaced", lambda slot: slot["restarts"] > restarts and slot["pid"])
    yield
    assert slot["pid"] != pid
    assert "no heartbeat" in env.slot()["last_exit"]


def memory_limit_exceeded(env: Environment) -> Injection:
    restarts, log_bytes, publisher = env.slot()["restarts"], env.log_bytes(), env.publisher
    publisher.burst, publisher.body = 10, large(2**20)
    try:
        env.until_slot("drained and replaced", lambda slot: slot["restarts"] > restarts)
    finally:
        publisher.burst, publisher.body = 60, sample
    yield
    assert any("of memory exceed" in str(line) for line in env.log(log_bytes))
    assert not any("killed" in str(line) for line in env.log(log_bytes))


@contextlib.contextmanager
def file_limit(pid: int, more: int) -> Iterator[None]:
    """Limit a process to its currently open files and `more` others."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_files(pid) + more, before[1]))
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def worker_out_of_files(env: Environment) -> Injection:
    pid = env.worker_pids()[0]
    with file_limit(pid, -1):
        env.postgres.cut()
        env.nats.cut()
        env.until_slot("waiting", lambda slot: slot["worker_state"] == "waiting")
        env.wait(1.0)
    yield
    assert [pid] == env.worker_pids()


def supervisor_out_of_files(env: Environment) -> Injection:
    restarts = env.slot()["restarts"]
    pid = supervisor_pid(env)
    with file_limit(pid, 0):
        os.kill(env.worker_pids()[0], signal.SIGKILL)
        env.wait(1.0)
    env.until_slot("running", lambda slot: slot["worker_state"] == "running")
    yield
    assert env.slot()["restarts"] > restarts
    assert pid == supervisor_pid(env)


def supervisor_killed(env: Environment) -> Injection:
    workers = env.worker_pids()
    env.daemon.kill()
    until = time.monotonic() + WAIT_S_MAX
    while any(os.path.exists(f"/proc/{pid}/fd/0") for pid in workers):
        assert time.monotonic() < until, "workers outlive their supervisor"
        time.sleep(0.02)
    env.daemon.start()
    yield


def supervisor_stopped(env: Environment) -> Injection:
    restarts, pid = env.slot()["restarts"], supervisor_pid(env)
    count = "SELECT count(*) FROM timeseries_metrics"
    os.kill(pid, signal.SIGSTOP)
    rows = env.sql(count)
    env.wait(2.5 * HANG_S)
    written = env.sql(count)
    os.kill(pid, signal.SIGCONT)
    yield
    assert written > rows, "the workers stopped writing"
    assert restarts == env.slot()["restarts"]


def all_stopped(env: Environment) -> Injection:
    pids = [supervisor_pid(env), *env.worker_pids()]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    env.wait(6.0)  # the consumer's ack_wait is 5 s
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    yield


def stopped_and_started(env: Environment) -> Injection:
    assert 0 == env.daemon.stop()
    env.daemon.start()
    yield


def terminated_twice(env: Environment) -> Injection:
    # A drain cannot finish while PostgreSQL does not answer.
    env.postgres.black_hole()
    env.wait(0.3)
    process = env.daemon.process
    assert process is not None
    process.terminate()
    env.until_slot("draining", lambda slot: slot["state"] == "draining")
    process.terminate()
    code = process.wait(WAIT_S_MAX)
    env.postgres.heal()
    env.daemon.start()
    yield
    assert 1 == code  # a drain that reached its deadline


def terminated_in_backoff(env: Environment) -> Injection:
    content = env.daemon.config.read_text()
    assert 0 == env.daemon.stop()
    env.write(supervisor={"backoff_min": LONG_BACKOFF_S, "backoff_max": LONG_BACKOFF_S})
    env.daemon.start()
    env.until("healthy", lambda status: status["status"] == "healthy")
    os.kill(env.worker_pids()[0], signal.SIGKILL)
    env.until_slot("in backoff", lambda slot: slot["state"] == "backoff")
    process = env.daemon.process
    assert process is not None
    process.terminate()
    code = process.wait(WAIT_S_MAX)  # far less than the backoff
    env.daemon.config.write_text(content)
    env.daemon.start()
    yield
    assert 0 == code


def terminated_at_start(env: Environment) -> Injection:
    env.daemon.stop()
    codes = []
    for _ in range(2):
        env.daemon.start()
        env.wait(env.rng.uniform(0.5, 1.5))
        assert env.daemon.process is not None
        env.daemon.process.terminate()
        codes.append(env.daemon.process.wait(WAIT_S_MAX))
    env.daemon.start()
    yield
    assert [0, 0] == codes


def reloaded_invalid_file(env: Environment) -> Injection:
    content, pids, log_bytes = env.daemon.config.read_text(), env.worker_pids(), env.log_bytes()
    try:
        for invalid in ("", "{", '{"enabled": tru}', json.dumps({"streams": 5}), json.dumps({"enabled": False})):
            env.daemon.config.write_text(invalid)
            os.kill(supervisor_pid(env), signal.SIGHUP)
            env.wait(0.1)
        env.daemon.config.unlink()
        os.kill(supervisor_pid(env), signal.SIGHUP)
        env.wait(0.1)
    finally:
        env.daemon.config.write_text(content)
    os.kill(supervisor_pid(env), signal.SIGHUP)
    yield
    assert pids == env.worker_pids()
    assert [line for line in env.log(log_bytes) if "nothing changed" in str(line)]


def reloaded_often(env: Environment) -> Injection:
    pids = env.worker_pids()
    for _ in range(50):
        os.kill(supervisor_pid(env), signal.SIGHUP)
        env.wait(0.01)
    yield
    assert pids == env.worker_pids()


def full_device() -> list[int]:
    """Return a file descriptor of a full device."""
    return [os.open("/dev/full", os.O_WRONLY)]


def broken_pipe() -> list[int]:
    """Return the write end of a pipe whose read end is closed."""
    reader, writer = os.pipe()
    os.close(reader)
    return [writer]


def unread_pipe() -> list[int]:
    """Return the write end of a pipe that is never read, and its read end."""
    reader, writer = os.pipe()
    return [writer, reader]


def with_stderr(make: Callable[[], list[int]] | None) -> Callable[[Environment], Injection]:
    """Return an injection that kills a worker of a daemon with this stderr (None: closed) and reloads it often."""

    def inject(env: Environment) -> Injection:
        daemon = env.daemon
        assert 0 == daemon.stop()
        fds = make() if make else []
        command = [sys.executable, "-m", "eventwriter", "--config", str(daemon.config), "run"]
        closed = ["/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command]
        daemon.process = subprocess.Popen(
            command if make else closed, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=fds[0] if fds else subprocess.DEVNULL, env=os.environ | daemon.environ, start_new_session=True,
        )  # fmt: skip
        env.until("healthy", lambda status: status["status"] == "healthy")
        os.kill(env.worker_pids()[0], signal.SIGKILL)
        env.until("replaced", lambda status: status["slots"][0]["restarts"] == 1 and status["status"] == "healthy")
        for _ in range(60):
            os.kill(supervisor_pid(env), signal.SIGHUP)
            time.sleep(0.002)
        env.until("healthy", lambda status: status["status"] == "healthy")
        assert 0 == daemon.stop()
        for fd in fds:
            os.close(fd)
        daemon.start()
        yield

    return inject


def clock_steps(env: Environment) -> Injection:
    restarts, clock = env.slot()["restarts"], env.folder / "clock"
    for text in ("+3h", "-2h", "+400d", "+0s"):
        clock.write_text(text + "\n")
        env.wait(0.5)
        env.until_slot("running", lambda slot: slot["worker_state"] == "running")
    yield
    assert restarts == env.slot()["restarts"]


def fault(name: str, description: str, inject: Callable[[Environment], Injection], **more: Any) -> Fault:
    """Return a fault of the daemon's processes."""
    return Fault(name, "process", description, inject, **more)


SIGNALS = {signal.SIGKILL: 3, signal.SIGSEGV: 1, signal.SIGABRT: 1}
STDERRS = {
    "full": ("a full device", full_device),
    "closed": ("closed, like stdin and stdout", None),
    "broken": ("a pipe whose reader has exited", broken_pipe),
    "unread": ("a pipe that is never read", unread_pipe),
}

FAULTS = (
    *(
        fault(f"worker {number.name}", f"{times} times, at random moments", worker_signalled(number, times))
        for number, times in SIGNALS.items()
    ),
    fault("supervisor killed", "kill -9 and restart", supervisor_killed),
    fault("daemon stopped", "SIGSTOP of all its processes for longer than ack_wait", all_stopped, quick=False),
    fault("daemon restarted", "SIGTERM, drain and restart", stopped_and_started),
    fault("SIGTERM twice", "the second one while a drain cannot finish", terminated_twice),
    fault("SIGTERM in backoff", "of a long backoff after kill -9 of a worker", terminated_in_backoff),
    fault("SIGTERM at start", "twice, at a random moment of the start", terminated_at_start),
    fault("reload of an invalid file", "empty, not JSON, invalid, not enabled, missing", reloaded_invalid_file),
    fault("fifty reloads", "within a second", reloaded_often),
    fault("worker out of files", "at its file limit when both connections are reset", worker_out_of_files),
    fault("supervisor out of files", "at its file limit when a worker is killed", supervisor_out_of_files),
    *(
        fault(f"stderr {name}", description, with_stderr(make), quick=name in ("full", "unread"))
        for name, (description, make) in STDERRS.items()
    ),
    fault(
        "worker stopped", "SIGSTOP: killed after hang_max and replaced", worker_stopped,
        setup=SHORT_HANG_MAX, quick=False,
    ),
    fault(
        "supervisor stopped", "SIGSTOP for longer than hang_max", supervisor_stopped,
        setup=SHORT_HANG_MAX, quick=False,
    ),
    fault(
        "memory limit exceeded", "the worker is drained and replaced", memory_limit_exceeded,
        setup=LOW_MEMORY_LIMIT, quick=False, memory_margin_bytes=MEMORY_BYTES,
    ),
    fault(
        "daemon clock steps", "3 h ahead, 2 h back, 400 days ahead, and correct again", clock_steps,
        setup=FAKE_CLOCK, missing=lacks_faketime, quick=False,
    ),
)  # fmt: skip
