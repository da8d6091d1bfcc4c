"""`eventwriter-ctl status`: the snapshot of the daemon, once or repeatedly."""

import json
import time
from collections.abc import Mapping
from typing import Any

import click

from eventwriter.cli.ctl.common import console, lines, pass_client
from eventwriter.cli.main import EXIT_UNREACHABLE
from eventwriter.cli.output import echo, echo_json
from eventwriter.control.client import Client, Unreachable

EXIT_OF_STATUS = {"healthy": 0, "starting": 1, "degraded": 1, "failing": 2}
WATCH_S = 2.0  # rates are means over five seconds, so a shorter interval shows little more


@click.command(
    short_help="Show servers, totals and every slot.",
    epilog=lines(
        "eventwriter-ctl status --watch",
        "eventwriter-ctl status --json",
    ),
)
@click.option("--json", "as_json", is_flag=True, help="Print the whole snapshot as one JSON object.")
@click.option(
    "--watch", "watch_s", type=click.FloatRange(min=0.1), is_flag=False, flag_value=WATCH_S, metavar="[SECONDS]",
    help=f"Repeat every SECONDS (default {WATCH_S:g}) until Ctrl-C.",
)  # fmt: skip
@pass_client
def status(client: Client, as_json: bool, watch_s: float | None) -> int:
    """Show servers, totals and every slot."""
    if watch_s is not None:
        return watch(client, as_json, watch_s)
    snapshot = client.call("status")
    show(snapshot, as_json)
    return EXIT_OF_STATUS[snapshot["status"]]


def show(snapshot: Mapping[str, Any], as_json: bool) -> None:
    """Print one snapshot."""
    if as_json:
        echo_json(json.dumps(snapshot))
    else:
        from eventwriter.cli.ctl.render import render  # loads rich, which --json avoids

        screen = console()
        screen.print(render(snapshot, screen.width))


def watch(client: Client, as_json: bool, watch_s: float) -> int:
    """Show snapshots until Ctrl-C, waiting while the daemon is unreachable; return the exit code of the last one."""
    from rich.console import RenderableType
    from rich.live import Live
    from rich.text import Text

    from eventwriter.cli.ctl.render import render

    terminal, code = console(), EXIT_UNREACHABLE
    view: RenderableType
    on_screen = terminal.is_terminal and not as_json
    try:
        with Live(console=terminal, screen=on_screen, auto_refresh=False) as live:
            while True:
                try:
                    snapshot = client.call("status")
                except Unreachable as error:
                    code, view = EXIT_UNREACHABLE, Text(str(error))
                    if not on_screen:
                        echo(str(error), err=True)
                else:
                    code, view = EXIT_OF_STATUS[snapshot["status"]], render(snapshot, terminal.width)
                    if not on_screen:
                        show(snapshot, as_json)
                if on_screen:
                    live.update(view, refresh=True)
                time.sleep(watch_s)
    except KeyboardInterrupt:
        return code
