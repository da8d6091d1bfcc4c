"""What the commands of `eventwriter-ctl` have in common."""

import click
import pytest

from eventwriter.cli.ctl import cli


@pytest.mark.parametrize("name", [name for name, command in cli.commands.items() if "slot" in str(command.params)])
def test_usage_says_whether_the_slot_may_be_left_out(name: str) -> None:
    """The usage has brackets around SLOT exactly where the command does without."""
    command = cli.commands[name]
    (slot,) = (parameter for parameter in command.params if parameter.name == "slot")

    usage = command.get_usage(click.Context(command, info_name=name))

    assert slot.required == ("[SLOT|STREAM|all]" not in usage)
    assert "SLOT|STREAM|all" in usage
