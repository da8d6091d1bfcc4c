"""Which deliveries of a dead worker are NAKed."""

from types import SimpleNamespace
from typing import Any

import pytest

from eventwriter.jetstream.api import ApiError
from eventwriter.jetstream.consumer import ConsumerSpec
from eventwriter.jetstream.pull import ConsumerLost
from eventwriter.jetstream.reorder import NOTHING_REDELIVERED, Redelivered
from eventwriter.model import Message
from eventwriter.worker import redelivery
from eventwriter.worker.reconnect_check import ReconnectCheck
from eventwriter.worker.redelivery import Redelivery
from eventwriter.worker.regression import Verdict

CREATED = "2026-01-01T00:00:00Z"


class ScriptedApi:
    """JetStream with a consumer that has delivered messages 1 to 5, of which 3, 4 and 5 are unacknowledged."""

    server_version = (2, 15)

    def __init__(self, matching: tuple[int, ...] = ()) -> None:
        self._matching = matching

    async def request(self, verb: str, body: Any = None) -> Any:
        if verb == "STREAM.MSG.GET.events" and "next_by_subj" in body:
            seq = next((seq for seq in self._matching if seq >= body["seq"]), None)
            if seq is None:
                return ApiError(404, 10037, "no message found")
            return {"message": {"subject": "s", "seq": seq, "time": CREATED}}
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
    """The ack subjects that are NAKed."""
    subjects: list[str] = []

    async def nak_and_wait(client: Any, replies: list[str]) -> bool:
        subjects.extend(replies)
        return True

    monkeypatch.setattr(redelivery, "nak_and_wait", nak_and_wait)
    return subjects


async def request(
    created: str, api: ScriptedApi, shared: bool = False, verdict: Verdict = Verdict.CONSISTENT
) -> Redelivered:
    """Request redelivery while this worker holds message 4."""

    async def check_stream() -> Verdict:
        return verdict

    held: Any = SimpleNamespace(messages=lambda: [Message("", "s", b"", None, 4, 4, 1, 4)])
    spec = ConsumerSpec("events", "d", ("s",), 60.0, 100)
    client: Any = SimpleNamespace(stats={"reconnects": 0})
    scripted: Any = api
    check = ReconnectCheck(client, scripted, spec, created, check_stream, list)
    return await Redelivery(client, scripted, spec, check, held).request(shared)


@pytest.mark.parametrize("verdict", [Verdict.CONSISTENT, Verdict.UNCONFIRMED])
async def test_messages_that_are_not_held_are_naked(naked: list[str], verdict: Verdict) -> None:
    """All unacknowledged messages are NAKed, except those that this worker holds."""
    redelivered = await request(CREATED, ScriptedApi(), verdict=verdict)

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


async def test_stream_that_went_backwards_is_lost(naked: list[str]) -> None:
    """After a regression the sequences belong to other messages, so nothing is NAKed."""
    with pytest.raises(ConsumerLost) as caught:
        await request(CREATED, ScriptedApi(), verdict=Verdict.REGRESSED)

    assert ("stream_regressed", []) == (caught.value.code, naked)
