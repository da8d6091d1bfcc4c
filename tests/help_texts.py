"""
The help of a program and of all its subcommands: `python tests/help_texts.py eventwriter-ctl`.

Run as a process of its own, because click keeps the help option of a command as the first caller in a process had it.
"""

import sys
from collections.abc import Iterator

import click
from click.testing import CliRunner

from eventwriter.cli.ctl.main import cli as eventwriter_ctl
from eventwriter.cli.main import cli as eventwriter

PROGRAMS = {"eventwriter": eventwriter, "eventwriter-ctl": eventwriter_ctl}
WIDTH = 80


def paths(command: click.Command, context: click.Context, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of a command and of each of its subcommands, depth first, in the order of its help."""
    yield path
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from paths(found, click.Context(found, context, name), (*path, name))


def main(name: str) -> None:
    """Print the help of every command of a program, each below its command line."""
    program = PROGRAMS[name]
    for path in paths(program, click.Context(program, info_name=name)):
        result = CliRunner().invoke(
            program, [*path, "--help"], prog_name=name, terminal_width=WIDTH, catch_exceptions=False
        )
        assert 0 == result.exit_code, result.output
        print(f"$ {' '.join((name, *path))} --help\n{result.output}")


if __name__ == "__main__":
    main(sys.argv[1])
