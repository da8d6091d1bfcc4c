"""
Snapshots as text for a terminal: two lines for each slot on a narrow one, one line on a wide one.

Colours only repeat what the words say, so that nothing is lost without them.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

WIDE_COLUMNS = 130  # from this width on, both lines of a slot fit on one
NAME_COLUMNS = 18
NAMES_SHOWN_MAX = 6  # in one line

COLOURS = {"healthy": "green", "starting": "cyan", "degraded": "yellow", "failing": "red"}
NONE = "–"

Snapshot = Mapping[str, Any]


def render(snapshot: Snapshot, columns: int) -> RenderableType:
    """
    Render a snapshot.

    Args:
        snapshot: Answer to the verb `status`.
        columns: Width of the terminal; the layout needs at least 80.
    """
    slots = wide(snapshot["slots"]) if columns >= WIDE_COLUMNS else narrow(snapshot["slots"])
    return Group(*header(snapshot), Text(), slots, *remarks(snapshot))


def header(snapshot: Snapshot) -> list[Text]:
    """Render the daemon, its servers and the totals."""
    totals, status = snapshot["totals"], snapshot["status"]
    first = Text.assemble(
        ("eventwriter ", "bold"), snapshot["version"], "  ", (status, f"bold {COLOURS[status]}"),
        f"  pid {snapshot['pid']}  up {duration(snapshot['uptime_s'])}",
    )  # fmt: skip
    lines = [first]
    if snapshot["reason"]:
        lines.append(Text(snapshot["reason"], COLOURS[status]))
    for name, server, where in (("NATS", snapshot["nats"], "url"), ("PostgreSQL", snapshot["postgres"], "target")):
        lines.append(Text.assemble(f"{name:<11}", connected(server), f"  {server[where] or NONE}"))
        lines += retries(server)
    lines += web_child(snapshot.get("web"))
    lines.append(
        Text(
            f"{'total':<11}{number(totals['messages_total'])} messages ({rate(totals['messages_per_s'])}/s), "
            f"{number(totals['rows_total'])} rows ({rate(totals['rows_per_s'])}/s)"
        )
    )
    lines.append(
        Text(
            f"{'':<11}{number(totals['dead_letters_total'])} dead letters, {number(totals['lag_messages'])} waiting, "
            f"{number(totals['restarts'])} restarts{requested(totals)}"
        )
    )
    return lines


def requested(totals: Snapshot) -> str:
    """Return the number of restarts that operators requested, which are not among the others."""
    count = totals.get("restarts_requested")
    return f" and {number(count)} requested" if count else ""


def connected(server: Snapshot) -> tuple[str, str]:
    """Return how many workers are connected to a server, and the colour; starting workers do not count."""
    if server["connected"]:
        return "connected", "green"
    if server["connected"] is None:
        return "no worker is running", "yellow"
    if server.get("workers_connected"):
        return f"{server['workers_connected']} of {server['workers']} workers connected", "yellow"
    return "not connected", "red"


def web_child(web: Snapshot | None) -> list[Text]:
    """Render the URL of the dashboard or why it is not available; nothing if it is not configured."""
    if web is None:
        return []
    if web["listening"]:
        return [Text.assemble(f"{'web':<11}", ("serving", "green"), f"  {web['url']}")]
    return [Text.assemble(f"{'web':<11}", (web["state"], "yellow"), f"  {web['reason'] or 'not serving yet'}")]


def retries(server: Snapshot) -> list[Text]:
    """Render the failed attempts of an open circuit and the time of the next one."""
    circuit = server.get("circuit") or {}
    if circuit.get("state") != "open":
        return []
    next_s = circuit["next_try_in_s"]
    next_try = "now" if next_s is None else f"in {duration(next_s)}"
    since = duration(circuit["open_s"])
    return [Text(f"{'':<11}{circuit['attempts']} failed attempts in {since}, next attempt {next_try}", "yellow")]


def narrow(slots: list[Snapshot]) -> Group:
    """Render each slot on two lines of at most 80 columns."""
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
    """Right-align the seven numbers of a slot in their columns."""
    return "".join(f"{text:>{width}}" for text, width in zip(texts, (7, 7, 7, 7, 8, 7, 9), strict=True))


def wide(slots: list[Snapshot]) -> Table:
    """Render each slot on one line."""
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


def remarks(snapshot: Snapshot) -> list[Text]:
    """
    Render the problems, warnings and last errors of the slots; the worst problem is in the header already.

    Slots with the same text share a line, as they do while a server is unreachable.
    """
    problems: dict[tuple[str, str], list[str]] = {}
    warned_slots: dict[str, list[str]] = {}
    errors: dict[str, list[str]] = {}
    ages_s: dict[str, float] = {}
    for slot in snapshot["slots"]:
        reason = slot["reason"] or ""
        if reason and slot["health"] != "starting":
            problems.setdefault((slot["health"], reason), []).append(slot["name"])
        for warning in warnings(slot):
            warned_slots.setdefault(warning, []).append(slot["name"])
        if slot["last_error"] and slot["last_error"] not in reason:
            errors.setdefault(slot["last_error"], []).append(slot["name"])
            age_s = slot.get("last_error_age_s")
            if age_s is not None:
                ages_s[slot["last_error"]] = min(age_s, ages_s.get(slot["last_error"], age_s))
    lines: list[Text] = []
    for (health, reason), names in problems.items():
        in_header = next((name for name in names if f"{name}: {reason}" == snapshot["reason"]), None)
        if in_header is None:
            lines.append(Text.assemble((f"{listed(names)} {health}: ", COLOURS[health]), reason))
        elif others := [name for name in names if name != in_header]:
            lines.append(Text.assemble((f"{listed(others)} {health}", COLOURS[health]), f", same as {in_header}"))
    lines += [Text.assemble((f"{listed(names)} warning: ", "yellow"), text) for text, names in warned_slots.items()]
    for error, names in errors.items():
        age = f" {duration(ages_s[error])} ago" if error in ages_s else ""
        lines.append(Text(f"{listed(names)} last error{age}: {error}", "dim"))
    return [Text(), *lines] if lines else []


def warnings(slot: Snapshot) -> list[str]:
    """Return the warnings of a slot about its tables' columns and storage."""
    storage = slot["storage"] or {}
    return [*(slot["warnings"] or ()), *storage.get("warnings", ())]


def listed(names: list[str]) -> str:
    """Join names with commas; beyond a limit, give the number of the others."""
    text = ", ".join(names[:NAMES_SHOWN_MAX])
    return text if len(names) <= NAMES_SHOWN_MAX else f"{text} and {len(names) - NAMES_SHOWN_MAX} more"


def name(slot: Snapshot, columns: int = NAME_COLUMNS) -> str:
    """Return the name of a slot; a long stream name is cut so that the partition remains visible."""
    text = str(slot["name"])
    if len(text) > columns:
        stream, _, partition = text.rpartition("/")
        text = f"{stream[: columns - len(partition) - 2]}…/{partition}"
    return text


def state(slot: Snapshot) -> str:
    """Return the state of a slot, in more detail if its worker reports one."""
    worker_state = slot["worker_state"]
    return str(worker_state if slot["state"] in ("starting", "running") and worker_state else slot["state"])


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
    """Return a rate per second, with one decimal below 10."""
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
EFFECT_TEXTS = {"restart": "needs a restart"}


def changes_table(changes: Sequence[Mapping[str, Any]], columns: int) -> Table:
    """Render the changed keys with their values and effects."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    widths = {"key": columns * 2 // 5, "before": columns // 5, "after": columns // 5, "effect": 16}
    for title, width in widths.items():
        table.add_column(title, overflow="fold", max_width=width)
    for change in changes:
        effect = EFFECT_TEXTS.get(change["effect"], change["effect"])
        table.add_row(
            change["key"],
            value(change["before"]),
            value(change["after"]),
            Text(effect, EFFECT_COLOURS.get(change["effect"], "cyan")),
        )
    return table


def value(setting: Any) -> str:
    """Return a value as it is written in a file, truncated if it is long."""
    text = "–" if setting is None else setting if isinstance(setting, str) else json.dumps(setting, ensure_ascii=False)
    return text if len(text) <= VALUE_CHARS_MAX else f"{text[:VALUE_CHARS_MAX]}…"


def effects(reply: Mapping[str, Any], diff: bool) -> list[Text]:
    """Render the effects of a reload on the workers, one line for each kind of effect."""
    would = "would be " if diff else ""
    lines = [
        Text(f"{would}{effect}: {', '.join(reply[effect])}")
        for effect in ("replaced", "started", "removed")
        if reply[effect]
    ]
    if reply["restart_needed"]:
        lines.append(
            Text(f"takes effect only after a restart of the daemon: {', '.join(reply['restart_needed'])}", "yellow")
        )
    if not reply["changes"]:
        lines.append(Text("the configuration has not changed"))
    elif not lines:
        lines.append(Text("no worker is affected"))
    return lines


Sample = Mapping[str, Any]


def sample_lines(sample: Sample) -> list[Text]:
    """Render one sample: the message, then its payload, rows or reason."""
    at = datetime.fromtimestamp(sample["at_ns"] / 1e9, UTC)
    redelivered = f"  delivery {sample['num_delivered']}" if sample["num_delivered"] > 1 else ""
    head = Text.assemble(
        f"{at:%H:%M:%S.%f}"[:-3] + "Z  ", (sample["slot"], "bold"), f"  {sample['stream_seq']}  ",
        (sample["subject"], "cyan"), f"  {sample['bytes']:,} bytes{redelivered}",
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
        lines += [Text(f"    {column:<{width}}  {text(value)}") for column, value in row["columns"].items()]
    return lines


def text(value: Any) -> str:
    """Return the value of a column as text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
