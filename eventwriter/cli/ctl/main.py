"""The command `eventwriter-ctl`: an operator's questions to a running daemon, over its control socket."""

import json
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

import click
from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from eventwriter import __version__, clock
from eventwriter.cli.ctl.check import check
from eventwriter.cli.ctl.common import POLL_S, answer, as_json_option, lines, socket_path
from eventwriter.cli.ctl.control import drain, log_level, pause, reload, restart, resume, scale
from eventwriter.cli.ctl.dlq.main import dlq
from eventwriter.cli.ctl.inspect import completion, stacks, support_dump, tap
from eventwriter.cli.ctl.render import render
from eventwriter.cli.ctl.watch import lag_command, stat, streams_command, top_command
from eventwriter.cli.main import EXIT_UNREACHABLE, config_path, obey
from eventwriter.control.client import Client, Unreachable

EXIT_OF_STATUS = {"healthy": 0, "starting": 1, "degraded": 1, "failing": 2}
WATCH_S = 2.0  # rates are means over five seconds; looking more often shows little more
GONE_S_MAX = 5.0  # between the socket's end and the process's there are milliseconds


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=lines(
        "eventwriter-ctl status --watch",
        "eventwriter-ctl top",
        "eventwriter-ctl tap NETFLOW --stage row --limit 3",
        'eval "$(eventwriter-ctl completion bash)"',
    ),
)
@click.option("--socket", "path", metavar="PATH", help="Control socket of the daemon. Default: as it chooses its own.")
@click.option("--config", metavar="FILE", help="Configuration of the daemon, to find its control socket.")
@click.version_option(__version__, prog_name="eventwriter-ctl")
@click.pass_context
def cli(ctx: click.Context, path: str | None, config: str | None) -> None:
    """
    Ask a running eventwriter how it is, and tell it what to do.

    Exit codes of status: 0 healthy, 1 degraded or starting, 2 failing, 3 no daemon answers.
    """
    ctx.obj = Client(path or socket_path(config, os.environ))


for command in (
    top_command, stat, lag_command, streams_command, pause, resume, drain, restart, scale, reload, log_level,
    tap, stacks, check, support_dump, completion, dlq,
):  # fmt: skip
    cli.add_command(command)


@cli.command(
    short_help="Servers, totals and every slot.",
    epilog=lines(
        "eventwriter-ctl status --watch",
        "eventwriter-ctl status --json",
    ),
)
@click.option("--json", "as_json", is_flag=True, help="The whole snapshot as one JSON object.")
@click.option(
    "--watch", "watch_s", type=click.FloatRange(min=0.1), is_flag=False, flag_value=WATCH_S, metavar="[SECONDS]",
    help=f"Again and again, every {WATCH_S:g} seconds unless given, until ^C.",
)  # fmt: skip
@click.pass_obj
def status(client: Client, as_json: bool, watch_s: float | None) -> int:
    """Show servers, totals and every slot."""
    if watch_s is not None:
        return watch(client, as_json, watch_s)
    picture = client.call("status")
    show(picture, as_json)
    return EXIT_OF_STATUS[picture["status"]]


def show(picture: Mapping[str, Any], as_json: bool) -> None:
    """Print one snapshot."""
    if as_json:
        click.echo(json.dumps(picture))
    else:
        console = Console(highlight=False)
        console.print(render(picture, console.width))


def watch(client: Client, as_json: bool, watch_s: float) -> int:
    """Show snapshots until ^C; a daemon that goes away is waited for. Returns the last one's exit code."""
    console, code = Console(highlight=False), EXIT_UNREACHABLE
    view: RenderableType
    on_screen = console.is_terminal and not as_json
    try:
        with Live(console=console, screen=on_screen, auto_refresh=False) as live:
            while True:
                try:
                    picture = client.call("status")
                except Unreachable as error:
                    code, view = EXIT_UNREACHABLE, Text(str(error))
                    if not on_screen:
                        click.echo(str(error), err=True)
                else:
                    code, view = EXIT_OF_STATUS[picture["status"]], render(picture, console.width)
                    if not on_screen:
                        show(picture, as_json)
                if on_screen:
                    live.update(view, refresh=True)
                time.sleep(watch_s)
    except KeyboardInterrupt:
        return code


@cli.command(
    short_help="Whether a daemon answers.",
    epilog=lines(
        "eventwriter-ctl ping",
        "eventwriter-ctl ping --json",
    ),
)
@as_json_option
@click.pass_obj
def ping(client: Client, as_json: bool) -> int:
    """Say whether a daemon answers."""
    started_s = clock.monotonic_s()
    told = client.call("ping")
    took_ms = round((clock.monotonic_s() - started_s) * 1e3, 1)
    sentence = f"eventwriter (pid {told['pid']}) answers on {client.path} in {took_ms:.1f} ms"
    return answer(client, {**told, "socket": client.path, "took_ms": took_ms}, sentence, as_json=as_json)


@cli.command(
    short_help="Drain everything, and end the daemon.",
    epilog=lines(
        "eventwriter-ctl stop",
        "eventwriter-ctl stop --now",
    ),
)
@click.option("--now", is_flag=True, help="Do not wait for open work; what is lost is delivered again.")
@as_json_option
@click.pass_obj
def stop(client: Client, now: bool, as_json: bool) -> int:
    """Finish what is open, stop the daemon, and wait until it is gone."""
    began_s = clock.monotonic_s()
    told = client.call("stop")
    if now:
        client.call("stop")  # the second one does not wait
    said = ""
    while (line := progress(client)) is not None:
        if line != said:
            click.echo(line, err=True)
            said = line
        time.sleep(POLL_S)
    done = has_ended(told["pid"])
    outcome = {"done": done, "seconds": round(clock.monotonic_s() - began_s, 1)}
    answer(client, {**told, **outcome}, f"stopped (pid {told['pid']})" if done else None, as_json=as_json)
    return 0 if done else 1


def progress(client: Client) -> str | None:
    """Say which slots still have a worker; None when the daemon no longer answers."""
    try:
        slots = client.call("status")["slots"]
    except Unreachable:
        return None
    left = [slot["name"] for slot in slots if slot["pid"] is not None]
    return f"waiting for {', '.join(left)}" if left else "waiting for the daemon"


def has_ended(pid: int) -> bool:
    """Wait for the process itself, which outlives its socket by milliseconds; say whether it is gone."""
    deadline_s = clock.monotonic_s() + GONE_S_MAX
    while clock.monotonic_s() < deadline_s:
        if not os.path.exists(f"/proc/{pid}") or is_zombie(pid):
            return True
        time.sleep(POLL_S / 4)
    click.echo(f"pid {pid} no longer answers but is still there", err=True)
    return False


def is_zombie(pid: int) -> bool:
    """Say whether a process has ended and only waits for its parent to look."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] in (b"Z", b"X")
    except OSError:
        return True


@cli.command(
    short_help="Prove the books: nothing lost or twice.",
    epilog=lines(
        "eventwriter-ctl verify NETFLOW",
        "eventwriter-ctl verify events --range 1000-2000 --json",
    ),
)
@click.argument("names", nargs=-1, metavar="[STREAM]...")
@click.option("--range", "asked", metavar="A-B", help="Only these stream sequences; 100- and -200 are open.")
@click.option(
    "--look", default=1000, show_default=True, type=click.IntRange(1), metavar="N",
    help="Messages that are looked at, at most, in each slot.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def verify(ctx: click.Context, names: tuple[str, ...], asked: str | None, look: int, as_json: bool) -> int:
    """
    Prove the books: stream sequences against ledger, rows and dead letters.

    STREAM is a JetStream stream, an entry of the configuration, or a slot; all where
    none is given. The servers are asked, not the daemon, which may run; nothing is changed.

    Exit codes: 0 the books balance, 1 there are gaps, 2 a mistake, 3 a server is away.
    """
    # Imported here: what it needs, drivers among it, takes longer to load than any other command to run.
    from eventwriter.cli.ctl.verify import verify as prove

    assert ctx.parent is not None
    return prove(config_path(ctx.parent.params["config"], os.environ), names, asked, look, as_json)


def main() -> None:
    """Entry point of `eventwriter-ctl`."""
    sys.exit(obey(cli, sys.argv[1:], "eventwriter-ctl"))
