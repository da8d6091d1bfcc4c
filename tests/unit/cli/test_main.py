"""The command `eventwriter`: names, paths, exit codes."""

import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from eventwriter.cli import lazy_group
from eventwriter.cli import main as module
from eventwriter.cli.main import cli, config_path, run_command
from eventwriter.control.client import Unreachable
from eventwriter.control.socket_lock import SocketTaken
from eventwriter.errors import ConfigError, Fatal, Retryable


def raising(error: BaseException) -> Callable[[], None]:
    """Return a command's body that raises."""

    def body() -> None:
        raise error

    return body


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ConfigError(["a: one", "b: two"]), 2, "ew: a: one\new: b: two\n"),
        (ConfigError(["a: one"], "f"), 2, "ew: f is invalid, 1 mistake:\n  a: one\n"),
        (ConfigError(["a: one", "b: two"], "f"), 2, "ew: f is invalid, 2 mistakes:\n  a: one\n  b: two\n"),
        (Fatal("table x is missing"), 2, "ew: table x is missing\n"),
        (Retryable("no NATS"), 3, "ew: no NATS\n"),
        (SocketTaken("another"), 3, "ew: another\n"),
        (Unreachable("nobody"), 3, "ew: nobody\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_errors_become_sentences_and_codes(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each family of errors has its exit code and no traceback."""
    command = click.Command("x", callback=raising(error))

    assert code == run_command(command, [], "ew")
    assert said == capsys.readouterr().err.lstrip("\n")


def test_returned_number_is_the_exit_code() -> None:
    """A command's number is its exit code, nothing returned is 0."""
    assert (7, 0) == (
        run_command(click.Command("x", callback=lambda: 7), [], "ew"),
        run_command(click.Command("x", callback=lambda: None), [], "ew"),
    )


def test_unknown_subcommand_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    """A subcommand that does not exist is named."""
    assert 2 == run_command(cli, ["rum"], "eventwriter")
    assert "No such command 'rum'" in capsys.readouterr().err


def test_help_imports_no_subcommand(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Help lists every subcommand without loading one."""
    imported: list[str] = []
    monkeypatch.setattr(lazy_group.importlib, "import_module", imported.append)

    assert 0 == run_command(cli, ["--help"], "eventwriter")
    said = capsys.readouterr().out
    assert ([], []) == (imported, [name for name in module.COMMANDS if name not in said])


def test_config_given_before_the_subcommand_reaches_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`eventwriter --config F run` and `eventwriter run --config F` read the same file."""
    path = str(tmp_path / "missing.toml")

    assert 2 == run_command(cli, ["--config", path, "run"], "eventwriter")
    before = capsys.readouterr().err
    assert 2 == run_command(cli, ["run", "--config", path], "eventwriter")
    assert path in before
    assert before == capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "environ", "expected"),
    [
        ("a", {"EVENT_WRITER_CONFIG": "b"}, "a"),
        (None, {"EVENT_WRITER_CONFIG": "b", "CONFIG_PATH": "c"}, "b"),
        (None, {"EVENT_WRITER_CONFIG": "", "CONFIG_PATH": "c"}, "c"),
        (None, {}, "usual"),
    ],
)
def test_configuration_is_looked_for_in_order(
    option: str | None, environ: dict[str, str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Option, variables, then the first usual file that exists; a named file counts also if missing."""
    usual = tmp_path / "usual"
    usual.touch()
    monkeypatch.setattr(module, "CONFIG_PATHS", (str(tmp_path / "missing"), str(usual)))

    assert (str(usual) if expected == "usual" else expected) == config_path(option, environ)


def test_help_is_quick_to_import() -> None:
    """The command's own module loads none of the heavy libraries."""
    import subprocess

    heavy = ("pydantic", "nats", "psycopg", "uvloop", "rich", "asyncio")
    code = f"import sys, eventwriter.cli.main; print([m for m in {heavy!r} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "[]" == result.stdout.strip()
