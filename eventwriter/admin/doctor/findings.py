"""What checks say, in which order they run, and what it comes to; pure but for calling the checks."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


_EXIT = {Status.OK: 0, Status.SKIP: 0, Status.WARN: 1, Status.FAIL: 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One line of the doctor's.

    Attributes:
        group: What it is about: `config`, `host`, `NATS`, `PostgreSQL`, a stream, a slot.
        check: Which check.
        sentence: What was found.
        hint: What mends it; empty where nothing is to be mended.
    """

    group: str
    check: str
    status: Status
    sentence: str
    hint: str = ""

    def as_json(self) -> dict[str, str]:
        """Return it as plain JSON."""
        return {
            "group": self.group,
            "check": self.check,
            "status": str(self.status),
            "sentence": self.sentence,
            "hint": self.hint,
        }


@dataclass(frozen=True, slots=True)
class Reporter:
    """Says findings of one check: `voice.ok("…")`, `voice.fail("…", "…")`."""

    group: str
    check: str

    def ok(self, sentence: str) -> Finding:
        """Say that it is well."""
        return Finding(self.group, self.check, Status.OK, sentence)

    def warn(self, sentence: str, hint: str) -> Finding:
        """Say what works and is likely not meant, or will not work for long."""
        return Finding(self.group, self.check, Status.WARN, sentence, hint)

    def fail(self, sentence: str, hint: str) -> Finding:
        """Say what does not work."""
        return Finding(self.group, self.check, Status.FAIL, sentence, hint)

    def skip(self, sentence: str) -> Finding:
        """Say why it was not looked at."""
        return Finding(self.group, self.check, Status.SKIP, sentence)


Look = Callable[[Reporter], Awaitable[Iterable[Finding]]]


@dataclass(frozen=True, slots=True)
class Check:
    """
    One look at one thing.

    Attributes:
        needs: Checks, as `group: check`, without which it makes no sense.
    """

    group: str
    name: str
    look: Look
    needs: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What others need it by."""
        return f"{self.group}: {self.name}"


async def examine(checks: Sequence[Check], failed: set[str]) -> list[Finding]:
    """
    Run checks in their order; those whose need has failed are skipped, and say so.

    Args:
        failed: Checks that have failed; added to.
    """
    findings: list[Finding] = []
    for check in checks:
        voice = Reporter(check.group, check.name)
        missing = next((need for need in check.needs if need in failed), None)
        said = [voice.skip(f"not looked at, because of {missing}")] if missing else list(await check.look(voice))
        if missing or any(one.status is Status.FAIL for one in said):
            failed.add(check.title)
        findings += said
    return findings


def exit_code(findings: Iterable[Finding]) -> int:
    """Return 0 where all is well, 1 where something is to be warned of, 2 where something fails."""
    return max((_EXIT[finding.status] for finding in findings), default=0)


def counts(findings: Iterable[Finding]) -> dict[Status, int]:
    """Count findings by how they ended."""
    found = dict.fromkeys(Status, 0)
    for finding in findings:
        found[finding.status] += 1
    return found
