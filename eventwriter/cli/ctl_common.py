"""What the commands of `eventwriter-ctl` share: finding the socket, naming slots, waiting with a word."""

import getpass
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
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


def complete_slot(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the slots and streams that the daemon has."""
    root = ctx.find_root().params
    try:
        path = root.get("path") or socket_path(root.get("config"), os.environ)
        picture = Client(path, COMPLETION_S_MAX).call("status")
    except EventwriterError:
        return []
    slots = [slot["name"] for slot in picture["slots"]]
    streams = dict.fromkeys(slot.rpartition("/")[0] for slot in slots)
    return [CompletionItem(name) for name in [*streams, *slots, "all"] if name.startswith(incomplete)]


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


def wait_for(client: Client, names: Sequence[str], is_done: Callable[[Mapping[str, Any]], bool], wait_s: float) -> int:
    """
    Wait until every one of these slots is as wanted, and say which is not yet.

    Returns:
        The exit code: 0, or 1 where the time was too short.
    """
    began_s, said, said_s = clock.monotonic_s(), "", 0.0
    while True:
        left = [slot for slot in pictures_of(client, names) if not is_done(slot)]
        if not left:
            click.echo(f"done after {clock.monotonic_s() - began_s:.1f} s")
            return 0
        if clock.monotonic_s() - began_s >= wait_s:
            for slot in left:
                click.echo(f"{slot['name']} is still {words(slot)} after {wait_s:g} s", err=True)
            return 1
        line = "waiting for " + ", ".join(f"{slot['name']} ({words(slot)})" for slot in left)
        if line != said and clock.monotonic_s() - said_s >= SAY_S:
            click.echo(line)
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
