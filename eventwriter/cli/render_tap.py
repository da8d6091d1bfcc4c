"""A tapped message as text for a terminal. Pure."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rich.text import Text

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
