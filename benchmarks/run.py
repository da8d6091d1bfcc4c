"""
Benchmark of the daemon on real servers: ``bin/bench`` or ``python benchmarks/run.py``.

For each kind, in one run, so that all figures come from the same conditions:

* drain: the daemon writes a backlog, end to end;
* limit: the same rows with COPY only; naive: the same messages with a simple script;
* freshness: the time from publish to commit, at a fixed rate.
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
from benchmarks.chart import draw
from benchmarks.drain import Drained, drain
from benchmarks.environment import Environment, make_environment
from benchmarks.freshness import Fresh, freshness
from eventwriter.demo.traffic import TRAFFIC, well_formed
from eventwriter.kinds.registry import KINDS

NAIVE_MESSAGES_MAX = 20_000
"""Messages for the simple script, which is slow; enough for a stable rate."""


def _kinds(_context: click.Context, _option: click.Parameter, text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in TRAFFIC or name not in KINDS]
    if unknown or not names:
        raise click.BadParameter(f"{text!r}; there is traffic for {', '.join(TRAFFIC)}")
    return names


@click.command(help=__doc__)
@click.option(
    "--kinds", default=",".join(TRAFFIC), show_default=True, callback=_kinds, help="Comma-separated list of kinds."
)
@click.option(
    "--messages",
    default=200_000,
    show_default=True,
    type=click.IntRange(1000),
    help="Backlog of each kind, in records.",
)
@click.option(
    "--records",
    default=50,
    show_default=True,
    type=click.IntRange(1),
    help="Records per message of kinds with several.",
)
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Number of workers.")
@click.option("--rate", default=1000.0, show_default=True, help="Messages per second for freshness.")
@click.option("--seconds", default=10.0, show_default=True, help="Duration of freshness; 0 skips it.")
@click.option(
    "--repeat",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="Number of rounds; the fastest one is reported.",
)
@click.option("--only-drain", is_flag=True, help="Skip limit, naive and freshness.")
@click.option("--nats-url", help="NATS server with JetStream; default: an embedded one.")
@click.option("--pg-dsn", help="PostgreSQL database; default: an embedded one. Requires --nats-url.")
@click.option("--cpus", metavar="LIST", help="Run everything on these CPUs, such as 0,1.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder in which data and logs are kept.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the results to this file.")
@click.option("--chart", "chart_path", help="Draw a chart of the results to this PNG file (requires matplotlib).")
def main(**options: Any) -> None:
    if bool(options["nats_url"]) != bool(options["pg_dsn"]):
        raise click.UsageError("--nats-url and --pg-dsn go together: give both, or neither for embedded servers")
    if options["cpus"]:
        os.sched_setaffinity(0, {int(cpu) for cpu in options["cpus"].split(",")})
    console = Console()
    results = []
    with make_environment(options["nats_url"], options["pg_dsn"], options["data_dir"]) as env:
        machine = _machine(env)
        for kind in options["kinds"]:
            with console.status(f"{kind} …"):
                results.append(_measure(env, kind, options))
    title = f"{options['messages']:,} messages of each kind, {options['workers']} worker(s), {machine['cpus']} CPUs"
    for at in range(0, len(results), 4):
        console.print(_screen(results[at : at + 4], title))
    _print_goals(console, results)
    if options["json_path"]:
        options["json_path"].write_text(json.dumps({"machine": machine, "results": results}, indent=2) + "\n")
    if options["chart_path"]:
        draw(results, options["chart_path"])


def _measure(env: Environment, name: str, options: dict[str, Any]) -> dict[str, Any]:
    kind = KINDS[name]
    env.prepare_kind(name)
    records = options["records"] if TRAFFIC[name].records > 1 else 1
    rng = random.Random(1)
    payloads = [well_formed(name, rng, n, records=records) for n in range(options["messages"] // records)]
    few = payloads[:NAIVE_MESSAGES_MAX]
    limits: list[float] = []
    drains: list[Drained] = []
    naives: list[float] = []
    for _ in range(options["repeat"]):
        if not options["only_drain"]:
            limits.append(baselines.limit(env, kind, payloads))
        drains.append(drain(env, name, payloads, options["workers"]))
        if not options["only_drain"]:
            naives.append(baselines.naive(env, kind, few))
    fresh = None
    if options["seconds"] and not options["only_drain"]:
        rate = options["rate"] / records
        fresh = freshness(env, name, payloads[: int(rate * options["seconds"])], rate)
    best = max(drains, key=lambda one: one.messages_per_s)
    return _result(name, options["workers"], best, (max(limits, default=None), max(naives, default=None)), fresh)


def _result(
    kind: str, workers: int, best: Drained, baseline: tuple[float | None, float | None], fresh: Fresh | None
) -> dict[str, Any]:
    limit, naive = baseline
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
    """Return a table with one column per result."""
    screen = Screen("", *(result["kind"] for result in results), title=title, title_justify="left")
    for column in screen.columns[1:]:
        column.justify = "right"
    for label, form, value in LINES:
        shown = [value(result) for result in results]
        screen.add_row(label, *("-" if one is None else form.format(one) for one in shown))
    return screen


def _at(*path: str) -> Callable[[dict[str, Any]], Any]:
    """Return a function that returns a figure of a result; None if it was not measured."""

    def look_up(result: dict[str, Any]) -> Any:
        value: Any = result
        for key in path:
            value = value and value[key]
        return value

    return look_up


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


def _print_goals(console: Console, results: list[dict[str, Any]]) -> None:
    """Print which of the project's goals, defined for two cores, were missed."""
    for result in results:
        rate, fresh = result["drain"]["rows_per_s"], result["freshness"]
        goal = GOALS_ROWS_PER_S.get(result["kind"], 0)
        goals = {
            f"{goal:,} rows/s": rate >= goal,
            "60 % of the limit": result["of_limit"] is None or result["of_limit"] >= 0.6,
            "5 times naive": result["times_naive"] is None or result["times_naive"] >= 5,
            f"p99 within {FRESH_MS_MAX} ms": fresh is None or fresh["p99_ms"] <= FRESH_MS_MAX,
        }
        missed = [what for what, met in goals.items() if not met]
        console.print(f"{result['kind']}: {'missed: ' + ', '.join(missed) if missed else 'all goals met'}")


def _machine(env: Environment) -> dict[str, Any]:
    with psycopg.connect(env.dsn) as conn:
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
