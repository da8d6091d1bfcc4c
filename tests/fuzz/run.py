"""
Mutated payloads by the million, thrown at every kind's decoder, row builders and encoder, and at real tables.

    bin/fuzz --payloads 1000000 --processes 2
    bin/fuzz --run 7 --only 123456           # one payload again, with what it says

The same run and number always make the same payload (as long as the seeds are the same), so a finding is reported by
those two. Exit code 1 where something was found.
"""

import argparse
import asyncio
import multiprocessing
import resource
import sys
import time
from collections.abc import Iterable
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path

from fuzz.copying import EXPECTED, Copier
from fuzz.lanes import lanes, make_tables
from fuzz.mutations import Mutations
from fuzz.oracle import Report, Thrower

from eventwriter.demo.servers import EmbeddedServers

_REPORT_EVERY = 10_000
_MEMORY_BYTES = 4 * 2**30


def throw(
    dsn: str, run: int, numbers: Iterable[int], kind: str | None = None, tell: Connection | None = None
) -> Report:
    """
    Throw the payloads of these numbers, and return what was seen.

    Args:
        dsn: A database where `make_tables` has been.
        tell: Is reported how many were thrown, now and then.
    """
    report = Report()
    every, letters = asyncio.run(lanes(dsn))
    copier = Copier(dsn, report.refused, report.examples, report.counts)
    thrower, mutations = Thrower(every, letters, copier, report), Mutations(run, kind)
    for n in numbers:
        thrower(n, mutations(n))
        if tell and report.counts["payloads"] % _REPORT_EVERY == 0:
            tell.send((_REPORT_EVERY, list(report.findings)))
    copier.finish()
    report.counts["MiB at most"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return report


def _process(tell: Connection, dsn: str, run: int, numbers: range, kind: str | None) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    tell.send(throw(dsn, run, numbers, kind, tell))


def throw_all(dsn: str, run: int, numbers: range, processes: int, kind: str | None) -> Report:
    """Throw the payloads from several processes, saying on stderr how far they are."""
    context = multiprocessing.get_context("spawn")
    whole, waiting, done, began_s = Report(), [], 0, time.monotonic()
    signs: set[str] = set()
    for share in range(processes):
        ours, theirs = context.Pipe(duplex=False)
        arguments = (theirs, dsn, run, numbers[share::processes], kind)
        process = context.Process(target=_process, args=arguments)
        process.start()
        theirs.close()
        waiting.append((ours, process))
    while waiting:
        for ours in multiprocessing.connection.wait([ours for ours, _ in waiting]):
            assert isinstance(ours, Connection)
            try:
                reported = ours.recv()
            except EOFError:
                [process] = [process for pipe, process in waiting if pipe is ours]
                process.join()
                if process.exitcode:
                    raise SystemExit(f"a process ended with {process.exitcode}") from None
                waiting = [(pipe, other) for pipe, other in waiting if pipe is not ours]
                continue
            if isinstance(reported, Report):
                whole.add(reported)
                continue
            done, signs = done + reported[0], signs | set(reported[1])
            rate = done / (time.monotonic() - began_s)
            far = f"{done:,} of {len(numbers):,} payloads, {rate:,.0f}/s, {len(signs)} findings so far"
            print(far, *sorted(signs), sep="\n  ", file=sys.stderr, flush=True)
    return whole


def said(report: Report, run: int) -> str:
    """Return the report as text."""
    lines = [f"run {run}: " + ", ".join(f"{n:,} {what}" for what, n in sorted(report.counts.items()))]
    lines.append(f"slowest: {report.slowest[0] * 1000:.1f} ms of CPU for 10 kB (payload {report.slowest[1]})")
    lines.append(f"widest: {report.widest[0]:.1f} bytes of rows for a byte of payload (payload {report.widest[1]})")
    for title, counter in (
        ("dead letters", report.reasons),
        ("made, but refused by the encoder", report.unencodable),
        ("refused by PostgreSQL", report.refused),
    ):
        lines.append(f"{title}:")
        lines += [
            f"  {n:>8,}  {what}" + (f"  (payload {report.examples[what]})" if what in report.examples else "")
            for what, n in sorted(counter.items(), key=lambda item: -item[1])
        ]
    lines.append(f"{len(report.findings)} findings")
    for finding in report.findings.values():
        lines += [
            f"* {finding.sign} (payload {finding.n}, {len(finding.payload):,} bytes)",
            f"    {finding.detail[:600]}",
        ]
    return "\n".join(lines)


def bad_refusals(report: Report) -> list[str]:
    """Return what PostgreSQL refused although it ought not to."""
    return [what for what in report.refused if what.partition(": ")[2][:5] not in EXPECTED]


def _save(report: Report, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for finding in report.findings.values():
        (folder / f"{finding.n}.payload").write_bytes(finding.payload)


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--payloads", type=int, default=1_000_000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first one's number")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--run", type=int, default=1, help="the run's number: another one, other payloads")
    parser.add_argument("--kind", help="only mutations of this kind's payloads")
    parser.add_argument("--only", type=int, help="throw just the payload of this number")
    parser.add_argument("--save", type=Path, help="a folder for the payloads of findings")
    parser.add_argument("--dsn", help="an empty database; a server is started where it is absent")
    given = parser.parse_args()
    if given.only is not None:
        payload = Mutations(given.run, given.kind)(given.only)
        print(payload.seed.name, payload.subject, payload.payload[:5000])
    with ExitStack() as stack:
        dsn = given.dsn or stack.enter_context(EmbeddedServers()).postgres_dsn()
        make_tables(dsn)
        if given.only is not None:
            report = throw(dsn, given.run, [given.only], given.kind)
        else:
            numbers = range(given.first, given.first + given.payloads)
            report = throw_all(dsn, given.run, numbers, given.processes, given.kind)
    print(said(report, given.run))
    if given.save:
        _save(report, given.save)
    return 1 if report.findings or bad_refusals(report) else 0


if __name__ == "__main__":
    sys.exit(main())
