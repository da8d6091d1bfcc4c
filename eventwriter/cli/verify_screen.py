"""The books of one slot as text for a terminal of 80 columns; nothing is said by colour alone."""

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from eventwriter.jetstream.consumer import ConsumerState
from eventwriter.postgres.accounts import LedgerRow
from eventwriter.verify.judge import Facts, Judged, size
from eventwriter.verify.report import Gap, Report, RowsLooked, is_current, when, why_old


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


def lines(report: Report, facts: Facts, judged: Judged) -> Iterable[tuple[str, str]]:
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
