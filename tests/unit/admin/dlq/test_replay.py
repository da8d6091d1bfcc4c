"""Which entry of the configuration a dead letter belongs to today."""

import datetime as dt
from typing import Any

import pytest

from eventwriter.admin.dlq.replay import message_of, origin_of, owner
from eventwriter.config.load import load
from eventwriter.config.settings import Settings
from eventwriter.errors import Poison
from eventwriter.postgres.dead_letters.store import DeadLetter

AT = dt.datetime(2026, 1, 1, 0, 0, 0, 123456, tzinfo=dt.UTC)
AT_NS = 1_767_225_600_123_456_000


def letter(**fields: Any) -> DeadLetter:
    known = dict.fromkeys(DeadLetter.__slots__) | {
        "id": 1, "stream": "events", "incarnation": AT, "epoch": 3, "stream_seq": 7, "subject": "a.b", "payload": b"x",
        "num_deliveries": 2, "message_timestamp": AT, "created_at": AT, "state": "new",
    }  # fmt: skip
    return DeadLetter(**{**known, **fields})


def settings(*entries: dict[str, Any]) -> Settings:
    return load(None, {}, {"streams": [{"kind": "telemetry", **entry} for entry in entries]}).settings


def test_letter_is_the_message_that_it_was() -> None:
    """Stream, life of the stream, sequence, time, subject and payload are the message's own."""
    message = message_of(letter(headers={"a": "b"}))

    assert ("a.b", b"x", {"a": "b"}, 7, 2, AT_NS) == (
        message.subject, message.payload, message.headers, message.stream_seq, message.num_delivered,
        message.timestamp_ns,
    )  # fmt: skip
    assert ("events", AT_NS, 3) == origin_of(letter())


@pytest.mark.parametrize(
    ("consumer", "entries", "expected"),
    [
        pytest.param(None, [{"name": "A", "subject": "a.>"}, {"name": "B", "subject": "b.>"}], "A", id="by subject"),
        pytest.param(
            "eventwriter-b", [{"name": "A", "subject": "a.>"}, {"name": "B", "subject": "a.b", "table": "t2"}], "B",
            id="by durable, where several take the subject",
        ),
        pytest.param("gone", [{"name": "A", "subject": "a.>"}], "A", id="the only one, though the durable is another"),
        pytest.param(
            None, [{"name": "A", "subject": "a.>", "stream_name": "other"}, {"name": "B", "subject": "a.*"}], "B",
            id="by stream",
        ),
    ],
)  # fmt: skip
def test_letter_belongs_to_the_entry_that_takes_its_subject(
    consumer: str | None, entries: list[dict[str, Any]], expected: str
) -> None:
    """The entry of the letter's durable wins; else the only one that takes stream and subject."""
    assert expected == owner(settings(*entries), letter(consumer=consumer)).name


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([{"name": "B", "subject": "b.>"}], "no stream entry matches subject 'a.b' of stream 'events'"),
        (
            [{"name": "A", "subject": "a.>"}, {"name": "B", "subject": "a.b", "table": "t2"}],
            "entries A, B all match subject 'a.b', but none has durable 'gone'",
        ),
    ],
)
def test_letter_of_nobody_is_still_dead(entries: list[dict[str, Any]], said: str) -> None:
    """Where no entry takes it, or one cannot be told, the sentence says which."""
    with pytest.raises(Poison, match=said):
        owner(settings(*entries), letter(consumer="gone"))
