"""Which deliveries of a dead worker are NAKed."""

from types import SimpleNamespace
from typing import Any

import pytest

from eventwriter.jetstream.api import ApiError
from eventwriter.jetstream.consumer import ConsumerSpec
from eventwriter.jetstream.pull import ConsumerLost
from eventwriter.jetstream.reorder import NOTHING_REDELIVERED, Redelivered
from eventwriter.model import Message, Origin
from eventwriter.postgres.ledger.store import Ledger, LedgerKey
from eventwriter.worker import redelivery
from eventwriter.worker.redelivery import Redelivery

CREATED = "2026-01-01T00:00:00Z"


class ScriptedApi:
    """JetStream with a consumer that has delivered messages 1 to 5, of which 3, 4 and 5 are unacknowledged."""

    server_version = (2, 15)

    def __init__(self, third_at: str = "1970-01-01T00:00:00.000003Z", matching: tuple[int, ...] = ()) -> None:
        self._third_at, self._matching = third_at, matching

    async def request(self, verb: str, body: Any = None) -> Any:
        if verb == "STREAM.MSG.GET.events" and "next_by_subj" in body:
            seq = next((seq for seq in self._matching if seq >= body["seq"]), None)
            if seq is None:
                return ApiError(404, 10037, "no message found")
            return {"message": {"subject": "s", "seq": seq, "time": self._third_at}}
        if verb == "STREAM.MSG.GET.events":
            assert {"seq": 3} == body
            return {"message": {"subject": "s", "seq": 3, "time": self._third_at}}
        assert "CONSUMER.INFO.events.d" == verb
        return {
            "created": CREATED,
            "config": {"deliver_policy": "all"},
            "delivered": {"consumer_seq": 5, "stream_seq": 5},
            "ack_floor": {"consumer_seq": 2, "stream_seq": 2},
            "num_ack_pending": 3,
            "num_pending": 0,
        }


@pytest.fixture
def naked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ack subjects that are NAKed; the stream ends at message 5."""
    subjects: list[str] = []

    async def nak_and_wait(client: Any, replies: list[str]) -> bool:
        subjects.extend(replies)
        return True

    async def stream_state(api: Any, name: str) -> Any:
        return SimpleNamespace(name=name, last_seq=5, incarnation_ns=1_000, now_ns=0)

    monkeypatch.setattr(redelivery, "nak_and_wait", nak_and_wait)
    monkeypatch.setattr(redelivery, "stream_state", stream_state)
    return subjects


async def request(created: str, api: ScriptedApi, shared: bool = False) -> Redelivered:
    """Request redelivery while this worker holds message 4 and the ledger has messages up to 3."""
    ledger = Ledger(LedgerKey(Origin("events", 1_000, 0), "d", "f"), "t", [(1, 4)], 3, 3)
    held: Any = SimpleNamespace(messages=lambda: [Message("", "s", b"", None, 4, 4, 1, 4)])
    spec = ConsumerSpec("events", "d", ("s",), 60.0, 100)
    client: Any = None
    scripted: Any = api
    return await Redelivery(client, scripted, spec, created, ledger, held).request(shared)


async def test_messages_in_ledger_are_naked_too(naked: list[str]) -> None:
    """A sequence may have been reused, so messages that the ledger has are NAKed; held messages are not."""
    redelivered = await request(CREATED, ScriptedApi())

    assert ["$JS.ACK.events.d.1.3.5.0.0", "$JS.ACK.events.d.1.5.5.0.0"] == naked
    assert Redelivered(2, 5) == redelivered


async def test_long_span_is_scanned(naked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """In a span of many sequences only messages that match the filter are NAKed."""
    monkeypatch.setattr(redelivery, "_SPAN_MAX", 2)

    await request(CREATED, ScriptedApi(matching=(3, 5)))

    assert ["$JS.ACK.events.d.1.3.5.0.0", "$JS.ACK.events.d.1.5.5.0.0"] == naked


async def test_shared_durable_gets_no_naks(naked: list[str]) -> None:
    """On a shared durable another worker may hold the messages, so nothing is NAKed."""
    redelivered = await request(CREATED, ScriptedApi(), shared=True)

    assert ([], NOTHING_REDELIVERED) == (naked, redelivered)


async def test_recreated_consumer_is_lost(naked: list[str]) -> None:
    """The deliveries of a recreated consumer are not NAKed, because the session is bound to its predecessor."""
    with pytest.raises(ConsumerLost) as caught:
        await request("2026-02-02T00:00:00Z", ScriptedApi())

    assert ("consumer_recreated", []) == (caught.value.code, naked)


async def test_stream_that_reused_sequences_is_lost(naked: list[str]) -> None:
    """A newer message under the ledger's last sequence means that the stream went backwards: nothing is NAKed."""
    with pytest.raises(ConsumerLost) as caught:
        await request(CREATED, ScriptedApi("1970-01-01T00:00:00.000004Z"))

    assert ("stream_changed", []) == (caught.value.code, naked)
