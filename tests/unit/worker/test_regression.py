"""When a stream counts as having gone backwards."""

from typing import Any

import pytest

from eventwriter.errors import Retryable
from eventwriter.jetstream.api import ApiError, has_quorum
from eventwriter.model import Origin
from eventwriter.postgres.ledger.store import Ledger, LedgerKey
from eventwriter.worker import regression
from eventwriter.worker.regression import Observation, Position, RegressionCheck, Verdict, judge

POSITION = Position(last_seq=1000, last_us=5_000)


def seen(
    at_s: float, last_seq: int = 900, stored_us: int | None = None, delivered_seq: int | None = 900,
    leader: str = "n1", is_current: bool = True,
) -> Observation:  # fmt: skip
    """Return an answer that by default shows a lost end, which the consumer confirms."""
    return Observation(at_s, leader, is_current, last_seq, stored_us, delivered_seq)


def series(count: int, **fields: Any) -> list[Observation]:
    """Return answers at intervals of a second."""
    return [seen(float(at), **fields) for at in range(count)]


@pytest.mark.parametrize(
    ("observations", "expected"),
    [
        pytest.param([seen(0, last_seq=1000)], Verdict.CONSISTENT, id="the stream ends where the ledger does"),
        pytest.param([seen(0, last_seq=1500, stored_us=5_000)], Verdict.CONSISTENT, id="the same message is stored"),
        pytest.param([seen(0, stored_us=5_000)], Verdict.CONSISTENT, id="an old end beside the ledger's own message"),
        pytest.param(series(4, stored_us=4_999), Verdict.REGRESSED, id="an old end and an earlier message"),
        pytest.param([seen(0, last_seq=1500)], Verdict.CONSISTENT, id="the message was deleted"),
        pytest.param(series(1), Verdict.UNDECIDED, id="one answer"),
        pytest.param(series(3), Verdict.UNDECIDED, id="too few answers"),
        pytest.param([seen(at / 10) for at in range(20)], Verdict.UNDECIDED, id="too short a time"),
        pytest.param(series(4), Verdict.REGRESSED, id="confirmed by the consumer"),
        pytest.param(
            series(4, last_seq=1500, stored_us=5_001, delivered_seq=1500), Verdict.REGRESSED,
            id="confirmed by another message at the ledger's last sequence",
        ),
        pytest.param(series(4, delivered_seq=1000), Verdict.UNCONFIRMED, id="the consumer has delivered the end"),
        pytest.param(series(4, delivered_seq=None), Verdict.UNCONFIRMED, id="no consumer"),
        pytest.param(
            [*series(3), seen(3, delivered_seq=1000)], Verdict.UNCONFIRMED, id="the consumer contradicts once"
        ),
        pytest.param([*series(3), seen(3, last_seq=1001)], Verdict.CONSISTENT, id="stale answers, then the real end"),
        pytest.param(series(10, is_current=False), Verdict.UNDECIDED, id="answers without a majority do not count"),
        pytest.param(series(16, is_current=False), Verdict.UNCONFIRMED, id="no majority for too long"),
        pytest.param(
            [*series(4, leader="n1")[:3], seen(3, leader="n2")], Verdict.UNDECIDED, id="another leader starts again"
        ),
        pytest.param(
            [*series(2, leader="n1"), *(seen(at, leader="n2") for at in (2, 3, 4, 5))], Verdict.REGRESSED,
            id="the new leader confirms",
        ),
        pytest.param(
            [seen(at, leader=f"n{at % 2}") for at in range(17)], Verdict.UNCONFIRMED, id="two leaders contradict"
        ),
    ],
)  # fmt: skip
def test_regression_needs_persistence_and_confirmation(observations: list[Observation], expected: Verdict) -> None:
    """A regression counts only if several answers of one leader show it and something confirms it."""
    assert expected is judge(POSITION, observations)


def test_empty_ledger_is_consistent_with_every_stream() -> None:
    """Without a committed message nothing can have gone backwards."""
    assert Verdict.CONSISTENT is judge(Position(0, 0), series(4, last_seq=0, stored_us=9))


def replica(**fields: Any) -> dict[str, Any]:
    return {"name": "n2", "current": True, "active": 5 * 10**8, **fields}


@pytest.mark.parametrize(
    ("cluster", "expected"),
    [
        pytest.param(None, True, id="no cluster"),
        pytest.param({"leader": "n1"}, True, id="one replica"),
        pytest.param({"replicas": [replica(), replica()]}, False, id="no leader"),
        pytest.param({"leader": "n1", "replicas": [replica(), replica()]}, True, id="all in contact"),
        pytest.param({"leader": "n1", "replicas": [replica(), replica(offline=True)]}, True, id="majority in contact"),
        pytest.param({"leader": "n1", "replicas": [replica(current=False)] * 2}, False, id="replicas not current"),
        pytest.param({"leader": "n1", "replicas": [replica(active=40 * 10**9)] * 2}, False, id="replicas silent"),
        pytest.param({"leader": "n1", "replicas": [replica(offline=True)]}, False, id="one of two in contact"),
    ],
)
def test_answer_is_current_only_with_majority(cluster: dict[str, Any] | None, expected: bool) -> None:
    """A leader that has lost contact to a majority may have an old end of the stream."""
    assert expected is has_quorum(cluster)


class ScriptedApi:
    """JetStream that reports the ends of a stream one after the other, and one position of the consumer."""

    created = "1970-01-01T00:00:00.000001Z"
    end = 0
    consumer_created = "1970-01-01T00:00:00.002Z"

    def __init__(self, ends: list[int], delivered: int | None) -> None:
        self.ends, self.delivered = ends, delivered

    async def request(self, verb: str, body: Any = None) -> Any:
        if verb == "STREAM.INFO.s":
            self.end = self.ends.pop(0) if len(self.ends) > 1 else self.ends[0]
            return {"created": self.created, "config": {}, "state": {"first_seq": 1, "last_seq": self.end}}
        if verb == "STREAM.MSG.GET.s":
            if body["seq"] > self.end:
                return ApiError(404, 10037, "no message found")
            return {"message": {"time": "1970-01-01T00:00:00.005Z"}}
        assert verb == "CONSUMER.INFO.s.d"
        if self.delivered is None:
            return ApiError(404, 10014, "consumer not found")
        return {"created": self.consumer_created, "delivered": {"stream_seq": self.delivered}}


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let answers follow each other without a pause, each a second after the last by the clock."""
    seconds = iter(range(1000))
    monkeypatch.setattr(regression, "_INTERVAL_S", 0.0)
    monkeypatch.setattr(regression.clock, "monotonic_s", lambda: float(next(seconds)))


async def verdict_of(api: ScriptedApi) -> Verdict:
    scripted: Any = api
    ledger = Ledger(LedgerKey(Origin("s", 1_000, 0), "d", "f"), "t", [(1, 1001)], 1000, 5_000)
    return (await RegressionCheck(scripted, "s", "d", 1_000).verdict(ledger))[0]


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize(
    ("ends", "delivered", "expected"),
    [
        pytest.param([1000], 1000, Verdict.CONSISTENT, id="nothing lost"),
        pytest.param([900, 900, 1000], 1000, Verdict.CONSISTENT, id="two stale answers"),
        pytest.param([900], 1000, Verdict.UNCONFIRMED, id="stale answers that the consumer contradicts"),
        pytest.param([900], None, Verdict.UNCONFIRMED, id="no consumer"),
        pytest.param([900], 900, Verdict.REGRESSED, id="stream and consumer restored"),
    ],
)
async def test_check_asks_until_it_is_decided(ends: list[int], delivered: int | None, expected: Verdict) -> None:
    """The check repeats its requests until the answers decide."""
    assert expected is await verdict_of(ScriptedApi(ends, delivered))


@pytest.mark.usefixtures("fast")
async def test_position_of_newer_consumer_is_no_evidence() -> None:
    """A consumer that was created after the ledger's last message may have started anywhere."""
    api = ScriptedApi([900], 900)
    api.consumer_created = "1970-01-01T00:00:00.006Z"

    assert Verdict.UNCONFIRMED is await verdict_of(api)


async def test_recreated_stream_is_not_compared() -> None:
    """A stream that was recreated has other sequences, so the worker must bind again."""
    api = ScriptedApi([900], 900)
    api.created = "1970-01-01T00:00:01Z"

    with pytest.raises(Retryable) as caught:
        await verdict_of(api)

    assert "stream_recreated" == caught.value.code
