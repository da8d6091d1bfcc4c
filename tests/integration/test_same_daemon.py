"""Commands beside a running daemon with other servers: they warn that their settings are not the daemon's."""

import json
import subprocess
import tarfile
from pathlib import Path

import pytest
from fix_run import command
from fix_shared_stream import SharedStream

ELSEWHERE = {"EVENT_WRITER_NATS_URL": "nats://127.0.0.1:1", "EVENT_WRITER_POSTGRES_DSN": "postgresql://127.0.0.1:1/x"}
BEGINNING = "these are not the settings of the running daemon (its NATS "


def run_with_other_servers(shared: SharedStream, line: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command with the daemon's socket and the addresses of unreachable servers."""
    if line == "doctor":  # its only way to a socket is the settings
        environ = {**ELSEWHERE, "EVENT_WRITER_CONTROL_SOCKET": shared.run.socket}
        return command("eventwriter", "doctor", *arguments, environ=environ)
    return command("eventwriter-ctl", "--socket", shared.run.socket, *line.split(), *arguments, environ=ELSEWHERE)


@pytest.mark.parametrize("line", ["verify", "dlq list", "doctor"])
def test_other_servers_than_the_daemons_are_one_warning(shared: SharedStream, line: str) -> None:
    """A command whose servers are not the daemon's prints one warning that names the daemon's servers."""
    shared.run_until_written()

    said = [
        text
        for text in run_with_other_servers(shared, line).stderr.splitlines()
        if "settings of the running daemon" in text
    ]

    assert 1 == len(said)
    assert said[0].startswith(f"warning: {BEGINNING}{shared.nats_url}, its PostgreSQL ")
    assert said[0].endswith("give --config and use the daemon's environment")


@pytest.mark.parametrize("line", ["verify", "dlq list", "doctor"])
def test_no_warning_without_a_running_daemon(shared: SharedStream, line: str) -> None:
    """Without a running daemon there is no warning."""
    shared.run_until_written()
    shared.run.stop()

    assert "running daemon" not in run_with_other_servers(shared, line).stderr


@pytest.mark.parametrize("line", [["verify"], ["dlq", "list"]])
def test_no_warning_with_the_daemons_configuration(shared: SharedStream, line: list[str]) -> None:
    """With the daemon's configuration file nothing is printed on stderr."""
    shared.run_until_written()

    done = command("eventwriter-ctl", "--config", str(shared.run.config), *line)

    assert (0, "") == (done.returncode, done.stderr)


def test_support_bundle_marks_findings_of_other_servers(shared: SharedStream, tmp_path: Path) -> None:
    """The doctor part of the bundle is not `ok`, its first finding is the warning, and the exit code is 1."""
    file, log = tmp_path / "bundle.tgz", tmp_path / "another.log"
    log.write_text("a line\n")
    shared.run_until_written()

    done = run_with_other_servers(shared, "support-dump", str(file), "--log", str(log))

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


def test_empty_log_makes_the_support_bundle_incomplete(shared: SharedStream, tmp_path: Path) -> None:
    """An empty log is reported, and the exit code is 1."""
    log = tmp_path / "another.log"
    log.write_text("\n")
    shared.run_until_written()
    arguments = ["--config", str(shared.run.config), "support-dump", str(tmp_path / "bundle.tgz"), "--log", str(log)]

    done = command("eventwriter-ctl", *arguments)

    assert 1 == done.returncode
    assert "is empty; give the log file of the daemon with --log FILE" in " ".join(done.stdout.split())
