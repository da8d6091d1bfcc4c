"""`eventwriter-ctl verify`: run the verification of slots and render its reports for a terminal of 80 columns."""

import asyncio
import os
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click
import orjson
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from eventwriter.admin.verify.judge import Facts, JudgedSets, size
from eventwriter.admin.verify.report import Gap, Report, RowLookups, is_current, when, why_old
from eventwriter.cli import daemon_mismatch
from eventwriter.cli.console import console as new_console
from eventwriter.cli.ctl.common import lines as examples
from eventwriter.cli.main import config_path, silence_logs
from eventwriter.cli.output import echo, echo_json
from eventwriter.config.load import load
from eventwriter.config.settings import Settings
from eventwriter.errors import Fatal
from eventwriter.jetstream.consumer import ConsumerState
from eventwriter.model import SlotName
from eventwriter.postgres.ledger.verify_queries import LedgerRow

if TYPE_CHECKING:
    from eventwriter.admin.verify.report import Report
    from eventwriter.admin.verify.slot import Options

EXIT_GAPS, EXIT_UNREACHABLE = 1, 3
LOOK_MESSAGES = 1000


@click.command(
    "verify",
    short_help="Prove that no message is lost or duplicated.",
    epilog=examples(
        "eventwriter-ctl verify NETFLOW",
        "eventwriter-ctl verify events --range 1000-2000 --json",
    ),
)
@click.argument("names", nargs=-1, metavar="[STREAM]...")
@click.option("--range", "sequences", metavar="A-B", help="Only these stream sequences; A- and -B are open ranges.")
@click.option(
    "--look", default=1000, show_default=True, type=click.IntRange(1), metavar="N",
    help="Messages per slot whose rows are looked up, at most.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def verify_command(ctx: click.Context, names: tuple[str, ...], sequences: str | None, look: int, as_json: bool) -> int:
    """
    Prove that no message is lost or duplicated: compare stream, ledger, rows and dead letters.

    STREAM is a JetStream stream, a stream entry of the configuration, or a slot; default: all.
    The servers are queried directly, read-only, while the daemon may run.

    Exit codes: 0 every message is accounted for, 1 there are gaps, 2 usage or configuration error, 3 a server is
    unreachable.
    """
    return verify(config_path(ctx.find_root().params["config"], os.environ), names, sequences, look, as_json)


def verify(config: str | None, names: tuple[str, ...], sequences: str | None, look: int, as_json: bool) -> int:
    """Verify the slots selected by `names`, or all, print the reports and return the exit code."""
    from eventwriter.admin.verify.slot import Options

    silence_logs()
    settings = load(config, os.environ).settings
    daemon_mismatch.warn(settings, config)
    slots = select_slots(settings, names)
    options = Options(parse_range(sequences), look)
    try:
        reports = asyncio.run(run_verification(settings, slots, options))
    except Fatal as error:
        # A refused login is not the caller's mistake, so it has the exit code of an unreachable server.
        echo(f"eventwriter-ctl: {error}", err=True)
        return EXIT_UNREACHABLE
    show(reports, as_json)
    return 0 if all(report.balanced for report in reports) else EXIT_GAPS


def select_slots(settings: Settings, names: tuple[str, ...]) -> list[SlotName]:
    """
    Return the slots selected by names of stream entries, JetStream streams or slots.

    Raises:
        Fatal: A name selects no slot.
    """
    # Workers that share a durable also share one ledger row.
    available = [slot for slot in settings.slots() if not (settings.stream(slot.stream).is_shared and slot.partition)]
    selected: list[SlotName] = []
    for name in names:
        matching = [
            slot for slot in available if name in (slot.stream, str(slot), settings.stream(slot.stream).stream_name)
        ]
        if not matching:
            known = ", ".join(f"{s.name} (of {s.stream_name})" for s in settings.streams if s.enabled)
            raise Fatal(
                f"{name!r} is neither an enabled stream entry nor the JetStream stream of one; available: {known}"
            )
        selected += matching
    return list(dict.fromkeys(selected)) if names else available


def parse_range(text: str | None) -> tuple[int, int]:
    """
    Parse `100-200`, `100-`, `-200` or `100` into the first sequence and the one after the last.

    Raises:
        UsageError: The text has none of these forms.
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


async def run_verification(settings: Settings, slots: list[SlotName], options: "Options") -> list["Report"]:
    """
    Verify each slot in turn.

    Raises:
        Retryable: A server is unreachable.
        Fatal: A server refused the login.
    """
    # Imported here so that parsing the command line loads no driver.
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
                    reports.append(await Verifier(settings, slot, api, reader, options).run())
                except Fatal as error:
                    reports.append(failed(slot, settings, error))
            return reports
        finally:
            await reader.close()
    finally:
        await link.close()


def show(reports: list["Report"], as_json: bool) -> None:
    """Print the reports."""
    if as_json:
        whole = {
            "balanced": all(report.balanced for report in reports),
            "slots": [report.as_json() for report in reports],
        }
        echo_json(orjson.dumps(whole, option=orjson.OPT_INDENT_2))
        return
    console = new_console()
    for report in reports:
        console.print(render(report))


def render(report: Report) -> RenderableType:
    """Render the report of one slot."""
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
    """Yield the name and text of each line of a report."""
    stream = facts.stream
    yield (
        "stream",
        (
            f"{stream.first_seq:,} to {stream.last_seq:,}, created {when(stream.incarnation_ns // 1000)}"
            if stream.last_seq >= stream.first_seq
            else f"empty, next is {stream.last_seq + 1:,}; created {when(stream.incarnation_ns // 1000)}"
        ),
    )
    yield "consumer", consumer_line(facts.consumer)
    for row in facts.rows:
        yield "ledger" if is_current(row, facts) else "old ledger", ledger_line(row, facts)
    if not any(is_current(row, facts) for row in facts.rows):
        yield "ledger", "no row yet"
    for at, epoch in enumerate(report.unjustified_epochs):
        yield "" if at else "false epoch", epoch.sentence
    if judged.unacked:
        count = size(judged.unacked)
        yield "", f"{count:,} sequences above the ack floor: redelivered messages are not written again"
    if judged.undelivered:
        yield "to come", f"{size(judged.undelivered):,} sequences not delivered yet"
    yield "rows", rows_line(report.rows)
    dead_letters, messages = report.dead_letters
    yield (
        "dead letters",
        f"{dead_letters:,}" + (f", of {messages:,} distinct messages" if dead_letters != messages else ""),
    )
    if not report.gaps:
        yield "gaps", "none"
    for at, sentence in enumerate(report.unprovable):
        yield "" if at else "not provable", sentence


def consumer_line(consumer: ConsumerState | None) -> str:
    """Return the position of the consumer."""
    if consumer is None:
        return "does not exist; the daemon creates it, starting at the end of the ledger"
    return (
        f"delivered to {consumer.delivered_stream_seq:,}, ack floor {consumer.ack_floor_stream_seq:,},"
        f" {consumer.ack_pending:,} unacknowledged, {consumer.pending:,} pending"
    )


def ledger_line(row: LedgerRow, facts: Facts) -> str:
    """Return the content of one ledger row."""
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
    return f"{text}, epoch {row.epoch}, {why_old(row, facts)} (created {when(row.incarnation_us)})"


def rows_line(lookups: RowLookups) -> str:
    """Return the outcome of the messages whose rows were looked up."""
    if not lookups.messages:
        return "no message was looked up"
    parts = [
        f"{count:,} {outcome}"
        for count, outcome in (
            (lookups.written, f"with all their rows ({lookups.rows:,})"),
            (lookups.dead, "with a dead letter"),
            (lookups.empty, "with nothing to write"),
            (len(lookups.missing), "with neither rows nor dead letter"),
            (len(lookups.duplicated), "with duplicated rows"),
            (sum(lookups.inconclusive.values()), "not provable"),
        )
        if count
    ]
    return f"{lookups.messages:,} messages looked up: {', '.join(parts)}"


def gap_table(gaps: list[Gap]) -> Table:
    """Render the gaps."""
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
