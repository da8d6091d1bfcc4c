"""Limits of the host against what workers need; clocks; versions of NATS."""

import pytest

from eventwriter.admin.doctor.context import skew
from eventwriter.admin.doctor.findings import Reporter
from eventwriter.admin.doctor.host import descriptors, memory_finding
from eventwriter.config.settings import MiB
from eventwriter.observe.process import Memory, memory

VOICE = Reporter("host", "x")


@pytest.mark.parametrize(
    ("workers", "limit", "expected"), [(1, 1024, "ok"), (256, 1024, "fail"), (256, 8192, "ok"), (256, -1, "ok")]
)
def test_open_files_must_do_for_all_workers(workers: int, limit: int, expected: str) -> None:
    """A limit on open files that the supervisor would run into fails; none at all does."""
    assert expected == str(descriptors(VOICE, workers, limit, "the daemon").status)


@pytest.mark.parametrize(("workers", "available", "expected"), [(2, 5000, "ok"), (20, 5000, "warn"), (2, 100, "warn")])
def test_memory_must_do_for_all_workers(workers: int, available: int, expected: str) -> None:
    """Workers that may together outgrow the host are a warning, and so is a host that is full."""
    found = memory_finding(VOICE, workers, 1024 * MiB, Memory(10_000 * MiB, available * MiB))

    assert expected == str(found.status)


def test_memory_of_this_host_is_read() -> None:
    """There is memory, and not more of it free than there is."""
    found = memory()

    assert 0 < found.available_bytes <= found.total_bytes


@pytest.mark.parametrize(
    ("ahead_s", "expected", "words"),
    [
        (0.1, "ok", "100 ms"),
        (1.99, "ok", "1990 ms"),
        (-1.99, "ok", "1990 ms"),
        (2.0, "warn", "2.0 s ahead of"),
        (-2.0, "warn", "2.0 s behind"),
        (59.9, "warn", "59.9 s ahead of"),
        (-59.9, "warn", "59.9 s behind"),
        (60.0, "fail", "60.0 s ahead of"),
        (-60.0, "fail", "60.0 s behind"),
    ],
)
def test_clocks_are_compared(ahead_s: float, expected: str, words: str) -> None:
    """Seconds apart are a warning, a minute a failure; which is ahead is said."""
    finding = skew(VOICE, "NATS", ahead_s)

    assert expected == str(finding.status)
    assert words in finding.message
