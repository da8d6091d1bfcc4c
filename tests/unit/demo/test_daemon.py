"""What the demo starts its daemon with."""

import os
import random
from pathlib import Path

import pytest

from eventwriter.config.load import load
from eventwriter.demo.daemon import control_socket, ended, entries, kill_one, own_environment
from eventwriter.demo.traffic import TRAFFIC
from eventwriter.kinds.registry import KINDS


def test_environment_of_other_installations_is_left_out() -> None:
    """Variables that would turn the daemon or libpq to other servers are left out, all others stay."""
    others = {"EVENT_WRITER_NATS_URL": "x", "CNPG_HOST": "x", "PGHOST": "x", "CONFIG_PATH": "x", "NOTIFY_SOCKET": "x"}
    kept = {"PATH": "/bin", "PG_BINDIR": "/opt/pg/bin", "TMPDIR": "/tmp"}

    assert kept == own_environment({**others, **kept})


def test_socket_is_in_the_folder() -> None:
    """The control socket is in the folder of everything else."""
    assert "/tmp/x/control.sock" == control_socket(Path("/tmp/x"))


def test_socket_of_a_long_path_is_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder whose path is too long for a socket has its socket among the temporary files."""
    monkeypatch.setattr("tempfile.tempdir", "/tmp")

    assert f"/tmp/eventwriter-demo-{os.getpid()}.sock" == control_socket(Path("/" + "x" * 100))


def test_entries_are_a_valid_configuration(tmp_path: Path) -> None:
    """The entries of all kinds together are a configuration without a mistake or a warning."""
    import json

    kinds = [kind for kind in TRAFFIC if kind in KINDS]
    path = tmp_path / "c.json"
    path.write_text(json.dumps({"enabled": True, "streams": entries(kinds)}))

    loaded = load(str(path), {})

    assert [kind.upper() if kind != "json" else "READINGS" for kind in kinds] == [
        s.name for s in loaded.settings.streams
    ]
    assert [] == list(loaded.warnings)


def test_nobody_is_killed_where_no_worker_lives() -> None:
    """Chaos finds no victim among slots without a worker, or when the worker is gone already."""
    rng = random.Random(1)

    assert kill_one({"slots": [{"name": "A/0", "pid": None}]}, rng) is None
    assert kill_one({"slots": [{"name": "A/0", "pid": 2**22 + 1}]}, rng) is None


def test_end_is_told_with_the_last_words(tmp_path: Path) -> None:
    """A process that ended by itself is told with the last line that it said."""
    log = tmp_path / "log"
    log.write_text("first\nno such table\n\n")

    assert "the daemon ended with code 2; it last said: no such table" == str(ended("daemon", 2, log))
