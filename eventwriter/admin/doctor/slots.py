"""Checks of each slot: subjects, consumer, backlog, tables and ledger."""

from collections.abc import Iterable

from eventwriter import clock
from eventwriter.admin.doctor.consumers import backlog_finding, backlog_of, consumer_findings, delivery_findings
from eventwriter.admin.doctor.context import Context, SlotContext
from eventwriter.admin.doctor.filters import stored, uncovered
from eventwriter.admin.doctor.findings import Check, Finding, Reporter
from eventwriter.admin.doctor.streams import group
from eventwriter.admin.verify.slot import Options, Verifier, gone_message
from eventwriter.errors import EventwriterError
from eventwriter.jetstream.consumer import consumer_spec
from eventwriter.jetstream.stream_reader import StreamReader
from eventwriter.kinds.registry import kind
from eventwriter.worker.table_binding import find_tables

_LOOKUPS_MAX = 20
"""Messages whose rows are looked up; `eventwriter-ctl verify` looks up more."""


def checks(context: Context) -> list[Check]:
    """Return the checks of every slot, in order."""
    return [check for slot in context.slots for check in _checks(context, slot)]


def _checks(context: Context, slot: SlotContext) -> list[Check]:
    stream = slot.stream.stream_name

    async def subjects(report: Reporter) -> Iterable[Finding]:
        return subject_findings(report, slot, context.streams[stream][-1]["config"])

    async def consumer(report: Reporter) -> Iterable[Finding]:
        spec = consumer_spec(slot.stream, slot.durable, slot.filters)
        retention = context.streams[stream][-1]["config"].get("retention", "limits")
        return consumer_findings(report, spec, slot.consumer[-1], retention, context.slot_of_daemon(slot) is not None)

    async def delivery(report: Reporter) -> Iterable[Finding]:
        return delivery_findings(report, slot.consumer, context.streams[stream], context.slot_of_daemon(slot))

    async def backlog(report: Reporter) -> Iterable[Finding]:
        assert context.api is not None
        info, lookup = slot.consumer[-1], StreamReader(context.api, stream, slot.filters)
        floor = info["ack_floor"]["stream_seq"] if info else 0
        oldest = await lookup.next(floor + 1) if not info or info["num_pending"] + info["num_ack_pending"] else None
        if oldest is None:
            return [report.ok("no unread messages")]
        found = backlog_of(context.streams[stream], oldest, context.sampled_s, clock.now_ns())
        return [backlog_finding(report, context.streams[stream][-1], found)]

    async def tables(report: Reporter) -> Iterable[Finding]:
        return await table_findings(report, context, slot)

    async def ledger(report: Reporter) -> Iterable[Finding]:
        return await ledger_findings(report, context, slot)

    name, exists = str(slot.name), f"{group(stream)}: exists"
    tables_check = f"{name}: tables"
    return [
        Check(name, "subjects", subjects, (exists,)),
        Check(name, "consumer", consumer, (exists,)),
        Check(name, "delivery", delivery, (exists,)),
        Check(name, "backlog", backlog, (exists,)),
        Check(name, "tables", tables, ("PostgreSQL: connection",)),
        Check(name, "ledger", ledger, (exists, "PostgreSQL: connection", "PostgreSQL: ledger", tables_check)),
    ]


def subject_findings(report: Reporter, slot: SlotContext, config: dict[str, object]) -> list[Finding]:
    """Compare the subjects of the slot with those that its stream stores."""
    stream = stored(config)
    nothing, part = uncovered(slot.filters, stream.subjects)
    has = ", ".join(stream.subjects) or "none"
    if not nothing and not part:
        return [report.ok(", ".join(slot.filters))]
    if stream.elsewhere:
        return [
            report.ok(
                f"{', '.join(slot.filters)}; the stream receives messages of other streams, whose subjects are unknown"
            )
        ]
    if nothing and stream.published != stream.subjects:
        before, _ = uncovered(nothing, stream.published)
        if len(before) < len(nothing):
            return [
                report.fail(
                    f"{', '.join(nothing)} is what publishers use; the stream transforms it and stores {has}",
                    "use the transformed subjects in the entry",
                )
            ]
    if nothing:
        return [
            report.fail(
                f"{', '.join(nothing)} matches no subject that the stream stores ({has})",
                "correct the subjects of the entry, or add them to the stream (nats stream edit)",
            )
        ]
    return [
        report.warn(
            f"the stream stores only a part of {', '.join(part)} ({has}); other messages are not stored unless another"
            " stream does",
            "add the subjects to the stream, or restrict those of the entry",
        )
    ]


async def table_findings(report: Reporter, context: Context, slot: SlotContext) -> list[Finding]:
    """Bind the tables of the slot as a worker does."""
    assert context.reader is not None
    try:
        async with context.reader.transaction() as conn:
            found = await find_tables(conn, slot.stream, kind(slot.stream.kind))
        bindings = [table.bind() for table in found]
    except EventwriterError as error:
        return [report.error(error, "see docs/tables.md")]
    warnings = [w for table, b in zip(found, bindings, strict=True) for w in (*b.warnings, *table.warnings(b))]
    if warnings:
        return [_warning(report, message) for message in dict.fromkeys(warnings)]
    return [report.ok(", ".join(dict.fromkeys(binding.target for binding in bindings)))]


def _warning(report: Reporter, text: str) -> Finding:
    return report.warn(text, "see docs/tables.md; nothing to do if this is intended")


async def ledger_findings(report: Reporter, context: Context, slot: SlotContext) -> list[Finding]:
    """Compare ack floor and ledger, and look up the rows of a few messages."""
    assert context.api is not None
    assert context.reader is not None
    try:
        options = Options(limit=_LOOKUPS_MAX)
        result = await Verifier(context.settings, slot.name, context.api, context.reader, options).run()
    except EventwriterError as error:
        return [report.error(error, "see docs/troubleshooting.md")]
    facts, judged = result.facts, result.judged
    if facts is None or judged is None:
        return [report.fail(str(result.trouble), "see the checks of the stream")]
    verify = f"eventwriter-ctl verify {slot.name}"
    if result.gaps:
        first = result.gaps[0]
        more = f", and {len(result.gaps) - 1} more gaps" if len(result.gaps) > 1 else ""
        return [report.fail(f"messages {first.first} to {first.last}: {first.what}{more}", f"{verify} names every gap")]
    if facts.stream.last_seq < facts.last_seq_known:
        message = f"the stream ends at {facts.stream.last_seq}, the ledger at {facts.last_seq_known}: it went backwards"
        return [report.warn(message, "if it was restored from a backup, the daemon begins a new epoch")]
    if judged.removed:
        return [report.warn(gone_message(judged.removed), f"check the limits of the stream, and run {verify}")]
    beyond = sum(high - low for low, high in judged.unacked)
    more = f"; {beyond:,} sequences are in the ledger but not acknowledged yet" if beyond else ""
    return [report.ok(f"ack floor {judged.floor:,} is within the ledger{more}")]
