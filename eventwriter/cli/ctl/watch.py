"""Commands of `eventwriter-ctl` that watch: top, stat, lag, streams."""

import itertools
import json
import os
import re
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar

import click
from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from eventwriter import clock
from eventwriter.cli.ctl.common import as_json_option, console, lines, pass_client, slot_argument
from eventwriter.cli.ctl.rates import RateMeter, Rates, total_rates
from eventwriter.cli.ctl.render_top import SORTS, lag, positions, stat_head, stat_line, streams, top
from eventwriter.cli.main import EXIT_UNREACHABLE
from eventwriter.cli.output import echo, echo_json
from eventwriter.control.client import Client, Unreachable

TOP_S = 2.0
STAT_S = 1.0
HEAD_EVERY = 20  # lines of stat between two header lines
Seen = TypeVar("Seen")
NAMES = {title: key for key, (title, _) in SORTS.items()}

interval_option = click.option(
    "--interval", "interval_s", type=click.FloatRange(min=0.2), metavar="SECONDS", help="Time between two updates."
)
count_option = click.option("--count", type=click.IntRange(min=1), metavar="N", help="Stop after N updates.")


@click.command(
    "top",
    short_help="Show live how each slot spends its time.",
    epilog=lines(
        "eventwriter-ctl top --sort lag",
        "eventwriter-ctl top --count 1 --json",
    ),
)
@interval_option
@count_option
@click.option(
    "--sort",
    type=click.Choice(list(NAMES)),
    default="msg/s",
    show_default=True,
    help="Column to sort by, largest first.",
)
@as_json_option
@pass_client
def top_command(client: Client, interval_s: float | None, count: int | None, sort: str, as_json: bool) -> int:
    """
    Show live what each slot does and how it spends its time, until q or Ctrl-C.

    A worker has two concurrent tasks. One waits for messages (pull), decodes them, encodes rows, and waits for the
    other; the other copies, commits and acknowledges. The working stage with the largest share is coloured: it
    limits the slot.
    """
    screen = Top(client, NAMES[sort], as_json)
    return screen.run(interval_s or TOP_S, count)


class Top:
    """Updates of `top`, on a terminal or as plain output."""

    def __init__(self, client: Client, sort: str, as_json: bool) -> None:
        self._client, self._sort, self._as_json = client, sort, as_json
        self._meter = RateMeter()
        self._console = console()

    def run(self, interval_s: float, count: int | None) -> int:
        """Show updates until stopped; return the exit code."""
        on_screen = self._console.is_terminal and not self._as_json
        self._read()  # rates need a first snapshot
        time.sleep(min(interval_s, 1.2))
        try:
            if not on_screen:
                return self._print(interval_s, count)
            with keys() as key, Live(console=self._console, screen=True, auto_refresh=False) as live:
                return self._show(live, key, interval_s, count)
        except KeyboardInterrupt:
            return 0

    def _print(self, interval_s: float, count: int | None) -> int:
        updates = 0
        while True:
            seen = self._read()
            if seen is None:
                echo("the daemon does not answer", err=True)
            elif self._as_json:
                echo_json(json.dumps(plain(*seen)))
            else:
                self._console.print(self._draw(*seen))
            updates += 1
            if updates == count:
                return 0 if seen else EXIT_UNREACHABLE
            time.sleep(interval_s)

    def _show(self, live: Live, key: Callable[[float], str], interval_s: float, count: int | None) -> int:
        updates, seen = 0, self._read()
        while True:
            view: RenderableType = (
                self._draw(*seen) if seen else Text(f"no daemon answers on {self._client.path}; waiting")
            )
            live.update(view, refresh=True)
            pressed = key(interval_s)
            if "q" in pressed:
                return 0
            if sort_keys := [key for key in pressed if key in SORTS]:
                self._sort = sort_keys[-1]
                continue
            seen, updates = self._read(), updates + 1
            if updates == count:
                return 0 if seen else EXIT_UNREACHABLE

    def _draw(self, snapshot: Mapping[str, Any], rates_by_slot: Mapping[str, Rates]) -> RenderableType:
        return top(snapshot, rates_by_slot, self._sort, self._console.width)

    def _read(self) -> tuple[Mapping[str, Any], Mapping[str, Rates]] | None:
        try:
            snapshot = self._client.call("status")
        except Unreachable:
            return None
        return snapshot, self._meter.read(clock.monotonic_s(), snapshot)


def plain(snapshot: Mapping[str, Any], rates_by_slot: Mapping[str, Rates]) -> list[dict[str, Any]]:
    """Return the content of `top` as plain JSON."""
    keys = ("name", "state", "worker_state", "health", "pid", "lag_messages", "lag_s", "rss_bytes", "commit_p99_ms")
    return [
        {
            **{key: slot[key] for key in keys},
            **{key: round(value, 1) for key, value in rates_by_slot[slot["name"]].per_second.items()},
            "cpu": rates_by_slot[slot["name"]].cpu,
            "stages": {stage: round(share, 4) for stage, share in rates_by_slot[slot["name"]].stages.items()},
            "busiest": rates_by_slot[slot["name"]].busiest,
        }
        for slot in snapshot["slots"]
    ]


def poll(read: Callable[[], Seen], wait_s: float, count: int | None = None) -> Iterator[Seen | None]:
    """Yield what `read` returns, `count` times; None while the daemon is unreachable, which is reported once."""
    unreachable = False
    for at in itertools.count() if count is None else range(count):
        if at:
            time.sleep(wait_s)
        seen = None
        try:
            seen, unreachable = read(), False
        except Unreachable as error:
            if not unreachable:
                echo(f"{error}; waiting", err=True)
            unreachable = True
        yield seen


@click.command(
    short_help="Print one line per second, as vmstat does.",
    epilog=lines(
        "eventwriter-ctl stat NETFLOW --count 60 > minute.txt",
    ),
)
@slot_argument(default="all")
@interval_option
@count_option
@as_json_option
@pass_client
def stat(client: Client, slot: str, interval_s: float | None, count: int | None, as_json: bool) -> int:
    """
    Print one line per second, as vmstat does, for a SLOT, a STREAM, or all.

    While the daemon is unreachable, the command waits.
    """
    meter, printed, snapshot, wait_s = RateMeter(), 0, None, interval_s or STAT_S
    meter.read(clock.monotonic_s(), client.call("status"))
    try:
        time.sleep(wait_s)
        for snapshot in poll(lambda: client.call("status"), wait_s, count):
            if snapshot is None:
                continue
            rates_by_slot = meter.read(clock.monotonic_s(), snapshot)
            slots = [
                entry for entry in snapshot["slots"] if slot in ("all", entry["name"], entry["name"].rpartition("/")[0])
            ]
            if not slots:
                raise click.BadParameter(f"there is no slot or stream {slot!r}")
            rates = total_rates({entry["name"]: rates_by_slot[entry["name"]] for entry in slots})
            if as_json:
                echo_json(json.dumps({"at_ns": clock.now_ns(), **rates.per_second, "cpu": rates.cpu}))
            else:
                line = stat_line(f"{datetime.now().astimezone():%H:%M:%S}", slots, rates)
                echo(line if printed % HEAD_EVERY else f"{stat_head()}\n{line}")
            printed += 1
    except KeyboardInterrupt:
        return 0
    return 0 if snapshot else EXIT_UNREACHABLE


@click.command(
    "lag",
    short_help="Show the position of each slot on both servers.",
    epilog=lines(
        "eventwriter-ctl lag NETFLOW --watch",
        "eventwriter-ctl lag --json",
        "\n\b",
        "last        last sequence of the stream, of any subject",
        "delivered   last sequence that NATS has delivered",
        "ack floor   everything up to this sequence is acknowledged",
        "ledger      everything up to this sequence is committed in PostgreSQL",
        "drift       ledger minus ack floor: above 0, acknowledgements are in transit or",
        "            lost; if it stays below 0, run `eventwriter-ctl verify`",
        "lag         undelivered and unacknowledged messages",
        "left        time to catch up at the rate of the last 30 seconds",
    ),
)
@slot_argument(default="all")
@as_json_option
@click.option("--watch", "watch_s", type=click.FloatRange(min=0.5), is_flag=False, flag_value=2.0, metavar="[SECONDS]",
              help="Repeat every SECONDS (default 2) until Ctrl-C.")  # fmt: skip
@pass_client
def lag_command(client: Client, slot: str, as_json: bool, watch_s: float | None) -> int:
    """
    Show the position of each slot on both servers, in stream sequences.

    With --watch the command waits while the daemon is unreachable.
    """
    out = console()

    def read() -> tuple[Any, dict[str, Any]]:
        snapshots = {entry["name"]: entry for entry in client.call("status")["slots"]}
        return client.call("positions", slot=slot), snapshots

    try:
        found, snapshots = read()
        show(out, as_json, found, snapshots)
        if watch_s is None:
            return 1 if found["why"] else 0
        time.sleep(watch_s)
        for seen in poll(read, watch_s):
            if seen is not None:
                show(out, as_json, *seen)
    except KeyboardInterrupt:
        pass
    return 0


def show(out: Console, as_json: bool, found: Mapping[str, Any], snapshots: Mapping[str, Mapping[str, Any]]) -> None:
    """Print the positions of all slots."""
    if as_json:
        extra = ("lag_s", "lag_per_s", "catch_up_s", "stalled_s")
        slots = {
            name: {**positions(seen), **{key: snapshots[name][key] for key in extra}, **seen}
            for name, seen in found["slots"].items()
        }
        echo_json(json.dumps({"slots": slots, "why": found["why"]}))
    else:
        out.print(lag(found, snapshots, out.width))


@click.command(
    "streams",
    short_help="Show the streams and the slots that read them.",
    epilog=lines(
        "eventwriter-ctl streams",
        "eventwriter-ctl streams --json",
    ),
)
@as_json_option
@pass_client
def streams_command(client: Client, as_json: bool) -> int:
    """Show the JetStream streams in use: size, limits, subjects, and the slots that read them."""
    snapshots = {entry["name"]: entry for entry in client.call("status")["slots"]}
    found = client.call("positions")
    if as_json:
        echo_json(json.dumps(found))
    else:
        console().print(streams(found, snapshots))
    return 1 if found["why"] else 0


READ_BYTES_MAX = 64  # keys typed ahead
SEQUENCE = re.compile(r"\x1b(?:\[[0-9;]*[@-~]|O.)?")
"""Escape sequence of an arrow or function key, which must not be read as a letter."""


def sleep_without_keys(wait_s: float) -> str:
    """Wait without reading keys, because standard input is not a terminal."""
    time.sleep(wait_s)
    return ""


def pressed(fd: int, wait_s: float) -> str:
    """Wait up to `wait_s` seconds for keys and return those pressed; a closed terminal counts as q."""
    if not select.select([fd], [], [], wait_s)[0]:
        return ""
    try:
        # Not through sys.stdin: `select` would not see keys that are left in its buffer.
        typed = os.read(fd, READ_BYTES_MAX)
    except OSError:
        typed = b""
    return SEQUENCE.sub("", typed.decode(errors="replace")).lower() if typed else "q"


@contextmanager
def keys() -> Iterator[Callable[[float], str]]:
    """Yield a function that waits up to the given seconds for keys and returns those pressed."""
    if not sys.stdin.isatty():
        yield sleep_without_keys
        return
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    try:
        tty.setcbreak(fd)
        yield lambda wait_s: pressed(fd, wait_s)
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
