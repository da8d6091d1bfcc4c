"""What `eventwriter-ctl` prints and ends with, against a real supervisor whose workers follow scripts."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fix_scripted_daemon import CTL, DEADLINE_S, Daemon, until

Ctl = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def scripted(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon with two workers that run."""
    made = Daemon(tmp_path)
    made.start({"A/0": "steady", "B/0": "steady"}, backoff_s_max=300.0)
    until(lambda: made.client.call("status")["status"] == "healthy")
    yield made
    made.close()


@pytest.fixture
def ctl(tmp_path: Path) -> Ctl:
    """Run `eventwriter-ctl` for that daemon."""

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        line = [*CTL, "--socket", str(tmp_path / "ctl.sock"), *arguments]
        return subprocess.run(line, capture_output=True, text=True, timeout=DEADLINE_S)

    return run


def test_check_takes_a_warning_for_well_where_only_critical_counts(scripted: Daemon, ctl: Ctl) -> None:
    """With --only-critical a slot that rests is still told of as a warning, and the exit code is 0 instead of 1."""
    ctl("drain", "B/0", "--wait")
    plain, lenient = ctl("check"), ctl("check", "--only-critical")

    assert (1, 0) == (plain.returncode, lenient.returncode)
    assert lenient.stdout.startswith("EVENTWRITER WARNING - degraded: B/0: drained by an operator")


def test_check_fails_with_1_where_only_critical_counts(scripted: Daemon, ctl: Ctl) -> None:
    """With --only-critical a failing daemon and one that does not answer end with 1, instead of 2 and 3."""
    scripted.script("B/0", "loses")
    ctl("restart", "B/0")
    scripted.await_state("B/0", "failed")
    failing = [ctl("check"), ctl("check", "--only-critical")]
    ctl("stop")
    away = [ctl("check"), ctl("check", "--only-critical")]

    assert [2, 1, 3, 1] == [done.returncode for done in (*failing, *away)]
    assert failing[1].stdout.startswith("EVENTWRITER CRITICAL - ")
    assert away[1].stdout.startswith("EVENTWRITER UNKNOWN - ")
