"""`eventwriter demo`: the whole thing on real servers in a folder, and its books at the end."""

import asyncio
import contextlib
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import click
from rich.console import Console
from rich.live import Live

from eventwriter.cli.ctl.render import number, render
from eventwriter.cli.main import EXIT_INTERRUPTED
from eventwriter.demo import audit, daemon
from eventwriter.demo.binaries import postgres_bin
from eventwriter.demo.process import Server, free_port
from eventwriter.demo.publisher import Wishes, make_stream, stored
from eventwriter.demo.servers import EmbeddedServers
from eventwriter.demo.traffic import TRAFFIC
from eventwriter.errors import Fatal
from eventwriter.kinds.registry import KINDS

Picture = Mapping[str, Any]


class Screen:
    """Where snapshots are shown, as a context manager: at its end the terminal is as it was before."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None

    def __enter__(self) -> "Screen":
        """Begin."""
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End; the cursor is shown again."""
        if self._live is not None:
            self._live.stop()

    def show(self, picture: Picture) -> None:
        """Show a snapshot as `eventwriter-ctl status` answers it."""
        if self._live is not None:
            self._live.update(render(picture, self._console.width), refresh=True)
        else:
            self._print("  ".join(brief(slot) for slot in picture["slots"]))

    def say(self, sentence: str) -> None:
        """Say something that stays, above the table."""
        self._print(sentence)

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)


def brief(slot: Picture) -> str:
    """Return a slot in a few words."""
    return (
        f"{slot['name']} {slot['state']:<8} {slot['rows_per_s'] or 0:8,.0f} rows/s  {slot['rows_total']:,} rows"
        f"  {slot['dead_letters_total']} dead  lag {number(slot['lag_messages'])}"
    )


DEFAULT_KINDS = "telemetry,netflow"
_STUCK_S_MAX = 90.0
"""How long to wait for a backlog that does not shrink."""

_NOTHING_LEFT_S_MAX = 3.0
"""How long to wait for rows that are missing although the daemon has nothing left to write."""

_PUBLISHER_END_S_MAX = 20.0
"""How long the publisher may wait for NATS to store what it has sent."""

_LOOK_S = 1.0
_CHAOS_S = (1.5, 4.0)
"""A worker is killed every so often."""


@dataclass(frozen=True, slots=True)
class Order:
    """What the command line asked for."""

    rate: float
    kinds: tuple[str, ...]
    seed: int
    duration_s: float
    chaos: bool
    listen: str | None
    """Where the dashboard is."""


@click.command()
@click.option(
    "--rate", default=2000.0, show_default=True, type=click.FloatRange(min=0, min_open=True),
    help="Messages a second, all kinds together.",
)  # fmt: skip
@click.option(
    "--kinds", default=DEFAULT_KINDS, show_default=True,
    help=f"Kinds, with commas between, or all: {', '.join(kind for kind in TRAFFIC if kind in KINDS)}.",
)  # fmt: skip
@click.option(
    "--seed", default=1, show_default=True, help="The same seed makes the same messages, but for their times."
)
@click.option("--duration", metavar="TIME", help="Like 20s; until Ctrl-C where absent.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Keep the servers' data here, for the next time.")
@click.option("--keep", is_flag=True, help="Leave the data behind (in a new folder, where --data-dir is absent).")
@click.option("--chaos", is_flag=True, help="Kill a random worker every few seconds.")
@click.option("--http", is_flag=True, help="Serve the dashboard, and say where.")
@click.option("--config", "config_path", hidden=True)
def demo(
    rate: float, kinds: str, seed: int, duration: str | None, data_dir: Path | None, keep: bool, chaos: bool,
    http: bool, config_path: str | None,
) -> int:  # fmt: skip
    """
    Run everything on embedded servers with made-up traffic, and prove the books at the end.

    Exit codes: 0 the books balance, 1 they do not, 2 it could not run, 130 interrupted before the books were closed.
    """
    listen = f"127.0.0.1:{free_port()}" if http else None
    order = Order(rate, chosen(kinds), seed, read_duration(duration), chaos, listen)
    environ = daemon.own_environment(os.environ)
    os.environ.clear()
    os.environ.update(environ)
    if keep and data_dir is None:
        data_dir = Path(tempfile.mkdtemp(prefix="eventwriter-demo-"))
        data_dir.chmod(0o755)  # PostgreSQL's user is to pass, where we are root
    with terminated_as_interrupted():
        try:
            with EmbeddedServers(data_dir, durable=True) as servers:
                balanced = run(servers, order)
        except KeyboardInterrupt:
            click.echo("demo: interrupted, the books were not closed", err=True)
            return EXIT_INTERRUPTED
        finally:
            if data_dir is not None and data_dir.exists():
                click.echo(
                    f"the data is in {data_dir}; --data-dir {shlex.quote(str(data_dir))} goes on with it", err=True
                )
    return 0 if balanced else 1


def chosen(kinds: str) -> tuple[str, ...]:
    """
    Read the option `--kinds`.

    Raises:
        Fatal: It names none, or one that the demo cannot make.
    """
    possible = tuple(kind for kind in TRAFFIC if kind in KINDS)
    if kinds.strip() == "all":
        return possible
    named = tuple(dict.fromkeys(kind.strip() for kind in kinds.split(",") if kind.strip()))
    if not named or any(kind not in possible for kind in named):
        raise Fatal(f"--kinds {kinds!r}: the demo can make all, or of these: {', '.join(possible)}")
    return named


def read_duration(text: str | None) -> float:
    """
    Read the option `--duration`; seconds, for ever where it is absent.

    Raises:
        Fatal: It is no duration, or none at all.
    """
    from eventwriter.config.durations import seconds

    if text is None:
        return float("inf")
    try:
        duration_s = seconds(text, 1.0)
    except ValueError as error:
        raise Fatal(f"--duration {text!r}: {error}") from error
    if duration_s <= 0:
        raise Fatal(f"--duration {text!r}: write one above 0, like 20s")
    return duration_s


@contextlib.contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Take SIGTERM for ^C: servers are stopped and the terminal is left as it was."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run(servers: EmbeddedServers, order: Order) -> bool:
    """Run everything, once; say whether the books balance."""
    socket = daemon.control_socket(servers.folder)
    config = daemon.prepare(servers, order.kinds, socket, order.listen)
    before = asyncio.run(make_stream(servers.nats_url, order.kinds))
    for line in ways_to_look(servers, socket):
        click.echo(line)
    if order.listen:
        click.echo(f"dashboard   http://{order.listen}/")
    screen, log = Screen(), servers.folder / "eventwriter.log"
    wishes = Wishes(servers.nats_url, order.kinds, order.rate, order.seed, tuple(before.values()))
    with daemon.running(config, log) as process:
        with daemon.publishing(wishes, servers.folder / "publisher.log") as publisher, screen:
            watch(screen, order, socket, (process, publisher.process), (servers.nats, servers.postgres))
            end_publisher(publisher.process)
        there = asyncio.run(stored(servers.nats_url, order.kinds))
        # The stream's own count, unless NATS has lost what it had acknowledged.
        published = {kind: max(there[kind], before[kind] + publisher.acked[kind]) for kind in order.kinds}
        settle(servers, socket, published, process)
    return close_books(audit.read(servers.postgres_dsn(), published), sum(before.values()))


def ways_to_look(servers: EmbeddedServers, socket: str) -> list[str]:
    """Return how to look inside from another terminal: lines that work when they are pasted."""
    psql = program("psql", postgres_bin() / "psql")
    ctl = program("eventwriter-ctl", Path(sys.executable).with_name("eventwriter-ctl"))
    return [
        f"NATS        {servers.nats_url}",
        f"PostgreSQL  {psql} '{servers.postgres_dsn()}'",
        f"status      {ctl} --socket {shlex.quote(socket)} status",
    ]


def program(name: str, beside: Path) -> str:
    """Return how a shell finds a program: by its name where it is on PATH, else where it lies."""
    return name if shutil.which(name) or not beside.exists() else shlex.quote(str(beside))


def watch(
    screen: Screen, order: Order, socket: str, processes: tuple["subprocess.Popen[bytes]", ...],
    servers: Sequence[Server],
) -> None:  # fmt: skip
    """
    Show the slots, and kill one at times, until the time is up or ^C.

    Raises:
        Fatal: A server has ended, and nothing can come of the rest.
    """
    rng = random.Random(order.seed)  # noqa: S311
    now_s = time.monotonic()
    until_s, kill_at_s = now_s + order.duration_s, now_s + rng.uniform(*_CHAOS_S)
    with contextlib.suppress(KeyboardInterrupt):
        while now_s < until_s and all(process.poll() is None for process in processes):
            time.sleep(min(_LOOK_S, until_s - now_s))
            see_alive(servers)
            picture = daemon.status(socket)
            now_s = time.monotonic()
            if picture is None:
                continue
            screen.show(picture)
            if order.chaos and now_s > kill_at_s:
                kill_at_s = now_s + rng.uniform(*_CHAOS_S)
                if said := daemon.kill_one(picture, rng):
                    screen.say(said)
    see_alive(servers)


def see_alive(servers: Sequence[Server]) -> None:
    """
    See that the servers run.

    Raises:
        Fatal: One has ended by itself.
    """
    for server in servers:
        if server.process is not None and (code := server.process.poll()) is not None:
            raise daemon.ended(f"{server.name} server", code, server.words)


def end_publisher(process: "subprocess.Popen[bytes]", limit_s: float = _PUBLISHER_END_S_MAX) -> None:
    """
    Tell the publisher to end, and wait until all that it has sent is stored.

    Raises:
        Fatal: It takes too long, as without NATS, for which it would wait for ever; it is killed.
    """
    process.terminate()
    try:
        process.wait(limit_s)
    except subprocess.TimeoutExpired:
        process.kill()
        raise Fatal(f"the publisher did not end within {limit_s:g} s, and was killed: is NATS there?") from None


def settle(
    servers: EmbeddedServers, socket: str, published: Mapping[str, int], process: "subprocess.Popen[bytes]"
) -> None:
    """
    Wait until the backlog is written, or nothing moves any more.

    Raises:
        Fatal: The daemon ended before.
    """
    before, since_s = -1, time.monotonic()
    while (left := audit.total(audit.read(servers.postgres_dsn(), published).values()).lost) > 0:
        if process.poll() is not None:
            raise daemon.ended("daemon", process.returncode, servers.folder / "eventwriter.log")
        if before < 0:
            click.echo(f"publishing has ended, {left:,} messages are still to be written")
        now_s = time.monotonic()
        if left != before:
            before, since_s = left, now_s
        if now_s - since_s > (_NOTHING_LEFT_S_MAX if daemon.has_nothing_left(socket) else _STUCK_S_MAX):
            return
        time.sleep(0.2)


def close_books(found: Mapping[str, audit.Audit], from_before: int) -> bool:
    """Print the books of each stream and of all; say whether each balances."""
    if from_before:
        click.echo(f"books of everything in this folder, with {from_before:,} messages of earlier runs")
    width = max(map(len, found))
    for kind, one in found.items():
        click.echo(f"{kind.upper():<{width}}  {one.line()}")
    click.echo(f"books: {audit.total(found.values()).line()}")
    return audit.all_balance(found.values())
