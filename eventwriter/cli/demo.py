"""
`eventwriter demo`: the whole thing on real servers in a folder, and its books at the end.

The daemon is started as an operator would start it, by `eventwriter run`, with a
configuration file; nothing in it knows that this is a demo.
"""

import asyncio
import contextlib
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import psycopg

from eventwriter.control.client import Client
from eventwriter.demo.publisher import make_stream, publish
from eventwriter.demo.servers import EmbeddedServers
from eventwriter.demo.traffic import BOOKS, MAKERS
from eventwriter.errors import EventwriterError, Fatal

_SETTLE_S_MAX = 90.0
_CHAOS_S = (1.5, 4.0)
"""A worker is killed every so often."""


@dataclass(slots=True)
class Wishes:
    """What the command line asked for."""

    rate: float
    kinds: tuple[str, ...]
    seed: int
    duration_s: float | None
    chaos: bool


@click.command()
@click.option("--rate", default=2000.0, show_default=True, help="Messages a second, all kinds together.")
@click.option("--kinds", default=",".join(MAKERS), show_default=True, help="Kinds, with commas between.")
@click.option("--seed", default=1, show_default=True, help="The same seed makes the same traffic.")
@click.option("--duration", metavar="TIME", help="Like 20s; until Ctrl-C where absent.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Keep the servers' data here, for the next time.")
@click.option("--keep", is_flag=True, help="Leave the data behind (in a new folder, where --data-dir is absent).")
@click.option("--chaos", is_flag=True, help="Kill a random worker every few seconds.")
@click.option("--config", "config_path", hidden=True)
def demo(
    rate: float,
    kinds: str,
    seed: int,
    duration: str | None,
    data_dir: Path | None,
    keep: bool,
    chaos: bool,
    config_path: str | None,
) -> int:
    """Run everything on embedded servers with made-up traffic, and prove the books at the end."""
    from eventwriter.config.durations import seconds

    chosen = tuple(k.strip() for k in kinds.split(",") if k.strip())
    unknown = [k for k in chosen if k not in MAKERS]
    if unknown or not chosen:
        raise Fatal(f"--kinds {kinds!r}: the demo can make {', '.join(MAKERS)}")
    try:
        duration_s = seconds(duration, 1.0) if duration else None
    except ValueError as error:
        raise Fatal(f"--duration {duration!r}: {error}") from error
    if keep and data_dir is None:
        data_dir = Path(tempfile.mkdtemp(prefix="eventwriter-demo-"))
    with EmbeddedServers(data_dir, durable=True) as servers:
        return _run(servers, Wishes(rate, chosen, seed, duration_s, chaos))


def _run(servers: EmbeddedServers, wishes: Wishes) -> int:
    config = _write_config(servers, wishes.kinds)
    migrated = subprocess.run(
        [sys.executable, "-m", "eventwriter", "migrate", "--dsn", servers.postgres_dsn()],
        check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if migrated.returncode:
        raise Fatal(f"migrate failed: {migrated.stderr.strip()}")
    asyncio.run(make_stream(servers.nats_url, wishes.kinds))
    socket = str(servers.folder / "control.sock")
    click.echo(f"NATS        {servers.nats_url}")
    click.echo(f"PostgreSQL  psql '{servers.postgres_dsn()}'")
    click.echo(f"status      eventwriter-ctl --socket {socket} status")
    first = [_counted(servers, kind)[0] for kind in wishes.kinds]
    before = _books(servers, wishes.kinds)
    stored = [multiprocessing.Value("q", 0) for _ in wishes.kinds]
    log = servers.folder / "eventwriter.log"
    with _daemon(config, log) as daemon:
        publisher = multiprocessing.Process(
            target=publish, args=(servers.nats_url, wishes.kinds, wishes.rate, wishes.seed, stored, first), daemon=True
        )
        publisher.start()
        _watch(socket, wishes, daemon)
        publisher.terminate()
        publisher.join(20)
        published = sum(v.value for v in stored)
        _settle(servers, wishes.kinds, before, published)
    return _close_books(servers, wishes.kinds, before, published)


def _write_config(servers: EmbeddedServers, kinds: tuple[str, ...]) -> Path:
    config = {
        "enabled": True,
        "nats": {"servers": [servers.nats_url]},
        "postgres": {"dsn": servers.postgres_dsn()},
        "streams": [kind.upper() for kind in kinds],
        "control": {"socket": str(servers.folder / "control.sock")},
        # The demo kills workers on purpose: that many deaths are no crash loop.
        "supervisor": {"crash_loop_exits_max": 1000, "backoff_max": 1},
    }
    path = servers.folder / "eventwriter.json"
    path.write_text(json.dumps(config, indent=2))
    return path


@contextlib.contextmanager
def _daemon(config: Path, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("ab") as out:
        daemon = subprocess.Popen(
            [sys.executable, "-m", "eventwriter", "--config", str(config), "run"],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
        )  # fmt: skip
    try:
        yield daemon
    finally:
        daemon.terminate()
        try:
            daemon.wait(40)
        except subprocess.TimeoutExpired:
            daemon.kill()


def _watch(socket: str, wishes: Wishes, daemon: "subprocess.Popen[bytes]") -> None:
    """Show the slots until the time is up or Ctrl-C."""
    rng = random.Random(wishes.seed)  # noqa: S311
    until = time.monotonic() + wishes.duration_s if wishes.duration_s else float("inf")
    kill_at = time.monotonic() + rng.uniform(*_CHAOS_S)
    with contextlib.suppress(KeyboardInterrupt):
        while time.monotonic() < until and daemon.poll() is None:
            time.sleep(min(1.0, max(0.0, until - time.monotonic())))
            status = _status(socket)
            if status is None:
                continue
            click.echo("  ".join(_brief(slot) for slot in status["slots"]))
            if wishes.chaos and time.monotonic() > kill_at:
                kill_at = time.monotonic() + rng.uniform(*_CHAOS_S)
                _kill_one(status, rng)
    if daemon.poll() is not None:
        raise Fatal(f"the daemon ended with code {daemon.returncode}; its log is beside the data")


def _kill_one(status: dict[str, Any], rng: random.Random) -> None:
    alive = [slot for slot in status["slots"] if slot.get("pid")]
    if alive:
        victim = rng.choice(alive)
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim["pid"], signal.SIGKILL)
            click.echo(f"chaos: killed {victim['name']} (pid {victim['pid']})")


def _status(socket: str) -> dict[str, Any] | None:
    client = Client(socket)
    try:
        status: dict[str, Any] = client.call("status")
    except EventwriterError:
        return None
    finally:
        client.close()
    return status


def _brief(slot: dict[str, Any]) -> str:
    rate = slot.get("rows_per_s") or 0
    return (
        f"{slot['name']} {slot['state']:<8} {rate:8,.0f} rows/s  {slot['rows_total']:,} rows"
        f"  {slot['dead_letters_total']} dead  lag {slot.get('lag_messages')}"
    )


def _counted(servers: EmbeddedServers, kind: str) -> tuple[int, int]:
    with psycopg.connect(servers.postgres_dsn(), autocommit=True) as conn:
        row = conn.execute(BOOKS[kind].encode()).fetchone()
    return (row[0], row[1]) if row else (0, 0)


def _books(servers: EmbeddedServers, kinds: tuple[str, ...]) -> tuple[int, int, int]:
    """Return rows, different messages among them, dead letters."""
    counted = [_counted(servers, kind) for kind in kinds]
    with psycopg.connect(servers.postgres_dsn(), autocommit=True) as conn:
        row = conn.execute("SELECT count(*) FROM eventwriter_dead_letters").fetchone()
    return sum(c[0] for c in counted), sum(c[1] for c in counted), row[0] if row else 0


def _settle(servers: EmbeddedServers, kinds: tuple[str, ...], before: tuple[int, int, int], published: int) -> None:
    """Wait until the backlog is written, at most 90 s."""
    until = time.monotonic() + _SETTLE_S_MAX
    while time.monotonic() < until:
        rows, _, dead = _books(servers, kinds)
        if rows + dead - before[0] - before[2] >= published:
            return
        time.sleep(0.3)


def _close_books(servers: EmbeddedServers, kinds: tuple[str, ...], before: tuple[int, int, int], published: int) -> int:
    rows, different, dead = (now - then for now, then in zip(_books(servers, kinds), before, strict=True))
    duplicated = rows - different
    lost = published - different - dead
    click.echo(f"books: published={published} rows={rows} dead_letters={dead} lost={lost} duplicated={duplicated}")
    return 0 if lost == 0 and duplicated == 0 else 1
