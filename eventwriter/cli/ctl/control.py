"""Commands of `eventwriter-ctl` that control workers: pause, resume, drain, restart, scale, reload, log-level."""

import os
from collections.abc import Mapping
from typing import Any

import click

from eventwriter.cli.ctl.common import (
    WaitFor,
    answer,
    as_json_option,
    complete_stream,
    console,
    lines,
    operator,
    pass_client,
    slot_argument,
    wait_option,
)
from eventwriter.cli.ctl.render import changes_table, effects
from eventwriter.cli.output import echo
from eventwriter.control.client import Client

RELOAD_S_MAX = 30.0  # the daemon reads files and imports kinds from other packages
LEVELS = ("debug", "info", "warning", "error")


def is_running(slot: Mapping[str, Any]) -> bool:
    """Return whether the worker of a slot is running."""
    return bool(slot["state"] == "running" and slot["worker_state"] == "running")


def is_stopped(slot: Mapping[str, Any]) -> bool:
    """Return whether a slot was stopped by an operator."""
    return bool(slot["state"] == "stopped")


def is_paused(slot: Mapping[str, Any]) -> bool:
    """Return whether a slot is paused or stopped and has settled all its messages."""
    paused = slot["worker_state"] == "paused" and not slot["held_messages"] and not slot["batches_in_flight"]
    return bool(paused or is_stopped(slot))


@click.command(
    short_help="Stop pulling messages until resume.",
    epilog=lines(
        "eventwriter-ctl pause NETFLOW --wait && pg_dump …; eventwriter-ctl resume NETFLOW",
    ),
)
@slot_argument()
@wait_option
@as_json_option
@pass_client
def pause(client: Client, slot: str, wait_s: float | None, as_json: bool) -> int:
    """
    Stop pulling messages for a SLOT (such as NETFLOW/0), a STREAM, or all, until `resume`.

    Messages in flight are settled; connections and consumer stay. Meanwhile health is degraded and names the
    operator. `restart` and a restart of the daemon resume the slot; a crash of the worker does not.
    """
    reply = client.call("pause", slot=slot, by=operator(os.environ))
    names = reply["pausing"]
    return answer(client, reply, f"pausing {', '.join(names)}", WaitFor(names, is_paused, wait_s), as_json=as_json)


@click.command(
    short_help="Resume paused or drained slots.",
    epilog=lines(
        "eventwriter-ctl resume NETFLOW --wait",
        "eventwriter-ctl resume all",
    ),
)
@slot_argument()
@wait_option
@as_json_option
@pass_client
def resume(client: Client, slot: str, wait_s: float | None, as_json: bool) -> int:
    """Resume slots that were paused or drained; slots that run are left unchanged."""
    reply = client.call("resume", slot=slot)
    names = reply["resuming"]
    message = f"resuming {', '.join(names)}" if names else f"nothing to resume: no slot of {slot} is paused or drained"
    return answer(client, reply, message, WaitFor(names, is_running, wait_s), as_json=as_json)


@click.command(
    short_help="Settle messages in flight and stop workers.",
    epilog=lines(
        "eventwriter-ctl drain NETFLOW/0 --wait",
        "eventwriter-ctl drain all --wait 120 --json",
    ),
)
@slot_argument()
@wait_option
@as_json_option
@pass_client
def drain(client: Client, slot: str, wait_s: float | None, as_json: bool) -> int:
    """
    Settle messages in flight and stop the workers of a SLOT, a STREAM, or all.

    Drained slots stay stopped, and their messages stay in NATS, until `restart` or `resume`.
    """
    reply = client.call("drain", slot=slot)
    names = reply["draining"]
    return answer(client, reply, f"draining {', '.join(names)}", WaitFor(names, is_stopped, wait_s), as_json=as_json)


@click.command(
    short_help="Drain and start workers again.",
    epilog=lines(
        "eventwriter-ctl restart NETFLOW/0",
        "eventwriter-ctl restart all --wait",
    ),
)
@slot_argument()
@wait_option
@as_json_option
@pass_client
def restart(client: Client, slot: str, wait_s: float | None, as_json: bool) -> int:
    """Drain and restart the workers of a SLOT (such as NETFLOW/0), a STREAM, or all; also drained and failed slots."""
    pids = {entry["name"]: entry["pid"] for entry in client.call("status")["slots"]}
    reply = client.call("restart", slot=slot)
    names = reply["restarting"]

    def is_new(entry: Mapping[str, Any]) -> bool:
        return is_running(entry) and entry["pid"] != pids.get(entry["name"])

    return answer(client, reply, f"restarting {', '.join(names)}", WaitFor(names, is_new, wait_s), as_json=as_json)


@click.command(
    short_help="Set the number of workers of a stream.",
    epilog=lines(
        "eventwriter-ctl scale LOGS 4 --wait",
    ),
)
@click.argument("stream", metavar="STREAM", shell_complete=complete_stream)
@click.argument("workers", type=int, metavar="N")
@wait_option
@as_json_option
@pass_client
def scale(client: Client, stream: str, workers: int, wait_s: float | None, as_json: bool) -> int:
    """
    Run N workers for a STREAM until the configuration is reloaded.

    Works for entries whose workers share a durable (partition_mode = shared), and to add workers where NATS puts
    the partition into the subject ({partition}). Other entries are refused with what to edit instead.
    """
    reply = client.call("scale", stream=stream, workers=workers)
    changes = [f"{change}: {', '.join(reply[change])}" for change in ("started", "removed") if reply[change]]
    count = f"{workers} {'worker' if workers == 1 else 'workers'}"
    message = f"{stream} has {count}; " + ("; ".join(changes) or "nothing changed")
    return answer(client, reply, message, WaitFor(reply["started"], is_running, wait_s), as_json=as_json)


@click.command(
    "log-level",
    short_help="Change the log level.",
    epilog=lines(
        "eventwriter-ctl log-level debug NETFLOW/0",
    ),
)
@click.argument("level", type=click.Choice(LEVELS))
@slot_argument(required=False)
@as_json_option
@pass_client
def log_level(client: Client, level: str, slot: str | None, as_json: bool) -> int:
    """
    Change the log level of all processes, or of the workers of a SLOT or STREAM, until a reload.

    At level debug every batch is logged.
    """
    reply = client.call("log_level", level=level, **({"slot": slot} if slot else {}))
    everything = f"every process ({len(reply['slots'])} workers)"
    message = f"{level} for {everything if reply['supervisor'] else ', '.join(reply['slots'])}"
    return answer(client, reply, message, as_json=as_json)


@click.command(
    short_help="Reload the configuration.",
    epilog=lines(
        "eventwriter-ctl reload --diff",
        "eventwriter-ctl reload --wait",
    ),
)
@click.option("--diff", is_flag=True, help="Show what would change, and change nothing.")
@as_json_option
@wait_option
@pass_client
def reload(client: Client, diff: bool, as_json: bool, wait_s: float | None) -> int:
    """
    Reload the configuration in the daemon's own environment.

    Only workers whose settings changed are replaced; the new worker starts once the old one has settled its
    messages. An invalid file changes nothing, and its errors are printed. Secrets are compared but never shown.
    """
    slow_client = Client(client.path, RELOAD_S_MAX)
    before = {slot["name"]: slot["pid"] for slot in slow_client.call("status")["slots"]}
    reply = slow_client.call("reload", diff=diff)
    if not as_json:
        show(reply, diff)

    def is_new(slot: Mapping[str, Any]) -> bool:
        return is_running(slot) and (slot["name"] not in reply["replaced"] or slot["pid"] != before.get(slot["name"]))

    wait = None if diff else WaitFor([*reply["replaced"], *reply["started"]], is_new, wait_s)
    return answer(client, reply, None, wait, as_json=as_json)


def show(reply: Mapping[str, Any], diff: bool) -> None:
    """Print what a reload changed or would change."""
    out = console()
    if reply["changes"]:
        out.print(changes_table(reply["changes"], out.width))
    for warning in reply["warnings"]:
        echo(f"warning: {warning}", err=True)
    for line in effects(reply, diff):
        out.print(line)
