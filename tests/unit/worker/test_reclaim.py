"""Which deliveries of another one are given back."""

from types import SimpleNamespace
from typing import Any

import pytest

from eventwriter.jetstream.pull import ConsumerLost
from eventwriter.model import Message, Origin
from eventwriter.postgres.ledger import Ledger, LedgerKey
from eventwriter.worker import wiring
from eventwriter.worker.wiring import Wiring

MADE = "2026-01-01T00:00:00Z"


class Api:
    """A JetStream whose consumer has delivered 1 to 5 and has no answer to 3, 4 and 5."""

    def __init__(self, third_at: str = "1970-01-01T00:00:00.000003Z") -> None:
        self._third_at = third_at

    async def request(self, verb: str, body: Any = None) -> dict[str, Any]:
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
def answered(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bytes]]:
    """What is published as answers; the stream is at its fifth message."""
    said: list[tuple[str, bytes]] = []

    async def publish(client: Any, replies: list[str], answer: bytes) -> bool:
        said.extend((reply, answer) for reply in replies)
        return True

    async def state(api: Any, name: str) -> Any:
        return SimpleNamespace(name=name, last_seq=5, incarnation_ns=1_000, now_ns=0)

    monkeypatch.setattr(wiring, "publish_answers", publish)
    monkeypatch.setattr(wiring, "stream_state", state)
    return said


async def reclaim(created: str, api: Api) -> None:
    """Give back what is out, while we hold 4 and the ledger has 3."""
    one: Any = Wiring.__new__(Wiring)
    one.stream = SimpleNamespace(stream_name="events", is_shared=False)
    one.durable, one.api, one.link = "d", api, SimpleNamespace(client=None)
    ledger = Ledger(LedgerKey(Origin("events", 1_000, 0), "d", "f"), "t", [(1, 4)], 3, 3)
    line: Any = SimpleNamespace(held=lambda: [Message("", "s", b"", None, 4, 4, 1, 4)])
    await one.reclaim(line, ledger, created)


async def test_what_the_ledger_has_is_given_back_too(answered: list[tuple[str, bytes]]) -> None:
    """Nothing is acknowledged unseen, since sequences may have been given out again; what we hold is left alone."""
    await reclaim(MADE, Api())

    assert [("$JS.ACK.events.d.1.3.5.0.0", b"-NAK"), ("$JS.ACK.events.d.1.5.5.0.0", b"-NAK")] == answered


async def test_consumer_of_the_same_name_is_not_answered(answered: list[tuple[str, bytes]]) -> None:
    """A consumer that was made anew while we were away is bound to anew: its deliveries are others."""
    with pytest.raises(ConsumerLost, match="made anew"):
        await reclaim("2026-02-02T00:00:00Z", Api())

    assert [] == answered


async def test_stream_that_gives_sequences_out_again_is_bound_to_anew(answered: list[tuple[str, bytes]]) -> None:
    """A younger message under the ledger's last sequence tells that the stream went backwards: nothing is answered."""
    with pytest.raises(ConsumerLost, match="went backwards"):
        await reclaim(MADE, Api("1970-01-01T00:00:00.000004Z"))

    assert [] == answered
