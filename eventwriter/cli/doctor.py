"""
`eventwriter doctor`: everything that the daemon needs, checked in order, with a hint for each failure.

Exit codes: 0 all is well, 1 there are warnings, 2 something fails.
"""

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby

import click
import orjson
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from eventwriter.admin.doctor import runner
from eventwriter.admin.doctor.findings import Finding, Status, counts, exit_code
from eventwriter.cli import daemon_mismatch
from eventwriter.cli.main import hush
from eventwriter.config.load import load
from eventwriter.errors import ConfigError

_COLOURS = {Status.OK: "green", Status.WARN: "yellow", Status.FAIL: "bold red", Status.SKIP: "dim"}


@click.command("doctor")
@click.option("--config", "config_path", metavar="FILE", help="As `eventwriter --config`.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def doctor(config_path: str | None, as_json: bool) -> int:
    """
    Check all that the daemon needs, and say what to mend.

    Configuration, host, files, names, TLS, logins, versions, streams, consumers, tables,
    books. The daemon may run or not; nothing is changed anywhere, and no secret is shown.

    Exit codes: 0 all is well, 1 there are warnings, 2 something fails.
    """
    hush()  # what is logged on the way is in the findings
    with contextlib.suppress(ConfigError):  # the first finding says it
        daemon_mismatch.warn(load(config_path, os.environ).settings, config_path)
    findings = runner.run(config_path, os.environ)
    if as_json:
        whole = {"exit_code": exit_code(findings), "findings": [finding.as_json() for finding in findings]}
        click.echo(orjson.dumps(whole, option=orjson.OPT_INDENT_2).decode())
    else:
        console = Console(highlight=False, file=sys.stdout)
        for part in parts(findings):
            console.print(part)
    return exit_code(findings)


def parts(findings: Sequence[Finding]) -> Iterator[RenderableType]:
    """Draw the findings, by group, and the count at the end."""
    for group, members in groupby(findings, key=lambda finding: finding.group):
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True, min_width=6)
        table.add_column(no_wrap=True, min_width=14)
        table.add_column(overflow="fold")
        for finding in members:
            text = Text(finding.sentence)
            if finding.hint:
                text.append(f"\n→ {finding.hint}", "bold")
            table.add_row(Text(f"  {finding.status}", _COLOURS[finding.status]), finding.check, text)
        yield Group(Text(group, "bold"), table)
    found = counts(findings)
    yield Text(", ".join(f"{number} {status}" for status, number in found.items() if number or status is Status.OK))
