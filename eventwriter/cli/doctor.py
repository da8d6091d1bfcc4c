"""
`eventwriter doctor`: check everything that the daemon needs, with a hint for each failure.

Exit codes: 0 all checks passed, 1 there are warnings, 2 a check failed.
"""

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby

import click
import orjson
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from eventwriter.admin.doctor import runner
from eventwriter.admin.doctor.findings import Finding, Status, counts, exit_code
from eventwriter.cli import daemon_mismatch
from eventwriter.cli.console import console as new_console
from eventwriter.cli.main import silence_logs
from eventwriter.cli.output import echo_json
from eventwriter.config.load import load
from eventwriter.errors import ConfigError

_COLOURS = {Status.OK: "green", Status.WARN: "yellow", Status.FAIL: "bold red", Status.SKIP: "dim"}


@click.command("doctor")
@click.option("--config", "config_path", metavar="FILE", help="Configuration file, as for `eventwriter --config`.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def doctor(config_path: str | None, as_json: bool) -> int:
    """
    Check everything that the daemon needs, and say how to fix what fails.

    Checks the configuration, host, files, host names, TLS, logins, versions, streams, consumers, tables and ledger.
    The daemon may be running; nothing is changed, and no secret is shown.

    Exit codes: 0 all checks passed, 1 there are warnings, 2 a check failed.
    """
    silence_logs()  # the findings contain what would be logged
    with contextlib.suppress(ConfigError):  # the first finding reports it
        daemon_mismatch.warn(load(config_path, os.environ).settings, config_path)
    findings = runner.run(config_path, os.environ)
    if as_json:
        whole = {"exit_code": exit_code(findings), "findings": [finding.as_json() for finding in findings]}
        echo_json(orjson.dumps(whole, option=orjson.OPT_INDENT_2))
    else:
        console = new_console(file=sys.stdout)
        for part in parts(findings):
            console.print(part)
    return exit_code(findings)


def parts(findings: Sequence[Finding]) -> Iterator[RenderableType]:
    """Render the findings by group, and their counts at the end."""
    for group, members in groupby(findings, key=lambda finding: finding.group):
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True, min_width=6)
        table.add_column(no_wrap=True, min_width=14)
        table.add_column(overflow="fold")
        for finding in members:
            text = Text(finding.message)
            if finding.hint:
                text.append(f"\n→ {finding.hint}", "bold")
            table.add_row(Text(f"  {finding.status}", _COLOURS[finding.status]), finding.check, text)
        yield Group(Text(group, "bold"), table)
    totals = counts(findings)
    yield Text(", ".join(f"{number} {status}" for status, number in totals.items() if number or status is Status.OK))
