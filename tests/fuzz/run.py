"""
Fuzz test of every kind's decoder, row builders and encoder, with real tables.

    bin/fuzz --payloads 1000000 --processes 2
    bin/fuzz --run 7 --only 123456           # one input again, with its findings

The same run and number always give the same input (as long as the seeds are the same), so a finding is reported by
these two. Exit code 1 if there are findings.
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

from fuzz.copier import ALLOWED_SQLSTATES, Copier
from fuzz.inputs import InputGenerator
from fuzz.oracle import Checker, Report
from fuzz.targets import create_tables, load_targets

from eventwriter.demo.servers import EmbeddedServers

_REPORT_EVERY = 10_000
_MEMORY_BYTES = 4 * 2**30


def check_inputs(
    dsn: str, run: int, numbers: Iterable[int], kind: str | None = None, progress: Connection | None = None
) -> Report:
    """
    Check the inputs with these numbers and return the report.

    Args:
        dsn: Database with the tables of `create_tables`.
        progress: Receives the number of checked inputs and the signatures of findings from time to time.
    """
    report = Report()
    targets, dead_letters = asyncio.run(load_targets(dsn))
    copier = Copier(dsn, report.rejected, report.examples, report.counts)
    checker, generator = Checker(targets, dead_letters, copier, report), InputGenerator(run, kind)
    for n in numbers:
        checker(n, generator(n))
        if progress and report.counts["payloads"] % _REPORT_EVERY == 0:
            progress.send((_REPORT_EVERY, list(report.findings)))
    copier.finish()
    report.counts["MiB at most"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return report


def _process(progress: Connection, dsn: str, run: int, numbers: range, kind: str | None) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    progress.send(check_inputs(dsn, run, numbers, kind, progress))


def check_in_parallel(dsn: str, run: int, numbers: range, processes: int, kind: str | None) -> Report:
    """Check the inputs in several processes, with the progress on stderr."""
    context = multiprocessing.get_context("spawn")
    total, running, done, began_s = Report(), [], 0, time.monotonic()
    signatures: set[str] = set()
    for share in range(processes):
        ours, theirs = context.Pipe(duplex=False)
        arguments = (theirs, dsn, run, numbers[share::processes], kind)
        process = context.Process(target=_process, args=arguments)
        process.start()
        theirs.close()
        running.append((ours, process))
    while running:
        for ours in multiprocessing.connection.wait([ours for ours, _ in running]):
            assert isinstance(ours, Connection)
            try:
                reported = ours.recv()
            except EOFError:
                [process] = [process for pipe, process in running if pipe is ours]
                process.join()
                if process.exitcode:
                    raise SystemExit(f"a process ended with {process.exitcode}") from None
                running = [(pipe, other) for pipe, other in running if pipe is not ours]
                continue
            if isinstance(reported, Report):
                total.add(reported)
                continue
            done, signatures = done + reported[0], signatures | set(reported[1])
            rate = done / (time.monotonic() - began_s)
            far = f"{done:,} of {len(numbers):,} payloads, {rate:,.0f}/s, {len(signatures)} findings so far"
            print(far, *sorted(signatures), sep="\n  ", file=sys.stderr, flush=True)
    return total


def format_report(report: Report, run: int) -> str:
    """Format a report as text."""
    lines = [f"run {run}: " + ", ".join(f"{n:,} {what}" for what, n in sorted(report.counts.items()))]
    lines.append(f"slowest: {report.slowest[0] * 1000:.1f} ms of CPU per 10 kB (input {report.slowest[1]})")
    lines.append(f"widest: {report.widest[0]:.1f} bytes of rows per byte of payload (input {report.widest[1]})")
    for title, counter in (
        ("dead dead_letters", report.reasons),
        ("rejected by the encoder", report.unencodable),
        ("rejected by PostgreSQL", report.rejected),
    ):
        lines.append(f"{title}:")
        lines += [
            f"  {n:>8,}  {what}" + (f"  (input {report.examples[what]})" if what in report.examples else "")
            for what, n in sorted(counter.items(), key=lambda item: -item[1])
        ]
    lines.append(f"{len(report.findings)} findings")
    for finding in report.findings.values():
        lines += [
            f"* {finding.signature} (input {finding.n}, {len(finding.payload):,} bytes)",
            f"    {finding.detail[:600]}",
        ]
    return "\n".join(lines)


def unexpected_rejections(report: Report) -> list[str]:
    """Return the rows that PostgreSQL rejected for other reasons than the allowed ones."""
    return [what for what in report.rejected if what.partition(": ")[2][:5] not in ALLOWED_SQLSTATES]


def _save(report: Report, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for finding in report.findings.values():
        (folder / f"{finding.n}.payload").write_bytes(finding.payload)


def main() -> int:
    """Parse the command line and run the fuzz test."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--payloads", type=int, default=1_000_000, help="number of inputs")
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--run", type=int, default=1, help="number of the run; each run has other inputs")
    parser.add_argument("--kind", help="mutate only payloads of this kind")
    parser.add_argument("--only", type=int, help="check only the input with this number")
    parser.add_argument("--save", type=Path, help="folder for the payloads of findings")
    parser.add_argument("--dsn", help="empty database; default: a new embedded server")
    options = parser.parse_args()
    if options.only is not None:
        fuzz_input = InputGenerator(options.run, options.kind)(options.only)
        print(fuzz_input.seed.name, fuzz_input.subject, fuzz_input.payload[:5000])
    with ExitStack() as stack:
        dsn = options.dsn or stack.enter_context(EmbeddedServers()).postgres_dsn()
        create_tables(dsn)
        if options.only is not None:
            report = check_inputs(dsn, options.run, [options.only], options.kind)
        else:
            numbers = range(options.first, options.first + options.payloads)
            report = check_in_parallel(dsn, options.run, numbers, options.processes, options.kind)
    print(format_report(report, options.run))
    if options.save:
        _save(report, options.save)
    return 1 if report.findings or unexpected_rejections(report) else 0


if __name__ == "__main__":
    sys.exit(main())
