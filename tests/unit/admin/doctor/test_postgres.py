"""Checks of doctor for several PostgreSQL hosts and for blocked statements."""

import pytest

from eventwriter.admin.doctor.findings import Reporter, Status
from eventwriter.admin.doctor.postgres import hosts_finding, locks_finding
from eventwriter.postgres.blocking import Blocking, BlockingSession
from eventwriter.postgres.connect import settings_from_dsn

REPORT = Reporter("PostgreSQL", "hosts")


@pytest.mark.parametrize(
    ("dsn", "expected"),
    [
        ("host=a dbname=x", Status.OK),
        ("host=a,b dbname=x", Status.WARN),
        ("host=a,b dbname=x target_session_attrs=any", Status.WARN),
        ("host=a,b dbname=x target_session_attrs=read-write", Status.OK),
        ("host=a,b dbname=x target_session_attrs=primary", Status.OK),
    ],
)
def test_several_hosts_need_target_session_attrs(dsn: str, expected: Status) -> None:
    """Several hosts without an attribute that finds the primary are a warning."""
    assert expected == hosts_finding(REPORT, settings_from_dsn(dsn)).status


@pytest.mark.parametrize(
    ("blocking", "expected", "named"),
    [
        (Blocking(), Status.OK, ""),
        (Blocking(standby=True), Status.WARN, "synchronous_standby_names"),
        (Blocking(sessions=(BlockingSession(42, "w", "e", "idle in transaction", 9.0),)), Status.WARN, "(42)"),
        (Blocking(sessions=(BlockingSession(0, None, None, None, None),)), Status.WARN, "pg_prepared_xacts"),
    ],
    ids=["nothing", "standby", "session", "prepared transaction"],
)
def test_blocked_statement_is_a_warning(blocking: Blocking, expected: Status, named: str) -> None:
    """Whatever blocks a statement is a warning, with the object to look at in the hint."""
    finding = locks_finding(REPORT, blocking)

    assert (expected, True) == (finding.status, named in finding.hint)
