"""Commands of `eventwriter-ctl` that look on: top, stat, lag, streams."""

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
from eventwriter.cli.ctl.common import as_json_option, console, lines, slot_argument
from eventwriter.cli.ctl.rates import Meter, Pace, summed
from eventwriter.cli.ctl.render_top import SORTS, lag, positions, stat_head, stat_line, streams, top
from eventwriter.cli.main import EXIT_UNREACHABLE
from eventwriter.control.client import Client, Unreachable

TOP_S = 2.0
STAT_S = 1.0
HEAD_EVERY = 20  # lines of stat between two heads
Seen = TypeVar("Seen")
NAMES = {title: key for key, (title, _) in SORTS.items()}

interval_option = click.option(
    "--interval", "interval_s", type=click.FloatRange(min=0.2), metavar="SECONDS", help="Between two looks."
)
count_option = click.option("--count", type=click.IntRange(min=1), metavar="N", help="Look N times, then end.")


@click.command(
    "top",
    short_help="Live: where each slot's time goes.",
    epilog=lines(
        "eventwriter-ctl top --sort lag",
        "eventwriter-ctl top --count 1 --json",
    ),
)
@interval_option
@count_option
@click.option("--sort", type=click.Choice(list(NAMES)), default="msg/s", show_default=True, help="The largest first.")
@as_json_option
@click.pass_obj
def top_command(client: Client, interval_s: float | None, count: int | None, sort: str, as_json: bool) -> int:
    """
    Watch what each slot does and where its time goes, until q or ^C.

    A worker does two things at once. One half waits for messages (pull), decodes, encodes
    rows, and waits for the other half; the other copies, commits and acknowledges. The
    largest share of work is in colour: that stage is what limits the slot.
    """
    screen = Top(client, NAMES[sort], as_json)
    return screen.run(interval_s or TOP_S, count)


class Top:
    """One watcher at one terminal, or a program that reads."""

    def __init__(self, client: Client, sort: str, as_json: bool) -> None:
        self._client, self._sort, self._as_json = client, sort, as_json
        self._meter = Meter()
        self._console = console()

    def run(self, interval_s: float, count: int | None) -> int:
        """Look again and again; returns the exit code."""
        on_screen = self._console.is_terminal and not self._as_json
        self._look()  # rates need a look before
        time.sleep(min(interval_s, 1.2))
        try:
            if not on_screen:
                return self._print(interval_s, count)
            with keys() as key, Live(console=self._console, screen=True, auto_refresh=False) as live:
                return self._show(live, key, interval_s, count)
        except KeyboardInterrupt:
            return 0

    def _print(self, interval_s: float, count: int | None) -> int:
        at = 0
        while True:
            seen = self._look()
            if seen is None:
                click.echo("the daemon does not answer", err=True)
            elif self._as_json:
                click.echo(json.dumps(plain(*seen)))
            else:
                self._console.print(self._draw(*seen))
            at += 1
            if at == count:
                return 0 if seen else EXIT_UNREACHABLE
            time.sleep(interval_s)

    def _show(self, live: Live, key: Callable[[float], str], interval_s: float, count: int | None) -> int:
        at, seen = 0, self._look()
        while True:
            view: RenderableType = (
                self._draw(*seen) if seen else Text(f"nobody answers on {self._client.path}; waiting")
            )
            live.update(view, refresh=True)
            pressed = key(interval_s)
            if "q" in pressed:
                return 0
            if wanted := [one for one in pressed if one in SORTS]:
                self._sort = wanted[-1]
                continue
            seen, at = self._look(), at + 1
            if at == count:
                return 0 if seen else EXIT_UNREACHABLE

    def _draw(self, picture: Mapping[str, Any], paces: Mapping[str, Pace]) -> RenderableType:
        return top(picture, paces, self._sort, self._console.width)

    def _look(self) -> tuple[Mapping[str, Any], Mapping[str, Pace]] | None:
        try:
            picture = self._client.call("status")
        except Unreachable:
            return None
        return picture, self._meter.read(clock.monotonic_s(), picture)


def plain(picture: Mapping[str, Any], paces: Mapping[str, Pace]) -> list[dict[str, Any]]:
    """Return what `top` shows as JSON has it."""
    shown = ("name", "state", "worker_state", "health", "pid", "lag_messages", "lag_s", "rss_bytes", "commit_p99_ms")
    return [
        {
            **{key: slot[key] for key in shown},
            **{key: round(value, 1) for key, value in paces[slot["name"]].rates.items()},
            "cpu": paces[slot["name"]].cpu,
            "stages": {stage: round(share, 4) for stage, share in paces[slot["name"]].stages.items()},
            "busiest": paces[slot["name"]].busiest,
        }
        for slot in picture["slots"]
    ]


def again_and_again(look: Callable[[], Seen], wait_s: float, count: int | None = None) -> Iterator[Seen | None]:
    """Look as often as wanted; a daemon that is away, perhaps to start anew, is told of once, waited for, and None."""
    is_away = False
    for at in itertools.count() if count is None else range(count):
        if at:
            time.sleep(wait_s)
        seen = None
        try:
            seen, is_away = look(), False
        except Unreachable as error:
            if not is_away:
                click.echo(f"{error}; waiting", err=True)
            is_away = True
        yield seen


@click.command(
    short_help="A line a second, like vmstat.",
    epilog=lines(
        "eventwriter-ctl stat NETFLOW --count 60 > minute.txt",
    ),
)
@slot_argument(default="all")
@interval_option
@count_option
@as_json_option
@click.pass_obj
def stat(client: Client, slot: str, interval_s: float | None, count: int | None, as_json: bool) -> int:
    """
    Print a line a second, as vmstat does: for all, or a SLOT's, or a STREAM's.

    A daemon that goes away is waited for.
    """
    meter, at, picture, wait_s = Meter(), 0, None, interval_s or STAT_S
    meter.read(clock.monotonic_s(), client.call("status"))
    try:
        time.sleep(wait_s)
        for picture in again_and_again(lambda: client.call("status"), wait_s, count):
            if picture is None:
                continue
            paces = meter.read(clock.monotonic_s(), picture)
            slots = [one for one in picture["slots"] if slot in ("all", one["name"], one["name"].rpartition("/")[0])]
            if not slots:
                raise click.BadParameter(f"no slot or stream is called {slot!r}")
            pace = summed({one["name"]: paces[one["name"]] for one in slots})
            if as_json:
                click.echo(json.dumps({"at_ns": clock.now_ns(), **pace.rates, "cpu": pace.cpu}))
            else:
                line = stat_line(f"{datetime.now().astimezone():%H:%M:%S}", slots, pace)
                click.echo(line if at % HEAD_EVERY else f"{stat_head()}\n{line}")
            at += 1
    except KeyboardInterrupt:
        return 0
    return 0 if picture else EXIT_UNREACHABLE


@click.command(
    "lag",
    short_help="How far each slot is, on both servers.",
    epilog=lines(
        "eventwriter-ctl lag NETFLOW --watch",
        "eventwriter-ctl lag --json",
        "\n\b",
        "last        the stream's last sequence, of whatever subject",
        "delivered   the last one that NATS has sent",
        "ack floor   up to there everything is acknowledged",
        "ledger      up to there everything is committed in PostgreSQL",
        "drift       ledger minus ack floor: above 0 acknowledgements are on their way or",
        "            were lost; for long below 0, see `eventwriter-ctl verify`",
        "lag         messages to come, and those out that are not acknowledged",
        "left        time to catch up, as the lag shrank within the last half minute",
    ),
)
@slot_argument(default="all")
@as_json_option
@click.option("--watch", "watch_s", type=click.FloatRange(min=0.5), is_flag=False, flag_value=2.0, metavar="[SECONDS]",
              help="Again and again, every 2 seconds unless given, until ^C.")  # fmt: skip
@click.pass_obj
def lag_command(client: Client, slot: str, as_json: bool, watch_s: float | None) -> int:
    """
    Show how far each slot is, by both servers, in stream sequences.

    With --watch a daemon that goes away is waited for.
    """
    out = console()

    def look() -> tuple[Any, dict[str, Any]]:
        pictures = {one["name"]: one for one in client.call("status")["slots"]}
        return client.call("look", slot=slot), pictures

    try:
        found, pictures = look()
        show(out, as_json, found, pictures)
        if watch_s is None:
            return 1 if found["why"] else 0
        time.sleep(watch_s)
        for seen in again_and_again(look, watch_s):
            if seen is not None:
                show(out, as_json, *seen)
    except KeyboardInterrupt:
        pass
    return 0


def show(out: Console, as_json: bool, found: Mapping[str, Any], pictures: Mapping[str, Mapping[str, Any]]) -> None:
    """Print positions."""
    if as_json:
        more = ("lag_s", "lag_per_s", "catch_up_s", "stalled_s")
        slots = {
            name: {**positions(seen), **{key: pictures[name][key] for key in more}, **seen}
            for name, seen in found["slots"].items()
        }
        click.echo(json.dumps({"slots": slots, "why": found["why"]}))
    else:
        out.print(lag(found, pictures, out.width))


@click.command(
    "streams",
    short_help="JetStream's streams, and who reads them.",
    epilog=lines(
        "eventwriter-ctl streams",
        "eventwriter-ctl streams --json",
    ),
)
@as_json_option
@click.pass_obj
def streams_command(client: Client, as_json: bool) -> int:
    """Show the streams of JetStream that are read: size, limits, subjects, and who reads them."""
    pictures = {one["name"]: one for one in client.call("status")["slots"]}
    found = client.call("look")
    if as_json:
        click.echo(json.dumps(found))
    else:
        console().print(streams(found, pictures))
    return 1 if found["why"] else 0


READ_BYTES_MAX = 64  # what is typed ahead in one go
SEQUENCE = re.compile(r"\x1b(?:\[[0-9;]*[@-~]|O.)?")
"""What an arrow or a function key sends: its letter is no key of ours."""


def rest(wait_s: float) -> str:
    """Wait where nobody can press a key."""
    time.sleep(wait_s)
    return ""


def pressed(fd: int, wait_s: float) -> str:
    """Wait so many seconds for keys and return all that were pressed; a terminal that is gone counts as q."""
    if not select.select([fd], [], [], wait_s)[0]:
        return ""
    try:
        # Not through sys.stdin: its buffer would take in every key, and `select` would not see those left in it.
        typed = os.read(fd, READ_BYTES_MAX)
    except OSError:
        typed = b""
    return SEQUENCE.sub("", typed.decode(errors="replace")).lower() if typed else "q"


@contextmanager
def keys() -> Iterator[Callable[[float], str]]:
    """Give a function that waits so many seconds for keys and returns those pressed, empty where none was."""
    if not sys.stdin.isatty():
        yield rest
        return
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    try:
        tty.setcbreak(fd)
        yield lambda wait_s: pressed(fd, wait_s)
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
