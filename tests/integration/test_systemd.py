"""The systemd unit, as systemd itself reads it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from eventwriter.config.settings import SupervisorSettings

DEPLOY = Path(__file__).parents[2] / "deploy" / "systemd"
UNIT = DEPLOY / "eventwriter.service"
PROGRAM = "/opt/eventwriter/.venv/bin/eventwriter"

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


def settings() -> dict[str, str]:
    """Return the unit's settings; of those that stand twice, the last."""
    lines = [line for line in UNIT.read_text().splitlines() if "=" in line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def verified(folder: Path, text: str) -> str:
    """Return what systemd says of a unit, with its program replaced by one that exists here."""
    unit = folder / "eventwriter.service"
    unit.write_text(text.replace(PROGRAM, sys.executable))
    return subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True).stderr


@needs_systemd
def test_unit_is_read_without_a_word(tmp_path: Path) -> None:
    """systemd finds nothing to say about the unit, and would about a mistake in it."""
    text = UNIT.read_text()

    assert PROGRAM in text
    assert "" == verified(tmp_path, text)
    assert "WatchdogSeconds" in verified(tmp_path, text.replace("WatchdogSec", "WatchdogSeconds"))


@needs_systemd
def test_unit_is_confined(tmp_path: Path) -> None:
    """The unit's exposure is below 2.0 of 10 by systemd's own measure."""
    result = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=20", str(UNIT)], capture_output=True, text=True
    )

    assert 0 == result.returncode, result.stdout[-2000:]


def test_unit_leaves_time_to_drain() -> None:
    """systemd waits longer for the stop than the supervisor waits for its workers, and leaves the drain to it."""
    assert int(settings()["TimeoutStopSec"]) > SupervisorSettings().drain_s_max + 5
    assert ("mixed", "notify", "main") == tuple(settings()[key] for key in ("KillMode", "Type", "NotifyAccess"))


def test_environment_file_is_one_that_systemd_reads() -> None:
    """Every line is a comment or NAME=value, and enables the writer."""
    lines = [line for line in (DEPLOY / "eventwriter.env").read_text().splitlines() if line and line[0] != "#"]

    assert all(line.partition("=")[0].replace("_", "").isalnum() and "=" in line for line in lines)
    assert "EVENT_WRITER_ENABLED=true" in lines
