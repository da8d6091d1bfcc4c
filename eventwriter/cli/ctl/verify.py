"""The books of one slot as text for a terminal of 80 columns; nothing is said by colour alone."""

import asyncio
import os
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click
import orjson
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from eventwriter.admin.verify.judge import Facts, JudgedSets, size
from eventwriter.admin.verify.report import Gap, Report, RowsLooked, is_current, when, why_old
from eventwriter.cli import daemon_mismatch
from eventwriter.cli.main import hush
from eventwriter.config.load import load
from eventwriter.config.settings import Settings
from eventwriter.errors import Fatal
from eventwriter.jetstream.consumer import ConsumerState
from eventwriter.model import SlotName
from eventwriter.postgres.ledger.verify_queries import LedgerRow

if TYPE_CHECKING:
    from eventwriter.admin.verify.report import Report
    from eventwriter.admin.verify.slot import Wish

EXIT_GAPS, EXIT_UNREACHABLE = 1, 3
LOOK_MESSAGES = 1000


def verify(config: str | None, names: tuple[str, ...], asked: str | None, look: int, as_json: bool) -> int:
    """Print the books of the slots that `names` mean, of all where there are none; returns the exit code."""
    from eventwriter.admin.verify.slot import Wish

    hush()
    settings = load(config, os.environ).settings
    daemon_mismatch.warn(settings, config)
    slots = chosen(settings, names)
    wish = Wish(read_range(asked), look)
    try:
        reports = asyncio.run(books(settings, slots, wish))
    except Fatal as error:
        # Another family of exit code than a mistake: the login is the server's to grant.
        click.echo(f"eventwriter-ctl: {error}", err=True)
        return EXIT_UNREACHABLE
    show(reports, as_json)
    return 0 if all(report.balanced for report in reports) else EXIT_GAPS


def chosen(settings: Settings, names: tuple[str, ...]) -> list[SlotName]:
    """
    Return the slots that are meant: of an entry, of a JetStream stream, or one slot.

    Raises:
        Fatal: A name means none.
    """
    # Workers that share a durable have one ledger between them.
    there = [slot for slot in settings.slots() if not (settings.stream(slot.stream).is_shared and slot.partition)]
    found: list[SlotName] = []
    for name in names:
        meant = [slot for slot in there if name in (slot.stream, str(slot), settings.stream(slot.stream).stream_name)]
        if not meant:
            known = ", ".join(f"{s.name} (of {s.stream_name})" for s in settings.streams if s.enabled)
            raise Fatal(f"{name!r} is no enabled entry of streams and no JetStream stream of one; there are {known}")
        found += meant
    return list(dict.fromkeys(found)) if names else there


def read_range(text: str | None) -> tuple[int, int]:
    """
    Read `100-200`, `100-`, `-200` or `100`; the first sequence, and the one after the last.

    Raises:
        UsageError: It is none of these.
    """
    from eventwriter.admin.verify.judge import SEQ_MAX

    if text is None:
        return 1, SEQ_MAX
    found = re.fullmatch(r"(\d*)(-?)(\d*)", text.replace("_", "").replace(",", "").strip())
    if found and (found[1] or found[3]):
        low = int(found[1] or 1)
        high = int(found[3]) if found[3] else SEQ_MAX if found[2] else low
        if 1 <= low <= high:
            return low, min(high, SEQ_MAX - 1) + 1
    raise click.UsageError(f"--range {text!r}: write stream sequences like 100-200, 100- or -200, the smaller first")


async def books(settings: Settings, slots: list[SlotName], wish: "Wish") -> list["Report"]:
    """
    Look into the books of each slot, one after the other.

    Raises:
        Retryable: A server is away.
        Fatal: A server refuses us.
    """
    # Imported here: what only reads the command line needs no driver.
    from eventwriter.admin.verify.slot import Verifier, failed
    from eventwriter.jetstream.api import JetStreamApi
    from eventwriter.jetstream.connect import NatsLink
    from eventwriter.postgres.read_only import open_read_only

    link = NatsLink(settings.nats, "eventwriter-ctl verify")
    await link.connect()
    try:
        reader = await open_read_only(settings.postgres)
        try:
            api = JetStreamApi(link.client, settings.nats.domain)
            reports = []
            for slot in slots:
                try:
                    reports.append(await Verifier(settings, slot, api, reader, wish).run())
                except Fatal as error:
                    reports.append(failed(slot, settings, error))
            return reports
        finally:
            await reader.close()
    finally:
        await link.close()


def show(reports: list["Report"], as_json: bool) -> None:
    """Print what was found."""
    if as_json:
        whole = {
            "balanced": all(report.balanced for report in reports),
            "slots": [report.as_json() for report in reports],
        }
        click.echo(orjson.dumps(whole, option=orjson.OPT_INDENT_2).decode())
        return
    console = Console(highlight=False, soft_wrap=False)
    for report in reports:
        console.print(render(report))


def render(report: Report) -> RenderableType:
    """Draw one slot's books."""
    verdict = ("balances", "bold green") if report.balanced else ("does not balance", "bold red")
    head = Text.assemble(
        (report.slot, "bold"), f"  stream {report.stream}  durable {report.durable}  ", verdict
    )  # fmt: skip
    facts, judged = report.facts, report.judged
    if report.trouble is not None or facts is None or judged is None:
        return Group(head, Text(f"  {report.trouble}", "red"), Text())
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, min_width=14)
    grid.add_column(overflow="fold")
    for name, text in lines(report, facts, judged):
        grid.add_row(Text(f"  {name}", "dim"), text)
    parts: list[RenderableType] = [head, grid]
    if report.gaps:
        parts.append(gap_table(report.gaps))
    return Group(*parts, Text())


def lines(report: Report, facts: Facts, judged: JudgedSets) -> Iterable[tuple[str, str]]:
    """Return the lines of figures: a name and a text each."""
    stream = facts.stream
    yield (
        "stream",
        (
            f"{stream.first_seq:,} to {stream.last_seq:,}, made {when(stream.incarnation_ns // 1000)}"
            if stream.last_seq >= stream.first_seq
            else f"empty, next is {stream.last_seq + 1:,}; made {when(stream.incarnation_ns // 1000)}"
        ),
    )
    yield "consumer", consumer_line(facts.consumer)
    for row in facts.rows:
        yield "ledger" if is_current(row, facts) else "old ledger", ledger_line(row, facts)
    if not any(is_current(row, facts) for row in facts.rows):
        yield "ledger", "has no row of it yet"
    if judged.absorbed:
        count = size(judged.absorbed)
        yield "", f"{count:,} of them above the ack floor: delivered again, they are not written again"
    if judged.ahead:
        yield "to come", f"{size(judged.ahead):,} sequences are not delivered yet"
    yield "rows", rows_line(report.rows)
    letters, messages = report.letters
    yield "dead letters", f"{letters:,}" + (f", of {messages:,} messages only" if letters != messages else "")
    if not report.gaps:
        yield "gaps", "none"
    for at, sentence in enumerate(report.unprovable):
        yield "" if at else "not provable", sentence


def consumer_line(consumer: ConsumerState | None) -> str:
    """Say how far the consumer is."""
    if consumer is None:
        return "does not exist; the daemon makes it, beginning where the ledger ends"
    return (
        f"delivered to {consumer.delivered_stream_seq:,}, ack floor {consumer.ack_floor_stream_seq:,},"
        f" {consumer.ack_pending:,} unacknowledged, {consumer.pending:,} pending"
    )


def ledger_line(row: LedgerRow, facts: Facts) -> str:
    """Say what one row of the ledger has."""
    if not row.committed:
        text = "nothing yet"
    else:
        first, last = row.committed[0][0], row.committed[-1][1] - 1
        count = len(row.committed)
        text = f"{first:,} to {last:,}" + (f" in {count:,} ranges" if count > 1 else "")
        if count > 1:
            text += f", {size(row.committed):,} sequences"
    if is_current(row, facts):
        return f"{text}, epoch {row.epoch}"
    return f"{text}, epoch {row.epoch}, {why_old(row, facts)} (made {when(row.incarnation_us)})"


def rows_line(looked: RowsLooked) -> str:
    """Say what was found of the messages that were looked at."""
    if not looked.looked:
        return "no message was looked at"
    parts = [
        f"{count:,} {words}"
        for count, words in (
            (looked.written, f"with all their rows ({looked.rows:,})"),
            (looked.dead, "with a dead letter"),
            (looked.empty, "with nothing to write"),
            (len(looked.missing), "with neither"),
            (len(looked.twice), "with rows twice"),
            (sum(looked.doubted.values()), "not provable"),
        )
        if count
    ]
    return f"{looked.looked:,} messages looked at: {', '.join(parts)}"


def gap_table(gaps: list[Gap]) -> Table:
    """Draw the gaps."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, title_justify="left")
    table.add_column("  gap", style="red", no_wrap=True)
    table.add_column("messages", justify="right", no_wrap=True)
    table.add_column("what", overflow="fold")
    for gap in gaps:
        span = f"{gap.first:,}" if gap.first == gap.last else f"{gap.first:,}–{gap.last:,}"
        count = f"{gap.messages:,}" if gap.complete else f"≥ {gap.messages:,}"
        subjects = f" ({', '.join(gap.subjects)})" if gap.subjects else ""
        table.add_row(f"  {span}", count, f"{gap.what}{subjects}")
    return table
