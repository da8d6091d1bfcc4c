"""What the commands of `eventwriter-ctl` have in common."""

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete

from eventwriter.cli.ctl import common
from eventwriter.cli.ctl.main import COMMANDS, cli
from eventwriter.cli.main import run_command
from eventwriter.control.client import Client, Unreachable

Capture = pytest.CaptureFixture[str]


def command_of(name: str) -> click.Command:
    """Return a subcommand."""
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    return command


NAMES = cli.list_commands(click.Context(cli))


@pytest.mark.parametrize("name", [name for name in NAMES if "slot" in str(command_of(name).params)])
def test_usage_says_whether_the_slot_may_be_left_out(name: str) -> None:
    """The usage has brackets around SLOT exactly where the command does without."""
    command = command_of(name)
    (slot,) = (parameter for parameter in command.params if parameter.name == "slot")

    usage = command.get_usage(click.Context(command, info_name=name))

    assert slot.required == ("[SLOT|STREAM|all]" not in usage)
    assert "SLOT|STREAM|all" in usage


@pytest.mark.parametrize("name", sorted({*NAMES} - {"dlq"}))
def test_help_has_an_example(name: str) -> None:
    """The help of every command ends with a line that can be typed."""
    command = command_of(name)
    shown = command.get_help(click.Context(command, info_name=name))

    assert re.search(rf"^  .*\beventwriter-ctl {name}\b", shown, flags=re.MULTILINE)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "dlq"])
def test_table_of_the_help_agrees_with_the_command(name: str) -> None:
    """The short text of a command is the same in its own definition and in the group's table."""
    assert COMMANDS[name][2] == command_of(name).get_short_help_str(100)


@pytest.mark.parametrize("arguments", [["--socket", "/a", "ping"], ["ping", "--socket", "/a"]])
def test_socket_is_accepted_before_and_after_the_command(arguments: list[str], capsys: Capture) -> None:
    """--socket selects the daemon on either side of the command."""
    assert 3 == run_command(cli, arguments, "eventwriter-ctl")
    assert "/a does not exist" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["before", "after"])
def test_unreadable_configuration_is_an_error(place: str, tmp_path: Path, capsys: Capture) -> None:
    """A file that --config names and that cannot be read is reported; no other daemon is stopped instead."""
    option = ["--config", str(tmp_path / "missing.toml")]
    arguments = [*option, "stop"] if place == "before" else ["stop", *option]

    assert 2 == run_command(cli, arguments, "eventwriter-ctl")
    assert "cannot be read" in capsys.readouterr().err


def test_error_elsewhere_in_the_file_does_not_hide_the_socket(tmp_path: Path) -> None:
    """A file whose other keys are invalid still names the socket."""
    file = tmp_path / "e.toml"
    file.write_text('streams = 7\n[control]\nsocket = "/x"\n')

    assert "/x" == common.socket_path(str(file), {})


@pytest.mark.skipif(os.geteuid() == 0, reason="root enters every folder")
def test_closed_folder_of_the_socket_is_named(tmp_path: Path) -> None:
    """A socket in a folder that this user may not enter is not reported as a missing daemon."""
    folder = tmp_path / "run"
    folder.mkdir(mode=0o000)

    with pytest.raises(Unreachable, match=f"may not enter {folder}"):
        Client(str(folder / "s")).call("ping")
    folder.chmod(0o700)


def test_status_loads_neither_settings_nor_drivers() -> None:
    """The modules of status, ping and check load no library that takes longer than the answer."""
    code = (
        "import sys, eventwriter.cli.ctl.main, eventwriter.cli.ctl.status, eventwriter.cli.ctl.daemon,"
        " eventwriter.cli.ctl.check, eventwriter.cli.ctl.render; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert set() == {"pydantic", "asyncio", "psycopg", "nats", "rich.live", "aiohttp"} & set(done.stdout.split())


def offered(monkeypatch: pytest.MonkeyPatch, line: list[str]) -> list[str]:
    """Return what is offered at the end of a line."""
    monkeypatch.setattr(common, "slot_names", lambda _ctx: ["LOGS/0", "NETFLOW/0", "NETFLOW/1"])
    return [item.value for item in ShellComplete(cli, {}, "eventwriter-ctl", "_X").get_completions(line, "")]


def test_stream_is_completed_with_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """`scale` offers each stream once, and neither slots nor `all`; `drain` offers those too."""
    streams, everything = offered(monkeypatch, ["scale"]), offered(monkeypatch, ["drain"])

    assert ["LOGS", "NETFLOW"] == streams
    assert ["LOGS", "NETFLOW", "LOGS/0", "NETFLOW/0", "NETFLOW/1", "all"] == everything
