"""`top` and `stat` as text for a terminal of 80 columns, with more where it is wider. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from eventwriter.cli.ctl.rates import STAGES, Pace
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

Picture = Mapping[str, Any]

SORTS: Mapping[str, tuple[str, Callable[[Picture, Pace], Any]]] = {
    "m": ("msg/s", lambda _slot, pace: pace.rates["messages_per_s"]),
    "r": ("rows/s", lambda _slot, pace: pace.rates["rows_per_s"]),
    "l": ("lag", lambda slot, _pace: slot["lag_messages"] or 0),
    "c": ("cpu", lambda _slot, pace: pace.cpu or 0.0),
    "x": ("memory", lambda slot, _pace: slot["rss_bytes"] or 0),
    "d": ("dead", lambda slot, _pace: slot["dead_letters_total"]),
    "n": ("name", lambda slot, _pace: slot["name"]),
}
"""Key → what slots are sorted by; the largest first, names from A."""

SHORT = {
    "pull": "pull",
    "decode": "dec",
    "encode": "enc",
    "wait": "wait",
    "copy": "copy",
    "commit": "com",
    "ack": "ack",
}
HOT = 0.5  # from here on a stage of work is what a worker does most of the time
LEGEND = "shares of the time; pull waits for messages, wait for the copy, the others work"
NAME_CHARS = 16


def top(picture: Picture, paces: Mapping[str, Pace], sort: str, columns: int) -> RenderableType:
    """Draw slots, the largest first, with where the time of each goes."""
    by = SORTS[sort][1]
    slots = sorted(picture["slots"], key=lambda slot: by(slot, paces[slot["name"]]), reverse=sort != "n")
    table = wide_top(slots, paces) if columns >= WIDE_COLUMNS else narrow_top(slots, paces)
    keys = " ".join(f"{key}:{title}" for key, (title, _) in SORTS.items())
    return Group(
        *heading(picture, paces), Text(), table, Text(),
        Text(LEGEND, "dim"), Text(f"by {SORTS[sort][0]}; keys {keys} q:quit", "dim"),
    )  # fmt: skip


def heading(picture: Picture, paces: Mapping[str, Pace]) -> list[Text]:
    """Draw the daemon in two lines, and why it is not well in a third."""
    status, totals = picture["status"], picture["totals"]
    rates = {
        key: sum(pace.rates[key] for pace in paces.values()) for key in ("messages_per_s", "rows_per_s", "bytes_per_s")
    }
    cpu = sum(pace.cpu or 0.0 for pace in paces.values())
    lines = [
        Text.assemble(
            ("eventwriter ", "bold"), picture["version"], "  ", (status, f"bold {COLOURS[status]}"),
            f"  up {duration(picture['uptime_s'])}  {len(picture['slots'])} slots  cpu {cpu:.0%}",
        ),
        Text(
            f"{rate(rates['messages_per_s'])} msg/s  {rate(rates['rows_per_s'])} rows/s  "
            f"{size(rates['bytes_per_s'])}/s  lag {short(totals['lag_messages'])}  behind {duration(totals['lag_s'])}  "
            f"dead {short(totals['dead_letters_total'])}"
        ),
    ]  # fmt: skip
    return [*lines, Text(picture["reason"], COLOURS[status])] if picture["reason"] else lines


def narrow_top(slots: Sequence[Picture], paces: Mapping[str, Pace]) -> Group:
    """Draw each slot in one line of 79 columns."""
    titles = "".join(f"{SHORT[stage]:>5}" for stage in STAGES)
    lines = [Text(f"{'slot':<{NAME_CHARS}} {'state':<8}{'msg/s':>7}{'lag':>7}{'cpu':>5}" + titles, "bold")]
    for slot in slots:
        pace = paces[slot["name"]]
        line = Text(f"{name(slot, NAME_CHARS):<{NAME_CHARS}} ", "bold").append(
            f"{state(slot):<8}", COLOURS[slot["health"]]
        )
        figures = f"{rate(pace.rates['messages_per_s']):>7}{short(slot['lag_messages']):>7}{percent(pace.cpu):>5}"
        line.append(figures, "default not bold")
        for stage in STAGES:
            line.append(f"{percent(pace.stages.get(stage)):>5}", heat(stage, pace))
        lines.append(line)
    return Group(*lines)


def wide_top(slots: Sequence[Picture], paces: Mapping[str, Pace]) -> Table:
    """Draw each slot in one line, with more figures."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for title in ("slot", "state"):
        table.add_column(title, no_wrap=True)
    numbers = ("msg/s", "rows/s", "data/s", "batch", "lag", "behind", "cpu", "memory", "p99", *STAGES)
    for title in numbers:
        table.add_column(title, justify="right", no_wrap=True)
    for slot in slots:
        pace = paces[slot["name"]]
        table.add_row(
            Text(name(slot), "bold"), Text(state(slot), COLOURS[slot["health"]]),
            rate(pace.rates["messages_per_s"]), rate(pace.rates["rows_per_s"]), size(pace.rates["bytes_per_s"]),
            short(per_batch(pace)), short(slot["lag_messages"]), duration(slot["lag_s"]), percent(pace.cpu),
            size(slot["rss_bytes"]), millis(slot["commit_p99_ms"]),
            *[Text(percent(pace.stages.get(stage)), heat(stage, pace)) for stage in STAGES],
        )  # fmt: skip
    return table


def heat(stage: str, pace: Pace) -> str:
    """Return how a share is drawn: the busiest stage of work stands out, from half of the time on in red."""
    if stage != pace.busiest:
        return "default not bold"
    return "bold red" if pace.stages[stage] >= HOT else "bold yellow"


def per_batch(pace: Pace) -> int | None:
    """Return how many messages a batch had."""
    batches = pace.rates["batches_per_s"]
    return round(pace.rates["messages_per_s"] / batches) if batches else None


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
"""`stat`'s columns and their widths: 78 together."""


def stat_head() -> str:
    """Return the line with the titles."""
    return "".join(f"{title:>{width}}" for title, width in STAT)


def stat_line(at: str, slots: Sequence[Picture], pace: Pace) -> str:
    """Return a second in one line, as vmstat does."""
    lags = {(slot["stream"], slot["durable"] or slot["name"]): slot["lag_messages"] for slot in slots}
    p99 = [slot["commit_p99_ms"] for slot in slots if slot["commit_p99_ms"] is not None]
    known = [lag for lag in lags.values() if lag is not None]
    acks = {(slot["stream"], slot["durable"] or slot["name"]): slot["ack_pending"] or 0 for slot in slots}
    texts = (
        at, rate(pace.rates["messages_per_s"]), rate(pace.rates["rows_per_s"]), size(pace.rates["bytes_per_s"]),
        short(per_batch(pace)), short(sum(known) if known else None), short(sum(acks.values())),
        rate(pace.rates["dead_per_s"]), rate(pace.rates["redelivered_per_s"]), percent(pace.cpu),
        millis(max(p99, default=None)),
    )  # fmt: skip
    return "".join(f"{text:>{width}}" for text, (_, width) in zip(texts, STAT, strict=True))


BEHIND_S_MAX = 3.0  # what batches and heartbeats make of a slot that keeps up

HOLES = {
    False: "holes are not written yet, or not this slot's",
    True: "several workers write in no order, and the holes are closed every few seconds",
}
"""What holes mean, by whether the durable is shared."""


def lag(found: Picture, pictures: Mapping[str, Picture], columns: int) -> RenderableType:
    """
    Draw how far each slot is, in stream sequences.

    Args:
        found: As the verb `look` answers.
        pictures: The snapshot's slots by name.
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
        facts, picture = positions(seen), pictures[slot]
        line = Text(f"{name(picture):<18}", "bold")
        for key in ("last_seq", "delivered_seq", "ack_floor_seq", "ledger_seq"):
            line.append(f"{number_plain(facts[key], width):>{width}}", "default not bold")
        line.append(f"{short(facts['drift']):>7}{short(facts['lag_messages']):>7}", "default not bold")
        if columns >= WIDE_COLUMNS:
            line.append(f"{duration(picture['lag_s']):>9}", "default not bold")
        line.append(f"{left(picture):>7}", "default not bold")
        lines.append(line)
    holes = {
        slot: f"{seen['ledger']['ranges']} ranges in the ledger; {HOLES[seen['shared']]}"
        for slot, seen in found["slots"].items()
        if seen["ledger"] and seen["ledger"]["ranges"] > 1
    }
    return Group(*lines, *together(found["why"], "yellow"), *together(holes, "dim"))


def together(said: Mapping[str, str], style: str) -> list[Text]:
    """Draw what is said of slots, one line for those of which the same is said."""
    of_text: dict[str, list[str]] = {}
    for slot, text in said.items():
        of_text.setdefault(text, []).append(slot)
    return [Text(f"{listed(slots)}: {text}", style) for text, slots in of_text.items()]


def positions(seen: Picture) -> dict[str, Any]:
    """Return a slot's positions; `drift` is how far the ledger is beyond what is acknowledged, below 0: behind it."""
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


def left(picture: Picture) -> str:
    """Say in what time a slot has caught up; what is but a moment behind keeps up, whatever its lag does."""
    if picture["lag_s"] is not None and picture["lag_s"] < BEHIND_S_MAX:
        return "0s"
    if picture["catch_up_s"] is not None:
        return duration(picture["catch_up_s"]) if picture["catch_up_s"] else "0s"
    return "grows" if (picture["lag_per_s"] or 0) > 0 else NONE


def number_plain(value: int | None, width: int) -> str:
    """Return a sequence in full where it fits its column, with commas where those fit too."""
    text = number(value)
    if len(text) < width:
        return text
    return plain if len(plain := text.replace(",", "")) < width else short(value)


def streams(found: Picture, pictures: Mapping[str, Picture]) -> RenderableType:
    """Draw each stream of JetStream's once, and which slots read it."""
    parts: list[RenderableType] = []
    by_name: dict[str, list[str]] = {}
    for slot, seen in found["slots"].items():
        by_name.setdefault(seen["stream"]["name"], []).append(slot)
    for stream, slots in by_name.items():
        facts = found["slots"][slots[0]]["stream"]
        parts += [*stream_lines(stream, facts), readers(slots, found, pictures), Text()]
    return Group(*parts, *together(found["why"], "yellow"))


def stream_lines(stream: str, facts: Picture) -> list[Text]:
    """Draw a stream's own facts."""
    limits = {
        "age": duration(facts["max_age_s"]) if facts["max_age_s"] else None,
        "bytes": size(facts["max_bytes"]) if facts["max_bytes"] else None,
        "messages": number(facts["max_messages"]) if facts["max_messages"] else None,
    }
    said = ", ".join(f"{what} {text}" for what, text in limits.items() if text)
    kept = f"{said}, then {facts['discard']} ones go" if said else "no limit"
    return [
        Text.assemble((stream, "bold"), f"  {number(facts['messages'])} messages, {size(facts['bytes'])}, "
                      f"sequences {number(facts['first_seq'])} to {number(facts['last_seq'])}"),
        Text(f"  {facts['retention']}, {facts['storage']}, {facts['replicas']} replicas; kept: {kept}"),
        Text(f"  subjects {', '.join(facts['subjects'])}; {facts['consumers']} consumers"),
    ]  # fmt: skip


def readers(slots: Sequence[str], found: Picture, pictures: Mapping[str, Picture]) -> Table:
    """Draw the slots that read a stream."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("  slot", no_wrap=True)
    table.add_column("durable", overflow="fold")
    for title in ("pending", "unacked", "redelivered", "msg/s"):
        table.add_column(title, justify="right", no_wrap=True)
    for slot in slots:
        consumer = found["slots"][slot]["consumer"]
        table.add_row(
            Text(f"  {name(pictures[slot])}", "bold"), consumer["durable"], short(consumer["pending"]),
            short(consumer["ack_pending"]), short(consumer["redelivered"]), rate(pictures[slot]["messages_per_s"]),
        )  # fmt: skip
    return table
