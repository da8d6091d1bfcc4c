"""Commands of `eventwriter-ctl` that change what runs: pause, resume, drain, restart, scale, reload, log-level."""

import json
import os
from collections.abc import Mapping
from typing import Any

import click

from eventwriter.cli.ctl_common import console, lines, operator, slot_argument, wait_for, wait_option
from eventwriter.cli.render_reload import changes_table, effects
from eventwriter.control.client import Client

RELOAD_S_MAX = 30.0  # the daemon reads files, and imports what kinds of other packages bring
LEVELS = ("debug", "info", "warning", "error")


def is_running(slot: Mapping[str, Any]) -> bool:
    """Say whether a slot's worker runs."""
    return bool(slot["state"] == "running" and slot["worker_state"] == "running")


def is_stopped(slot: Mapping[str, Any]) -> bool:
    """Say whether a slot has no worker because somebody wanted that."""
    return bool(slot["state"] == "stopped")


def is_paused(slot: Mapping[str, Any]) -> bool:
    """Say whether a slot rests, with everything settled."""
    rests = slot["worker_state"] == "paused" and not slot["held_messages"] and not slot["batches_in_flight"]
    return bool(rests or is_stopped(slot))


@click.command(
    short_help="Pull nothing more, until resume.",
    epilog=lines(
        "eventwriter-ctl pause NETFLOW --wait && pg_dump …; eventwriter-ctl resume NETFLOW",
    ),
)
@slot_argument()
@wait_option
@click.pass_obj
def pause(client: Client, slot: str, wait_s: float | None) -> int:
    """
    Pull nothing more for a SLOT (NETFLOW/0), a STREAM's, or all, until `resume`.

    What is open is settled; connections and consumer stay. Health is degraded meanwhile, with who asked.
    A `restart`, and a restart of the daemon, resume; a worker that dies stays paused.
    """
    names = client.call("pause", slot=slot, by=operator(os.environ))["pausing"]
    click.echo(f"pausing {', '.join(names)}")
    return wait_for(client, names, is_paused, wait_s) if wait_s else 0


@click.command(short_help="Go on with what was paused or drained.")
@slot_argument()
@wait_option
@click.pass_obj
def resume(client: Client, slot: str, wait_s: float | None) -> int:
    """Go on with what was paused, or drained."""
    names = client.call("resume", slot=slot)["resuming"]
    click.echo(f"resuming {', '.join(names)}")
    return wait_for(client, names, is_running, wait_s) if wait_s else 0


@click.command(short_help="Finish what is open, and stop.")
@slot_argument(default="all")
@wait_option
@click.pass_obj
def drain(client: Client, slot: str, wait_s: float | None) -> int:
    """
    Finish what is open and stop, for a SLOT, a STREAM, or all.

    Drained slots stay stopped, and their messages wait in NATS, until `restart` or `resume`.
    """
    names = client.call("drain", slot=slot)["draining"]
    click.echo(f"draining {', '.join(names)}")
    return wait_for(client, names, is_stopped, wait_s) if wait_s else 0


@click.command(short_help="Drain, and start anew.")
@slot_argument()
@wait_option
@click.pass_obj
def restart(client: Client, slot: str, wait_s: float | None) -> int:
    """Drain and start anew a SLOT (NETFLOW/0), a STREAM, or all; also what was drained or has failed."""
    names = client.call("status")["slots"]
    pids = {one["name"]: one["pid"] for one in names}
    names = client.call("restart", slot=slot)["restarting"]
    click.echo(f"restarting {', '.join(names)}")

    def is_new(one: Mapping[str, Any]) -> bool:
        return is_running(one) and one["pid"] != pids.get(one["name"])

    return wait_for(client, names, is_new, wait_s) if wait_s else 0


@click.command(
    short_help="Have N workers for a stream.",
    epilog=lines(
        "eventwriter-ctl scale LOGS 4 --wait",
    ),
)
@click.argument("stream", metavar="STREAM")
@click.argument("workers", type=int, metavar="N")
@wait_option
@click.pass_obj
def scale(client: Client, stream: str, workers: int, wait_s: float | None) -> int:
    """
    Have N workers for a STREAM, until the configuration is read again.

    For entries whose workers share a durable (partition_mode = shared), and to add
    workers where NATS numbers the subjects ({partition}). Others are refused, with what to edit.
    """
    done = client.call("scale", stream=stream, workers=workers)
    said = [f"{what}: {', '.join(done[what])}" for what in ("started", "removed") if done[what]]
    click.echo(f"{stream} has {workers} workers; " + ("; ".join(said) or "nothing changed"))
    return wait_for(client, done["started"], is_running, wait_s) if wait_s and done["started"] else 0


@click.command(
    "log-level",
    short_help="Log more, or less.",
    epilog=lines(
        "eventwriter-ctl log-level debug NETFLOW/0",
    ),
)
@click.argument("level", type=click.Choice(LEVELS))
@slot_argument(required=False)
@click.pass_obj
def log_level(client: Client, level: str, slot: str | None) -> None:
    """
    Log more, or less, until a reload: every process, or the workers of a SLOT or STREAM.

    At debug each batch has its line.
    """
    done = client.call("log_level", level=level, **({"slot": slot} if slot else {}))
    everything = f"every process ({len(done['slots'])} workers)"
    click.echo(f"{level} for {everything if done['supervisor'] else ', '.join(done['slots'])}")


@click.command(
    short_help="Read the configuration again.",
    epilog=lines(
        "eventwriter-ctl reload --diff",
        "eventwriter-ctl reload --wait",
    ),
)
@click.option("--diff", is_flag=True, help="Only show what would change.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@wait_option
@click.pass_obj
def reload(client: Client, diff: bool, as_json: bool, wait_s: float | None) -> int:
    """
    Read the configuration again, in the daemon's own environment.

    Only workers whose settings changed are replaced: each new one starts when the old
    one has settled what it had. A file with a mistake changes nothing, and the mistakes
    are named. Secrets are compared and never shown.
    """
    patient = Client(client.path, RELOAD_S_MAX)
    before = {slot["name"]: slot["pid"] for slot in patient.call("status")["slots"]}
    told = patient.call("reload", diff=diff)
    if as_json:
        click.echo(json.dumps(told))
    else:
        show(told, diff)
    if diff or not wait_s:
        return 0

    def is_new(slot: Mapping[str, Any]) -> bool:
        return is_running(slot) and (slot["name"] not in told["replaced"] or slot["pid"] != before.get(slot["name"]))

    return wait_for(client, [*told["replaced"], *told["started"]], is_new, wait_s)


def show(told: Mapping[str, Any], diff: bool) -> None:
    """Print what a reload changed, or would change."""
    out = console()
    if told["changes"]:
        out.print(changes_table(told["changes"], out.width))
    for warning in told["warnings"]:
        click.echo(f"warning: {warning}", err=True)
    for line in effects(told, diff):
        out.print(line)
