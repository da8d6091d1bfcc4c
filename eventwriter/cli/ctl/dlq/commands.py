"""Commands of `eventwriter-ctl dlq`; each returns its exit code."""

import base64
import contextlib
import dataclasses
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import IO, Any

import orjson
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from eventwriter.admin.dlq.replay import DEAD, KILLER, REFUSED, WRITTEN, Replay, Result, message_of, owner
from eventwriter.admin.dlq.sandbox import run_in_child
from eventwriter.admin.explain import Explainer, as_json, as_text, explain
from eventwriter.cli.console import console as new_console
from eventwriter.cli.ctl.dlq import render
from eventwriter.cli.ctl.dlq.session import DlqSession
from eventwriter.cli.output import echo, echo_json
from eventwriter.cli.private_file import private_file
from eventwriter.errors import DEAD_LETTER_REASONS, Fatal, Poison
from eventwriter.kinds.registry import kind
from eventwriter.observe.escape import printable_json
from eventwriter.postgres.dead_letters import store
from eventwriter.postgres.dead_letters.store import DeadLetter, DeadLetterFilter
from eventwriter.worker.table_binding import find_tables

EXIT_DEAD = 1
PAGE = 500  # dead letters per transaction; fewer if they are large


async def check_selection(session: DlqSession) -> None:
    """
    Check that the selected ids, reason and stream exist, so that a typing error does not look like an empty result.

    Raises:
        Fatal: One does not exist.
    """
    filters, selected = session.filters, session.stream
    async with session.postgres.transaction() as conn:
        missing = sorted(set(filters.ids) - await store.existing_ids(conn, session.table, filters.ids))
        if missing:
            raise unknown_ids(session.table, missing)
        if filters.reason is not None and filters.reason not in DEAD_LETTER_REASONS:
            known = [*DEAD_LETTER_REASONS, *await store.distinct(conn, session.table, "reason")]
            if filters.reason not in known:
                names = ", ".join(dict.fromkeys(known))
                raise Fatal(
                    f"there is no reason {filters.reason!r}", code="unknown_reason", hint=f"reasons are {names}"
                )
        if selected is not None and selected not in session.streams:
            stored = await store.distinct(conn, session.table, "stream")
            if selected not in stored:
                names = ", ".join(dict.fromkeys([*session.streams, *stored])) or "none"
                raise Fatal(f"there is no stream {selected!r}", code="unknown_stream", hint=f"streams are {names}")


def unknown_ids(table: str, ids: list[int]) -> Fatal:
    """Return the error for dead letters that do not exist."""
    return Fatal(
        f"table {table} has no dead letter {', '.join(map(str, ids))}",
        code="unknown_dead_letter",
        hint="list them with `eventwriter-ctl dlq list`",
    )


async def list_by_reason(session: DlqSession, json_output: bool) -> int:
    """Print the number of dead letters for each reason, with an example."""
    async with session.postgres.transaction() as conn:
        found = await store.count_by_reason(conn, session.table, session.filters)
    if json_output:
        reasons = [render.plain_fields(dataclasses.asdict(one)) for one in found]
        echo_json(orjson.dumps({"total": sum(one.count for one in found), "reasons": reasons}))
        return 0
    if found:
        new_console().print(render.reasons_table(found))
    count = sum(one.count for one in found)
    echo(render.counted(count, count))
    return 0


async def list_letters(session: DlqSession, limit: int, json_output: bool) -> int:
    """Print the newest dead letters."""
    async with session.postgres.transaction() as conn:
        found = await store.list_newest(conn, session.table, session.filters, limit)
        count = await store.count(conn, session.table, session.filters)
    if json_output:
        heads = [{k: v for k, v in render.plain(letter).items() if k != "headers"} for letter in found]
        echo_json(orjson.dumps({"total": count, "letters": heads}))
        return 0
    console = new_console()
    if found:
        console.print(render.table(found))
    echo(render.counted(len(found), count))
    return 0


async def show(session: DlqSession, number: int, json_output: bool) -> int:
    """Print one dead letter."""
    async with session.postgres.transaction() as conn:
        found = await store.read(conn, session.table, [number])
    if not found:
        raise unknown_ids(session.table, [number])
    letter = found[0]
    redact = frozenset(key.lower() for key in session.settings.redact)
    today = await _today(session, letter)
    if json_output:
        readable = {"headers": render.headers(letter, redact), "payload": render.payload(letter, redact)}
        shown = render.plain(letter) | readable | {"today": today[1]}
        echo_json(orjson.dumps(shown, option=orjson.OPT_INDENT_2))
    else:
        for line in [*render.whole(letter, redact), "", "today:", *(f"  {line}".rstrip() for line in today[0])]:
            echo(line)
    return 0


async def _today(session: DlqSession, letter: DeadLetter) -> tuple[list[str], Any]:
    """Return what the message would become today, as lines and as plain JSON."""
    try:
        entry = owner(session.settings, letter)
        of_kind = kind(entry.kind)
        async with session.postgres.transaction() as conn:
            tables = [found.table for found in await find_tables(conn, entry, of_kind)]
    except (Fatal, Poison) as error:
        return [str(error)], {"outcome": "unknown", "detail": str(error)}
    redact = frozenset(key.lower() for key in session.settings.redact)
    explainer, message = (
        Explainer(of_kind, tables, session.settings.ocsf_version, redact, entry.options),
        message_of(letter),
    )

    def explain_message() -> bytes:
        explanation = explain(explainer, message)
        return orjson.dumps([as_text(explanation), as_json(explanation, message)])

    # In a separate process, because this message may have killed a worker.
    answer, death = run_in_child(explain_message)
    if death:
        detail = f"decoding it in a separate process failed: {death}"
        return [detail], {"outcome": "killed", "detail": detail}
    lines, plain = orjson.loads(answer)
    return [f"entry {entry.name}, kind {entry.kind}", *lines], {"entry": entry.name, **plain}


async def replay(session: DlqSession, dry: bool, quiet: bool, json_output: bool) -> int:
    """Replay dead letters in state new."""
    filters = dataclasses.replace(session.filters, state=store.NEW)
    work = Replay(session.settings, session.postgres, session.table, dry, _warn_of_replacement)
    counts: Counter[str] = Counter()
    rows, plain = 0, list[dict[str, Any]]()
    with progress() as bar:
        async for ids in _pages(session, filters, bar, "trying" if dry else "replaying"):
            results = await work.page(ids)
            counts.update(result.outcome for result in results)
            counts["elsewhere"] += len(ids) - len(results)
            rows += sum(result.rows for result in results)
            if json_output:
                plain += [_plain_result(result, dry) for result in results]
            elif not quiet:
                _print_results(results, dry)
    if json_output:
        totals = {outcome: count for outcome, count in counts.items() if count}
        summary = {"dry_run": dry, "outcomes": totals, "rows": rows, "rows_left_out": work.left_out}
        echo_json(orjson.dumps({**summary, "replacing_tables": sorted(work.replacing), "letters": plain}))
    else:
        echo(render.replayed(counts, rows, work.left_out, dry))
    return EXIT_DEAD if any(counts[outcome] for outcome in (DEAD, REFUSED, KILLER)) else 0


def _warn_of_replacement(table: str) -> None:
    echo(
        f"warning: table {table} replaces rows with the same key (on_conflict = replace); a replayed message may"
        " overwrite a newer row. Use --dry-run first.",
        err=True,
    )


def _plain_result(result: Result, dry: bool) -> dict[str, Any]:
    outcome = "would be written" if dry and result.outcome == WRITTEN else result.outcome
    return {"id": result.id, "outcome": outcome, "rows": result.rows, "detail": result.sentence or None}


def _print_results(results: list[Result], dry: bool) -> None:
    for result in results:
        outcome = "would be written" if dry and result.outcome == WRITTEN else result.outcome
        detail = result.sentence or f"{result.rows} row{'' if result.rows == 1 else 's'}"
        echo(f"{result.id}  {outcome}: {detail}")


async def export(session: DlqSession, file: str, json_output: bool) -> int:
    """Export dead letters to a file, which is created complete or not at all."""
    count = 0
    with progress() as bar, _atomic_file(file) as out:
        async for ids in _pages(session, session.filters, bar, "exporting"):
            async with session.postgres.transaction() as conn:
                found = await store.read(conn, session.table, ids)
            for letter in found:
                payload = base64.b64encode(letter.payload or b"").decode()
                line = orjson.dumps(render.plain(letter) | {"payload": payload}).decode()
                out.write(f"{printable_json(line)}\n".encode())
            count += len(found)
    if json_output:
        echo_json(orjson.dumps({"exported": count, "file": file}), err=file == "-")
    else:
        echo(f"{count:,} dead letter{'' if count == 1 else 's'} exported to {file}", err=file == "-")
    return 0


@contextlib.contextmanager
def _atomic_file(file: str) -> Iterator[IO[bytes]]:
    """Yield a temporary file that is renamed to `file` once it is complete."""
    if file == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        with private_file(file) as out:  # payloads may hold secrets
            yield out
    except OSError as error:
        raise Fatal(f"{file} cannot be written: {error.strerror}; choose a file in a writable folder") from error


async def purge(session: DlqSession, yes: bool, json_output: bool) -> int:
    """Delete dead letters in small transactions."""
    if not yes:
        async with session.postgres.transaction() as conn:
            count = await store.count(conn, session.table, session.filters)
        raise Fatal(
            f"this would permanently delete {count:,} dead letter{'' if count == 1 else 's'}; confirm with --yes"
        )
    count = 0
    with progress() as bar:
        async for ids in _pages(session, session.filters, bar, "deleting"):
            async with session.postgres.transaction() as conn:
                count += await store.delete(conn, session.table, ids)
    if json_output:
        echo_json(orjson.dumps({"deleted": count}))
    else:
        echo(f"{count:,} dead letter{'' if count == 1 else 's'} deleted")
    return 0


async def _pages(session: DlqSession, filters: DeadLetterFilter, bar: Progress, what: str) -> AsyncIterator[list[int]]:
    """Yield pages of ids of the dead letters that exist now, oldest first."""
    async with session.postgres.transaction() as conn:
        count = await store.count(conn, session.table, filters)
    task = bar.add_task(what, total=count)
    after = 0
    # Stop at the initial count, because a daemon may keep writing new ones.
    while count > 0:
        async with session.postgres.transaction() as conn:
            ids = await store.page_ids(conn, session.table, filters, after, min(PAGE, count))
        if not ids:
            return
        yield ids
        after, count = ids[-1], count - len(ids)
        bar.advance(task, len(ids))


def progress() -> Progress:
    """Return a progress bar on stderr, disabled if that is not a terminal."""
    console = new_console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
