"""
A snapshot as text for a terminal: two lines a slot where it is narrow, one where it is wide.

Health is said in words and only underlined by colour: without colours nothing is lost.
"""

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

WIDE_COLUMNS = 130  # from here on the second line's figures fit beside the first's
NAME_COLUMNS = 20

COLOURS = {"healthy": "green", "starting": "cyan", "degraded": "yellow", "failing": "red"}
NONE = "–"

Picture = Mapping[str, Any]


def render(picture: Picture, columns: int) -> RenderableType:
    """
    Draw a snapshot.

    Args:
        picture: As the verb `status` answers.
        columns: Of the terminal; 80 is the least that is aimed at.
    """
    slots = wide(picture["slots"]) if columns >= WIDE_COLUMNS else narrow(picture["slots"])
    return Group(*header(picture), Text(), slots, *remarks(picture))


def header(picture: Picture) -> list[Text]:
    """Draw the daemon, its servers and the totals."""
    totals, status = picture["totals"], picture["status"]
    first = Text.assemble(
        ("eventwriter ", "bold"), picture["version"], "  ", (status, f"bold {COLOURS[status]}"),
        f"  pid {picture['pid']}  up {duration(picture['uptime_s'])}",
    )  # fmt: skip
    lines = [first]
    if picture["reason"]:
        lines.append(Text(picture["reason"], COLOURS[status]))
    for name, server, where in (("NATS", picture["nats"], "url"), ("PostgreSQL", picture["postgres"], "target")):
        state = ("connected", "green") if server["connected"] else ("not connected", "red")
        lines.append(Text.assemble(f"{name:<11}", state, f"  {server[where] or NONE}"))
    lines.append(
        Text(
            f"{'total':<11}{number(totals['messages_total'])} messages ({rate(totals['messages_per_s'])}/s), "
            f"{number(totals['rows_total'])} rows ({rate(totals['rows_per_s'])}/s)"
        )
    )
    lines.append(
        Text(
            f"{'':<11}{number(totals['dead_letters_total'])} dead letters, {number(totals['lag_messages'])} waiting, "
            f"{number(totals['restarts'])} restarts"
        )
    )
    return lines


def narrow(slots: list[Picture]) -> Table:
    """Draw slots on two lines each, within 80 columns."""
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for title in ("slot", "state"):
        table.add_column(title, no_wrap=True)
    for title in ("msg/s", "rows/s", "lag", "behind", "unacked", "dead", "restarts"):
        table.add_column(title, justify="right", no_wrap=True)
    for slot in slots:
        table.add_row(
            name(slot), state(slot), rate(slot["messages_per_s"]), rate(slot["rows_per_s"]),
            short(slot["lag_messages"]), duration(slot["lag_s"]), short(slot["ack_pending"]),
            short(slot["dead_letters_total"]), short(slot["restarts"]),
        )  # fmt: skip
        table.add_row(
            Text(f"  pid {slot['pid'] or NONE}", "dim"), Text(f"up {duration(slot['uptime_s'])}", "dim"),
            "", Text("batch", "dim"), Text(short(slot["batch_messages_last"]), "dim"),
            Text(slot["batch_trigger_last"] or NONE, "dim"), Text("commit", "dim"), *commit_cells(slot),
        )  # fmt: skip
    return table


def commit_cells(slot: Picture) -> tuple[Text, Text]:
    """Return commit times as two narrow cells: p50, p99."""
    return Text(millis(slot["commit_p50_ms"]), "dim"), Text(millis(slot["commit_p99_ms"]), "dim")


def wide(slots: list[Picture]) -> Table:
    """Draw slots on one line each."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for title in ("slot", "state"):
        table.add_column(title, no_wrap=True)
    figures = ("pid", "up", "msg/s", "rows/s", "lag", "behind", "unacked", "batch")
    for title in figures:
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("by", no_wrap=True)
    for title in ("p50", "p99", "dead", "restarts"):
        table.add_column(title, justify="right", no_wrap=True)
    for slot in slots:
        table.add_row(
            name(slot), state(slot), str(slot["pid"] or NONE), duration(slot["uptime_s"]),
            rate(slot["messages_per_s"]), rate(slot["rows_per_s"]), short(slot["lag_messages"]),
            duration(slot["lag_s"]), short(slot["ack_pending"]), short(slot["batch_messages_last"]),
            slot["batch_trigger_last"] or NONE, millis(slot["commit_p50_ms"]), millis(slot["commit_p99_ms"]),
            short(slot["dead_letters_total"]), short(slot["restarts"]),
        )  # fmt: skip
    return table


def remarks(picture: Picture) -> list[Text]:
    """Say what ails each slot, and its last error where that is something else."""
    lines: list[Text] = []
    for slot in picture["slots"]:
        if slot["reason"] and slot["health"] != "starting":
            lines.append(Text.assemble((f"{slot['name']} {slot['health']}: ", COLOURS[slot["health"]]), slot["reason"]))
        if slot["last_error"] and slot["last_error"] not in (slot["reason"] or ""):
            lines.append(Text(f"{slot['name']} last error: {slot['last_error']}", "dim"))
    return [Text(), *lines] if lines else []


def name(slot: Picture) -> Text:
    """Return a slot's name, cut in the middle of the stream where it is long: the partition must show."""
    text = slot["name"]
    if len(text) > NAME_COLUMNS:
        stream, _, partition = text.rpartition("/")
        text = f"{stream[: NAME_COLUMNS - len(partition) - 2]}…/{partition}"
    return Text(text, "bold")


def state(slot: Picture) -> Text:
    """Return a slot's state in the colour of its health; a worker that waits or is parked says so."""
    said = slot["worker_state"]
    return Text(said if slot["state"] == "running" and said else slot["state"], COLOURS[slot["health"]])


def number(value: float | None) -> str:
    """Return a count in full: `1,234,567`."""
    return NONE if value is None else f"{value:,}"


def short(value: float | None) -> str:
    """Return a count in at most six characters: `950`, `12,345`, `1.23M`."""
    if value is None:
        return NONE
    for bound, divisor, unit in ((100_000, 1, ""), (10_000_000, 1_000, "k"), (10_000_000_000, 1_000_000, "M")):
        if value < bound:
            return f"{value / divisor:,.0f}{unit}" if divisor > 1 else f"{value:,}"
    return f"{value / 1e9:,.0f}G"


def rate(value: float) -> str:
    """Return messages or rows per second: one decimal where that still says something."""
    return f"{value:.1f}" if 0 < value < 10 else short(round(value))


def millis(value: float | None) -> str:
    """Return a commit time: `4.2ms`, `180ms`, `2.5s`."""
    if value is None:
        return NONE
    if value >= 1000:
        return f"{value / 1000:.1f}s"
    return f"{value:.1f}ms" if value < 10 else f"{value:.0f}ms"


def duration(value_s: float | None) -> str:
    """Return a duration in its two largest units: `0.4s`, `12s`, `3m05s`, `2h07m`, `9d04h`."""
    if value_s is None:
        return NONE
    if value_s < 10:
        return f"{max(0.0, value_s):.1f}s"
    seconds = int(value_s)
    for unit, larger, smaller, name_large, name_small in ((60, 3600, 1, "m", "s"), (3600, 86400, 60, "h", "m")):
        if unit <= seconds < larger:
            return f"{seconds // unit}{name_large}{seconds % unit // smaller:02}{name_small}"
    return f"{seconds}s" if seconds < 60 else f"{seconds // 86400}d{seconds % 86400 // 3600:02}h"
