"""Help texts and configuration documents, as the commands print them."""

import subprocess
import sys

import help_texts
import pytest
from click.testing import CliRunner
from fix_golden import CheckGolden

from eventwriter.cli.main import cli


@pytest.mark.parametrize("program", help_texts.PROGRAMS)
def test_help_of_every_command_is_unchanged(program: str, check_golden: CheckGolden) -> None:
    """A program and all its subcommands, at every level, print the stored help."""
    command = [sys.executable, "-X", "utf8", help_texts.__file__, program]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)

    assert (0, "") == (done.returncode, done.stderr)
    check_golden(f"help_{program}.txt", done.stdout)


@pytest.mark.parametrize(("document", "file"), [("reference", "md"), ("example", "toml"), ("schema", "json")])
def test_configuration_document_is_unchanged(document: str, file: str, check_golden: CheckGolden) -> None:
    """`eventwriter config reference`, `example` and `schema` print the stored documents."""
    result = CliRunner().invoke(cli, ["config", document], catch_exceptions=False)

    assert 0 == result.exit_code, result.output
    check_golden(f"config_{document}.{file}", result.output)
