"""What two looks at a consumer say."""

from typing import Any

import pytest

from eventwriter.admin.doctor.consumers import consumer_findings, delivery_findings
from eventwriter.admin.doctor.findings import Reporter
from eventwriter.jetstream.consumer import ConsumerSpec

VOICE = Reporter("S/0", "delivery")
SPEC = ConsumerSpec("events", "d", ("a.>",), 60.0, 1000)
SLOT = {"name": "S/0", "reason": "PostgreSQL is away"}


def look(delivered: int, pending: int, unanswered: int = 0, **more: Any) -> dict[str, Any]:
    """Return a CONSUMER.INFO answer."""
    return {
        "delivered": {"consumer_seq": delivered, "stream_seq": delivered}, "num_pending": pending,
        "num_ack_pending": unanswered, "config": {"max_ack_pending": 1000}, **more,
    }  # fmt: skip


def stream(last: int) -> dict[str, Any]:
    """Return a STREAM.INFO answer."""
    return {"state": {"last_seq": last, "messages": last}}


@pytest.mark.parametrize(
    ("consumers", "slot", "status", "words"),
    [
        ([look(5, 0), look(9, 3)], SLOT, "ok", "4 delivered"),
        ([look(5, 0), look(5, 0)], None, "ok", "0 delivered"),
        ([look(5, 7), look(5, 9)], None, "warn", "no daemon on this host runs this slot"),
        ([look(5, 7), look(5, 9)], SLOT, "fail", "PostgreSQL is away): it does not pull"),
        ([look(5, 7), look(5, 9, num_waiting=1)], SLOT, "fail", "it pulls but receives nothing"),
        ([look(5, 7), look(5, 9, 1000)], SLOT, "fail", "max_ack_pending is reached"),
        ([look(0, 0), look(0, 0)], SLOT, "warn", "matches the filter"),
        ([None, look(1, 1)], SLOT, "skip", "does not exist"),
    ],
)
def test_deliveries_are_judged(consumers: list[Any], slot: Any, status: str, words: str) -> None:
    """A consumer that stands still with messages pending is told from one with nothing to do."""
    (finding,) = delivery_findings(VOICE, consumers, [stream(100), stream(110)], slot)

    assert status == str(finding.status)
    assert words in finding.message


@pytest.mark.parametrize(
    ("retention", "running", "status"),
    [("limits", False, "warn"), ("limits", True, "fail"), ("interest", False, "fail"), ("workqueue", False, "warn")],
)
def test_missing_consumer_is_judged(retention: str, running: bool, status: str) -> None:
    """A consumer that is missing is made at the next start, unless messages are dropped until then."""
    (finding,) = consumer_findings(VOICE, SPEC, None, retention, running)

    assert status == str(finding.status)


def test_consumer_as_wished_is_well() -> None:
    """A consumer that is as the configuration says has nothing to be said of."""
    (finding,) = consumer_findings(VOICE, SPEC, {"config": SPEC.config()}, "limits", True)

    assert "ok" == str(finding.status)


def test_consumer_that_nats_would_delete_is_warned_of() -> None:
    """An inactive threshold deletes the durable while the daemon is down."""
    info = {"config": {**SPEC.config(), "inactive_threshold": 10**9}}

    (finding,) = consumer_findings(VOICE, SPEC, info, "limits", True)

    assert "NATS deletes it" in finding.message
