"""
A snapshot as text for a terminal: two lines a slot where it is narrow, one where it is wide.

Health is said in words and only underlined by colour: without colours nothing is lost.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

WIDE_COLUMNS = 130  # from here on the second line's figures fit beside the first's
NAME_COLUMNS = 18
NAMES_SHOWN_MAX = 6  # in one remark

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
        lines.append(Text.assemble(f"{name:<11}", connected(server), f"  {server[where] or NONE}"))
        lines += tried(server)
    lines += web_child(picture.get("web"))
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


def connected(server: Picture) -> tuple[str, str]:
    """Say whether the workers have their connections; one that only just starts is no outage."""
    if server["connected"]:
        return "connected", "green"
    if server.get("workers_connected"):
        return f"{server['workers_connected']} of {server['workers']} workers connected", "yellow"
    return "not connected", "red"


def web_child(web: Picture | None) -> list[Text]:
    """Say where the dashboard is, or why it is not; nothing where none is wanted."""
    if web is None:
        return []
    if web["listening"]:
        return [Text.assemble(f"{'web':<11}", ("serving", "green"), f"  {web['url']}")]
    return [Text.assemble(f"{'web':<11}", (web["state"], "yellow"), f"  {web['reason'] or 'not serving yet'}")]


def tried(server: Picture) -> list[Text]:
    """Say how often an open circuit was tried in vain, and when it is tried again."""
    circuit = server.get("circuit") or {}
    if circuit.get("state") != "open":
        return []
    again_s = circuit["next_try_in_s"]
    again = "now" if again_s is None else f"in {duration(again_s)}"
    since = duration(circuit["open_s"])
    return [Text(f"{'':<11}tried {circuit['attempts']} times in {since}, again {again}", "yellow")]


def narrow(slots: list[Picture]) -> Group:
    """Draw slots on two lines each, within 80 columns."""
    titles = ("msg/s", "rows/s", "lag", "behind", "unacked", "dead", "restarts")
    lines = [Text(f"{'slot':<{NAME_COLUMNS}} {'state':<8}" + figures(*titles), "bold")]
    for slot in slots:
        first = Text(f"{name(slot):<{NAME_COLUMNS}} ", "bold").append(f"{state(slot):<8}", COLOURS[slot["health"]])
        first.append(
            figures(
                rate(slot["messages_per_s"]),
                rate(slot["rows_per_s"]),
                short(slot["lag_messages"]),
                duration(slot["lag_s"]),
                short(slot["ack_pending"]),
                short(slot["dead_letters_total"]),
                short(slot["restarts"]),
            ),
            "default not bold",
        )
        cause = slot["batch_trigger_last"]
        batch = f"batch {short(slot['batch_messages_last'])} by {cause}" if cause else f"batch {NONE}"
        commit = f"commit p50 {millis(slot['commit_p50_ms'])} p99 {millis(slot['commit_p99_ms'])}"
        life = f"pid {slot['pid'] or NONE}  up {duration(slot['uptime_s'])}"
        lines += [first, Text(f"  {life}  {batch}  {commit}", "dim")]
    return Group(*lines)


def figures(*texts: str) -> str:
    """Set the seven figures of a slot right-aligned under each other, each in its column's width."""
    return "".join(f"{text:>{width}}" for text, width in zip(texts, (7, 7, 7, 7, 8, 7, 9), strict=True))


def wide(slots: list[Picture]) -> Table:
    """Draw slots on one line each."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for title in ("slot", "state"):
        table.add_column(title, no_wrap=True)
    for title in ("pid", "up", "msg/s", "rows/s", "lag", "behind", "unacked", "batch"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("by", no_wrap=True)
    for title in ("p50", "p99", "dead", "restarts"):
        table.add_column(title, justify="right", no_wrap=True)
    for slot in slots:
        table.add_row(
            Text(name(slot), "bold"), Text(state(slot), COLOURS[slot["health"]]),
            str(slot["pid"] or NONE), duration(slot["uptime_s"]),
            rate(slot["messages_per_s"]), rate(slot["rows_per_s"]), short(slot["lag_messages"]),
            duration(slot["lag_s"]), short(slot["ack_pending"]), short(slot["batch_messages_last"]),
            slot["batch_trigger_last"] or NONE, millis(slot["commit_p50_ms"]), millis(slot["commit_p99_ms"]),
            short(slot["dead_letters_total"]), short(slot["restarts"]),
        )  # fmt: skip
    return table


def remarks(picture: Picture) -> list[Text]:
    """
    Say what ails the slots (the worst is in the header already), what they warn of, and last errors that are else.

    Slots that are the same, as all are while a server is away, share a line.
    """
    ailing: dict[tuple[str, str], list[str]] = {}
    warned: dict[str, list[str]] = {}
    errors: dict[str, list[str]] = {}
    for slot in picture["slots"]:
        reason = slot["reason"] or ""
        if reason and slot["health"] != "starting":
            ailing.setdefault((slot["health"], reason), []).append(slot["name"])
        for warning in warnings(slot):
            warned.setdefault(warning, []).append(slot["name"])
        if slot["last_error"] and slot["last_error"] not in reason:
            errors.setdefault(slot["last_error"], []).append(slot["name"])
    lines: list[Text] = []
    for (health, reason), names in ailing.items():
        said = next((one for one in names if f"{one}: {reason}" == picture["reason"]), None)
        if said is None:
            lines.append(Text.assemble((f"{listed(names)} {health}: ", COLOURS[health]), reason))
        elif others := [one for one in names if one != said]:
            lines.append(Text.assemble((f"{listed(others)} {health}", COLOURS[health]), f", as {said}"))
    lines += [Text.assemble((f"{listed(names)} warning: ", "yellow"), text) for text, names in warned.items()]
    lines += [Text(f"{listed(names)} last error: {error}", "dim") for error, names in errors.items()]
    return [Text(), *lines] if lines else []


def warnings(slot: Picture) -> list[str]:
    """Return what is no failure, and yet not as it might be: of the tables' columns, and of their storage."""
    storage = slot["storage"] or {}
    return [*(slot["warnings"] or ()), *storage.get("warnings", ())]


def listed(names: list[str]) -> str:
    """Write names with commas between, the rest as a number where they are many."""
    shown = ", ".join(names[:NAMES_SHOWN_MAX])
    return shown if len(names) <= NAMES_SHOWN_MAX else f"{shown} and {len(names) - NAMES_SHOWN_MAX} more"


def name(slot: Picture, columns: int = NAME_COLUMNS) -> str:
    """Return a slot's name, cut in the middle of the stream where it is long: the partition must show."""
    text = str(slot["name"])
    if len(text) > columns:
        stream, _, partition = text.rpartition("/")
        text = f"{stream[: columns - len(partition) - 2]}…/{partition}"
    return text


def state(slot: Picture) -> str:
    """Return a slot's state; a worker that waits or is parked says so."""
    said = slot["worker_state"]
    return str(said if slot["state"] in ("starting", "running") and said else slot["state"])


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


VALUE_CHARS_MAX = 200
EFFECT_COLOURS = {"restart": "yellow", "at once": "green"}
WORDS = {"restart": "needs a restart"}


def changes_table(changes: Sequence[Mapping[str, Any]], columns: int) -> Table:
    """Draw the keys that are otherwise, each with its values and its effect."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    widths = {"key": columns * 2 // 5, "before": columns // 5, "after": columns // 5, "effect": 16}
    for title, width in widths.items():
        table.add_column(title, overflow="fold", max_width=width)
    for one in changes:
        effect = WORDS.get(one["effect"], one["effect"])
        table.add_row(
            one["key"],
            value(one["before"]),
            value(one["after"]),
            Text(effect, EFFECT_COLOURS.get(one["effect"], "cyan")),
        )
    return table


def value(given: Any) -> str:
    """Return a value as a file has it, its end cut off where it is long."""
    text = "–" if given is None else given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
    return text if len(text) <= VALUE_CHARS_MAX else f"{text[:VALUE_CHARS_MAX]}…"


def effects(told: Mapping[str, Any], diff: bool) -> list[Text]:
    """Say what becomes of workers, in a line for each kind of it."""
    would = "would be " if diff else ""
    lines = [
        Text(f"{would}{what}: {', '.join(told[what])}") for what in ("replaced", "started", "removed") if told[what]
    ]
    if told["restart_needed"]:
        lines.append(Text(f"only a restart of the daemon brings in: {', '.join(told['restart_needed'])}", "yellow"))
    if not told["changes"]:
        lines.append(Text("nothing is different from what runs"))
    elif not lines:
        lines.append(Text("no worker is concerned"))
    return lines


Sample = Mapping[str, Any]


def sample_lines(sample: Sample) -> list[Text]:
    """Draw one sample: which message, then its payload, its rows or its reason."""
    at = datetime.fromtimestamp(sample["at_ns"] / 1e9, UTC)
    again = f"  delivery {sample['num_delivered']}" if sample["num_delivered"] > 1 else ""
    head = Text.assemble(
        f"{at:%H:%M:%S.%f}"[:-3] + "Z  ", (sample["slot"], "bold"), f"  {sample['stream_seq']}  ",
        (sample["subject"], "cyan"), f"  {sample['bytes']:,} bytes{again}",
    )  # fmt: skip
    lines = [head]
    if sample["headers"]:
        lines.append(Text(f"  headers: {', '.join(sample['headers'])}", "dim"))
    if "reason" in sample:
        lines.append(Text(f"  {sample['reason']}: {sample['error']}", "red"))
    if "payload" in sample:
        lines.append(Text(f"  {sample['payload']}"))
    for row in sample.get("rows", ()):
        lines.append(Text(f"  → {row['table']}", "bold"))
        width = max((len(column) for column in row["columns"]), default=0)
        lines += [Text(f"    {column:<{width}}  {shown(value)}") for column, value in row["columns"].items()]
    return lines


def shown(value: Any) -> str:
    """Return a column's value."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
