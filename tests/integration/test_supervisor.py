"""The supervisor with real forks: workers follow scripts, operators and signals are real."""

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
from eventwriter.supervisor.backoff import PARDONS_MAX


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon that is not started yet."""
    made = Daemon(tmp_path)
    yield made
    made.close()


def is_alive(pid: int) -> bool:
    """Say whether a process runs; one that is only unburied does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_drains_and_exits_with_zero(daemon: Daemon, number: signal.Signals) -> None:
    """TERM and INT drain every worker; the daemon leaves nothing behind."""
    daemon.start({"A/0": "steady", "A/1": "steady"})
    pids = [daemon.await_state(name, "running")["pid"] for name in ("A/0", "A/1")]

    daemon.signal(number)

    assert 0 == daemon.wait()
    assert [False, False] == [is_alive(pid) for pid in pids]
    assert ["exit code 0"] * 2 == [line["how"] for line in daemon.log() if line["event"] == "worker exited"]
    assert not (daemon.folder / "ctl.sock").exists()
    assert not (daemon.folder / "ctl.sock.lock").exists()


def test_interrupt_of_the_whole_group_drains_too(daemon: Daemon) -> None:
    """A terminal's ^C, which every process gets, is the supervisor's to answer."""
    daemon.start({"A/0": "steady"})
    worker = daemon.await_state("A/0", "running")["pid"]

    os.kill(worker, signal.SIGINT)
    os.kill(worker, signal.SIGHUP)
    daemon.signal(signal.SIGINT)

    assert 0 == daemon.wait()
    assert ["exit code 0"] == [line["how"] for line in daemon.log() if line["event"] == "worker exited"]


def test_killed_worker_is_replaced_and_its_rows_still_count(daemon: Daemon) -> None:
    """A worker killed from outside is restarted; the slot's totals go on."""
    daemon.start({"A/0": "steady"})
    before = until(lambda: (slot := daemon.slot("A/0"))["rows_total"] >= 30 and slot)

    os.kill(before["pid"], signal.SIGKILL)
    after = until(lambda: (slot := daemon.slot("A/0"))["restarts"] == 1 and slot["state"] == "running" and slot)

    assert after["pid"] != before["pid"]
    assert after["rows_total"] > before["rows_total"]
    assert "killed by SIGKILL; the kernel's out-of-memory killer is the usual cause" == after["last_error"]


@pytest.mark.parametrize(
    ("script", "words"),
    [("loses", "exit code 3"), ("crashes", "exit code 70 (an unforeseen exception; see the log)")],
)
def test_crash_loop_fails_alone_and_restart_mends_it(daemon: Daemon, script: str, words: str) -> None:
    """A slot that crashes too often fails while others run on; `restart` starts it at once, and it may run again."""
    daemon.start({"BAD/0": script, "GOOD/0": "steady"}, backoff_max_s=300.0)

    failed = daemon.await_state("BAD/0", "failed")
    good = daemon.slot("GOOD/0")
    picture = daemon.client.call("status")

    assert (3, words) == (failed["restarts"], failed["last_error"])
    assert ("running", 0) == (good["state"], good["restarts"])
    assert "failing" == picture["status"]

    daemon.script("BAD/0", "steady")
    daemon.client.call("restart", slot="BAD/0")
    daemon.await_state("BAD/0", "running")
    assert "healthy" == until(lambda: (p := daemon.client.call("status"))["status"] == "healthy" and p)["status"]


def test_deaths_of_suspects_are_pardoned_until_nothing_lives(daemon: Daemon) -> None:
    """Quarantine's deaths do not make a slot fail; where not one message lives in between, they do in the end."""
    daemon.start({"BAD/0": "dies_of_suspects"}, backoff_max_s=300.0)

    failed = daemon.await_state("BAD/0", "failed")

    exits = [line["event"] for line in daemon.log() if "how" in line]
    pardoned = "worker died decoding what quarantine suspects; it goes on narrowing down"
    # Twenty equal lines within a second: the first are written, the others counted.
    assert BURST * [pardoned] == exits[:BURST]
    assert [*3 * ["worker exited unasked"], "worker exits too often"] == [one for one in exits if one != pardoned]
    assert PARDONS_MAX + 3 == failed["restarts"]


def test_failed_slot_is_tried_again_by_itself(daemon: Daemon) -> None:
    """A failed slot starts again at the longest backoff, fails again at once, and recovers when its cause is gone."""
    daemon.start({"BAD/0": "loses"}, backoff_max_s=0.1)

    until(lambda: daemon.slot("BAD/0")["restarts"] >= 6)
    daemon.script("BAD/0", "steady")

    assert daemon.await_state("BAD/0", "running")["restarts"] >= 6
    exits = [line["event"] for line in daemon.log() if "how" in line]
    assert 3 * ["worker exited unasked"] == exits[:3]
    assert {"worker exits too often"} == set(exits[3:])


def test_slot_that_ran_for_a_whole_window_is_forgiven(daemon: Daemon) -> None:
    """After a window without exits a slot that had failed is restarted soon, like any other."""
    daemon.start({"A/0": "loses"}, crash_loop_window_s=0.5, crash_loop_exits_max=3, backoff_max_s=0.1)
    daemon.await_state("A/0", "failed")
    daemon.script("A/0", "steady")
    steady = until(lambda: (s := daemon.slot("A/0"))["state"] == "running" and s["uptime_s"] > 0.7 and s)
    before = len(daemon.log())

    os.kill(steady["pid"], signal.SIGKILL)
    until(lambda: daemon.slot("A/0")["restarts"] > steady["restarts"])

    assert ["worker exited unasked"] == [line["event"] for line in daemon.log()[before:] if "how" in line]


def test_hung_worker_shows_its_stacks_and_is_replaced(daemon: Daemon) -> None:
    """A blocked worker's stacks are in the log before it is killed and replaced."""
    daemon.start({"A/0": "hangs"})
    first = daemon.await_state("A/0", "running")

    daemon.script("A/0", "steady")
    after = until(lambda: (slot := daemon.slot("A/0"))["restarts"] == 1 and slot["state"] == "running" and slot)

    assert "killed: no heartbeat for 0.5 s since its last heartbeat (supervisor.hang_max)" == after["last_error"]
    assert after["rows_total"] >= 7
    text = (daemon.folder / "log").read_text()
    assert ", in hangs" not in text.split("worker is asked for its stacks")[0]
    assert "in hangs" in text.split("worker is asked for its stacks")[1].split("worker is killed")[0]
    assert not is_alive(first["pid"])


def test_worker_that_never_speaks_is_replaced(daemon: Daemon) -> None:
    """A worker that computes for ever from its first moment is killed at the start's limit."""
    daemon.start({"A/0": "never_speaks"})

    resting = until(lambda: (slot := daemon.slot("A/0"))["last_error"] and slot)

    assert "killed: no heartbeat for 0.7 s since its start (supervisor.start_max)" == resting["last_error"]
    assert "in never_speaks" in (daemon.folder / "log").read_text()


def test_slow_start_is_no_hang(daemon: Daemon) -> None:
    """A worker that waits for its servers beyond the start's limit, speaking, is left alone."""
    daemon.start({"A/0": "starts_slowly"})
    before = until(lambda: (slot := daemon.slot("A/0"))["pid"] and (slot["uptime_s"] or 0) > 1.0 and slot)

    assert ("starting", 0) == (before["state"], before["restarts"])
    assert "starting" == daemon.client.call("status")["status"]


def test_worker_above_its_memory_is_drained_and_replaced(daemon: Daemon) -> None:
    """Too much memory drains the worker, cleanly, and a new one follows after a rest."""
    daemon.start({"A/0": "grows"})
    until(lambda: daemon.slot("A/0")["restarts"] >= 1)
    daemon.script("A/0", "steady")

    daemon.await_state("A/0", "running")
    told = [line for line in daemon.log() if line["event"] == "worker is told to drain"]
    assert "1048576 MiB of memory is above 1024 MiB (supervisor.worker_memory_bytes_max)" == told[0]["reason"]


def test_drain_has_a_deadline(daemon: Daemon) -> None:
    """A worker that does not drain is killed at the deadline, and the exit code says so."""
    daemon.start({"A/0": "stubborn", "B/0": "steady"})
    daemon.await_state("A/0", "running")

    began_s = time.monotonic()
    daemon.signal(signal.SIGTERM)

    assert 1 == daemon.wait()
    assert time.monotonic() - began_s >= 0.6
    assert ["killed: not drained within 0.6 s (supervisor.drain_max)"] == [
        line["how"] for line in daemon.log() if line["event"] == "worker exited" and line["slot"] == "A/0"
    ]


def test_second_signal_is_quick(daemon: Daemon) -> None:
    """The second signal does not wait for open work."""
    daemon.start({"A/0": "abandons"}, drain_max_s=300.0)
    daemon.await_state("A/0", "running")

    daemon.signal(signal.SIGTERM)
    daemon.await_state("A/0", "draining")
    daemon.signal(signal.SIGTERM)

    assert 1 == daemon.wait()
    assert ["exit code 0"] == [line["how"] for line in daemon.log() if line["event"] == "worker exited"]


def test_workers_die_with_their_parent(daemon: Daemon) -> None:
    """After SIGKILL of the supervisor no worker is left, and a new daemon takes over socket and work."""
    daemon.start({"A/0": "steady", "B/0": "stubborn", "C/0": "hangs"}, hang_max_s=300.0)
    pids = [daemon.await_state(name, "running")["pid"] for name in ("A/0", "B/0", "C/0")]

    daemon.signal(signal.SIGKILL)
    daemon.wait()

    until(lambda: not any(is_alive(pid) for pid in pids))
    daemon.client.close()
    daemon.start({"A/0": "steady"})
    daemon.await_state("A/0", "running")


def test_drained_slot_stays_stopped_until_restart(daemon: Daemon) -> None:
    """A drained slot is not started again by itself; its neighbours run on; `restart` starts it."""
    daemon.start({"A/0": "steady", "A/1": "steady"})
    daemon.await_state("A/0", "running")

    assert {"draining": ["A/0"]} == daemon.client.call("drain", slot="A/0")
    stopped = daemon.await_state("A/0", "stopped")
    assert (None, "running") == (stopped["pid"], daemon.await_state("A/1", "running")["state"])
    assert "degraded" == daemon.client.call("status")["status"]

    daemon.client.call("restart", slot="A/0")
    assert 1 == daemon.await_state("A/0", "running")["restarts"]


def test_reload_replaces_only_what_changed(daemon: Daemon) -> None:
    """After HUP: changed slots have new workers, new ones started, removed ones gone, others kept theirs."""
    daemon.start({"SAME/0": "steady", "CHANGED/0": "steady", "GONE/0": "steady"})
    before = {name: daemon.await_state(name, "running")["pid"] for name in ("SAME/0", "CHANGED/0", "GONE/0")}
    daemon.script("NEW/0", "steady")
    daemon.configure({"SAME/0": "v1", "CHANGED/0": "v2", "NEW/0": "v1"})

    daemon.signal(signal.SIGHUP)

    daemon.await_state("NEW/0", "running")
    until(lambda: daemon.slot("CHANGED/0")["restarts"] == 1 and daemon.slot("CHANGED/0")["state"] == "running")
    until(lambda: [slot["name"] for slot in daemon.client.call("status")["slots"]] == ["SAME/0", "CHANGED/0", "NEW/0"])
    assert before["SAME/0"] == daemon.slot("SAME/0")["pid"]
    assert before["CHANGED/0"] != daemon.slot("CHANGED/0")["pid"]
    assert not is_alive(before["GONE/0"])


def test_broken_configuration_changes_nothing(daemon: Daemon) -> None:
    """A reload that cannot be read says why, by verb and by signal, and every worker lives on."""
    daemon.start({"A/0": "steady"})
    before = daemon.await_state("A/0", "running")["pid"]
    (daemon.folder / "fleet.json").write_text("{")

    with pytest.raises(Refused, match=r"fleet\.json"):
        daemon.client.call("reload")
    daemon.signal(signal.SIGHUP)

    until(lambda: any("fleet.json" in line.get("mistake", "") for line in daemon.log()))
    assert (before, 0) == (daemon.slot("A/0")["pid"], daemon.slot("A/0")["restarts"])


def test_child_inherits_nothing_of_its_parents(daemon: Daemon) -> None:
    """A worker has no descriptor of the supervisor's, its own signal handling, and its own name."""
    daemon.start({"A/0": "steady", "B/0": "steady"})
    daemon.await_state("B/0", "running")

    daemon.client.call("restart", slot="A/0")  # so that it is forked while a client is connected
    again = until(lambda: (slot := daemon.slot("A/0"))["restarts"] == 1 and slot["state"] == "running" and slot)
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
    """The second one says who is there and exits with 3; the first one does not notice."""
    daemon.start({"A/0": "steady"})
    assert daemon.process is not None

    second = subprocess.run(
        [sys.executable, str(SCRIPT), str(daemon.folder)], capture_output=True, text=True, timeout=DEADLINE_S
    )

    assert 3 == second.returncode
    assert (
        f"another eventwriter (pid {daemon.process.pid}) answers on {daemon.folder}/ctl.sock" == second.stderr.strip()
    )
    assert daemon.answers()


def test_rude_clients_disturb_nobody(daemon: Daemon) -> None:
    """Clients that never read, send half a line, or garbage hold up neither answers nor heartbeats."""
    daemon.start({"A/0": "steady"})
    daemon.await_state("A/0", "running")
    rude = []
    for said in (b'{"v":1,"id":1,"verb":"status"}\n' * 2000, b'{"v":1,"id"', b"\x00\xff" * 500, b"x" * 60000):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(daemon.folder / "ctl.sock"))
        connection.setblocking(False)
        connection.send(said)
        rude.append(connection)

    rows = daemon.slot("A/0")["rows_total"]
    until(lambda: daemon.slot("A/0")["rows_total"] > rows + 50)

    assert 0 == daemon.slot("A/0")["restarts"]
    for connection in rude:
        connection.close()
    assert daemon.answers()


def test_fork_that_fails_is_backed_off_and_survived(daemon: Daemon) -> None:
    """Where no descriptor is to be had for a worker, the slot rests and the daemon answers on."""
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


def test_systemd_is_told(daemon: Daemon, tmp_path: Path) -> None:
    """READY comes when every worker runs, not before; STATUS, WATCHDOG and STOPPING come in their time."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(DEADLINE_S)
        daemon.start(
            {"A/0": "steady", "B/0": "starts_slowly"},
            env={"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"},
        )
        daemon.await_state("A/0", "running")
        early = said_until(manager, "WATCHDOG=1")
        daemon.script("B/0", "steady")
        daemon.client.call("restart", slot="B/0")
        later = said_until(manager, "READY=1")
        daemon.signal(signal.SIGTERM)
        last = said_until(manager, "STOPPING=1")

    assert "READY=1" not in early
    assert any(line.startswith("STATUS=starting, ") for line in early + later)
    assert "STOPPING=1" == last[-1]
    assert 0 == daemon.wait()


@pytest.mark.parametrize("broken", [False, True])
def test_reload_by_signal_is_told_to_its_end(daemon: Daemon, tmp_path: Path, broken: bool) -> None:
    """A reload begins with RELOADING and its instant, and ends with READY, also where nothing could be changed."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(DEADLINE_S)
        daemon.start({"A/0": "steady"}, env={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        said_until(manager, "READY=1")
        before_us = time.monotonic_ns() // 1000
        if broken:
            (daemon.folder / "fleet.json").write_text("{")
        daemon.signal(signal.SIGHUP)
        said = said_until(manager, "READY=1")

    began = [line.split("\n") for line in said if line.startswith("RELOADING=1\n")]
    assert 1 == len(began)
    assert 2 == len(began[0])
    assert before_us <= int(began[0][1].removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000


def said_until(manager: socket.socket, wanted: str) -> list[str]:
    """Return what systemd was told, up to and with one line."""
    said: list[str] = []
    while not said or said[-1] != wanted:
        said.append(manager.recv(4096).decode())
    return said


def test_ctl_has_an_exit_code_for_each_health(daemon: Daemon) -> None:
    """`eventwriter-ctl`: 0 healthy, 1 degraded, 2 failing, 3 unreachable; `stop` waits for the end."""
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
    daemon.script("B/0", "loses")
    restarted, mistaken = ctl("restart", "B/0"), ctl("restart", "X")
    daemon.await_state("B/0", "failed")
    failing = ctl("status")
    daemon.script("B/0", "steady")
    stopped = ctl("stop")

    assert [3, 0, 0, 0, 0, 1, 0, 2, 2, 0] == [
        result.returncode
        for result in (unreachable, healthy, as_json, pinged, drained, degraded, restarted, mistaken, failing, stopped)
    ]
    assert f"eventwriter-ctl: no daemon is running here: {path} does not exist" in unreachable.stderr
    assert "\x1b" not in healthy.stdout
    assert ["A/0", "B/0"] == [slot["name"] for slot in json.loads(as_json.stdout)["slots"]]
    assert "eventwriter-ctl: no slot or stream is called 'X'; slots are A/0, B/0\n" == mistaken.stderr
    assert stopped.stdout.endswith(f"stopped (pid {json.loads(as_json.stdout)['pid']})\n")
    assert 0 == daemon.wait()
