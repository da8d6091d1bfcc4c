"""Output and exit codes of `eventwriter-ctl` with a real supervisor and scripted workers."""

import json
import os
import pty
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fix_scripted_daemon import CTL, DEADLINE_S, Daemon, until

Ctl = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def scripted(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon with two running workers."""
    made = Daemon(tmp_path)
    made.start({"A/0": "steady", "B/0": "steady"}, backoff_max_s=300.0)
    until(lambda: made.client.call("status")["status"] == "healthy")
    yield made
    made.close()


@pytest.fixture
def ctl(tmp_path: Path) -> Ctl:
    """A function that runs `eventwriter-ctl` for this daemon."""

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        line = [*CTL, "--socket", str(tmp_path / "ctl.sock"), *arguments]
        return subprocess.run(line, capture_output=True, text=True, timeout=DEADLINE_S)

    return run


def test_check_only_critical_exits_with_0_on_a_warning(scripted: Daemon, ctl: Ctl) -> None:
    """With --only-critical a degraded slot is reported as a warning, but the exit code is 0."""
    ctl("drain", "B/0", "--wait")
    plain, lenient = ctl("check"), ctl("check", "--only-critical")

    assert (1, 0) == (plain.returncode, lenient.returncode)
    assert lenient.stdout.startswith("EVENTWRITER WARNING - degraded: B/0: drained by an operator")


def test_check_only_critical_exits_with_1_on_a_failure(scripted: Daemon, ctl: Ctl) -> None:
    """With --only-critical a failing or unreachable daemon has exit code 1 instead of 2 or 3."""
    scripted.script("B/0", "exits")
    ctl("restart", "B/0")
    scripted.await_state("B/0", "failed")
    failing = [ctl("check"), ctl("check", "--only-critical")]
    ctl("stop")
    away = [ctl("check"), ctl("check", "--only-critical")]

    assert [2, 1, 3, 1] == [done.returncode for done in (*failing, *away)]
    assert failing[1].stdout.startswith("EVENTWRITER CRITICAL - ")
    assert away[1].stdout.startswith("EVENTWRITER UNKNOWN - ")


ACTS = [
    pytest.param(("drain", "B/0", "--wait"), "draining", ["B/0"], id="drain"),
    pytest.param(("restart", "all", "--wait"), "restarting", ["A/0", "B/0"], id="restart"),
]


@pytest.mark.parametrize(("arguments", "key", "names"), ACTS)
def test_json_with_wait_is_one_object(
    scripted: Daemon, ctl: Ctl, arguments: tuple[str, ...], key: str, names: list[str]
) -> None:
    """With --json --wait stdout is one object with the answer and `done`; progress is on stderr."""
    done = ctl(*arguments, "--json")
    reply = json.loads(done.stdout)

    assert (0, names, True) == (done.returncode, reply[key], reply["done"])
    assert 0 <= reply["seconds"] < DEADLINE_S
    assert done.stderr.splitlines()[-1].startswith("done after ")


def test_json_of_an_expired_wait_is_not_done(scripted: Daemon, ctl: Ctl) -> None:
    """If the wait expires, the object has `done: false`, and the exit code is 1."""
    done = ctl("pause", "A/0", "--wait", "0.3", "--json")  # these workers know no pause
    reply = json.loads(done.stdout)

    assert (1, ["A/0"], False) == (done.returncode, reply["pausing"], reply["done"])
    assert 0.3 <= reply["seconds"]


def test_json_of_a_reload_with_a_wait_is_one_object(scripted: Daemon, ctl: Ctl) -> None:
    """A reload with --wait prints only one object on stdout."""
    scripted.configure({"A/0": "v1", "B/0": "v2"}, backoff_max_s=300.0)
    done = ctl("reload", "--wait", "--json")
    reply = json.loads(done.stdout)

    assert (0, ["B/0"], True) == (done.returncode, reply["replaced"], reply["done"])


def test_json_without_wait_is_the_answer_of_the_daemon(scripted: Daemon, ctl: Ctl) -> None:
    """Without --wait the object is the daemon's answer alone."""
    assert scripted.process is not None
    levels, pinged = ctl("log-level", "debug", "A", "--json"), ctl("ping", "--json")
    paused, resumed = ctl("pause", "A", "--json"), ctl("resume", "A", "--json")

    assert {"level": "debug", "slots": ["A/0"], "supervisor": False} == json.loads(levels.stdout)
    assert scripted.process.pid == json.loads(pinged.stdout)["pid"]
    assert [{"pausing": ["A/0"]}, {"resuming": ["A/0"]}] == [json.loads(one.stdout) for one in (paused, resumed)]


def test_json_of_a_stop_is_one_object(scripted: Daemon, ctl: Ctl) -> None:
    """A stop prints one object after the daemon has exited."""
    assert scripted.process is not None
    done = ctl("stop", "--json")
    reply = json.loads(done.stdout)

    assert (0, scripted.process.pid, True) == (done.returncode, reply["pid"], reply["done"])


def test_drain_requires_an_argument(scripted: Daemon, ctl: Ctl) -> None:
    """Without an argument `drain` drains nothing."""
    done = ctl("drain")

    assert 2 == done.returncode
    assert "Missing argument 'SLOT|STREAM|all'" in done.stderr
    assert ["running", "running"] == [slot["state"] for slot in scripted.client.call("status")["slots"]]


def test_top_handles_two_keys_at_once(scripted: Daemon) -> None:
    """Both of two keys typed at once are handled: `lq` ends the display before the next refresh."""
    line = [*CTL, "--socket", str(scripted.folder / "ctl.sock"), "top", "--interval", "60"]
    person, program = pty.openpty()
    with subprocess.Popen(
        line, stdin=program, stdout=program, stderr=program, env={**os.environ, "TERM": "xterm"}
    ) as top:
        os.close(program)
        shown = b""
        while b"A/0" not in shown:
            shown += os.read(person, 65536)
        os.write(person, b"lq")
        try:
            ended = top.wait(DEADLINE_S)
        finally:
            top.kill()
    os.close(person)

    assert 0 == ended


@pytest.mark.parametrize("arguments", [("stat", "--interval", "0.2"), ("lag", "--watch", "0.5")], ids=["stat", "lag"])
def test_watching_command_waits_for_a_restarted_daemon(scripted: Daemon, arguments: tuple[str, ...]) -> None:
    """`stat` and `lag --watch` report once that the daemon is unreachable, and continue when it answers."""
    line = [*CTL, "--socket", str(scripted.folder / "ctl.sock"), *arguments, "--json"]
    shown = scripted.folder / "shown"
    with shown.open("wb") as out, subprocess.Popen(line, stdout=out, stderr=subprocess.PIPE, text=True) as watcher:
        assert watcher.stderr is not None
        until(lambda: shown.stat().st_size)
        scripted.client.call("stop")
        scripted.wait()
        said, before = watcher.stderr.readline(), shown.stat().st_size
        scripted.start({"A/0": "steady", "B/0": "steady"})
        until(lambda: shown.stat().st_size > before)
        watcher.send_signal(signal.SIGINT)
        more, code = watcher.stderr.read(), watcher.wait(DEADLINE_S)

    assert (0, "") == (code, more)
    assert said.endswith("; waiting\n")
