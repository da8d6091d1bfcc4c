"""
Output of all commands: every text passes one of these functions, which escape what a terminal would obey.

Tables and screens are printed through `cli.console`. No other module of `cli` prints; a test checks that.
"""

import io
import sys
import traceback
from types import TracebackType

import click

from eventwriter.observe.escape import printable, printable_json


def echo(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print text for people on stdout or stderr."""
    click.echo(printable(text), err=err, nl=nl)


def echo_json(json_text: str | bytes, *, err: bool = False) -> None:
    """Print JSON text; escaping does not change its value."""
    click.echo(printable_json(json_text if isinstance(json_text, str) else json_text.decode()), err=err)


def echo_code(text: str, *, nl: bool = True) -> None:
    """Print SQL, a file or shell code: escaped on a terminal, unchanged for a program that reads it."""
    click.echo(printable(text) if sys.stdout.isatty() else text, nl=nl)


def show_click_error(error: click.ClickException) -> None:
    """Print an error of the command line, which may quote foreign text."""
    text = io.StringIO()
    error.show(file=text)
    echo(text.getvalue(), err=True, nl=False)


def print_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print an unexpected exception on stderr; replaces `sys.excepthook`."""
    echo("".join(traceback.format_exception(kind, error, trace)), err=True, nl=False)
