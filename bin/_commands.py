"""Print docs/commands.md: the help of every command, as click gives it."""

from collections.abc import Iterator

import click

from eventwriter.cli.ctl.main import cli as ctl
from eventwriter.cli.main import cli

WIDTH = 80
HEAD = """# Commands

Written by `bin/manual` from the commands' own `--help`; do not edit it. How the commands are used:
[eventwriter-ctl](ctl.md), [troubleshooting](troubleshooting.md), [dead letters](dead-letters.md).
"""


def commands(command: click.Command, path: str, parent: click.Context | None = None) -> Iterator[tuple[str, str]]:
    """Yield the path and the help of a command and of those below it; hidden ones are left out."""
    settings = {**command.context_settings, "terminal_width": WIDTH, "max_content_width": WIDTH}
    context = click.Context(command, parent=parent, info_name=path.rpartition(" ")[2], **settings)
    yield path, "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None and not below.hidden:
                yield from commands(below, f"{path} {name}", context)


def page() -> str:
    """Return the whole page."""
    both = [*commands(cli, "eventwriter"), *commands(ctl, "eventwriter-ctl")]
    return HEAD + "".join(f"\n## {path}\n\n```text\n{text}\n```\n" for path, text in both)


if __name__ == "__main__":
    click.echo(page(), nl=False)
