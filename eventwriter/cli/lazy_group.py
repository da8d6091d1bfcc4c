"""A click group whose subcommands are imported on use, so that each command loads only what it needs."""

import importlib
from collections.abc import Mapping
from typing import Any

import click

CommandTable = Mapping[str, tuple[str, str, str]]
"""Name → (module, attribute, text in `--help`)."""


class LazyGroup(click.Group):
    """
    Group whose subcommands are listed in a table.

    Args:
        table: The subcommands in the order of the help.
    """

    def __init__(self, *args: Any, table: CommandTable, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the subcommands in the order of the table."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one subcommand; None if it does not exist."""
        if cmd_name not in self.table:
            return None
        module, attribute, _ = self.table[cmd_name]
        command = vars(importlib.import_module(module))[attribute]
        assert isinstance(command, click.Command), f"{module}.{attribute} is not a command"
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of subcommands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in self.table.items()])
