"""Shared parts of the `eventwriter-ctl` commands: locating the socket, selecting slots, waiting for a state."""

import getpass
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from eventwriter import clock
from eventwriter.cli.main import config_path, explicit_config_path
from eventwriter.cli.output import echo, echo_json
from eventwriter.config.read_file import read_file
from eventwriter.control.client import Client, Unreachable
from eventwriter.errors import ConfigError, EventwriterError
from eventwriter.observe.escape import printable

if TYPE_CHECKING:
    from eventwriter.cli.console import SafeConsole

F = TypeVar("F", bound=Callable[..., Any])

POLL_S = 0.2
PROGRESS_S = 1.0  # shortest time between two progress lines
COMPLETION_S_MAX = 1.0  # a person who pressed Tab is waiting
WAIT_S = 60.0

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def console() -> "SafeConsole":
    """Return a console for standard output, without colours if it is not a terminal or NO_COLOR is set."""
    from eventwriter.cli import console  # slow to load

    return console.console()


def client_of(ctx: click.Context) -> Client:
    """Return the client of the daemon that the options select."""
    root = ctx.find_root().params
    return Client(root.get("path") or socket_path(root.get("config"), os.environ))


def pass_client(command: F) -> F:
    """Pass the client of the daemon to a command as its first argument."""

    @click.pass_context
    def wrapper(ctx: click.Context, /, *args: Any, **options: Any) -> Any:
        return ctx.invoke(command, client_of(ctx), *args, **options)

    return update_wrapper(wrapper, command)  # type: ignore[return-value]


def socket_path(config: str | None, environ: Mapping[str, str]) -> str:
    """
    Return the control socket of the daemon with this configuration.

    Only the socket's key is read, so that an error elsewhere in the file does not lock the operator out.

    Args:
        config: File of the option; None to use the variables and the default files.

    Raises:
        ConfigError: A file that was given explicitly cannot be read.
    """
    socket = environ.get("EVENT_WRITER_CONTROL_SOCKET") or _configured_socket(config, environ)
    if socket is not None:
        return socket
    runtime = environ.get("XDG_RUNTIME_DIR")
    defaults = ["/run/eventwriter/control.sock", os.path.join(runtime, "eventwriter.sock") if runtime else ""]
    defaults.append(os.path.join(environ.get("TMPDIR") or "/tmp", f"eventwriter-{os.getuid()}.sock"))  # noqa: S108
    return next((path for path in defaults if path and may_exist(path)), defaults[-1])


def _configured_socket(config: str | None, environ: Mapping[str, str]) -> str | None:
    path = config_path(config, environ)
    if path is None:
        return None
    try:
        control = read_file(path).get("control")
    except ConfigError:
        if explicit_config_path(config, environ):
            raise
        return None  # operators may use the socket of a daemon whose configuration they may not read
    socket = control.get("socket") if isinstance(control, dict) else None
    return socket if isinstance(socket, str) and socket else None


def may_exist(path: str) -> bool:
    """Return whether a file exists, or may exist in a folder that this user may not enter."""
    try:
        os.stat(path)
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def operator(environ: Mapping[str, str]) -> str:
    """Return the name of the operator, which the daemon records with the request."""
    try:
        return environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        return ""


def slot_names(ctx: click.Context) -> list[str]:
    """Return the names of the daemon's slots; none if it does not answer."""
    try:
        return [slot["name"] for slot in Client(client_of(ctx).path, COMPLETION_S_MAX).call("status")["slots"]]
    except EventwriterError:
        return []


def streams_of(slots: Sequence[str]) -> list[str]:
    """Return the streams of these slots without repetitions."""
    return list(dict.fromkeys(slot.rpartition("/")[0] for slot in slots))


def complete_slot(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the names of slots and streams."""
    slots = slot_names(ctx)
    candidates = [*streams_of(slots), *slots, "all"] if slots else []
    return [CompletionItem(printable(name)) for name in candidates if name.startswith(incomplete)]


def complete_stream(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the names of streams."""
    return [CompletionItem(printable(name)) for name in streams_of(slot_names(ctx)) if name.startswith(incomplete)]


def lines(*texts: str) -> str:
    """Return lines for the end of a command's help that click does not wrap."""
    return "\b\n" + "\n".join(texts)


def slot_argument(**attributes: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the argument SLOT with shell completion."""
    metavar = "[SLOT|STREAM|all]" if attributes else "SLOT|STREAM|all"  # click adds no brackets to a custom metavar
    return click.argument("slot", metavar=metavar, shell_complete=complete_slot, **attributes)


def wait_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option `--wait`."""
    return click.option(
        "--wait", "wait_s", type=click.FloatRange(min=0.1), is_flag=False, flag_value=WAIT_S, metavar="[SECONDS]",
        help=f"Wait until it is done, at most SECONDS (default {WAIT_S:g}); exit code 1 on timeout.",
    )(command)  # fmt: skip


def select_slots(client: Client, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the snapshot entries of these slots."""
    slots: list[dict[str, Any]] = client.call("status")["slots"]
    return [slot for slot in slots if slot["name"] in names]


@dataclass(frozen=True, slots=True)
class WaitFor:
    """State to wait for: the slots, the predicate, and the longest wait in seconds (None: do not wait)."""

    names: Sequence[str]
    is_done: Callable[[Mapping[str, Any]], bool]
    wait_s: float | None


def answer(
    client: Client, reply: Mapping[str, Any], message: str | None, wait: WaitFor | None = None, *, as_json: bool
) -> int:
    """
    Print the daemon's answer: as a sentence immediately, or as one JSON object after the wait, with its outcome.

    Returns:
        The exit code: 0, or 1 after a timeout.
    """
    if message and not as_json:
        echo(message)
    outcome: dict[str, Any] = {}
    if wait is not None and wait.wait_s is not None:
        began_s = clock.monotonic_s()
        outcome["done"] = wait_for(client, wait.names, wait.is_done, wait.wait_s)
        outcome["seconds"] = round(clock.monotonic_s() - began_s, 1)
    if as_json:
        echo_json(json.dumps({**reply, **outcome}))
    return 0 if outcome.get("done", True) else 1


def wait_for(client: Client, names: Sequence[str], is_done: Callable[[Mapping[str, Any]], bool], wait_s: float) -> bool:
    """
    Wait until the predicate holds for all of these slots. Pending slots are reported on stderr.

    Returns:
        Whether it held before the timeout.
    """
    began_s, printed, printed_s = clock.monotonic_s(), "", 0.0
    while True:
        pending = [slot for slot in select_slots(client, names) if not is_done(slot)]
        if not pending:
            echo(f"done after {clock.monotonic_s() - began_s:.1f} s", err=True)
            return True
        if clock.monotonic_s() - began_s >= wait_s:
            for slot in pending:
                echo(f"{slot['name']} is still {describe(slot)} after {wait_s:g} s", err=True)
            return False
        line = "waiting for " + ", ".join(f"{slot['name']} ({describe(slot)})" for slot in pending)
        if line != printed and clock.monotonic_s() - printed_s >= PROGRESS_S:
            echo(line, err=True)
            printed, printed_s = line, clock.monotonic_s()
        time.sleep(POLL_S)


def describe(slot: Mapping[str, Any]) -> str:
    """Return the state of a slot and the number of messages that it still has to settle."""
    state = slot["worker_state"] if slot["state"] in ("starting", "running") and slot["worker_state"] else slot["state"]
    held = slot["held_messages"]
    return f"{state}, {held:,} unsettled {'message' if held == 1 else 'messages'}" if held else str(state)


def is_unreachable(client: Client) -> bool:
    """Return whether the daemon does not answer."""
    try:
        client.call("ping")
    except Unreachable:
        return True
    return False
