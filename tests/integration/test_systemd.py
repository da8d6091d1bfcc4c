"""The systemd unit, as systemd itself reads it."""

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
    assert int(settings()["TimeoutStopSec"]) > SupervisorSettings().drain_max_s + 5
    assert ("mixed", "notify", "main") == tuple(settings()[key] for key in ("KillMode", "Type", "NotifyAccess"))


def environment() -> dict[str, str]:
    """Return what the environment file sets."""
    lines = [line for line in (DEPLOY / "eventwriter.env").read_text().splitlines() if line and line[0] != "#"]
    assert all(line.partition("=")[0].replace("_", "").isalnum() and "=" in line for line in lines), lines
    return dict(line.split("=", 1) for line in lines)


def test_environment_file_does_not_enable_the_writer() -> None:
    """Every line of the environment file is NAME=value, and a writer that was only installed does not run."""
    assert "false" == environment()["EVENT_WRITER_ENABLED"]


def test_environment_file_names_variables_that_are_read() -> None:
    """Each variable of the environment file, those that are commented out included, is one that eventwriter reads."""
    text = (DEPLOY / "eventwriter.env").read_text()
    named = {name for line in text.splitlines() if (name := line.lstrip("#").partition("=")[0]).isupper()}

    assert {"EVENT_WRITER_ENABLED", "CNPG_PASSWORD_FILE"} <= named
    assert named <= {*VARIABLES, *OTHERS}


@pytest.mark.parametrize(
    ("changed", "code", "said"),
    [
        ({}, 1, "eventwriter is not enabled ({file} and the environment): set EVENT_WRITER_ENABLED=true"),
        ({"EVENT_WRITER_ENABLED": "true"}, 0, ""),
        ({"EVENT_WRITER_ENABLED": "maybe"}, 255, "EVENT_WRITER_ENABLED: 'maybe'; allowed are true"),
        ({"EVENT_WRITER_ENABLED": "true", "EVENT_WRITER_CONFIG": "/none.toml"}, 255, "/none.toml"),
    ],
)
def test_condition_of_the_unit(tmp_path: Path, changed: dict[str, str], code: int, said: str) -> None:
    """The unit's condition skips a writer that is not enabled, and lets a broken configuration fail with its reason."""
    file = tmp_path / "eventwriter.toml"
    file.write_text(files("eventwriter.config").joinpath("example.toml").read_text())
    words = settings()["ExecCondition"].split()
    assert PROGRAM == words[0]

    done = command("eventwriter", *words[1:], environ={**environment(), "EVENT_WRITER_CONFIG": str(file), **changed})

    assert code == done.returncode
    assert said.format(file=file) in done.stdout + done.stderr
    assert bool(said) == bool(done.stdout + done.stderr)


@needs_systemd
def test_drop_in_for_newer_systemd_changes_only_the_reload() -> None:
    """The drop-in has systemd wait for a reload; the unit itself has a type that Debian 12 knows."""
    text = (DEPLOY / "notify-reload.conf").read_text()

    assert ["[Service]", "Type=notify-reload", "ExecReload="] == [
        line for line in text.splitlines() if line and line[0] != "#"
    ]
    assert "notify" == settings()["Type"]


@pytest.mark.skipif(shutil.which("systemd-sysusers") is None, reason="systemd-sysusers is not installed")
def test_user_is_made_as_the_unit_wants_it(tmp_path: Path) -> None:
    """systemd-sysusers makes a system user with a group of its own, without a shell; the unit runs as that."""
    (tmp_path / "etc").mkdir()
    subprocess.run(["systemd-sysusers", f"--root={tmp_path}", DEPLOY / "sysusers.conf"], check=True)
    name, _, uid, _, _, home, shell = (tmp_path / "etc" / "passwd").read_text().strip().split(":")
    group = (tmp_path / "etc" / "group").read_text().split(":")[0]

    assert (settings()["User"], settings()["Group"]) == (name, group)
    assert int(uid) < 1000
    assert (f"/var/lib/{settings()['StateDirectory']}", "/usr/sbin/nologin") == (home, shell)


@pytest.mark.skipif(shutil.which("systemd-tmpfiles") is None, reason="systemd-tmpfiles is not installed")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give folders away")
def test_folder_of_the_configuration_is_made(tmp_path: Path) -> None:
    """systemd-tmpfiles makes the folder for root and the daemon's group, closed to others."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (tmp_path / "etc" / "group").write_text("root:x:0:\neventwriter:x:987:\n")
    subprocess.run(["systemd-tmpfiles", f"--root={tmp_path}", "--create", DEPLOY / "tmpfiles.conf"], check=True)
    made = (tmp_path / "etc" / "eventwriter").stat()

    assert (0o750, 0, 987) == (stat.S_IMODE(made.st_mode), made.st_uid, made.st_gid)


def test_example_of_the_go_file_can_be_used() -> None:
    """The example of the predecessor's file beside the unit is one that the daemon takes."""
    loaded = load(str(DEPLOY / "db-event-writer.json"), {})

    assert ["OCSF_EVENTS", "LOGS", "OTEL_TRACES", "OTEL_METRICS"] == [one.name for one in loaded.settings.streams]
    assert not loaded.settings.enabled
