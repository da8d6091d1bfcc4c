"""What the commands of `eventwriter-ctl` have in common."""

import re

import click
import pytest
from click.shell_completion import ShellComplete

from eventwriter.cli.ctl import common
from eventwriter.cli.ctl.main import cli


@pytest.mark.parametrize("name", [name for name, command in cli.commands.items() if "slot" in str(command.params)])
def test_usage_says_whether_the_slot_may_be_left_out(name: str) -> None:
    """The usage has brackets around SLOT exactly where the command does without."""
    command = cli.commands[name]
    (slot,) = (parameter for parameter in command.params if parameter.name == "slot")

    usage = command.get_usage(click.Context(command, info_name=name))

    assert slot.required == ("[SLOT|STREAM|all]" not in usage)
    assert "SLOT|STREAM|all" in usage


@pytest.mark.parametrize("name", sorted(set(cli.commands) - {"dlq"}))
def test_help_has_an_example(name: str) -> None:
    """The help of every command ends with a line that can be typed."""
    shown = cli.commands[name].get_help(click.Context(cli.commands[name], info_name=name))

    assert re.search(rf"^  .*\beventwriter-ctl {name}\b", shown, flags=re.MULTILINE)


def offered(monkeypatch: pytest.MonkeyPatch, line: list[str]) -> list[str]:
    """Return what is offered at the end of a line."""
    monkeypatch.setattr(common, "slot_names", lambda _ctx: ["LOGS/0", "NETFLOW/0", "NETFLOW/1"])
    return [item.value for item in ShellComplete(cli, {}, "eventwriter-ctl", "_X").get_completions(line, "")]


def test_stream_is_completed_with_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """`scale` offers each stream once, and neither slots nor `all`; `drain` offers those too."""
    streams, everything = offered(monkeypatch, ["scale"]), offered(monkeypatch, ["drain"])

    assert ["LOGS", "NETFLOW"] == streams
    assert ["LOGS", "NETFLOW", "LOGS/0", "NETFLOW/0", "NETFLOW/1", "all"] == everything
