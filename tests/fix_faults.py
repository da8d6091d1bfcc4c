"""
The fault matrix's options, its beds, and its report.

`--faults-all` (or EVENTWRITER_FAULTS_ALL=1) runs every fault, not only those of the short form;
`--long 2h` (or EVENTWRITER_FAULTS_LONG=2h) runs random faults for so long;
`--faults-report docs/faults.md` (or EVENTWRITER_FAULTS_REPORT) writes the table of what came of each.
"""

import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults.bed import Bed, Setup
from faults.harness import Fault, Result, run
from faults.report import report

from eventwriter.config.durations import parse_duration


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("faults")
    group.addoption("--faults-all", action="store_true", default=bool(os.environ.get("EVENTWRITER_FAULTS_ALL")))
    group.addoption("--long", default=os.environ.get("EVENTWRITER_FAULTS_LONG"), help="random faults for so long: 2h")
    group.addoption("--faults-report", default=os.environ.get("EVENTWRITER_FAULTS_REPORT"), help="write results here")


def every(config: pytest.Config) -> bool:
    """Return whether every fault was requested; a report of only some would be incomplete."""
    return bool(config.getoption("--faults-all") or config.getoption("--faults-report"))


def long_s(config: pytest.Config) -> float:
    """Return how long random faults are wanted; seconds, 0 for not at all."""
    text = config.getoption("--long")
    return float(parse_duration(text, 1.0)) if text else 0.0


class Beds:
    """Gives each fault its bed, one at a time, and keeps the results."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._bed: Bed | None = None
        self._made = 0
        self.results: list[Result] = []

    def run(self, fault: Fault, seed: int) -> Result:
        """
        Have a fault happen; afterwards the bed is kept if it is sound.

        Raises:
            AssertionError: What the audit found, with where the daemon's log is.
        """
        result = Result(fault, seed)
        self.results.append(result)
        try:
            run(self._get(fault.setup), fault, seed, result)
        except BaseException as error:
            kept = self._throw_away(keep_log=True)
            if isinstance(error, AssertionError):
                raise AssertionError(f"{error}\n{result.line()}\nthe daemon's log: {kept}") from error
            raise
        if fault.spoils:
            self._throw_away()
        return result

    def skip(self, fault: Fault, reason: str) -> None:
        """Note that a fault cannot happen here."""
        self.results.append(Result(fault, 0, outcome=f"skipped: {reason}"))

    def close(self) -> None:
        """End the bed."""
        self._throw_away()

    def _get(self, setup: Setup) -> Bed:
        if self._bed is not None and self._bed.setup is not setup:
            self._throw_away()
        if self._bed is None:
            folder = self._folder / f"bed-{self._made}"
            folder.mkdir()
            self._made += 1
            self._bed = Bed(folder, setup)
        return self._bed

    def _throw_away(self, keep_log: bool = False) -> Path | None:
        bed, self._bed = self._bed, None
        if bed is None:
            return None
        bed.close()
        gc.collect()  # sockets that nats-py has left: here they are no warning yet that ends the session with 1
        kept = bed.folder / "daemon.log"
        if not keep_log:
            shutil.rmtree(bed.folder, ignore_errors=True)
        return kept


@pytest.fixture(scope="session")
def beds(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Beds]:
    """The session's beds; the report is written when all faults have happened."""
    all_of_them = Beds(tmp_path_factory.mktemp("faults"))
    yield all_of_them
    all_of_them.close()
    if path := pytestconfig.getoption("--faults-report"):
        (pytestconfig.rootpath / path).write_text(report(all_of_them.results))
