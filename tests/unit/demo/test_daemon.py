"""Environment, configuration and helpers of the demo's daemon."""

import os
import random
from pathlib import Path

import pytest

from eventwriter.config.load import load
from eventwriter.demo.daemon import control_socket, entries, exited, kill_one, own_environment
from eventwriter.demo.traffic import TRAFFIC
from eventwriter.kinds.registry import KINDS


def test_own_environment_drops_foreign_settings() -> None:
    """Variables that select other servers for the daemon or libpq are dropped; all others are kept."""
    others = {"EVENT_WRITER_NATS_URL": "x", "CNPG_HOST": "x", "PGHOST": "x", "CONFIG_PATH": "x", "NOTIFY_SOCKET": "x"}
    kept = {"PATH": "/bin", "PG_BINDIR": "/opt/pg/bin", "TMPDIR": "/tmp"}

    assert kept == own_environment({**others, **kept})


def test_socket_is_in_the_folder() -> None:
    """The control socket is placed in the data folder."""
    assert "/tmp/x/control.sock" == control_socket(Path("/tmp/x"))


def test_socket_of_a_long_path_is_in_the_temporary_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the path of the folder is too long for a socket, the socket is placed in the temporary folder."""
    monkeypatch.setattr("tempfile.tempdir", "/tmp")

    assert f"/tmp/eventwriter-demo-{os.getpid()}.sock" == control_socket(Path("/" + "x" * 100))


def test_entries_are_a_valid_configuration(tmp_path: Path) -> None:
    """The entries of all kinds together are a valid configuration without warnings."""
    import json

    kinds = [kind for kind in TRAFFIC if kind in KINDS]
    path = tmp_path / "c.json"
    path.write_text(json.dumps({"enabled": True, "streams": entries(kinds)}))

    loaded = load(str(path), {})

    assert [kind.upper() if kind != "json" else "READINGS" for kind in kinds] == [
        s.name for s in loaded.settings.streams
    ]
    assert [] == list(loaded.warnings)


def test_kill_one_without_running_worker_returns_none() -> None:
    """No worker is killed if none is running, or if it has already exited."""
    rng = random.Random(1)

    assert kill_one({"slots": [{"name": "A/0", "pid": None}]}, rng) is None
    assert kill_one({"slots": [{"name": "A/0", "pid": 2**22 + 1}]}, rng) is None


def test_exited_process_error_quotes_the_last_log_line(tmp_path: Path) -> None:
    """The error for a process that exited quotes the last line of its log."""
    log = tmp_path / "log"
    log.write_text("first\nno such table\n\n")

    assert "the daemon exited with code 2; its last log line is: no such table" == str(exited("daemon", 2, log))
