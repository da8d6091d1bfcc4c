"""All output of commands passes the escaping functions."""

import ast
import io
from pathlib import Path

import click
import pytest
from rich.live import Live
from rich.table import Table
from rich.text import Text

from eventwriter import cli
from eventwriter.cli import output
from eventwriter.cli.console import console

FOLDER = Path(cli.__file__).parent
PRINTERS = {"output.py", "console.py"}
HOSTILE = "a\x1b]0;title\x07b\x9b2Jc\u202ed\u2028e"


def printing_calls(path: Path) -> list[str]:
    """Return the calls of a module that print without escaping."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in ("print", "click.echo", "click.secho", "Console", "pprint", "rich.print", "error.show") or (
                name.startswith(("sys.stdout.", "sys.stderr.")) and name.endswith("write")
            ):
                found.append(f"{path.name}:{node.lineno} {name}")
    return found


def test_no_command_prints_past_the_escaping_functions() -> None:
    """Only `cli.output` and `cli.console` call print functions."""
    modules = [path for path in FOLDER.rglob("*.py") if path.name not in PRINTERS]

    assert [] == [call for path in modules for call in printing_calls(path)]
    assert printing_calls(FOLDER / "output.py")


def test_console_escapes_text_tables_and_live_screens() -> None:
    """What rich renders has no character of foreign text that a terminal obeys, and interprets no markup of it."""
    out = io.StringIO()
    screen = console(file=out, width=200, force_terminal=True)
    table = Table()
    table.add_column(HOSTILE)
    table.add_row(Text(HOSTILE, "bold"), HOSTILE)
    table.add_row("[link=http://evil.example]text[/link]")

    screen.print(HOSTILE, table)
    with Live(console=screen, auto_refresh=False) as live:
        live.update(table, refresh=True)

    written = out.getvalue()
    assert not [part for part in ("\x1b]", "\x07", "\x9b", "\u202e", "\u2028") if part in written]
    assert "[link=http://evil.example]" in written


def test_errors_of_the_command_line_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    """An argument that is quoted in an error, and the traceback of an unexpected one, are escaped."""
    output.show_click_error(click.BadParameter(HOSTILE))
    try:
        raise RuntimeError(HOSTILE)
    except RuntimeError as error:
        output.print_traceback(type(error), error, error.__traceback__)

    written = capsys.readouterr().err
    assert r"a\x1b]0;title" in written
    assert "RuntimeError" in written
    assert not set("\x1b\x07\x9b\u202e\u2028") & set(written)
