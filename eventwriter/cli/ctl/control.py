"""Commands of `eventwriter-ctl` that change what runs: pause, resume, drain, restart, scale, reload, log-level."""

import os
from collections.abc import Mapping
from typing import Any

import click

from eventwriter.cli.ctl.common import (
    Waiting,
    answer,
    as_json_option,
    complete_stream,
    console,
    lines,
    operator,
    slot_argument,
    wait_option,
)
from eventwriter.cli.ctl.render import changes_table, effects
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
@as_json_option
@click.pass_obj
def pause(client: Client, slot: str, wait_s: float | None, as_json: bool) -> int:
    """
    Pull nothing more for a SLOT (NETFLOW/0), a STREAM's, or all, until `resume`.

    What is open is settled; connections and consumer stay. Health is degraded meanwhile, with who asked.
    A `restart`, and a restart of the daemon, resume; a worker that dies stays paused.
    """
    told = client.call("pause", slot=slot, by=operator(os.environ))
    names = told["pausing"]
    return answer(client, told, f"pausing {', '.join(names)}", Waiting(names, is_paused, wait_s), as_json=as_json)


@click.command(
    short_help="Go on with what was paused or drained.",
    epilog=lines(
        "eventwriter-ctl resume NETFLOW --wait",
        "eventwriter-ctl resume all",
    ),
)
@slot_argument()
@wait_option
@as_json_option
@click.pass_obj
def resume(client: Client, slot: str, wait_s: float | None, as_json: bool) -> int:
    """Go on with what was paused, or drained."""
    told = client.call("resume", slot=slot)
    names = told["resuming"]
    return answer(client, told, f"resuming {', '.join(names)}", Waiting(names, is_running, wait_s), as_json=as_json)


@click.command(
    short_help="Finish what is open, and stop.",
    epilog=lines(
        "eventwriter-ctl drain NETFLOW/0 --wait",
        "eventwriter-ctl drain all --wait 120 --json",
    ),
)
@slot_argument()
@wait_option
@as_json_option
@click.pass_obj
def drain(client: Client, slot: str, wait_s: float | None, as_json: bool) -> int:
    """
    Finish what is open and stop, for a SLOT, a STREAM, or all.

    Drained slots stay stopped, and their messages wait in NATS, until `restart` or `resume`.
    """
    told = client.call("drain", slot=slot)
    names = told["draining"]
    return answer(client, told, f"draining {', '.join(names)}", Waiting(names, is_stopped, wait_s), as_json=as_json)


@click.command(
    short_help="Drain, and start anew.",
    epilog=lines(
        "eventwriter-ctl restart NETFLOW/0",
        "eventwriter-ctl restart all --wait",
    ),
)
@slot_argument()
@wait_option
@as_json_option
@click.pass_obj
def restart(client: Client, slot: str, wait_s: float | None, as_json: bool) -> int:
    """Drain and start anew a SLOT (NETFLOW/0), a STREAM, or all; also what was drained or has failed."""
    pids = {one["name"]: one["pid"] for one in client.call("status")["slots"]}
    told = client.call("restart", slot=slot)
    names = told["restarting"]

    def is_new(one: Mapping[str, Any]) -> bool:
        return is_running(one) and one["pid"] != pids.get(one["name"])

    return answer(client, told, f"restarting {', '.join(names)}", Waiting(names, is_new, wait_s), as_json=as_json)


@click.command(
    short_help="Have N workers for a stream.",
    epilog=lines(
        "eventwriter-ctl scale LOGS 4 --wait",
    ),
)
@click.argument("stream", metavar="STREAM", shell_complete=complete_stream)
@click.argument("workers", type=int, metavar="N")
@wait_option
@as_json_option
@click.pass_obj
def scale(client: Client, stream: str, workers: int, wait_s: float | None, as_json: bool) -> int:
    """
    Have N workers for a STREAM, until the configuration is read again.

    For entries whose workers share a durable (partition_mode = shared), and to add
    workers where NATS numbers the subjects ({partition}). Others are refused, with what to edit.
    """
    done = client.call("scale", stream=stream, workers=workers)
    said = [f"{what}: {', '.join(done[what])}" for what in ("started", "removed") if done[what]]
    sentence = f"{stream} has {workers} workers; " + ("; ".join(said) or "nothing changed")
    return answer(client, done, sentence, Waiting(done["started"], is_running, wait_s), as_json=as_json)


@click.command(
    "log-level",
    short_help="Log more, or less.",
    epilog=lines(
        "eventwriter-ctl log-level debug NETFLOW/0",
    ),
)
@click.argument("level", type=click.Choice(LEVELS))
@slot_argument(required=False)
@as_json_option
@click.pass_obj
def log_level(client: Client, level: str, slot: str | None, as_json: bool) -> int:
    """
    Log more, or less, until a reload: every process, or the workers of a SLOT or STREAM.

    At debug each batch has its line.
    """
    done = client.call("log_level", level=level, **({"slot": slot} if slot else {}))
    everything = f"every process ({len(done['slots'])} workers)"
    sentence = f"{level} for {everything if done['supervisor'] else ', '.join(done['slots'])}"
    return answer(client, done, sentence, as_json=as_json)


@click.command(
    short_help="Read the configuration again.",
    epilog=lines(
        "eventwriter-ctl reload --diff",
        "eventwriter-ctl reload --wait",
    ),
)
@click.option("--diff", is_flag=True, help="Only show what would change.")
@as_json_option
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
    if not as_json:
        show(told, diff)

    def is_new(slot: Mapping[str, Any]) -> bool:
        return is_running(slot) and (slot["name"] not in told["replaced"] or slot["pid"] != before.get(slot["name"]))

    waiting = None if diff else Waiting([*told["replaced"], *told["started"]], is_new, wait_s)
    return answer(client, told, None, waiting, as_json=as_json)


def show(told: Mapping[str, Any], diff: bool) -> None:
    """Print what a reload changed, or would change."""
    out = console()
    if told["changes"]:
        out.print(changes_table(told["changes"], out.width))
    for warning in told["warnings"]:
        click.echo(f"warning: {warning}", err=True)
    for line in effects(told, diff):
        out.print(line)
