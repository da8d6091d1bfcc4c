"""
Command line options, environments and report of the fault matrix.

`--faults-all` (or EVENTWRITER_FAULTS_ALL=1) runs every fault instead of the quick selection;
`--long 2h` (or EVENTWRITER_FAULTS_LONG=2h) runs random faults for this time;
`--faults-report docs/faults.md` (or EVENTWRITER_FAULTS_REPORT) runs every fault and writes the report.
"""

import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults.environment import Environment, Setup
from faults.harness import Fault, Result, run
from faults.report import report

from eventwriter.config.durations import parse_duration


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("faults")
    group.addoption("--faults-all", action="store_true", default=bool(os.environ.get("EVENTWRITER_FAULTS_ALL")))
    group.addoption(
        "--long", default=os.environ.get("EVENTWRITER_FAULTS_LONG"), help="run random faults for this time, such as 2h"
    )
    group.addoption(
        "--faults-report", default=os.environ.get("EVENTWRITER_FAULTS_REPORT"), help="write the report to this file"
    )


def runs_all(config: pytest.Config) -> bool:
    """Return whether every fault is run; a report of only some would be incomplete."""
    return bool(config.getoption("--faults-all") or config.getoption("--faults-report"))


def soak_s(config: pytest.Config) -> float:
    """Return the requested duration of the soak test in seconds; 0 if it was not requested."""
    text = config.getoption("--long")
    return float(parse_duration(text, 1.0)) if text else 0.0


class Environments:
    """Runs each fault in its environment, of which one exists at a time, and collects the results."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._current: Environment | None = None
        self._count = 0
        self.results: list[Result] = []

    def run(self, fault: Fault, seed: int) -> Result:
        """
        Run a fault; the environment is kept for the next one unless the fault failed.

        Raises:
            AssertionError: A check failed; the message contains the path of the daemon's log.
        """
        result = Result(fault, seed)
        self.results.append(result)
        try:
            run(self._get(fault.setup), fault, seed, result)
        except BaseException as error:
            log = self._discard(keep_log=True)
            if isinstance(error, AssertionError):
                raise AssertionError(f"{error}\n{result.line()}\nthe daemon's log: {log}") from error
            raise
        if fault.single_use:
            self._discard()
        return result

    def skip(self, fault: Fault, reason: str) -> None:
        """Record that a fault cannot be run on this machine."""
        self.results.append(Result(fault, 0, outcome=f"skipped: {reason}"))

    def close(self) -> None:
        """Close the current environment."""
        self._discard()

    def _get(self, setup: Setup) -> Environment:
        if self._current is not None and self._current.setup is not setup:
            self._discard()
        if self._current is None:
            folder = self._folder / f"environment-{self._count}"
            folder.mkdir()
            self._count += 1
            self._current = Environment(folder, setup)
        return self._current

    def _discard(self, keep_log: bool = False) -> Path | None:
        env, self._current = self._current, None
        if env is None:
            return None
        env.close()
        gc.collect()  # sockets that nats-py left open; collected later, they would fail another test with a warning
        log = env.folder / "daemon.log"
        if not keep_log:
            shutil.rmtree(env.folder, ignore_errors=True)
        return log


@pytest.fixture(scope="session")
def environments(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Environments]:
    """Environments of the session; the report is written at its end."""
    created = Environments(tmp_path_factory.mktemp("faults"))
    yield created
    created.close()
    if path := pytestconfig.getoption("--faults-report"):
        (pytestconfig.rootpath / path).write_text(report(created.results))
