"""What the commands of `eventwriter-ctl` share: finding the socket, naming slots, waiting with a word."""

import getpass
import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click
from click.shell_completion import CompletionItem
from rich.console import Console

from eventwriter import clock
from eventwriter.cli.main import config_path
from eventwriter.control.client import Client, Unreachable
from eventwriter.errors import ConfigError, EventwriterError

POLL_S = 0.2
SAY_S = 1.0  # how often it is said how far a long operation is
COMPLETION_S_MAX = 1.0  # a person who has pressed Tab waits for it
WAIT_S = 60.0

as_json_option = click.option("--json", "as_json", is_flag=True, help="As JSON.")


def console() -> Console:
    """Return where people read: without colours where it is no terminal, or NO_COLOR is set."""
    return Console(highlight=False)


def socket_path(config: str | None, environ: Mapping[str, str]) -> str:
    """Return the control socket that the configuration names, or else the first usual one that is there."""
    # Imported here: with --socket, which scripts use, the settings' 0.2 s are not spent.
    from eventwriter.config.load import load

    runtime = environ.get("XDG_RUNTIME_DIR")
    usual = ["/run/eventwriter/control.sock", os.path.join(runtime, "eventwriter.sock") if runtime else ""]
    usual.append(os.path.join(tempfile.gettempdir(), f"eventwriter-{os.getuid()}.sock"))
    there = [path for path in usual if path and os.path.exists(path)]
    try:
        control = load(config_path(config, environ), environ).settings.control
    except ConfigError:  # a mistake elsewhere in the file must not keep an operator from asking
        return there[0] if there else usual[-1]
    return there[0] if there and "socket" not in control.model_fields_set else control.socket


def operator(environ: Mapping[str, str]) -> str:
    """Return who asks, for whoever wonders later why something rests."""
    try:
        return environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a user number without a name
        return ""


def slot_names(ctx: click.Context) -> list[str]:
    """Return the slots that the daemon has; none where it does not answer."""
    root = ctx.find_root().params
    try:
        path = root.get("path") or socket_path(root.get("config"), os.environ)
        return [slot["name"] for slot in Client(path, COMPLETION_S_MAX).call("status")["slots"]]
    except EventwriterError:
        return []


def streams_of(slots: Sequence[str]) -> list[str]:
    """Return the streams of these slots, each once."""
    return list(dict.fromkeys(slot.rpartition("/")[0] for slot in slots))


def complete_slot(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the slots and streams that the daemon has."""
    slots = slot_names(ctx)
    offered = [*streams_of(slots), *slots, "all"] if slots else []
    return [CompletionItem(name) for name in offered if name.startswith(incomplete)]


def complete_stream(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the streams that the daemon has."""
    return [CompletionItem(name) for name in streams_of(slot_names(ctx)) if name.startswith(incomplete)]


def lines(*texts: str) -> str:
    """Return text for the end of a command's help that click does not wrap: examples, tables."""
    return "\b\n" + "\n".join(texts)


def slot_argument(**given: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the argument SLOT, which shells complete."""
    shown = "[SLOT|STREAM|all]" if given else "SLOT|STREAM|all"  # a metavar of our own gets no brackets from click
    return click.argument("slot", metavar=shown, shell_complete=complete_slot, **given)


def wait_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--wait`."""
    return click.option(
        "--wait", "wait_s", type=click.FloatRange(min=0.1), is_flag=False, flag_value=WAIT_S, metavar="[SECONDS]",
        help=f"Until it is done, saying how far it is; {WAIT_S:g} seconds at most unless given. Exit code 1 if not.",
    )(command)  # fmt: skip


def pictures_of(client: Client, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the pictures of these slots."""
    slots: list[dict[str, Any]] = client.call("status")["slots"]
    return [slot for slot in slots if slot["name"] in names]


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is waited for: slots, how they are wanted, and for how long; None where nobody waits."""

    names: Sequence[str]
    is_done: Callable[[Mapping[str, Any]], bool]
    wait_s: float | None


def answer(
    client: Client, told: Mapping[str, Any], sentence: str | None, waiting: Waiting | None = None, *, as_json: bool
) -> int:
    """
    Print what the daemon answered: as a sentence at once, or as one JSON object at the end, with how the wait ended.

    Returns:
        The exit code: 0, or 1 where the time was too short.
    """
    if sentence and not as_json:
        click.echo(sentence)
    outcome: dict[str, Any] = {}
    if waiting is not None and waiting.wait_s is not None:
        began_s = clock.monotonic_s()
        outcome["done"] = wait_for(client, waiting.names, waiting.is_done, waiting.wait_s)
        outcome["seconds"] = round(clock.monotonic_s() - began_s, 1)
    if as_json:
        click.echo(json.dumps({**told, **outcome}))
    return 0 if outcome.get("done", True) else 1


def wait_for(client: Client, names: Sequence[str], is_done: Callable[[Mapping[str, Any]], bool], wait_s: float) -> bool:
    """
    Wait until every one of these slots is as wanted, and say on stderr, as programs read stdout, which is not yet.

    Returns:
        Whether the time was enough.
    """
    began_s, said, said_s = clock.monotonic_s(), "", 0.0
    while True:
        left = [slot for slot in pictures_of(client, names) if not is_done(slot)]
        if not left:
            click.echo(f"done after {clock.monotonic_s() - began_s:.1f} s", err=True)
            return True
        if clock.monotonic_s() - began_s >= wait_s:
            for slot in left:
                click.echo(f"{slot['name']} is still {words(slot)} after {wait_s:g} s", err=True)
            return False
        line = "waiting for " + ", ".join(f"{slot['name']} ({words(slot)})" for slot in left)
        if line != said and clock.monotonic_s() - said_s >= SAY_S:
            click.echo(line, err=True)
            said, said_s = line, clock.monotonic_s()
        time.sleep(POLL_S)


def words(slot: Mapping[str, Any]) -> str:
    """Say how a slot is, and how much it still has to settle."""
    state = slot["worker_state"] if slot["state"] in ("starting", "running") and slot["worker_state"] else slot["state"]
    held = slot["held_messages"]
    return f"{state}, {held:,} messages open" if held else str(state)


def is_gone(client: Client) -> bool:
    """Say whether nobody answers."""
    try:
        client.call("ping")
    except Unreachable:
        return True
    return False
