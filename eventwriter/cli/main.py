"""
The command `eventwriter`: finds the subcommand, turns errors into sentences and exit codes.

Subcommands are imported when they are called, so that `--help` is quick and a
broken one does not take the others with it.
"""

import logging
import os
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence

import click

from eventwriter import __version__
from eventwriter.cli.lazy_group import CommandTable, LazyGroup
from eventwriter.cli.output import echo, print_traceback, show_click_error
from eventwriter.control.client import Unreachable
from eventwriter.control.socket_lock import SocketTaken
from eventwriter.errors import ConfigError, EventwriterError, Retryable
from eventwriter.observe.stderr import keep_standard_files

COMMANDS: CommandTable = {
    "run": ("eventwriter.cli.run", "run", "Run the daemon in the foreground."),
    "config": ("eventwriter.cli.config", "config", "Show, validate and describe the configuration."),
    "migrate": ("eventwriter.cli.migrate", "migrate", "Create the tables and maintain their partitions."),
    "doctor": ("eventwriter.cli.doctor", "doctor", "Check everything that the daemon needs."),
    "explain": ("eventwriter.cli.explain", "explain_command", "Show what a payload becomes."),
    "demo": ("eventwriter.cli.demo", "demo", "Run everything on embedded servers with sample traffic."),
}
CONFIG_VARIABLES = ("EVENT_WRITER_CONFIG", "CONFIG_PATH")
CONFIG_PATHS = ("/etc/eventwriter/eventwriter.toml", "/etc/serviceradar/consumers/db-event-writer.json")

EXIT_MISTAKE, EXIT_UNREACHABLE, EXIT_INTERRUPTED = 2, 3, 130


@click.group(cls=LazyGroup, table=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    "config_option",
    metavar="FILE",
    help=f"Configuration file, JSON or TOML. Default: ${', $'.join(CONFIG_VARIABLES)}, then the first that exists of "
    f"{', '.join(CONFIG_PATHS)}.",
)
@click.version_option(__version__, prog_name="eventwriter")
@click.pass_context
def cli(ctx: click.Context, config_option: str | None) -> None:
    """Move messages from NATS JetStream into PostgreSQL: nothing lost, nothing twice."""
    ctx.obj = config_path(config_option, os.environ)
    # Subcommands accept --config too; the value given before them is their default.
    ctx.default_map = {name: {"config_path": ctx.obj} for name in COMMANDS}


def config_path(option: str | None, environ: Mapping[str, str]) -> str | None:
    """
    Return the configuration file to read; None if there is none.

    A file that was given explicitly is returned even if it does not exist, so that the mistake is reported.
    """
    defaults = [path for path in CONFIG_PATHS if os.path.exists(path)]
    return explicit_config_path(option, environ) or next(iter(defaults), None)


def explicit_config_path(option: str | None, environ: Mapping[str, str]) -> str | None:
    """Return the configuration file that the option or a variable names; None if neither does."""
    return next((path for path in [option, *(environ.get(variable) for variable in CONFIG_VARIABLES)] if path), None)


def run_command(command: click.Command, arguments: Sequence[str], name: str) -> int:
    """Run a command line; report errors on stderr and return the exit code."""
    try:
        result = command.main(list(arguments), prog_name=name, standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        show_click_error(error)
        return EXIT_MISTAKE
    except click.ClickException as error:
        show_click_error(error)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except ConfigError as error:
        print_errors(error, name)
        return EXIT_MISTAKE
    except EventwriterError as error:
        echo(f"{name}: {error}", err=True)
        return EXIT_UNREACHABLE if isinstance(error, SocketTaken | Unreachable | Retryable) else EXIT_MISTAKE
    return result if isinstance(result, int) else 0


def silence_logs() -> None:
    """Suppress log output of commands that report their findings themselves."""
    logging.getLogger("eventwriter").addHandler(logging.NullHandler())


def print_errors(error: ConfigError, name: str) -> None:
    """Print every mistake and warning on stderr, one per line, below a line that names the file."""
    count = len(error.errors)
    if error.source:
        echo(f"{name}: {error.source} is invalid, {count} mistake{'s' if count > 1 else ''}:", err=True)
    for mistake in [*error.errors, *(f"warning: {warning}" for warning in error.warnings)]:
        line = f"  {mistake}" if error.source else f"{name}: {mistake}"
        # One line each for programs; wrapped at words for a terminal.
        width = shutil.get_terminal_size().columns if sys.stderr.isatty() else 0
        echo(textwrap.fill(line, width, subsequent_indent="    ", break_on_hyphens=False) if width else line, err=True)


def main() -> None:
    """Entry point of `eventwriter`."""
    keep_standard_files()
    sys.excepthook = print_traceback
    sys.exit(run_command(cli, sys.argv[1:], "eventwriter"))
