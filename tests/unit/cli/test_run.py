"""`eventwriter run` before it forks."""

import os
import threading
from pathlib import Path

import pytest

from eventwriter.cli.main import cli, run_command
from eventwriter.cli.run import share_memory
from eventwriter.control.socket_lock import acquire
from eventwriter.errors import Fatal


@pytest.fixture(autouse=True)
def quiet_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the machine reaches the tests."""
    for name in list(os.environ):
        if name.startswith(("EVENT_WRITER_", "CNPG_", "NATS_")) or name == "CONFIG_PATH":
            monkeypatch.delenv(name)
    monkeypatch.setenv("EVENT_WRITER_CONTROL_SOCKET", str(tmp_path / "s"))
    monkeypatch.setenv("CNPG_HOST", "localhost")


def test_writer_that_is_not_enabled_says_so_and_ends(capsys: pytest.CaptureFixture[str]) -> None:
    """Without EVENT_WRITER_ENABLED the daemon ends with 0 and one sentence."""
    assert 0 == run_command(cli, ["run"], "eventwriter")

    said = capsys.readouterr().err
    assert 1 == said.count("\n")
    assert "set EVENT_WRITER_ENABLED=true" in said


def test_second_instance_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A socket in use ends with 3 and one sentence that names the other daemon."""
    monkeypatch.setenv("EVENT_WRITER_ENABLED", "true")
    first = acquire(str(tmp_path / "s"), 0o660, None)

    code = run_command(cli, ["run"], "eventwriter")
    first.release()

    assert 3 == code
    assert f"eventwriter: another eventwriter (pid {os.getpid()}) is using {tmp_path}/s" in capsys.readouterr().err


def test_thread_in_the_parent_forbids_forking() -> None:
    """A parent with a second thread refuses to fork and names the thread."""
    release = threading.Event()
    thread = threading.Thread(target=release.wait, name="stray")
    thread.start()

    try:
        with pytest.raises(Fatal, match="stray"):
            share_memory()
    finally:
        release.set()
        thread.join()
