"""The systemd unit and its environment file."""

import os
import shutil
import stat
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
from fix_run import command

from eventwriter.config.environment import OTHERS, VARIABLES
from eventwriter.config.load import load
from eventwriter.config.settings import SupervisorSettings

DEPLOY = Path(__file__).parents[2] / "deploy" / "systemd"
UNIT = DEPLOY / "eventwriter.service"
PROGRAM = "/opt/eventwriter/bin/eventwriter"

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


def settings() -> dict[str, str]:
    """Return the unit's settings; of duplicates, the last one."""
    lines = [line for line in UNIT.read_text().splitlines() if "=" in line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def verified(folder: Path, text: str) -> str:
    """Return the output of `systemd-analyze verify`, with the program replaced by one that exists on this machine."""
    unit = folder / "eventwriter.service"
    unit.write_text(text.replace(PROGRAM, sys.executable))
    return subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True).stderr


@needs_systemd
def test_unit_is_valid(tmp_path: Path) -> None:
    """systemd reports nothing about the unit, and would report an unknown setting."""
    text = UNIT.read_text()

    assert PROGRAM in text
    assert "" == verified(tmp_path, text)
    assert "WatchdogSeconds" in verified(tmp_path, text.replace("WatchdogSec", "WatchdogSeconds"))


@needs_systemd
def test_unit_is_sandboxed(tmp_path: Path) -> None:
    """The exposure of the unit is below 2.0 of 10 by systemd's own measure."""
    result = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=20", str(UNIT)], capture_output=True, text=True
    )

    assert 0 == result.returncode, result.stdout[-2000:]


def test_unit_leaves_time_to_drain() -> None:
    """systemd waits longer for a stop than the supervisor waits for its workers, and signals only the supervisor."""
    assert int(settings()["TimeoutStopSec"]) > SupervisorSettings().drain_max_s + 5
    assert ("mixed", "notify", "main") == tuple(settings()[key] for key in ("KillMode", "Type", "NotifyAccess"))


def environment() -> dict[str, str]:
    """Return the variables that the environment file sets."""
    lines = [line for line in (DEPLOY / "eventwriter.env").read_text().splitlines() if line and line[0] != "#"]
    assert all(line.partition("=")[0].replace("_", "").isalnum() and "=" in line for line in lines), lines
    return dict(line.split("=", 1) for line in lines)


def test_environment_file_does_not_enable_the_writer() -> None:
    """Every line of the environment file is NAME=value, and the writer is not enabled."""
    assert "false" == environment()["EVENT_WRITER_ENABLED"]


def test_environment_file_contains_known_variables() -> None:
    """Each variable of the environment file, also in comments, is one that eventwriter reads."""
    text = (DEPLOY / "eventwriter.env").read_text()
    named = {name for line in text.splitlines() if (name := line.lstrip("#").partition("=")[0]).isupper()}

    assert {"EVENT_WRITER_ENABLED", "CNPG_PASSWORD_FILE"} <= named
    assert named <= {*VARIABLES, *OTHERS}


@pytest.mark.parametrize(
    ("changed", "code", "output"),
    [
        ({}, 1, "eventwriter is not enabled ({file} and the environment): set EVENT_WRITER_ENABLED=true"),
        ({"EVENT_WRITER_ENABLED": "true"}, 0, ""),
        ({"EVENT_WRITER_ENABLED": "maybe"}, 255, 'EVENT_WRITER_ENABLED: "maybe" is not allowed'),
        ({"EVENT_WRITER_ENABLED": "true", "EVENT_WRITER_CONFIG": "/none.toml"}, 255, "/none.toml"),
    ],
)
def test_condition_skips_a_disabled_writer(tmp_path: Path, changed: dict[str, str], code: int, output: str) -> None:
    """The unit's condition skips a disabled writer, and fails with the reason for an invalid configuration."""
    file = tmp_path / "eventwriter.toml"
    file.write_text(files("eventwriter.config").joinpath("example.toml").read_text())
    line = settings()["ExecCondition"].split()
    assert PROGRAM == line[0]

    done = command("eventwriter", *line[1:], environ={**environment(), "EVENT_WRITER_CONFIG": str(file), **changed})

    assert code == done.returncode
    assert output.format(file=file) in done.stdout + done.stderr
    assert bool(output) == bool(done.stdout + done.stderr)


@needs_systemd
def test_drop_in_for_newer_systemd_changes_only_the_reload() -> None:
    """The drop-in makes systemd wait for a reload; the unit itself has a type that Debian 12 supports."""
    text = (DEPLOY / "notify-reload.conf").read_text()

    assert ["[Service]", "Type=notify-reload", "ExecReload="] == [
        line for line in text.splitlines() if line and line[0] != "#"
    ]
    assert "notify" == settings()["Type"]


@pytest.mark.skipif(shutil.which("systemd-sysusers") is None, reason="systemd-sysusers is not installed")
def test_user_of_the_unit_is_created(tmp_path: Path) -> None:
    """systemd-sysusers creates the system user of the unit, with its own group and without a shell."""
    (tmp_path / "etc").mkdir()
    subprocess.run(["systemd-sysusers", f"--root={tmp_path}", DEPLOY / "sysusers.conf"], check=True)
    name, _, uid, _, _, home, shell = (tmp_path / "etc" / "passwd").read_text().strip().split(":")
    group = (tmp_path / "etc" / "group").read_text().split(":")[0]

    assert (settings()["User"], settings()["Group"]) == (name, group)
    assert int(uid) < 1000
    assert (f"/var/lib/{settings()['StateDirectory']}", "/usr/sbin/nologin") == (home, shell)


@pytest.mark.skipif(shutil.which("systemd-tmpfiles") is None, reason="systemd-tmpfiles is not installed")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change owners")
def test_directory_of_the_configuration_is_created(tmp_path: Path) -> None:
    """systemd-tmpfiles creates the directory for root and the daemon's group, closed to others."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (tmp_path / "etc" / "group").write_text("root:x:0:\neventwriter:x:987:\n")
    subprocess.run(["systemd-tmpfiles", f"--root={tmp_path}", "--create", DEPLOY / "tmpfiles.conf"], check=True)
    folder = (tmp_path / "etc" / "eventwriter").stat()

    assert (0o750, 0, 987) == (stat.S_IMODE(folder.st_mode), folder.st_uid, folder.st_gid)


def test_example_of_the_go_file_is_valid() -> None:
    """The example in the Go writer's format is a valid configuration."""
    loaded = load(str(DEPLOY / "db-event-writer.json"), {})

    assert ["OCSF_EVENTS", "LOGS", "OTEL_TRACES", "OTEL_METRICS"] == [stream.name for stream in loaded.settings.streams]
    assert not loaded.settings.enabled
