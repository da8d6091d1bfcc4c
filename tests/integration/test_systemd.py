"""The systemd unit and its environment file."""

import os
import shlex
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
    unit.write_text(text.replace(f"{PROGRAM}-ctl", sys.executable).replace(PROGRAM, sys.executable))
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
        ({}, 100, "eventwriter is not enabled ({file} and the environment): set EVENT_WRITER_ENABLED=true"),
        ({"EVENT_WRITER_ENABLED": "true"}, 0, ""),
        ({"EVENT_WRITER_ENABLED": "maybe"}, 2, 'EVENT_WRITER_ENABLED: "maybe" is not allowed'),
        ({"EVENT_WRITER_ENABLED": "true", "EVENT_WRITER_CONFIG": "/none.toml"}, 2, "/none.toml"),
    ],
)
def test_condition_skips_a_disabled_writer(tmp_path: Path, changed: dict[str, str], code: int, output: str) -> None:
    """A disabled writer has an exit code of its own; an invalid configuration fails with the reason."""
    file = tmp_path / "eventwriter.toml"
    file.write_text(files("eventwriter.config").joinpath("example.toml").read_text())
    done = command(
        "eventwriter", "config", "enabled", environ={**environment(), "EVENT_WRITER_CONFIG": str(file), **changed}
    )

    assert code == done.returncode
    assert output.format(file=file) in done.stdout + done.stderr
    assert bool(output) == bool(done.stdout + done.stderr)


@pytest.mark.parametrize(("code", "skipped"), [(0, 0), (100, 1), (1, 0), (2, 0), (126, 0), (127, 0), (203, 0)])
def test_only_a_deliberate_off_skips_the_unit(tmp_path: Path, code: int, skipped: int) -> None:
    """The condition skips the unit (1) for exit code 100 only; a traceback or a missing program reaches ExecStart."""
    program = tmp_path / "eventwriter"
    program.write_text(f"#!/bin/sh\nexit {code}\n")
    program.chmod(0o755)
    shell, flag, script = shlex.split(settings()["ExecCondition"])
    assert PROGRAM in script

    done = subprocess.run([shell, flag, script.replace("$$", "$").replace(PROGRAM, str(program))], check=False)
    missing = subprocess.run([shell, flag, script.replace("$$", "$").replace(PROGRAM, "/missing")], check=False)

    assert (skipped, 0) == (done.returncode, missing.returncode)


def test_invalid_configuration_is_not_restarted() -> None:
    """`run` ends with 2 for an invalid configuration, which the unit does not restart; a traceback has another code."""
    done = command("eventwriter", "run", environ={"EVENT_WRITER_CONFIG": "/none.toml"})

    assert 2 == done.returncode == int(settings()["RestartPreventExitStatus"])
    assert "always" == settings()["Restart"]


def test_operators_need_not_read_the_configuration() -> None:
    """The group of the control socket differs from the group that may read the configuration."""
    unit = settings()

    assert "EVENT_WRITER_CONTROL_GROUP=eventwriter-operators" == unit["Environment"]
    assert "eventwriter-operators" == unit["SupplementaryGroups"] != unit["Group"]
    assert "0755" == unit["RuntimeDirectoryMode"]


@pytest.mark.skipif(shutil.which("systemd-sysusers") is None, reason="systemd-sysusers is not installed")
def test_user_of_the_unit_is_created(tmp_path: Path) -> None:
    """systemd-sysusers creates the system user of the unit, with its own group and without a shell."""
    (tmp_path / "etc").mkdir()
    subprocess.run(["systemd-sysusers", f"--root={tmp_path}", DEPLOY / "sysusers.conf"], check=True)
    name, _, uid, _, _, home, shell = (tmp_path / "etc" / "passwd").read_text().strip().split(":")
    groups = {line.split(":")[0] for line in (tmp_path / "etc" / "group").read_text().splitlines()}

    assert settings()["User"] == name
    assert {settings()["Group"], settings()["SupplementaryGroups"]} <= groups
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
