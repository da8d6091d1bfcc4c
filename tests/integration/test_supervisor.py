"""The supervisor with real processes, signals and clients, and scripted workers."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fix_scripted_daemon import CTL, DEADLINE_S, SCRIPT, Daemon, until

from eventwriter.control.client import Refused
from eventwriter.observe.logging import BURST
from eventwriter.supervisor.backoff import QUARANTINE_EXITS_MAX


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon that has not been started."""
    daemon = Daemon(tmp_path)
    yield daemon
    daemon.close()


def is_alive(pid: int) -> bool:
    """Return whether a process is running; a zombie is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_drains_workers_and_exits_with_zero(daemon: Daemon, number: signal.Signals) -> None:
    """TERM and INT drain every worker, and the daemon removes its files."""
    daemon.start({"A/0": "steady", "A/1": "steady"})
    pids = [daemon.await_state(name, "running")["pid"] for name in ("A/0", "A/1")]

    daemon.signal(number)

    assert 0 == daemon.wait()
    assert [False, False] == [is_alive(pid) for pid in pids]
    assert ["exit code 0"] * 2 == [line["how"] for line in daemon.log() if line["event"] == "worker exited"]
    assert not (daemon.folder / "ctl.sock").exists()
    assert not (daemon.folder / "ctl.sock.lock").exists()


def test_interrupt_of_the_process_group_drains_workers(daemon: Daemon) -> None:
    """Workers ignore the signals that a terminal sends to the process group; the supervisor drains them."""
    daemon.start({"A/0": "steady"})
    worker = daemon.await_state("A/0", "running")["pid"]

    os.kill(worker, signal.SIGINT)
    os.kill(worker, signal.SIGHUP)
    daemon.signal(signal.SIGINT)

    assert 0 == daemon.wait()
    assert ["exit code 0"] == [line["how"] for line in daemon.log() if line["event"] == "worker exited"]


def test_killed_worker_is_replaced_and_its_counters_kept(daemon: Daemon) -> None:
    """A killed worker is restarted, and the counters of its slot continue."""
    daemon.start({"A/0": "steady"})
    before = until(lambda: (slot := daemon.slot("A/0"))["rows_total"] >= 30 and slot)

    os.kill(before["pid"], signal.SIGKILL)
    after = until(lambda: (slot := daemon.slot("A/0"))["restarts"] == 1 and slot["state"] == "running" and slot)

    assert after["pid"] != before["pid"]
    assert after["rows_total"] > before["rows_total"]
    assert "killed by SIGKILL; sent from outside eventwriter" == after["last_error"]


@pytest.mark.parametrize(
    ("script", "description"),
    [("exits", "exit code 3"), ("crashes", "exit code 70 (an unexpected exception; see the log)")],
)
def test_crash_loop_fails_one_slot_until_restart(daemon: Daemon, script: str, description: str) -> None:
    """A slot in a crash loop fails while others run, and `restart` starts it at once."""
    daemon.start({"BAD/0": script, "GOOD/0": "steady"}, backoff_max_s=300.0)

    failed = daemon.await_state("BAD/0", "failed")
    good = daemon.slot("GOOD/0")
    status = daemon.client.call("status")

    assert (3, description) == (failed["restarts"], failed["last_error"])
    assert ("running", 0) == (good["state"], good["restarts"])
    assert "failing" == status["status"]

    daemon.script("BAD/0", "steady")
    daemon.client.call("restart", slot="BAD/0")
    daemon.await_state("BAD/0", "running")
    assert "healthy" == until(lambda: (p := daemon.client.call("status"))["status"] == "healthy" and p)["status"]


def test_quarantine_exits_do_not_fail_the_slot_up_to_a_limit(daemon: Daemon) -> None:
    """Exits while decoding suspects do not count as crashes, up to a limit without written messages."""
    daemon.start({"BAD/0": "dies_in_quarantine"}, backoff_max_s=300.0)

    failed = daemon.await_state("BAD/0", "failed")

    exits = [line["event"] for line in daemon.log() if "how" in line]
    quarantined = "worker died while decoding messages in quarantine"
    # Of many equal lines within a second, the first ones are written and the others counted.
    assert BURST * [quarantined] == exits[:BURST]
    others = [event for event in exits if event != quarantined]
    assert [*3 * ["worker exited unexpectedly"], "worker in a crash loop"] == others
    assert QUARANTINE_EXITS_MAX + 3 == failed["restarts"]


def test_failed_slot_is_restarted_after_the_longest_delay(daemon: Daemon) -> None:
    """A failed slot is restarted after the longest delay, and recovers when its cause is gone."""
    daemon.start({"BAD/0": "exits"}, backoff_max_s=0.1)

    until(lambda: daemon.slot("BAD/0")["restarts"] >= 6)
    daemon.script("BAD/0", "steady")

    assert daemon.await_state("BAD/0", "running")["restarts"] >= 6
    exits = [line["event"] for line in daemon.log() if "how" in line]
    assert 3 * ["worker exited unexpectedly"] == exits[:3]
    assert {"worker in a crash loop"} == set(exits[3:])


def test_crash_loop_ends_after_a_window_without_exits(daemon: Daemon) -> None:
    """A slot that has been running for a whole window is restarted without the crash-loop delay."""
    daemon.start({"A/0": "exits"}, crash_loop_window_s=0.5, crash_loop_exits_max=3, backoff_max_s=0.1)
    daemon.await_state("A/0", "failed")
    daemon.script("A/0", "steady")
    steady = until(lambda: (s := daemon.slot("A/0"))["state"] == "running" and s["uptime_s"] > 0.7 and s)
    before = len(daemon.log())

    os.kill(steady["pid"], signal.SIGKILL)
    until(lambda: daemon.slot("A/0")["restarts"] > steady["restarts"])

    assert ["worker exited unexpectedly"] == [line["event"] for line in daemon.log()[before:] if "how" in line]


def test_hung_worker_dumps_its_stacks_and_is_replaced(daemon: Daemon) -> None:
    """The stacks of a blocked worker are in the log before it is killed and replaced."""
    daemon.start({"A/0": "hangs"})
    first = daemon.await_state("A/0", "running")

    daemon.script("A/0", "steady")
    after = until(lambda: (slot := daemon.slot("A/0"))["restarts"] == 1 and slot["state"] == "running" and slot)

    assert (
        "killed by the supervisor: no heartbeat for 0.5 s since its last heartbeat (supervisor.hang_max)"
        == after["last_error"]
    )
    assert after["rows_total"] >= 7
    text = (daemon.folder / "log").read_text()
    assert ", in hangs" not in text.split("worker dumps its stacks")[0]
    assert "in hangs" in text.split("worker dumps its stacks")[1].split("worker killed")[0]
    assert not is_alive(first["pid"])


def test_worker_without_a_first_heartbeat_is_replaced(daemon: Daemon) -> None:
    """A worker that sends no heartbeat is killed at the limit for the start."""
    daemon.start({"A/0": "never_sends"})

    resting = until(lambda: (slot := daemon.slot("A/0"))["last_error"] and slot)

    assert (
        "killed by the supervisor: no heartbeat for 0.7 s since its start (supervisor.start_max)"
        == resting["last_error"]
    )
    assert "in never_sends" in (daemon.folder / "log").read_text()


def test_slow_start_with_heartbeats_is_not_a_hang(daemon: Daemon) -> None:
    """A worker that waits for its servers and sends heartbeats is not killed."""
    daemon.start({"A/0": "starts_slowly"})
    before = until(lambda: (slot := daemon.slot("A/0"))["pid"] and (slot["uptime_s"] or 0) > 1.0 and slot)

    assert ("starting", 0) == (before["state"], before["restarts"])
    assert "starting" == daemon.client.call("status")["status"]


def test_worker_above_its_memory_limit_is_drained_and_replaced(daemon: Daemon) -> None:
    """A worker above its memory limit is drained, and a new one starts after a delay."""
    daemon.start({"A/0": "grows"})
    until(lambda: daemon.slot("A/0")["restarts"] >= 1)
    daemon.script("A/0", "steady")

    daemon.await_state("A/0", "running")
    drains = [line for line in daemon.log() if line["event"] == "worker told to drain"]
    assert "1048576 MiB of memory exceed 1024 MiB (supervisor.worker_memory_bytes_max)" == drains[0]["reason"]


def test_worker_that_does_not_drain_is_killed_at_the_deadline(daemon: Daemon) -> None:
    """A worker that does not drain is killed at the deadline, and the exit code is 1."""
    daemon.start({"A/0": "ignores_commands", "B/0": "steady"})
    daemon.await_state("A/0", "running")

    began_s = time.monotonic()
    daemon.signal(signal.SIGTERM)

    assert 1 == daemon.wait()
    assert time.monotonic() - began_s >= 0.6
    assert ["killed by the supervisor: it did not drain within 0.6 s (supervisor.drain_max)"] == [
        line["how"] for line in daemon.log() if line["event"] == "worker exited" and line["slot"] == "A/0"
    ]


def test_second_signal_abandons_open_messages(daemon: Daemon) -> None:
    """The second signal makes workers exit without settling their open messages."""
    daemon.start({"A/0": "ignores_drain"}, drain_max_s=300.0)
    daemon.await_state("A/0", "running")

    daemon.signal(signal.SIGTERM)
    daemon.await_state("A/0", "draining")
    daemon.signal(signal.SIGTERM)

    assert 1 == daemon.wait()
    assert ["exit code 0"] == [line["how"] for line in daemon.log() if line["event"] == "worker exited"]


def test_workers_die_with_the_supervisor(daemon: Daemon) -> None:
    """After SIGKILL of the supervisor no worker remains, and a new daemon takes over the socket."""
    daemon.start({"A/0": "steady", "B/0": "ignores_commands", "C/0": "hangs"}, hang_max_s=300.0)
    pids = [daemon.await_state(name, "running")["pid"] for name in ("A/0", "B/0", "C/0")]

    daemon.signal(signal.SIGKILL)
    daemon.wait()

    until(lambda: not any(is_alive(pid) for pid in pids))
    daemon.client.close()
    daemon.start({"A/0": "steady"})
    daemon.await_state("A/0", "running")


def test_drained_slot_stays_stopped_until_restart(daemon: Daemon) -> None:
    """A drained slot is not restarted automatically, other slots run on, and `restart` starts it."""
    daemon.start({"A/0": "steady", "A/1": "steady"})
    daemon.await_state("A/0", "running")

    assert {"draining": ["A/0"]} == daemon.client.call("drain", slot="A/0")
    stopped = daemon.await_state("A/0", "stopped")
    assert (None, "running") == (stopped["pid"], daemon.await_state("A/1", "running")["state"])
    assert "degraded" == daemon.client.call("status")["status"]

    daemon.client.call("restart", slot="A/0")
    slot = daemon.await_state("A/0", "running")
    assert (0, 1) == (slot["restarts"], slot["restarts_requested"])


def test_reload_replaces_only_changed_slots(daemon: Daemon) -> None:
    """HUP replaces the workers of changed slots, starts new slots, and removes slots that are gone."""
    daemon.start({"SAME/0": "steady", "CHANGED/0": "steady", "GONE/0": "steady"})
    before = {name: daemon.await_state(name, "running")["pid"] for name in ("SAME/0", "CHANGED/0", "GONE/0")}
    daemon.script("NEW/0", "steady")
    daemon.configure({"SAME/0": "v1", "CHANGED/0": "v2", "NEW/0": "v1"})

    daemon.signal(signal.SIGHUP)

    daemon.await_state("NEW/0", "running")
    until(
        lambda: daemon.slot("CHANGED/0")["restarts_requested"] == 1 and daemon.slot("CHANGED/0")["state"] == "running"
    )
    until(lambda: [slot["name"] for slot in daemon.client.call("status")["slots"]] == ["SAME/0", "CHANGED/0", "NEW/0"])
    assert before["SAME/0"] == daemon.slot("SAME/0")["pid"]
    assert before["CHANGED/0"] != daemon.slot("CHANGED/0")["pid"]
    assert not is_alive(before["GONE/0"])


def test_invalid_configuration_changes_nothing(daemon: Daemon) -> None:
    """A reload of an invalid configuration is refused by verb and by signal, and no worker is replaced."""
    daemon.start({"A/0": "steady"})
    before = daemon.await_state("A/0", "running")["pid"]
    (daemon.folder / "desired.json").write_text("{")

    with pytest.raises(Refused, match=r"desired\.json"):
        daemon.client.call("reload")
    daemon.signal(signal.SIGHUP)

    until(lambda: any("desired.json" in line.get("error", "") for line in daemon.log()))
    assert (before, 0) == (daemon.slot("A/0")["pid"], daemon.slot("A/0")["restarts"])


def test_child_inherits_no_descriptor_of_its_parent(daemon: Daemon) -> None:
    """A worker has no descriptor of the supervisor, its own signal handling, and its own name."""
    daemon.start({"A/0": "steady", "B/0": "steady"})
    daemon.await_state("B/0", "running")

    daemon.client.call("restart", slot="A/0")  # the new worker is forked while a client is connected
    again = until(
        lambda: (slot := daemon.slot("A/0"))["restarts_requested"] == 1 and slot["state"] == "running" and slot
    )
    worker = Path(f"/proc/{again['pid']}")

    links = [os.readlink(fd).partition(":")[0] for fd in (worker / "fd").iterdir() if int(fd.name) > 2]
    assert ["/memfd", "socket"] == sorted(links)
    assert "ew:A/0" == (worker / "comm").read_text().strip()
    ignored = int(
        next(x for x in (worker / "status").read_text().splitlines() if x.startswith("SigIgn")).split()[1], 16
    )
    blocked = int(
        next(x for x in (worker / "status").read_text().splitlines() if x.startswith("SigBlk")).split()[1], 16
    )
    assert [True, True, False] == [
        bool(ignored >> (number - 1) & 1) for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)
    ]
    assert 0 == blocked


def test_second_daemon_on_the_same_socket_is_refused(daemon: Daemon) -> None:
    """The second daemon names the first one and exits with 3; the first one is not affected."""
    daemon.start({"A/0": "steady"})
    assert daemon.process is not None

    second = subprocess.run(
        [sys.executable, str(SCRIPT), str(daemon.folder)], capture_output=True, text=True, timeout=DEADLINE_S
    )

    assert 3 == second.returncode
    assert f"another eventwriter (pid {daemon.process.pid}) is using {daemon.folder}/ctl.sock" == second.stderr.strip()
    assert daemon.answers()


def test_misbehaving_clients_delay_nothing(daemon: Daemon) -> None:
    """Clients that never read, or that send incomplete lines or garbage, delay neither answers nor heartbeats."""
    daemon.start({"A/0": "steady"})
    daemon.await_state("A/0", "running")
    clients = []
    for packet in (b'{"v":1,"id":1,"verb":"status"}\n' * 2000, b'{"v":1,"id"', b"\x00\xff" * 500, b"x" * 60000):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(daemon.folder / "ctl.sock"))
        connection.setblocking(False)
        connection.send(packet)
        clients.append(connection)

    rows = daemon.slot("A/0")["rows_total"]
    until(lambda: daemon.slot("A/0")["rows_total"] > rows + 50)

    assert 0 == daemon.slot("A/0")["restarts"]
    for connection in clients:
        connection.close()
    assert daemon.answers()


def test_failed_fork_is_retried_with_backoff(daemon: Daemon) -> None:
    """If no descriptor is available for a worker, its slot backs off, and the daemon goes on."""
    import resource

    daemon.start({"A/0": "steady", "B/0": "steady"})
    assert daemon.process is not None
    first = daemon.await_state("A/0", "running")
    open_fds = len(os.listdir(f"/proc/{daemon.process.pid}/fd"))
    before = resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (open_fds - 2, before[1]))

    os.kill(first["pid"], signal.SIGKILL)
    resting = until(lambda: (s := daemon.slot("A/0"))["last_error"] and "no process" in s["last_error"] and s)
    assert "no process could be started: Too many open files" == resting["last_error"]
    assert "running" == daemon.slot("B/0")["state"]

    resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, before)
    daemon.await_state("A/0", "running")


def test_systemd_receives_state_changes(daemon: Daemon, tmp_path: Path) -> None:
    """READY is sent while workers are still starting; STATUS, WATCHDOG and STOPPING are sent too."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(DEADLINE_S)
        daemon.start(
            {"A/0": "steady", "B/0": "starts_slowly"},
            env={"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"},
        )
        early = read_until(manager, "READY=1")
        not_running = [slot["name"] for slot in daemon.client.call("status")["slots"] if slot["state"] != "running"]
        later = read_until(manager, "WATCHDOG=1") if "WATCHDOG=1" not in early else []
        daemon.signal(signal.SIGTERM)
        last = read_until(manager, "STOPPING=1")

    assert "B/0" in not_running
    assert any(line.startswith("STATUS=starting, ") for line in early + later + last)
    assert "STOPPING=1" == last[-1]
    assert 0 == daemon.wait()


@pytest.mark.parametrize("invalid", [False, True])
def test_reload_by_signal_notifies_systemd(daemon: Daemon, tmp_path: Path, invalid: bool) -> None:
    """A reload sends RELOADING with its instant and then READY, also if the configuration is invalid."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(DEADLINE_S)
        daemon.start({"A/0": "steady"}, env={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        read_until(manager, "READY=1")
        before_us = time.monotonic_ns() // 1000
        if invalid:
            (daemon.folder / "desired.json").write_text("{")
        daemon.signal(signal.SIGHUP)
        lines = read_until(manager, "READY=1")

    began = [line.split("\n") for line in lines if line.startswith("RELOADING=1\n")]
    assert 1 == len(began)
    assert 2 == len(began[0])
    assert before_us <= int(began[0][1].removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000


def read_until(manager: socket.socket, last: str) -> list[str]:
    """Return the notifications up to and including one."""
    lines: list[str] = []
    while not lines or lines[-1] != last:
        lines.append(manager.recv(4096).decode())
    return lines


def test_ctl_has_an_exit_code_for_each_health(daemon: Daemon) -> None:
    """`eventwriter-ctl` exits with 0 healthy, 1 degraded, 2 failing, 3 unreachable; `stop` waits for the end."""
    path = str(daemon.folder / "ctl.sock")

    def ctl(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*CTL, "--socket", path, *arguments], capture_output=True, text=True, timeout=DEADLINE_S)

    unreachable = ctl("status")
    daemon.start({"A/0": "steady", "B/0": "steady"}, backoff_max_s=300.0)
    until(lambda: daemon.client.call("status")["status"] == "healthy")
    healthy, as_json, pinged = ctl("status"), ctl("status", "--json"), ctl("ping")
    drained = ctl("drain", "B/0")
    daemon.await_state("B/0", "stopped")
    degraded = ctl("status")
    daemon.script("B/0", "exits")
    restarted, unknown = ctl("restart", "B/0"), ctl("restart", "X")
    daemon.await_state("B/0", "failed")
    failing = ctl("status")
    daemon.script("B/0", "steady")
    stopped = ctl("stop")

    assert [3, 0, 0, 0, 0, 1, 0, 2, 2, 0] == [
        result.returncode
        for result in (unreachable, healthy, as_json, pinged, drained, degraded, restarted, unknown, failing, stopped)
    ]
    assert f"eventwriter-ctl: no daemon is running: {path} does not exist" in unreachable.stderr
    assert "\x1b" not in healthy.stdout
    assert ["A/0", "B/0"] == [slot["name"] for slot in json.loads(as_json.stdout)["slots"]]
    assert "eventwriter-ctl: there is no slot or stream 'X'; slots are A/0, B/0\n" == unknown.stderr
    assert stopped.stdout.endswith(f"stopped (pid {json.loads(as_json.stdout)['pid']})\n")
    assert 0 == daemon.wait()
