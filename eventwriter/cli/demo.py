"""`eventwriter demo`: the daemon on embedded servers with sample traffic, audited at the end."""

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

from eventwriter.cli.console import console as new_console
from eventwriter.cli.ctl.render import number, render
from eventwriter.cli.main import EXIT_INTERRUPTED
from eventwriter.cli.output import echo
from eventwriter.demo import audit, daemon
from eventwriter.demo.binaries import postgres_bin
from eventwriter.demo.process import Server, free_port
from eventwriter.demo.publisher import PublishPlan, make_stream, stored
from eventwriter.demo.servers import EmbeddedServers
from eventwriter.demo.traffic import TRAFFIC
from eventwriter.errors import Fatal
from eventwriter.kinds.registry import KINDS

Snapshot = Mapping[str, Any]


class Screen:
    """Screen that shows snapshots, as a context manager that restores the terminal at its end."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or new_console()
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None

    def __enter__(self) -> "Screen":
        """Start the live display."""
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop the live display and show the cursor again."""
        if self._live is not None:
            self._live.stop()

    def show(self, snapshot: Snapshot) -> None:
        """Show a snapshot, the answer to `eventwriter-ctl status`."""
        if self._live is not None:
            self._live.update(render(snapshot, self._console.width), refresh=True)
        else:
            self._print("  ".join(brief(slot) for slot in snapshot["slots"]))

    def add_line(self, line: str) -> None:
        """Print a line that stays above the table."""
        self._print(line)

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)


def brief(slot: Snapshot) -> str:
    """Return a short line about a slot."""
    return (
        f"{slot['name']} {slot['state']:<8} {slot['rows_per_s'] or 0:8,.0f} rows/s  {slot['rows_total']:,} rows"
        f"  {slot['dead_letters_total']} dead  lag {number(slot['lag_messages'])}"
    )


DEFAULT_KINDS = "telemetry,netflow"
_STUCK_S_MAX = 90.0
"""Longest wait for a backlog that does not shrink."""

_CAUGHT_UP_S_MAX = 3.0
"""Longest wait for missing rows once the daemon reports a lag of zero."""

_PUBLISHER_END_S_MAX = 20.0
"""Longest wait for NATS to store what the publisher has sent."""

_REFRESH_S = 1.0
_CHAOS_S = (1.5, 4.0)
"""Shortest and longest time between two killed workers."""


@dataclass(frozen=True, slots=True)
class Options:
    """Options of the command line."""

    rate: float
    kinds: tuple[str, ...]
    seed: int
    duration_s: float
    chaos: bool
    listen: str | None
    """Address of the dashboard; None for no dashboard."""


@click.command()
@click.option(
    "--rate", default=2000.0, show_default=True, type=click.FloatRange(min=0, min_open=True),
    help="Messages per second, all kinds together.",
)  # fmt: skip
@click.option(
    "--kinds", default=DEFAULT_KINDS, show_default=True,
    help=f"Comma-separated list of kinds, or all. Available: {', '.join(kind for kind in TRAFFIC if kind in KINDS)}.",
)  # fmt: skip
@click.option(
    "--seed",
    default=1,
    show_default=True,
    help="Seed of the random messages; the same seed gives the same messages, apart from times.",
)
@click.option("--duration", metavar="TIME", help="How long to publish, for example 20s.  [default: until Ctrl-C]")
@click.option(
    "--data-dir", type=click.Path(path_type=Path), help="Folder for the servers' data, which is kept for the next run."
)
@click.option("--keep", is_flag=True, help="Keep the data; without --data-dir, in a new folder.")
@click.option("--chaos", is_flag=True, help="Kill a random worker every few seconds.")
@click.option("--http", is_flag=True, help="Serve the dashboard and print its URL.")
@click.option("--config", "config_path", hidden=True)
def demo(
    rate: float, kinds: str, seed: int, duration: str | None, data_dir: Path | None, keep: bool, chaos: bool,
    http: bool, config_path: str | None,
) -> int:  # fmt: skip
    """
    Run everything on embedded servers with sample traffic, and audit the result.

    Exit codes: 0 every message was written exactly once, 1 the audit found a difference, 2 the demo could not run,
    130 interrupted before the audit.
    """
    listen = f"127.0.0.1:{free_port()}" if http else None
    options = Options(rate, parse_kinds(kinds), seed, parse_duration(duration), chaos, listen)
    environ = daemon.own_environment(os.environ)
    os.environ.clear()
    os.environ.update(environ)
    if keep and data_dir is None:
        data_dir = Path(tempfile.mkdtemp(prefix="eventwriter-demo-"))
        data_dir.chmod(0o755)  # PostgreSQL's account must be able to enter it when this process is root
    with terminated_as_interrupted():
        try:
            with EmbeddedServers(data_dir, durable=True) as servers:
                balanced = run(servers, options)
        except KeyboardInterrupt:
            echo("demo: interrupted before the audit", err=True)
            return EXIT_INTERRUPTED
        finally:
            if data_dir is not None and data_dir.exists():
                echo(
                    f"the data is in {data_dir}; continue with it by --data-dir {shlex.quote(str(data_dir))}", err=True
                )
    return 0 if balanced else 1


def parse_kinds(kinds: str) -> tuple[str, ...]:
    """
    Parse the option `--kinds`.

    Raises:
        Fatal: The option names no kind, or one without sample traffic.
    """
    available = tuple(kind for kind in TRAFFIC if kind in KINDS)
    if kinds.strip() == "all":
        return available
    names = tuple(dict.fromkeys(kind.strip() for kind in kinds.split(",") if kind.strip()))
    if not names or any(kind not in available for kind in names):
        raise Fatal(f"--kinds {kinds!r}: allowed are all, or a list of {', '.join(available)}")
    return names


def parse_duration(text: str | None) -> float:
    """
    Return the option `--duration` in seconds; infinity if it is not given.

    Raises:
        Fatal: The text is not a positive duration.
    """
    from eventwriter.config.durations import parse_duration

    if text is None:
        return float("inf")
    try:
        duration_s = parse_duration(text, 1.0)
    except ValueError as error:
        raise Fatal(f"--duration {text!r}: {error}") from error
    if duration_s <= 0:
        raise Fatal(f"--duration {text!r}: must be above 0, for example 20s")
    return duration_s


@contextlib.contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Treat SIGTERM as Ctrl-C, so that servers are stopped and the terminal is restored."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run(servers: EmbeddedServers, options: Options) -> bool:
    """Run the demo and return whether its audit balances."""
    socket = daemon.control_socket(servers.folder)
    config = daemon.prepare(servers, options.kinds, socket, options.listen)
    before = asyncio.run(make_stream(servers.nats_url, options.kinds))
    for line in connection_lines(servers, socket):
        echo(line)
    if options.listen:
        echo(f"dashboard   http://{options.listen}/")
    screen, log = Screen(), servers.folder / "eventwriter.log"
    plan = PublishPlan(servers.nats_url, options.kinds, options.rate, options.seed, tuple(before.values()))
    with daemon.running(config, log) as process:
        with daemon.publishing(plan, servers.folder / "publisher.log") as publisher, screen:
            watch(screen, options, socket, (process, publisher.process), (servers.nats, servers.postgres))
            stop_publisher(publisher.process)
        in_stream = asyncio.run(stored(servers.nats_url, options.kinds))
        # The stream's own count, unless NATS lost messages that it had acknowledged.
        published = {kind: max(in_stream[kind], before[kind] + publisher.acked[kind]) for kind in options.kinds}
        settle(servers, socket, published, process)
    return print_audit(audit.read(servers.postgres_dsn(), published), sum(before.values()))


def connection_lines(servers: EmbeddedServers, socket: str) -> list[str]:
    """Return commands for another terminal that connect to the servers and the daemon."""
    psql = program("psql", postgres_bin() / "psql")
    ctl = program("eventwriter-ctl", Path(sys.executable).with_name("eventwriter-ctl"))
    return [
        f"NATS        {servers.nats_url}",
        f"PostgreSQL  {psql} '{servers.postgres_dsn()}'",
        f"status      {ctl} --socket {shlex.quote(socket)} status",
    ]


def program(name: str, beside: Path) -> str:
    """Return the command for a program: its name if it is on PATH, otherwise its path."""
    return name if shutil.which(name) or not beside.exists() else shlex.quote(str(beside))


def watch(
    screen: Screen, options: Options, socket: str, processes: tuple["subprocess.Popen[bytes]", ...],
    servers: Sequence[Server],
) -> None:  # fmt: skip
    """
    Show the slots until the time is up or Ctrl-C, and kill a worker now and then if `chaos` is set.

    Raises:
        Fatal: A server exited.
    """
    rng = random.Random(options.seed)  # noqa: S311
    now_s = time.monotonic()
    until_s, kill_at_s = now_s + options.duration_s, now_s + rng.uniform(*_CHAOS_S)
    with contextlib.suppress(KeyboardInterrupt):
        while now_s < until_s and all(process.poll() is None for process in processes):
            time.sleep(min(_REFRESH_S, until_s - now_s))
            check_alive(servers)
            snapshot = daemon.status(socket)
            now_s = time.monotonic()
            if snapshot is None:
                continue
            screen.show(snapshot)
            if options.chaos and now_s > kill_at_s:
                kill_at_s = now_s + rng.uniform(*_CHAOS_S)
                if line := daemon.kill_one(snapshot, rng):
                    screen.add_line(line)
    check_alive(servers)


def check_alive(servers: Sequence[Server]) -> None:
    """
    Check that the servers are running.

    Raises:
        Fatal: A server exited.
    """
    for server in servers:
        if server.process is not None and (code := server.process.poll()) is not None:
            raise daemon.exited(f"{server.name} server", code, server.log_file)


def stop_publisher(process: "subprocess.Popen[bytes]", limit_s: float = _PUBLISHER_END_S_MAX) -> None:
    """
    Stop the publisher after everything that it has sent is stored.

    Raises:
        Fatal: The publisher did not exit in time, for example because NATS is unreachable; it is killed.
    """
    process.terminate()
    try:
        process.wait(limit_s)
    except subprocess.TimeoutExpired:
        process.kill()
        raise Fatal(
            f"the publisher did not exit within {limit_s:g} s and was killed; check that NATS is reachable"
        ) from None


def settle(
    servers: EmbeddedServers, socket: str, published: Mapping[str, int], process: "subprocess.Popen[bytes]"
) -> None:
    """
    Wait until the backlog is written, or no longer shrinks.

    Raises:
        Fatal: The daemon exited.
    """
    before, since_s = -1, time.monotonic()
    while (missing := audit.total(audit.read(servers.postgres_dsn(), published).values()).lost) > 0:
        if process.poll() is not None:
            raise daemon.exited("daemon", process.returncode, servers.folder / "eventwriter.log")
        if before < 0:
            echo(f"publishing has ended; {missing:,} messages are not written yet")
        now_s = time.monotonic()
        if missing != before:
            before, since_s = missing, now_s
        if now_s - since_s > (_CAUGHT_UP_S_MAX if daemon.is_caught_up(socket) else _STUCK_S_MAX):
            return
        time.sleep(0.2)


def print_audit(audits: Mapping[str, audit.Audit], earlier: int) -> bool:
    """Print the audit of each kind and of all; return whether each balances."""
    if earlier:
        echo(f"audit of everything in this folder, with {earlier:,} messages of earlier runs")
    width = max(map(len, audits))
    for kind, counts in audits.items():
        echo(f"{kind.upper():<{width}}  {counts.line()}")
    echo(f"audit: {audit.total(audits.values()).line()}")
    return audit.all_balanced(audits.values())
