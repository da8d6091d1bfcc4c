"""
Update the tables of docs/benchmarks.md and docs/sizing.md from docs/benchmark.json.

Run with ``python -m benchmarks.docs_tables``. The text between ``<!-- benchmark: NAME -->`` and
``<!-- /benchmark -->`` is replaced.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = ("benchmarks.md", "sizing.md")
_PLACE = re.compile(r"(<!-- benchmark: (\w+) -->\n).*?(<!-- /benchmark -->)", re.DOTALL)


def render(text: str, measured: Mapping[str, Any]) -> str:
    """Return a page with its tables replaced by the measured figures; pure."""

    def table(place: re.Match[str]) -> str:
        return f"{place[1]}{_TABLES[place[2]](measured['results'])}{place[3]}"

    return _PLACE.sub(table, text)


def _all(results: Sequence[Mapping[str, Any]]) -> str:
    heads = ("kind", "rows/s", "limit rows/s", "of limit", "× naive", "p50 ms", "p95 ms", "p99 ms")
    return _table(heads, [_line(result) for result in results])


def _line(result: Mapping[str, Any]) -> list[str]:
    fresh = result["freshness"] or {}
    return [
        result["kind"],
        f"{result['drain']['rows_per_s']:,}",
        _shown("{:,}", (result["limit"] or {}).get("rows_per_s")),
        _shown("{:.0%}", result["of_limit"]),
        _shown("{:.1f}", result["times_naive"]),
        *(_shown("{:.0f}", fresh.get(f"{which}_ms")) for which in ("p50", "p95", "p99")),
    ]


def _cpu(results: Sequence[Mapping[str, Any]]) -> str:
    heads = ("kind", "worker µs/message", "NATS", "PostgreSQL", "worker µs/row", "peak MiB")
    rows = []
    for result in results:
        drain = result["drain"]
        each = (*drain["cpu_us_per_message"].values(), drain["cpu_us_per_row"]["worker"])
        rows.append(
            [result["kind"], *(_shown("{:.1f}", us) for us in each), f"{drain['peak_memory_bytes'] / 2**20:.0f}"]
        )
    return _table(heads, rows)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _shown(form: str, value: float | None) -> str:
    return "-" if value is None else form.format(value)


_TABLES = {"all": _all, "cpu": _cpu}


def main() -> None:
    """Update the pages."""
    measured = json.loads((DOCS / "benchmark.json").read_text())
    for name in PAGES:
        page = DOCS / name
        page.write_text(render(page.read_text(), measured))


if __name__ == "__main__":
    main()
