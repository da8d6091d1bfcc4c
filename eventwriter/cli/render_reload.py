"""What a reload changes, drawn for a terminal. Pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

VALUE_CHARS_MAX = 200
COLOURS = {"restart": "yellow", "at once": "green"}
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
            one["key"], value(one["before"]), value(one["after"]), Text(effect, COLOURS.get(one["effect"], "cyan"))
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
