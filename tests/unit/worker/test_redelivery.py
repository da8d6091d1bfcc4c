"""Which deliveries of another one are given back."""

from types import SimpleNamespace
from typing import Any

import pytest

from eventwriter.jetstream.api import ApiError
from eventwriter.jetstream.consumer import ConsumerSpec
from eventwriter.jetstream.pull import ConsumerLost
from eventwriter.jetstream.reorder import NOTHING, Redelivered
from eventwriter.model import Message, Origin
from eventwriter.postgres.ledger.store import Ledger, LedgerKey
from eventwriter.worker import redelivery
from eventwriter.worker.redelivery import Reclaim

MADE = "2026-01-01T00:00:00Z"


class Api:
    """A JetStream whose consumer has delivered 1 to 5 and has no answer to 3, 4 and 5."""

    server_version = (2, 15)

    def __init__(self, third_at: str = "1970-01-01T00:00:00.000003Z", wanted: tuple[int, ...] = ()) -> None:
        self._third_at, self._wanted = third_at, wanted

    async def request(self, verb: str, body: Any = None) -> Any:
        if verb == "STREAM.MSG.GET.events" and "next_by_subj" in body:
            seq = next((seq for seq in self._wanted if seq >= body["seq"]), None)
            if seq is None:
                return ApiError(404, 10037, "no message found")
            return {"message": {"subject": "s", "seq": seq, "time": self._third_at}}
        if verb == "STREAM.MSG.GET.events":
            assert {"seq": 3} == body
            return {"message": {"subject": "s", "seq": 3, "time": self._third_at}}
        assert "CONSUMER.INFO.events.d" == verb
        return {
            "created": MADE,
            "config": {"deliver_policy": "all"},
            "delivered": {"consumer_seq": 5, "stream_seq": 5},
            "ack_floor": {"consumer_seq": 2, "stream_seq": 2},
            "num_ack_pending": 3,
            "num_pending": 0,
        }


@pytest.fixture
def given_back(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ack subjects of what is given back; the stream is at its fifth message."""
    said: list[str] = []

    async def give_back(client: Any, replies: list[str]) -> bool:
        said.extend(replies)
        return True

    async def state(api: Any, name: str) -> Any:
        return SimpleNamespace(name=name, last_seq=5, incarnation_ns=1_000, now_ns=0)

    monkeypatch.setattr(redelivery, "give_back", give_back)
    monkeypatch.setattr(redelivery, "stream_state", state)
    return said


async def look(created: str, api: Api, shared: bool = False) -> Redelivered:
    """Give back what is out, while we hold 4 and the ledger has 3."""
    ledger = Ledger(LedgerKey(Origin("events", 1_000, 0), "d", "f"), "t", [(1, 4)], 3, 3)
    held = [Message("", "s", b"", None, 4, 4, 1, 4)]
    wish = ConsumerSpec("events", "d", ("s",), 60.0, 100)
    client: Any = None
    scripted: Any = api
    return await Reclaim(client, scripted, wish, created, ledger, lambda: held).look(shared)


async def test_what_the_ledger_has_is_given_back_too(given_back: list[str]) -> None:
    """Nothing is acknowledged unseen, since sequences may have been given out again; what we hold is left alone."""
    back = await look(MADE, Api())

    assert ["$JS.ACK.events.d.1.3.5.0.0", "$JS.ACK.events.d.1.5.5.0.0"] == given_back
    assert Redelivered(2, 5) == back


async def test_what_is_far_apart_is_looked_up(given_back: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the filter wants little of a long span, only what it wants is given back."""
    monkeypatch.setattr(redelivery, "_SPAN_MAX", 2)

    await look(MADE, Api(wanted=(3, 5)))

    assert ["$JS.ACK.events.d.1.3.5.0.0", "$JS.ACK.events.d.1.5.5.0.0"] == given_back


async def test_what_is_out_of_a_shared_durable_stays_out(given_back: list[str]) -> None:
    """Another worker may be at it, so nothing is given back."""
    back = await look(MADE, Api(), shared=True)

    assert ([], NOTHING) == (given_back, back)


async def test_consumer_of_the_same_name_is_not_answered(given_back: list[str]) -> None:
    """A consumer that was made anew while we were away is bound to anew: its deliveries are others."""
    with pytest.raises(ConsumerLost, match="made anew"):
        await look("2026-02-02T00:00:00Z", Api())

    assert [] == given_back


async def test_stream_that_gives_sequences_out_again_is_bound_to_anew(given_back: list[str]) -> None:
    """A younger message under the ledger's last sequence tells that the stream went backwards: nothing is answered."""
    with pytest.raises(ConsumerLost, match="went backwards"):
        await look(MADE, Api("1970-01-01T00:00:00.000004Z"))

    assert [] == given_back
