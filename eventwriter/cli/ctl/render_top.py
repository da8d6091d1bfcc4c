"""Output of `top`, `stat`, `lag` and `streams` for terminals of 80 columns, with more columns on wider ones. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from eventwriter.cli.ctl.rates import STAGES, Rates
from eventwriter.cli.ctl.render import (
    COLOURS,
    NONE,
    WIDE_COLUMNS,
    duration,
    listed,
    millis,
    name,
    number,
    rate,
    short,
    state,
)

Snapshot = Mapping[str, Any]

SORTS: Mapping[str, tuple[str, Callable[[Snapshot, Rates], Any]]] = {
    "m": ("msg/s", lambda _slot, rates: rates.per_second["messages_per_s"]),
    "r": ("rows/s", lambda _slot, rates: rates.per_second["rows_per_s"]),
    "l": ("lag", lambda slot, _pace: slot["lag_messages"] or 0),
    "c": ("cpu", lambda _slot, rates: rates.cpu or 0.0),
    "x": ("memory", lambda slot, _pace: slot["rss_bytes"] or 0),
    "d": ("dead", lambda slot, _pace: slot["dead_letters_total"]),
    "n": ("name", lambda slot, _pace: slot["name"]),
}
"""Key → column to sort by, largest first; names in ascending order."""

SHORT = {
    "pull": "pull",
    "decode": "dec",
    "encode": "enc",
    "wait": "wait",
    "copy": "copy",
    "commit": "com",
    "ack": "ack",
}
HOT = 0.5  # from this share on, a worker spends most of its time in one stage
LEGEND = "shares of time: pull waits for messages, wait for the copy; the others work"
NAME_CHARS = 16


def top(snapshot: Snapshot, rates_by_slot: Mapping[str, Rates], sort: str, columns: int) -> RenderableType:
    """Render the slots, largest first, with how each spends its time."""
    by = SORTS[sort][1]
    slots = sorted(snapshot["slots"], key=lambda slot: by(slot, rates_by_slot[slot["name"]]), reverse=sort != "n")
    table = wide_top(slots, rates_by_slot) if columns >= WIDE_COLUMNS else narrow_top(slots, rates_by_slot)
    keys = " ".join(f"{key}:{title}" for key, (title, _) in SORTS.items())
    return Group(
        *heading(snapshot, rates_by_slot), Text(), table, Text(),
        Text(LEGEND, "dim"), Text(f"by {SORTS[sort][0]}; keys {keys} q:quit", "dim"),
    )  # fmt: skip


def heading(snapshot: Snapshot, rates_by_slot: Mapping[str, Rates]) -> list[Text]:
    """Render the daemon in two lines, and its problem, if any, in a third."""
    status, totals = snapshot["status"], snapshot["totals"]
    rates = {
        key: sum(rates.per_second[key] for rates in rates_by_slot.values())
        for key in ("messages_per_s", "rows_per_s", "bytes_per_s")
    }
    cpu = sum(rates.cpu or 0.0 for rates in rates_by_slot.values())
    lines = [
        Text.assemble(
            ("eventwriter ", "bold"), snapshot["version"], "  ", (status, f"bold {COLOURS[status]}"),
            f"  up {duration(snapshot['uptime_s'])}  {len(snapshot['slots'])} slots  cpu {cpu:.0%}",
        ),
        Text(
            f"{rate(rates['messages_per_s'])} msg/s  {rate(rates['rows_per_s'])} rows/s  "
            f"{size(rates['bytes_per_s'])}/s  lag {short(totals['lag_messages'])}  behind {duration(totals['lag_s'])}  "
            f"dead {short(totals['dead_letters_total'])}"
        ),
    ]  # fmt: skip
    return [*lines, Text(snapshot["reason"], COLOURS[status])] if snapshot["reason"] else lines


def narrow_top(slots: Sequence[Snapshot], rates_by_slot: Mapping[str, Rates]) -> Group:
    """Render each slot on one line of 79 columns."""
    titles = "".join(f"{SHORT[stage]:>5}" for stage in STAGES)
    lines = [Text(f"{'slot':<{NAME_CHARS}} {'state':<8}{'msg/s':>7}{'lag':>7}{'cpu':>5}" + titles, "bold")]
    for slot in slots:
        rates = rates_by_slot[slot["name"]]
        line = Text(f"{name(slot, NAME_CHARS):<{NAME_CHARS}} ", "bold").append(
            f"{state(slot):<8}", COLOURS[slot["health"]]
        )
        figures = (
            f"{rate(rates.per_second['messages_per_s']):>7}{short(slot['lag_messages']):>7}{percent(rates.cpu):>5}"
        )
        line.append(figures, "default not bold")
        for stage in STAGES:
            line.append(f"{percent(rates.stages.get(stage)):>5}", heat(stage, rates))
        lines.append(line)
    return Group(*lines)


def wide_top(slots: Sequence[Snapshot], rates_by_slot: Mapping[str, Rates]) -> Table:
    """Render each slot on one line with more columns."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for title in ("slot", "state"):
        table.add_column(title, no_wrap=True)
    numbers = ("msg/s", "rows/s", "data/s", "batch", "lag", "behind", "cpu", "memory", "p99", *STAGES)
    for title in numbers:
        table.add_column(title, justify="right", no_wrap=True)
    for slot in slots:
        rates = rates_by_slot[slot["name"]]
        table.add_row(
            Text(name(slot), "bold"), Text(state(slot), COLOURS[slot["health"]]),
            rate(rates.per_second["messages_per_s"]), rate(rates.per_second["rows_per_s"]),
            size(rates.per_second["bytes_per_s"]),
            short(per_batch(rates)), short(slot["lag_messages"]), duration(slot["lag_s"]), percent(rates.cpu),
            size(slot["rss_bytes"]), millis(slot["commit_p99_ms"]),
            *[Text(percent(rates.stages.get(stage)), heat(stage, rates)) for stage in STAGES],
        )  # fmt: skip
    return table


def heat(stage: str, rates: Rates) -> str:
    """Return the style of a share: the busiest stage is highlighted, in red from half of the time on."""
    if stage != rates.busiest:
        return "default not bold"
    return "bold red" if rates.stages[stage] >= HOT else "bold yellow"


def per_batch(rates: Rates) -> int | None:
    """Return the mean number of messages per batch."""
    batches = rates.per_second["batches_per_s"]
    return round(rates.per_second["messages_per_s"] / batches) if batches else None


def percent(share: float | None) -> str:
    """Return a share in at most four characters."""
    return NONE if share is None else f"{share:.0%}"


def size(value_bytes: float | None) -> str:
    """Return bytes in at most five characters: `950B`, `12.3K`, `45M`."""
    if value_bytes is None:
        return NONE
    for unit in ("B", "K", "M", "G"):
        if value_bytes < 1000 or unit == "G":
            return f"{value_bytes:.1f}{unit}" if unit != "B" and value_bytes < 100 else f"{value_bytes:.0f}{unit}"
        value_bytes /= 1024
    raise AssertionError("the loop returns")


STAT = (("time", 8), ("msg/s", 8), ("rows/s", 8), ("data/s", 8), ("batch", 6), ("lag", 8), ("unack", 7), ("dead/s", 7),
        ("redel", 6), ("cpu", 5), ("p99", 7))  # fmt: skip
"""Columns of `stat` with their widths, 78 characters in total."""


def stat_head() -> str:
    """Return the header line."""
    return "".join(f"{title:>{width}}" for title, width in STAT)


def stat_line(at: str, slots: Sequence[Snapshot], rates: Rates) -> str:
    """Return one line of `stat`."""
    lags = {(slot["stream"], slot["durable"] or slot["name"]): slot["lag_messages"] for slot in slots}
    p99 = [slot["commit_p99_ms"] for slot in slots if slot["commit_p99_ms"] is not None]
    known = [lag for lag in lags.values() if lag is not None]
    acks = {(slot["stream"], slot["durable"] or slot["name"]): slot["ack_pending"] or 0 for slot in slots}
    texts = (
        at, rate(rates.per_second["messages_per_s"]), rate(rates.per_second["rows_per_s"]),
            size(rates.per_second["bytes_per_s"]),
        short(per_batch(rates)), short(sum(known) if known else None), short(sum(acks.values())),
        rate(rates.per_second["dead_per_s"]), rate(rates.per_second["redelivered_per_s"]), percent(rates.cpu),
        millis(max(p99, default=None)),
    )  # fmt: skip
    return "".join(f"{text:>{width}}" for text, (_, width) in zip(texts, STAT, strict=True))


BEHIND_S_MAX = 3.0  # batching and heartbeats alone account for this much

HOLES = {
    False: "holes are messages not written yet or not selected by this slot",
    True: "several workers write concurrently; holes are closed every few seconds",
}
"""Meaning of holes, by whether the durable is shared."""


def lag(found: Snapshot, snapshots: Mapping[str, Snapshot], columns: int) -> RenderableType:
    """
    Render the position of each slot in stream sequences.

    Args:
        found: Answer to the verb `look`.
        snapshots: Slots of the snapshot by name.
        columns: Width of the terminal.
    """
    width = 10 if columns < WIDE_COLUMNS else 16
    titles = ("last", "delivered", "ack floor", "ledger")
    head = f"{'slot':<18}" + "".join(f"{title:>{width}}" for title in titles)
    lines = [
        Text(
            f"{head}{'drift':>7}{'lag':>7}" + (f"{'behind':>9}" if columns >= WIDE_COLUMNS else "") + f"{'left':>7}",
            "bold",
        )
    ]
    for slot, seen in found["slots"].items():
        facts, snapshot = positions(seen), snapshots[slot]
        line = Text(f"{name(snapshot):<18}", "bold")
        for key in ("last_seq", "delivered_seq", "ack_floor_seq", "ledger_seq"):
            line.append(f"{number_plain(facts[key], width):>{width}}", "default not bold")
        line.append(f"{short(facts['drift']):>7}{short(facts['lag_messages']):>7}", "default not bold")
        if columns >= WIDE_COLUMNS:
            line.append(f"{duration(snapshot['lag_s']):>9}", "default not bold")
        line.append(f"{time_left(snapshot):>7}", "default not bold")
        lines.append(line)
    holes = {
        slot: f"{seen['ledger']['ranges']} ranges in the ledger; {HOLES[seen['shared']]}"
        for slot, seen in found["slots"].items()
        if seen["ledger"] and seen["ledger"]["ranges"] > 1
    }
    return Group(*lines, *grouped(found["why"], "yellow"), *grouped(holes, "dim"))


def grouped(texts: Mapping[str, str], style: str) -> list[Text]:
    """Render a text for each slot; slots with the same text share a line."""
    slots_of: dict[str, list[str]] = {}
    for slot, text in texts.items():
        slots_of.setdefault(text, []).append(slot)
    return [Text(f"{listed(slots)}: {text}", style) for text, slots in slots_of.items()]


def positions(seen: Snapshot) -> dict[str, Any]:
    """Return the positions of a slot; `drift` is the ledger's floor minus the consumer's ack floor."""
    consumer, ledger = seen["consumer"], seen["ledger"]
    written = ledger["floor_seq"] if ledger else None
    return {
        "last_seq": seen["stream"]["last_seq"],
        "delivered_seq": consumer["delivered_seq"],
        "ack_floor_seq": consumer["ack_floor_seq"],
        "ledger_seq": written,
        "drift": None if written is None else written - consumer["ack_floor_seq"],
        "lag_messages": consumer["pending"] + consumer["ack_pending"],
    }


def time_left(snapshot: Snapshot) -> str:
    """Return the time until a slot has caught up; a slot that is only moments behind counts as caught up."""
    if snapshot["lag_s"] is not None and snapshot["lag_s"] < BEHIND_S_MAX:
        return "0s"
    if snapshot["catch_up_s"] is not None:
        return duration(snapshot["catch_up_s"]) if snapshot["catch_up_s"] else "0s"
    return "grows" if (snapshot["lag_per_s"] or 0) > 0 else NONE


def number_plain(value: int | None, width: int) -> str:
    """Return a sequence that fits its column: with commas, without, or abbreviated."""
    text = number(value)
    if len(text) < width:
        return text
    return plain if len(plain := text.replace(",", "")) < width else short(value)


def streams(found: Snapshot, snapshots: Mapping[str, Snapshot]) -> RenderableType:
    """Render each JetStream stream with the slots that read it."""
    parts: list[RenderableType] = []
    by_name: dict[str, list[str]] = {}
    for slot, seen in found["slots"].items():
        by_name.setdefault(seen["stream"]["name"], []).append(slot)
    for stream, slots in by_name.items():
        facts = found["slots"][slots[0]]["stream"]
        parts += [*stream_lines(stream, facts), readers(slots, found, snapshots), Text()]
    return Group(*parts, *grouped(found["why"], "yellow"))


def stream_lines(stream: str, facts: Snapshot) -> list[Text]:
    """Render the state and limits of a stream."""
    limits = {
        "age": duration(facts["max_age_s"]) if facts["max_age_s"] else None,
        "bytes": size(facts["max_bytes"]) if facts["max_bytes"] else None,
        "messages": number(facts["max_messages"]) if facts["max_messages"] else None,
    }
    limit = ", ".join(f"{name} {text}" for name, text in limits.items() if text)
    kept = f"{limit} (discard {facts['discard']})" if limit else "no limit"
    return [
        Text.assemble((stream, "bold"), f"  {number(facts['messages'])} messages, {size(facts['bytes'])}, "
                      f"sequences {number(facts['first_seq'])} to {number(facts['last_seq'])}"),
        Text(f"  {facts['retention']}, {facts['storage']}, {facts['replicas']} replicas; limits: {kept}"),
        Text(f"  subjects {', '.join(facts['subjects'])}; {facts['consumers']} consumers"),
    ]  # fmt: skip


def readers(slots: Sequence[str], found: Snapshot, snapshots: Mapping[str, Snapshot]) -> Table:
    """Render the slots that read a stream."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("  slot", no_wrap=True)
    table.add_column("durable", overflow="fold")
    for title in ("pending", "unacked", "redelivered", "msg/s"):
        table.add_column(title, justify="right", no_wrap=True)
    for slot in slots:
        consumer = found["slots"][slot]["consumer"]
        table.add_row(
            Text(f"  {name(snapshots[slot])}", "bold"), consumer["durable"], short(consumer["pending"]),
            short(consumer["ack_pending"]), short(consumer["redelivered"]), rate(snapshots[slot]["messages_per_s"]),
        )  # fmt: skip
    return table
