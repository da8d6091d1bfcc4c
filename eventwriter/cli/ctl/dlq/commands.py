"""What each command of `eventwriter-ctl dlq` does; each returns its exit code."""

import base64
import contextlib
import dataclasses
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import IO, Any

import click
import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from eventwriter.admin.dlq.replay import DEAD, KILLER, REFUSED, WRITTEN, Replay, Result, message_of, owner
from eventwriter.admin.dlq.sandbox import trial
from eventwriter.admin.explain import Wish, as_json, as_text, explain
from eventwriter.cli.ctl.dlq import render
from eventwriter.cli.ctl.dlq.session import Desk
from eventwriter.errors import Fatal, Poison
from eventwriter.kinds.registry import kind
from eventwriter.postgres.dead_letters import store
from eventwriter.postgres.dead_letters.store import Filters, Letter
from eventwriter.worker.fault_points import deadly
from eventwriter.worker.table_binding import find_tables

EXIT_DEAD = 1
PAGE = 500  # letters of one transaction; fewer where they are large


async def list_letters(desk: Desk, limit: int, json_wanted: bool) -> int:
    """Print the newest letters."""
    async with desk.postgres.transaction() as conn:
        found = await store.heads(conn, desk.table, desk.filters, limit)
        count = await store.total(conn, desk.table, desk.filters)
    if json_wanted:
        heads = [{k: v for k, v in render.plain(letter).items() if k != "headers"} for letter in found]
        click.echo(orjson.dumps({"total": count, "letters": heads}).decode())
        return 0
    console = Console(highlight=False)
    if found:
        console.print(render.table(found))
    click.echo(render.counted(len(found), count))
    return 0


async def show(desk: Desk, number: int, json_wanted: bool) -> int:
    """Print one letter whole."""
    async with desk.postgres.transaction() as conn:
        found = await store.read(conn, desk.table, [number])
    if not found:
        raise Fatal(f"table {desk.table} has no letter {number}; eventwriter-ctl dlq list shows those that are there")
    letter = found[0]
    redact = frozenset(key.lower() for key in desk.settings.redact)
    today = await _today(desk, letter)
    if json_wanted:
        readable = {"headers": render.headers(letter, redact), "payload": render.payload(letter, redact)}
        shown = render.plain(letter) | readable | {"today": today[1]}
        click.echo(orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode())
    else:
        for line in [*render.whole(letter, redact), "", "today:", *(f"  {line}".rstrip() for line in today[0])]:
            click.echo(line)
    return 0


async def _today(desk: Desk, letter: Letter) -> tuple[list[str], Any]:
    """Return what the letter's message would become today, in lines and as plain JSON."""
    try:
        entry = owner(desk.settings, letter)
        of_kind = kind(entry.kind)
        async with desk.postgres.transaction() as conn:
            tables = [found.table for found in await find_tables(conn, entry, of_kind)]
    except (Fatal, Poison) as error:
        return [str(error)], {"outcome": "unknown", "detail": str(error)}
    redact = frozenset(key.lower() for key in desk.settings.redact)
    as_daemon = dataclasses.replace(of_kind, decode=deadly(os.environ, of_kind.decode))
    wish, message = Wish(as_daemon, tables, desk.settings.ocsf_version, redact, entry.options), message_of(letter)

    def explained() -> bytes:
        found = explain(wish, message)
        return orjson.dumps([as_text(found), as_json(found, message)])

    # In a process of its own: of this very message a worker may have died.
    answer, death = trial(explained)
    if death:
        sentence = f"decoding it was tried in a process of its own: {death}"
        return [sentence], {"outcome": "killed", "detail": sentence}
    lines, plain = orjson.loads(answer)
    return [f"entry {entry.name}, kind {entry.kind}", *lines], {"entry": entry.name, **plain}


async def replay(desk: Desk, dry: bool, quiet: bool) -> int:
    """Replay letters that are new."""
    filters = dataclasses.replace(desk.filters, state=store.NEW)
    work = Replay(desk.settings, desk.postgres, desk.table, dry)
    counts: Counter[str] = Counter()
    rows = 0
    with progress() as bar:
        async for ids in _pages(desk, filters, bar, "trying" if dry else "replaying"):
            results = await work.page(ids)
            counts.update(result.outcome for result in results)
            counts["elsewhere"] += len(ids) - len(results)
            rows += sum(result.rows for result in results)
            if not quiet:
                _tell(results, dry)
    click.echo(render.replayed(counts, rows, work.left_out, dry))
    return EXIT_DEAD if any(counts[outcome] for outcome in (DEAD, REFUSED, KILLER)) else 0


def _tell(results: list[Result], dry: bool) -> None:
    for result in results:
        outcome = "would be written" if dry and result.outcome == WRITTEN else result.outcome
        said = result.sentence or f"{result.rows} row{'' if result.rows == 1 else 's'}"
        click.echo(f"{result.id}  {outcome}: {said}")


async def export(desk: Desk, file: str) -> int:
    """Write letters to a file that is there whole, or not at all."""
    count = 0
    with progress() as bar, _written(file) as out:
        async for ids in _pages(desk, desk.filters, bar, "exporting"):
            async with desk.postgres.transaction() as conn:
                found = await store.read(conn, desk.table, ids)
            for letter in found:
                payload = base64.b64encode(letter.payload or b"").decode()
                out.write(orjson.dumps(render.plain(letter) | {"payload": payload}) + b"\n")
            count += len(found)
    click.echo(f"{count:,} letter{'' if count == 1 else 's'} exported to {file}", err=file == "-")
    return 0


@contextlib.contextmanager
def _written(file: str) -> Iterator[IO[bytes]]:
    """Lend a file that gets its name when all is in it."""
    if file == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    part = f"{file}.part"
    try:
        # Payloads may hold secrets: for the owner alone.
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            yield out
        os.replace(part, file)
    except OSError as error:
        raise Fatal(f"{part}: cannot be written: {error.strerror}; give a file in a folder that can be") from error
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(part)
        raise


async def purge(desk: Desk, yes: bool) -> int:
    """Delete letters, in small transactions."""
    if not yes:
        async with desk.postgres.transaction() as conn:
            count = await store.total(conn, desk.table, desk.filters)
        raise Fatal(f"that would delete {count:,} letter{'' if count == 1 else 's'} for good; say --yes if it is meant")
    count = 0
    with progress() as bar:
        async for ids in _pages(desk, desk.filters, bar, "deleting"):
            async with desk.postgres.transaction() as conn:
                count += await store.delete(conn, desk.table, ids)
    click.echo(f"{count:,} letter{'' if count == 1 else 's'} deleted")
    return 0


async def _pages(desk: Desk, filters: Filters, bar: Progress, what: str) -> AsyncIterator[list[int]]:
    """Walk the letters that are there now, oldest first."""
    async with desk.postgres.transaction() as conn:
        count = await store.total(conn, desk.table, filters)
    task = bar.add_task(what, total=count)
    after = 0
    # Not beyond what was counted: a daemon may be writing new ones all the time.
    while count > 0:
        async with desk.postgres.transaction() as conn:
            ids = await store.page(conn, desk.table, filters, after, min(PAGE, count))
        if not ids:
            return
        yield ids
        after, count = ids[-1], count - len(ids)
        bar.advance(task, len(ids))


def progress() -> Progress:
    """Return the bar for what takes long, on a terminal's stderr; nothing elsewhere."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
