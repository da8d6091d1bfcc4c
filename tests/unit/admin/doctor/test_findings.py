"""In which order checks run, and what they come to."""

from collections.abc import Iterable

import pytest

from eventwriter.admin.doctor.findings import Check, Finding, Reporter, Status, counts, exit_code, run_checks

VOICE = Reporter("g", "c")


def check(name: str, status: str, *needs: str) -> Check:
    """Return a check that ends so."""

    async def look(voice: Reporter) -> Iterable[Finding]:
        return [voice.ok("well")] if status == "ok" else [getattr(voice, status)("not well", "fix it")]

    return Check("g", name, look, needs)


async def test_failure_skips_what_needs_it_and_what_needs_that() -> None:
    """A check whose need has failed is skipped with the reason; so is what needs the skipped one; others run."""
    checks = [
        check("one", "fail"), check("two", "ok", "g: one"), check("three", "ok", "g: two"), check("four", "ok"),
    ]  # fmt: skip

    found = await run_checks(checks, set())

    assert ["fail", "skip", "skip", "ok"] == [str(finding.status) for finding in found]
    assert "skipped: g: one failed" == found[1].message
    assert "skipped: g: two failed" == found[2].message


async def test_warning_skips_nothing() -> None:
    """What works goes on."""
    found = await run_checks([check("one", "warn"), check("two", "ok", "g: one")], set())

    assert ["warn", "ok"] == [str(finding.status) for finding in found]


@pytest.mark.parametrize(
    ("statuses", "expected"), [([], 0), (["ok", "skip"], 0), (["ok", "warn", "skip"], 1), (["fail", "warn"], 2)]
)
def test_exit_code_is_the_worst(statuses: list[str], expected: int) -> None:
    """0 where all is well or skipped, 1 for warnings, 2 for failures."""
    found = [Finding("g", "c", Status(status), "") for status in statuses]

    assert expected == exit_code(found)
    assert len(statuses) == sum(counts(found).values())
