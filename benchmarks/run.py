"""
The whole daemon under load, on real servers; run it with ``bin/bench`` or ``python benchmarks/run.py``.

For each kind, in one run, so that the machine's mood is the same for all:

* drain: a backlog is written, end to end;
* limit: the same rows through COPY alone; naive: the same messages by a plain script;
* freshness: published to committed, at a fixed rate.
"""

import importlib.metadata
import json
import os
import platform
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import psycopg
from rich.console import Console
from rich.table import Table as Screen

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import baselines
from benchmarks.bed import Bed, make_bed
from benchmarks.chart import draw
from benchmarks.drain import Drained, drain
from benchmarks.freshness import Fresh, freshness
from eventwriter.demo.traffic import TRAFFIC, well_formed
from eventwriter.kinds.registry import KINDS

NAIVE_MESSAGES_MAX = 20_000
"""The plain script is slow; so many show its rate well enough."""


def _kinds(_context: click.Context, _option: click.Parameter, text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in TRAFFIC or name not in KINDS]
    if unknown or not names:
        raise click.BadParameter(f"{text!r}; there is traffic for {', '.join(TRAFFIC)}")
    return names


@click.command(help=__doc__)
@click.option(
    "--kinds", default=",".join(TRAFFIC), show_default=True, callback=_kinds, help="Kinds, with commas between."
)
@click.option(
    "--messages",
    default=200_000,
    show_default=True,
    type=click.IntRange(1000),
    help="Backlog of each kind; of kinds whose messages hold many records, so many records.",
)
@click.option(
    "--records", default=50, show_default=True, type=click.IntRange(1), help="Records in a message of those kinds."
)
@click.option(
    "--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Workers that share the backlog."
)
@click.option("--rate", default=1000.0, show_default=True, help="Messages a second, for freshness.")
@click.option("--seconds", default=10.0, show_default=True, help="How long, for freshness; 0 leaves it out.")
@click.option(
    "--repeat", default=1, show_default=True, type=click.IntRange(1), help="Rounds; the fastest of each counts."
)
@click.option("--only-drain", is_flag=True, help="No limit, naive and freshness.")
@click.option("--nats-url", help="A NATS server with JetStream, instead of an embedded one.")
@click.option("--pg-dsn", help="A PostgreSQL database, instead of an embedded one; both or neither.")
@click.option("--cpus", metavar="LIST", help="Run everything on these CPUs only, like 0,1.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Keep data and logs here.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the results here.")
@click.option("--chart", "chart_path", help="Draw the results here (PNG; needs matplotlib).")
def main(**given: Any) -> None:
    if bool(given["nats_url"]) != bool(given["pg_dsn"]):
        raise click.UsageError("--nats-url and --pg-dsn go together: give both, or neither for embedded servers")
    if given["cpus"]:
        os.sched_setaffinity(0, {int(cpu) for cpu in given["cpus"].split(",")})
    console = Console()
    results = []
    with make_bed(given["nats_url"], given["pg_dsn"], given["data_dir"]) as bed:
        machine = _machine(bed)
        for kind in given["kinds"]:
            with console.status(f"{kind} …"):
                results.append(_measure(bed, kind, given))
    title = f"{given['messages']:,} messages of each kind, {given['workers']} worker(s), {machine['cpus']} CPUs"
    for at in range(0, len(results), 4):
        console.print(_screen(results[at : at + 4], title))
    _say_goals(console, results)
    if given["json_path"]:
        given["json_path"].write_text(json.dumps({"machine": machine, "results": results}, indent=2) + "\n")
    if given["chart_path"]:
        draw(results, given["chart_path"])


def _measure(bed: Bed, name: str, given: dict[str, Any]) -> dict[str, Any]:
    kind = KINDS[name]
    bed.prepare_kind(name)
    records = given["records"] if TRAFFIC[name].records > 1 else 1
    rng = random.Random(1)
    payloads = [well_formed(name, rng, n, records=records) for n in range(given["messages"] // records)]
    few = payloads[:NAIVE_MESSAGES_MAX]
    limits: list[float] = []
    drains: list[Drained] = []
    naives: list[float] = []
    for _ in range(given["repeat"]):
        if not given["only_drain"]:
            limits.append(baselines.limit(bed, kind, payloads))
        drains.append(drain(bed, name, payloads, given["workers"]))
        if not given["only_drain"]:
            naives.append(baselines.naive(bed, kind, few))
    fresh = None
    if given["seconds"] and not given["only_drain"]:
        rate = given["rate"] / records
        fresh = freshness(bed, name, payloads[: int(rate * given["seconds"])], rate)
    best = max(drains, key=lambda one: one.messages_per_s)
    return _result(name, given["workers"], best, (max(limits, default=None), max(naives, default=None)), fresh)


def _result(
    kind: str, workers: int, best: Drained, held_against: tuple[float | None, float | None], fresh: Fresh | None
) -> dict[str, Any]:
    limit, naive = held_against
    rows_each = best.rows_per_s / best.messages_per_s
    return {
        "kind": kind,
        "workers": workers,
        "drain": {
            "messages_per_s": round(best.messages_per_s),
            "rows_per_s": round(best.rows_per_s),
            "cpu_us_per_message": {
                "worker": _rounded(best.worker_us),
                "nats": _rounded(best.nats_us),
                "postgres": _rounded(best.postgres_us),
            },
            "cpu_us_per_row": {"worker": _rounded(best.worker_us / rows_each)},
            "peak_memory_bytes": best.peak_bytes,
        },
        "limit": limit and {"rows_per_s": round(limit), "messages_per_s": round(limit / rows_each)},
        "naive": naive and {"messages_per_s": round(naive)},
        "of_limit": limit and round(best.rows_per_s / limit, 3),
        "times_naive": naive and round(best.messages_per_s / naive, 2),
        "freshness": fresh
        and {"p50_ms": _rounded(fresh.p50_ms), "p95_ms": _rounded(fresh.p95_ms), "p99_ms": _rounded(fresh.p99_ms)},
    }  # fmt: skip


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _screen(results: list[dict[str, Any]], title: str) -> Screen:
    """Return a table with a column for each result."""
    screen = Screen("", *(result["kind"] for result in results), title=title, title_justify="left")
    for column in screen.columns[1:]:
        column.justify = "right"
    for label, form, value in LINES:
        shown = [value(result) for result in results]
        screen.add_row(label, *("-" if one is None else form.format(one) for one in shown))
    return screen


def _at(*path: str) -> Callable[[dict[str, Any]], Any]:
    """Return the function that looks a figure up; None where a part of the measurement was left out."""

    def look(result: dict[str, Any]) -> Any:
        value: Any = result
        for key in path:
            value = value and value[key]
        return value

    return look


LINES: tuple[tuple[str, str, Callable[[dict[str, Any]], Any]], ...] = (
    ("drain         messages/s", "{:,.0f}", _at("drain", "messages_per_s")),
    ("              rows/s", "{:,.0f}", _at("drain", "rows_per_s")),
    ("CPU µs/msg    worker", "{:.1f}", _at("drain", "cpu_us_per_message", "worker")),
    ("              NATS", "{:.1f}", _at("drain", "cpu_us_per_message", "nats")),
    ("              PostgreSQL", "{:.1f}", _at("drain", "cpu_us_per_message", "postgres")),
    ("CPU µs/row    worker", "{:.1f}", _at("drain", "cpu_us_per_row", "worker")),
    ("peak memory   MiB", "{:,.0f}", lambda result: result["drain"]["peak_memory_bytes"] / 2**20),
    ("limit         rows/s", "{:,.0f}", _at("limit", "rows_per_s")),
    ("  drain is    of it", "{:.0%}", _at("of_limit")),
    ("naive         messages/s", "{:,.0f}", _at("naive", "messages_per_s")),
    ("  drain is    times it", "{:.1f}", _at("times_naive")),
    ("freshness     p50 ms", "{:.0f}", _at("freshness", "p50_ms")),
    ("              p95 ms", "{:.0f}", _at("freshness", "p95_ms")),
    ("              p99 ms", "{:.0f}", _at("freshness", "p99_ms")),
)


GOALS_ROWS_PER_S = {
    "telemetry": 60_000, "netflow": 30_000, "events": 25_000, "otel_traces": 40_000, "logs": 40_000, "json": 40_000,
}  # fmt: skip
FRESH_MS_MAX = 1050
"""`batch_timeout` (1 s) and 50 ms."""


def _say_goals(console: Console, results: list[dict[str, Any]]) -> None:
    """Say which of the project's own goals (set for two cores) were missed."""
    for result in results:
        rate, fresh = result["drain"]["rows_per_s"], result["freshness"]
        wanted = GOALS_ROWS_PER_S.get(result["kind"], 0)
        goals = {
            f"{wanted:,} rows/s": rate >= wanted,
            "60 % of the limit": result["of_limit"] is None or result["of_limit"] >= 0.6,
            "5 times naive": result["times_naive"] is None or result["times_naive"] >= 5,
            f"p99 within {FRESH_MS_MAX} ms": fresh is None or fresh["p99_ms"] <= FRESH_MS_MAX,
        }
        missed = [what for what, met in goals.items() if not met]
        console.print(f"{result['kind']}: {'missed: ' + ', '.join(missed) if missed else 'all goals met'}")


def _machine(bed: Bed) -> dict[str, Any]:
    with psycopg.connect(bed.dsn) as conn:
        fsync = conn.execute("SHOW fsync").fetchone()
        postgres = conn.info.server_version
    return {
        "cpus": len(os.sched_getaffinity(0)),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "postgresql": f"{postgres // 10000}.{postgres % 10000}",
        "fsync": fsync and fsync[0],
        "eventwriter": importlib.metadata.version("eventwriter"),
    }


if __name__ == "__main__":
    main()
