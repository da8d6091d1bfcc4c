"""Checks of each slot: subjects, consumer, backlog, tables, books."""

from collections.abc import Iterable

from eventwriter import clock
from eventwriter.admin.doctor.consumers import backlog_of, consumer_findings, delivery_findings, judge_backlog
from eventwriter.admin.doctor.context import Case, SlotCase
from eventwriter.admin.doctor.filters import stored, uncovered
from eventwriter.admin.doctor.findings import Check, Finding, Reporter
from eventwriter.admin.doctor.streams import group
from eventwriter.admin.verify.slot import Verifier, Wish
from eventwriter.errors import EventwriterError
from eventwriter.jetstream.consumer import consumer_spec
from eventwriter.jetstream.stream_reader import StreamReader
from eventwriter.kinds.registry import kind
from eventwriter.worker.table_binding import find_tables

_LOOK_MESSAGES = 20
"""As many messages are looked at here; `eventwriter-ctl verify` looks at more."""


def checks(case: Case) -> list[Check]:
    """Return the checks of every slot, in order."""
    return [check for slot in case.slots for check in _checks(case, slot)]


def _checks(case: Case, slot: SlotCase) -> list[Check]:
    stream = slot.stream.stream_name

    async def subjects(voice: Reporter) -> Iterable[Finding]:
        return subject_findings(voice, slot, case.streams[stream][-1]["config"])

    async def consumer(voice: Reporter) -> Iterable[Finding]:
        wish = consumer_spec(slot.stream, slot.durable, slot.filters)
        retention = case.streams[stream][-1]["config"].get("retention", "limits")
        return consumer_findings(voice, wish, slot.consumer[-1], retention, case.slot_of_daemon(slot) is not None)

    async def delivery(voice: Reporter) -> Iterable[Finding]:
        return delivery_findings(voice, slot.consumer, case.streams[stream], case.slot_of_daemon(slot))

    async def backlog(voice: Reporter) -> Iterable[Finding]:
        assert case.api is not None
        info, lookup = slot.consumer[-1], StreamReader(case.api, stream, slot.filters)
        floor = info["ack_floor"]["stream_seq"] if info else 0
        oldest = await lookup.next(floor + 1) if not info or info["num_pending"] + info["num_ack_pending"] else None
        if oldest is None:
            return [voice.ok("nothing is unread")]
        found = backlog_of(case.streams[stream], oldest, case.looked_s, clock.now_ns())
        return [judge_backlog(voice, case.streams[stream][-1], found)]

    async def tables(voice: Reporter) -> Iterable[Finding]:
        return await table_findings(voice, case, slot)

    async def books(voice: Reporter) -> Iterable[Finding]:
        return await book_findings(voice, case, slot)

    name, exists = str(slot.name), f"{group(stream)}: exists"
    tabled = f"{name}: tables"
    return [
        Check(name, "subjects", subjects, (exists,)),
        Check(name, "consumer", consumer, (exists,)),
        Check(name, "delivery", delivery, (exists,)),
        Check(name, "backlog", backlog, (exists,)),
        Check(name, "tables", tables, ("PostgreSQL: connection",)),
        Check(name, "books", books, (exists, "PostgreSQL: connection", "PostgreSQL: books", tabled)),
    ]


def subject_findings(voice: Reporter, slot: SlotCase, config: dict[str, object]) -> list[Finding]:
    """Hold the slot's subjects against what its stream stores."""
    there = stored(config)
    nothing, part = uncovered(slot.filters, there.subjects)
    has = ", ".join(there.subjects) or "none of its own"
    if not nothing and not part:
        return [voice.ok(", ".join(slot.filters))]
    if there.elsewhere:
        return [
            voice.ok(f"{', '.join(slot.filters)}; the stream has messages of other streams: what it stores is open")
        ]
    if nothing and there.published != there.subjects:
        before, _ = uncovered(nothing, there.published)
        if len(before) < len(nothing):
            return [
                voice.fail(
                    f"{', '.join(nothing)} is what publishers write; the stream transforms it, and stores {has}",
                    "name the transformed subjects in the entry",
                )
            ]
    if nothing:
        return [
            voice.fail(
                f"{', '.join(nothing)} matches nothing that the stream stores ({has})",
                "correct the entry's subjects, or add them to the stream (nats stream edit)",
            )
        ]
    return [
        voice.warn(
            f"of {', '.join(part)} the stream stores only a part ({has}): the rest goes by unless another stream"
            " stores it",
            "add the subjects to the stream, or name only what it stores",
        )
    ]


async def table_findings(voice: Reporter, case: Case, slot: SlotCase) -> list[Finding]:
    """Bind the slot's tables, as a worker would."""
    assert case.reader is not None
    try:
        async with case.reader.transaction() as conn:
            found = await find_tables(conn, slot.stream, kind(slot.stream.kind))
        bindings = [table.bind() for table in found]
    except EventwriterError as error:
        sentence, _, hint = str(error).partition("; ")
        return [voice.fail(sentence, hint or "see docs/tables.md")]
    said = [w for table, b in zip(found, bindings, strict=True) for w in (*b.warnings, *table.warnings(b))]
    if said:
        return [_warning(voice, sentence) for sentence in dict.fromkeys(said)]
    return [voice.ok(", ".join(dict.fromkeys(binding.target for binding in bindings)))]


def _warning(voice: Reporter, text: str) -> Finding:
    sentence, _, hint = text.partition("; ")
    return voice.warn(sentence, hint or "see docs/tables.md; nothing is to be done where that is meant")


async def book_findings(voice: Reporter, case: Case, slot: SlotCase) -> list[Finding]:
    """Hold ack floor and ledger against each other, and look at a few messages."""
    assert case.api is not None
    assert case.reader is not None
    try:
        wish = Wish(limit=_LOOK_MESSAGES)
        report = await Verifier(case.settings, slot.name, case.api, case.reader, wish).run()
    except EventwriterError as error:
        return [voice.fail(str(error), "see docs/troubleshooting.md")]
    facts, judged = report.facts, report.judged
    if facts is None or judged is None:
        return [voice.fail(str(report.trouble), "see the stream's checks")]
    verify = f"eventwriter-ctl verify {slot.name}"
    if report.gaps:
        first = report.gaps[0]
        more = f", and {len(report.gaps) - 1} more gaps" if len(report.gaps) > 1 else ""
        return [voice.fail(f"messages {first.first} to {first.last}: {first.what}{more}", f"{verify} names every gap")]
    if facts.stream.last_seq < facts.last_seq_known:
        said = f"the stream ends at {facts.stream.last_seq}, the ledger at {facts.last_seq_known}: it went backwards"
        return [voice.warn(said, "restored from a backup? The next start begins a new epoch, and writes all as new")]
    if judged.gone:
        said = next(said for said in report.unprovable if "no longer in the stream" in said)
        return [voice.warn(said, f"look at the stream's limits, and at {verify}")]
    beyond = sum(high - low for low, high in judged.absorbed)
    more = f"; {beyond:,} sequences are in the ledger and not acknowledged yet" if beyond else ""
    return [voice.ok(f"ack floor {judged.floor:,} is within the ledger{more}")]
