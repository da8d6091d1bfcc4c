"""What a session checks before it pulls and acknowledges over a new connection."""

from types import SimpleNamespace
from typing import Any

import pytest

from eventwriter.errors import Retryable
from eventwriter.jetstream.api import ApiError
from eventwriter.jetstream.consumer import ConsumerSpec
from eventwriter.jetstream.pull import ConsumerLost
from eventwriter.model import Message
from eventwriter.worker import flow_control
from eventwriter.worker.flow_control import FlowControl
from eventwriter.worker.reconnect_check import ReconnectCheck
from eventwriter.worker.regression import Verdict

CREATED = "2026-01-01T00:00:00Z"
STORED_US = 1_767_225_600_000_000
"""The same instant."""


class ScriptedApi:
    """JetStream with one consumer, and with a message of the instant `CREATED` at each of the sequences `stored`."""

    def __init__(self, stored: set[int]) -> None:
        self.stored, self.requests = stored, 0

    async def request(self, verb: str, body: Any = None) -> Any:
        self.requests += 1
        if verb == "STREAM.MSG.GET.events":
            return {"message": {"time": CREATED}} if body["seq"] in self.stored else ApiError(404, 10037, "no message")
        return {
            "created": CREATED,
            "config": {"deliver_policy": "all"},
            "delivered": {"consumer_seq": 5, "stream_seq": 5},
            "ack_floor": {"consumer_seq": 2, "stream_seq": 2},
            "num_ack_pending": 3,
            "num_pending": 0,
        }


def message(seq: int, at_us: int = STORED_US) -> Message:
    return Message("", "s", b"", None, seq, seq, 1, at_us * 1000)


def make_check(api: Any, held: list[Message], verdict: Verdict = Verdict.CONSISTENT) -> ReconnectCheck:
    async def check_stream() -> Verdict:
        return verdict

    client: Any = SimpleNamespace(stats={"reconnects": 0}, is_connected=True)
    spec = ConsumerSpec("events", "d", ("s",), 60.0, 100)
    return ReconnectCheck(client, api, spec, CREATED, check_stream, lambda: held)


async def test_each_connection_is_checked_once() -> None:
    """The check is repeated after a reconnect only."""
    api = ScriptedApi({4})
    check = make_check(api, [message(4)])

    await check.run_if_reconnected()
    first, api.requests = api.requests, 0
    await check.run_if_reconnected()
    unchanged, api.requests = api.requests, 0
    check.client.stats["reconnects"] += 1
    await check.run_if_reconnected()

    assert (2, 0, 2) == (first, unchanged, api.requests)


@pytest.mark.parametrize(
    ("held", "stored"),
    [
        pytest.param([message(3), message(4)], {3}, id="the stream lost the newest held message"),
        pytest.param([message(4, STORED_US - 1)], {4}, id="its sequence belongs to another message"),
    ],
)
async def test_session_ends_if_held_messages_are_lost(held: list[Message], stored: set[int]) -> None:
    """An ack of a lost message could settle a new message of the same sequence."""
    with pytest.raises(ConsumerLost) as caught:
        await make_check(ScriptedApi(stored), held).run()

    assert "held_messages_lost" == caught.value.code


async def test_failed_check_is_repeated() -> None:
    """A check that raised does not count, so nothing is acknowledged until one succeeds."""
    api = ScriptedApi({4})
    check = make_check(api, [message(4)], Verdict.REGRESSED)

    for _ in range(2):
        with pytest.raises(ConsumerLost) as caught:
            await check.run_if_reconnected()
        assert "stream_regressed" == caught.value.code


@pytest.fixture
def acked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ack subjects that are acknowledged."""
    subjects: list[str] = []

    async def publish_answers(client: Any, replies: list[str], payload: bytes) -> bool:
        subjects.extend(replies)
        return True

    monkeypatch.setattr(flow_control, "publish_answers", publish_answers)
    return subjects


def make_flow(check: ReconnectCheck) -> FlowControl:
    limits: Any = SimpleNamespace(max_batch_size=10, max_batch_bytes=1000)
    held: Any = None
    flow = FlowControl(check.client, held, limits)
    flow.check = check
    return flow


async def test_nothing_is_acknowledged_before_the_check(acked: list[str]) -> None:
    """After a reconnect, the acks of messages that the stream does not have any more are not sent."""
    api = ScriptedApi({4})
    check = make_check(api, [message(4)])
    flow = make_flow(check)
    assert await flow.ack(["first"])

    check.client.stats["reconnects"] += 1
    api.stored.clear()
    with pytest.raises(ConsumerLost):
        await flow.ack(["second"])

    assert ["first"] == acked


@pytest.mark.parametrize("connected", [True, False])
async def test_unavailable_jetstream_prevents_acks(acked: list[str], connected: bool) -> None:
    """Without an answer nothing is acknowledged; a connection that is lost again does not end the session."""

    async def no_answer() -> Verdict:
        raise Retryable("JetStream does not answer")

    check = make_check(ScriptedApi(set()), [])
    check.check_stream = no_answer
    client: Any = check.client
    client.is_connected = connected
    flow = make_flow(check)

    if connected:
        with pytest.raises(Retryable):
            await flow.ack(["reply"])
    else:
        assert not await flow.ack(["reply"])

    assert [] == acked
