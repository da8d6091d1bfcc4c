"""The command `eventwriter-ctl`, which talks to a running daemon over its control socket."""

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
from eventwriter.cli.main import EXIT_UNREACHABLE, config_path, run_command
from eventwriter.control.client import Client, Unreachable

EXIT_OF_STATUS = {"healthy": 0, "starting": 1, "degraded": 1, "failing": 2}
WATCH_S = 2.0  # rates are means over five seconds, so a shorter interval shows little more
EXIT_S_MAX = 5.0  # the process exits milliseconds after it closes its socket


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=lines(
        "eventwriter-ctl status --watch",
        "eventwriter-ctl top",
        "eventwriter-ctl tap NETFLOW --stage row --limit 3",
        'eval "$(eventwriter-ctl completion bash)"',
    ),
)
@click.option(
    "--socket", "path", metavar="PATH", help="Control socket of the daemon. Default: that of the configuration."
)
@click.option("--config", metavar="FILE", help="Configuration file of the daemon, which names its control socket.")
@click.version_option(__version__, prog_name="eventwriter-ctl")
@click.pass_context
def cli(ctx: click.Context, path: str | None, config: str | None) -> None:
    """
    Inspect and control a running eventwriter daemon.

    Exit codes of status: 0 healthy, 1 degraded or starting, 2 failing, 3 unreachable.
    """
    ctx.obj = Client(path or socket_path(config, os.environ))


for command in (
    top_command, stat, lag_command, streams_command, pause, resume, drain, restart, scale, reload, log_level,
    tap, stacks, check, support_dump, completion, dlq,
):  # fmt: skip
    cli.add_command(command)


@cli.command(
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
@click.pass_obj
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
        click.echo(json.dumps(snapshot))
    else:
        console = Console(highlight=False)
        console.print(render(snapshot, console.width))


def watch(client: Client, as_json: bool, watch_s: float) -> int:
    """Show snapshots until Ctrl-C, waiting while the daemon is unreachable; return the exit code of the last one."""
    console, code = Console(highlight=False), EXIT_UNREACHABLE
    view: RenderableType
    on_screen = console.is_terminal and not as_json
    try:
        with Live(console=console, screen=on_screen, auto_refresh=False) as live:
            while True:
                try:
                    snapshot = client.call("status")
                except Unreachable as error:
                    code, view = EXIT_UNREACHABLE, Text(str(error))
                    if not on_screen:
                        click.echo(str(error), err=True)
                else:
                    code, view = EXIT_OF_STATUS[snapshot["status"]], render(snapshot, console.width)
                    if not on_screen:
                        show(snapshot, as_json)
                if on_screen:
                    live.update(view, refresh=True)
                time.sleep(watch_s)
    except KeyboardInterrupt:
        return code


@cli.command(
    short_help="Test whether the daemon answers.",
    epilog=lines(
        "eventwriter-ctl ping",
        "eventwriter-ctl ping --json",
    ),
)
@as_json_option
@click.pass_obj
def ping(client: Client, as_json: bool) -> int:
    """Test whether the daemon answers, and how quickly."""
    started_s = clock.monotonic_s()
    reply = client.call("ping")
    took_ms = round((clock.monotonic_s() - started_s) * 1e3, 1)
    message = f"eventwriter (pid {reply['pid']}) answers on {client.path} in {took_ms:.1f} ms"
    return answer(client, {**reply, "socket": client.path, "took_ms": took_ms}, message, as_json=as_json)


@cli.command(
    short_help="Drain all slots and stop the daemon.",
    epilog=lines(
        "eventwriter-ctl stop",
        "eventwriter-ctl stop --now",
    ),
)
@click.option("--now", is_flag=True, help="Do not wait for unsettled messages; they are redelivered at the next start.")
@as_json_option
@click.pass_obj
def stop(client: Client, now: bool, as_json: bool) -> int:
    """Settle open messages, stop the daemon and wait until its process has exited."""
    began_s = clock.monotonic_s()
    reply = client.call("stop")
    if now:
        client.call("stop")  # the second one does not wait
    printed = ""
    while (line := progress(client)) is not None:
        if line != printed:
            click.echo(line, err=True)
            printed = line
        time.sleep(POLL_S)
    done = has_exited(reply["pid"])
    outcome = {"done": done, "seconds": round(clock.monotonic_s() - began_s, 1)}
    answer(client, {**reply, **outcome}, f"stopped (pid {reply['pid']})" if done else None, as_json=as_json)
    return 0 if done else 1


def progress(client: Client) -> str | None:
    """Return a line that names the slots with a running worker; None once the daemon no longer answers."""
    try:
        slots = client.call("status")["slots"]
    except Unreachable:
        return None
    running = [slot["name"] for slot in slots if slot["pid"] is not None]
    return f"waiting for {', '.join(running)}" if running else "waiting for the daemon"


def has_exited(pid: int) -> bool:
    """Wait for the process to exit, which happens milliseconds after its socket closes; return whether it did."""
    deadline_s = clock.monotonic_s() + EXIT_S_MAX
    while clock.monotonic_s() < deadline_s:
        if not os.path.exists(f"/proc/{pid}") or is_zombie(pid):
            return True
        time.sleep(POLL_S / 4)
    click.echo(f"pid {pid} no longer answers, but the process is still running", err=True)
    return False


def is_zombie(pid: int) -> bool:
    """Return whether a process has exited and waits to be reaped by its parent."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] in (b"Z", b"X")
    except OSError:
        return True


@cli.command(
    short_help="Prove that no message is lost or duplicated.",
    epilog=lines(
        "eventwriter-ctl verify NETFLOW",
        "eventwriter-ctl verify events --range 1000-2000 --json",
    ),
)
@click.argument("names", nargs=-1, metavar="[STREAM]...")
@click.option("--range", "sequences", metavar="A-B", help="Only these stream sequences; A- and -B are open ranges.")
@click.option(
    "--look", default=1000, show_default=True, type=click.IntRange(1), metavar="N",
    help="Messages per slot whose rows are looked up, at most.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def verify(ctx: click.Context, names: tuple[str, ...], sequences: str | None, look: int, as_json: bool) -> int:
    """
    Prove that no message is lost or duplicated: compare stream, ledger, rows and dead letters.

    STREAM is a JetStream stream, a stream entry of the configuration, or a slot; default: all.
    The servers are queried directly, read-only, while the daemon may run.

    Exit codes: 0 every message is accounted for, 1 there are gaps, 2 usage or configuration error, 3 a server is
    unreachable.
    """
    # Imported here because its drivers take longer to load than any other command takes to run.
    from eventwriter.cli.ctl.verify import verify as run_verify

    assert ctx.parent is not None
    return run_verify(config_path(ctx.parent.params["config"], os.environ), names, sequences, look, as_json)


def main() -> None:
    """Entry point of `eventwriter-ctl`."""
    sys.exit(run_command(cli, sys.argv[1:], "eventwriter-ctl"))
