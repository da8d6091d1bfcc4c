"""Findings, checks and their runner; pure apart from calling the checks."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from eventwriter.errors import EventwriterError


class Status(StrEnum):
    """Result of a check."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


_EXIT = {Status.OK: 0, Status.SKIP: 0, Status.WARN: 1, Status.FAIL: 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One result line of doctor.

    Attributes:
        group: Subject of the check: `config`, `host`, `NATS`, `PostgreSQL`, a stream or a slot.
        check: Name of the check; `group: check` is its id.
        status: Result.
        message: What was found.
        hint: How to fix it; empty if nothing needs to be fixed.
    """

    group: str
    check: str
    status: Status
    message: str
    hint: str = ""

    def as_json(self) -> dict[str, str]:
        """Return the finding as plain JSON."""
        return {
            "group": self.group,
            "check": self.check,
            "status": str(self.status),
            "message": self.message,
            "hint": self.hint,
        }


@dataclass(frozen=True, slots=True)
class Reporter:
    """Creates the findings of one check: `report.ok("…")`, `report.fail("…", "…")`."""

    group: str
    check: str

    def ok(self, message: str) -> Finding:
        """Return a finding without a problem."""
        return Finding(self.group, self.check, Status.OK, message)

    def warn(self, message: str, hint: str) -> Finding:
        """Return a warning: it works, but is probably unintended or will stop working."""
        return Finding(self.group, self.check, Status.WARN, message, hint)

    def fail(self, message: str, hint: str) -> Finding:
        """Return a failure."""
        return Finding(self.group, self.check, Status.FAIL, message, hint)

    def error(self, error: EventwriterError, default_hint: str) -> Finding:
        """Return a failure for an error, with the hint of the error if it has one."""
        return self.fail(error.message, error.hint or default_hint)

    def skip(self, message: str) -> Finding:
        """Return the reason why the check was skipped."""
        return Finding(self.group, self.check, Status.SKIP, message)


CheckFn = Callable[[Reporter], Awaitable[Iterable[Finding]]]


@dataclass(frozen=True, slots=True)
class Check:
    """
    One check of one aspect.

    Attributes:
        group: Subject of the check.
        name: Name of the check.
        run: Runs the check and returns its findings.
        needs: Ids of checks that must succeed first.
    """

    group: str
    name: str
    run: CheckFn
    needs: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Identifier of the check: `group: name`."""
        return f"{self.group}: {self.name}"


async def run_checks(checks: Sequence[Check], failed: set[str]) -> list[Finding]:
    """
    Run checks in order; skip those that need a failed check.

    Args:
        checks: Checks to run.
        failed: Ids of failed checks; the function adds to it.
    """
    findings: list[Finding] = []
    for check in checks:
        report = Reporter(check.group, check.name)
        missing = next((need for need in check.needs if need in failed), None)
        results = [report.skip(f"skipped: {missing} failed")] if missing else list(await check.run(report))
        if missing or any(finding.status is Status.FAIL for finding in results):
            failed.add(check.id)
        findings += results
    return findings


def exit_code(findings: Iterable[Finding]) -> int:
    """Return the exit code: 0 without problems, 1 with warnings, 2 with failures."""
    return max((_EXIT[finding.status] for finding in findings), default=0)


def counts(findings: Iterable[Finding]) -> dict[Status, int]:
    """Count findings by status."""
    totals = dict.fromkeys(Status, 0)
    for finding in findings:
        totals[finding.status] += 1
    return totals
