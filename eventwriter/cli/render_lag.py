"""`lag` and `streams` as text for a terminal of 80 columns, with more where it is wider. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from eventwriter.cli.render import NONE, WIDE_COLUMNS, duration, listed, name, number, rate, short
from eventwriter.cli.render_top import size

Picture = Mapping[str, Any]

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
