"""Commands in a plain shell, beside a running daemon whose servers are elsewhere: they say that they ask others."""

import json
import subprocess
import tarfile
from pathlib import Path

import pytest
from fix_books import Shared
from fix_run import command

ELSEWHERE = {"EVENT_WRITER_NATS_URL": "nats://127.0.0.1:1", "EVENT_WRITER_POSTGRES_DSN": "postgresql://127.0.0.1:1/x"}
BEGINNING = "these are not the settings of the running daemon (its NATS "


def asked(shared: Shared, line: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command with the daemon's socket, and servers where nobody is."""
    if line == "doctor":  # its only way to a socket is the settings
        environ = {**ELSEWHERE, "EVENT_WRITER_CONTROL_SOCKET": shared.run.socket}
        return command("eventwriter", "doctor", *arguments, environ=environ)
    return command("eventwriter-ctl", "--socket", shared.run.socket, *line.split(), *arguments, environ=ELSEWHERE)


@pytest.mark.parametrize("line", ["verify", "dlq list", "doctor"])
def test_servers_that_are_not_the_daemon_s_are_said_once(shared: Shared, line: str) -> None:
    """Beside a daemon of other servers the command says whose it asks not, in one line of stderr that names those."""
    shared.written()

    said = [text for text in asked(shared, line).stderr.splitlines() if "settings of the running daemon" in text]

    assert 1 == len(said)
    assert said[0].startswith(f"warning: {BEGINNING}{shared.nats_url}, its PostgreSQL ")
    assert said[0].endswith("give --config and use the daemon's environment")


@pytest.mark.parametrize("line", ["verify", "dlq list", "doctor"])
def test_nothing_is_said_where_no_daemon_answers(shared: Shared, line: str) -> None:
    """Without a running daemon there is nothing to differ from."""
    shared.written()
    shared.run.stop()

    assert "running daemon" not in asked(shared, line).stderr


@pytest.mark.parametrize("line", [["verify"], ["dlq", "list"]])
def test_nothing_is_said_of_the_daemon_s_own_configuration(shared: Shared, line: list[str]) -> None:
    """With the daemon's file the command has its settings, and says nothing on stderr."""
    shared.written()

    done = command("eventwriter-ctl", "--config", str(shared.run.config), *line)

    assert (0, "") == (done.returncode, done.stderr)


def test_support_bundle_marks_findings_of_other_servers(shared: Shared, tmp_path: Path) -> None:
    """The bundle's doctor part is not `ok` but the sentence, which is its first finding too; exit code 1."""
    file, log = tmp_path / "bundle.tgz", tmp_path / "another.log"
    log.write_text("a line\n")
    shared.written()

    done = asked(shared, "support-dump", str(file), "--log", str(log))

    parts = dict(
        part.split(None, 1) for part in done.stdout.splitlines() if part.split()[0].endswith((".json", ".txt"))
    )
    assert 1 == done.returncode
    assert ["config.json", "log.txt", "positions.json", "stacks.txt", "status.json", "versions.txt"] == sorted(
        name for name, state in parts.items() if state.strip() == "ok"
    )
    with tarfile.open(file) as tar:
        (name,) = [name for name in tar.getnames() if name.endswith("doctor.json")]
        member = tar.extractfile(name)
        assert member is not None
        first = json.load(member)[0]
    assert ("daemon", "warn") == (first["check"], first["status"])
    assert first["message"].startswith(f"{BEGINNING}{shared.nats_url}, ")


def test_empty_log_in_the_support_bundle_is_a_problem(shared: Shared, tmp_path: Path) -> None:
    """A log without a line is said to be empty, and the bundle is incomplete."""
    log = tmp_path / "another.log"
    log.write_text("\n")
    shared.written()
    arguments = ["--config", str(shared.run.config), "support-dump", str(tmp_path / "bundle.tgz"), "--log", str(log)]

    done = command("eventwriter-ctl", *arguments)

    assert 1 == done.returncode
    assert "is empty; give the log file of the daemon with --log FILE" in " ".join(done.stdout.split())
