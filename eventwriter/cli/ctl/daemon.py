"""Commands of `eventwriter-ctl` for the daemon as a whole: ping and stop."""

import os
import time

import click

from eventwriter import clock
from eventwriter.cli.ctl.common import POLL_S, answer, as_json_option, lines, pass_client
from eventwriter.cli.output import echo
from eventwriter.control.client import Client, Unreachable

EXIT_S_MAX = 5.0  # the process exits milliseconds after it closes its socket


@click.command(
    short_help="Test whether the daemon answers.",
    epilog=lines(
        "eventwriter-ctl ping",
        "eventwriter-ctl ping --json",
    ),
)
@as_json_option
@pass_client
def ping(client: Client, as_json: bool) -> int:
    """Test whether the daemon answers, and how quickly."""
    started_s = clock.monotonic_s()
    reply = client.call("ping")
    took_ms = round((clock.monotonic_s() - started_s) * 1e3, 1)
    message = f"eventwriter (pid {reply['pid']}) answers on {client.path} in {took_ms:.1f} ms"
    return answer(client, {**reply, "socket": client.path, "took_ms": took_ms}, message, as_json=as_json)


@click.command(
    short_help="Drain all slots and stop the daemon.",
    epilog=lines(
        "eventwriter-ctl stop",
        "eventwriter-ctl stop --now",
    ),
)
@click.option("--now", is_flag=True, help="Do not wait for unsettled messages; they are redelivered at the next start.")
@as_json_option
@pass_client
def stop(client: Client, now: bool, as_json: bool) -> int:
    """Settle open messages, stop the daemon and wait until its process has exited."""
    began_s = clock.monotonic_s()
    reply = client.call("stop")
    if now:
        client.call("stop")  # the second one does not wait
    printed = ""
    while (line := progress(client)) is not None:
        if line != printed:
            echo(line, err=True)
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
    echo(f"pid {pid} no longer answers, but the process is still running", err=True)
    return False


def is_zombie(pid: int) -> bool:
    """Return whether a process has exited and waits to be reaped by its parent."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] in (b"Z", b"X")
    except OSError:
        return True
