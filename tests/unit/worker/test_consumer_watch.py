"""Detection of external changes to the consumer, and pauses between attempts."""

from typing import Any

import pytest

from eventwriter.errors import Retryable
from eventwriter.jetstream.api import ApiError
from eventwriter.jetstream.consumer import ConsumerSpec
from eventwriter.pipeline.coverage import CoverageTracker
from eventwriter.worker.consumer_watch import (
    ConsumerWatch,
    UnverifiedRange,
    change_of,
    consumer_gone,
    consumer_recreated,
    next_pause_s,
    skipped_messages,
)

SPEC = ConsumerSpec("s", "d", ("t.>",), 60.0, 1000)
CREATED = "2026-01-01T00:00:00Z"


class ScriptedApi:
    """JetStream with one CONSUMER.INFO answer, and a stream's messages as sequence → subject."""

    def __init__(self, info: dict[str, Any] | Exception, stored: dict[int, str] | None = None) -> None:
        self.info, self.stored = info, stored or {}

    async def request(self, verb: str, body: dict[str, Any] | None = None) -> dict[str, Any] | ApiError:
        if verb.startswith("CONSUMER.INFO"):
            if isinstance(self.info, Exception):
                raise self.info
            return self.info
        assert body is not None
        for seq in sorted(self.stored):
            if seq >= body["seq"]:
                return {"message": {"seq": seq, "subject": self.stored[seq], "time": CREATED, "data": ""}}
        return ApiError(404, 10037, "no message found")


def info(**changes: Any) -> dict[str, Any]:
    return {"created": CREATED, "config": SPEC.config() | changes}


async def check(watch: ConsumerWatch, api: Any, tracker: CoverageTracker) -> str | None:
    """Return the change that the watch reports."""
    return (await watch.check(api, SPEC, CREATED, tracker))[1]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(info(), None, id="unchanged"),
        pytest.param(None, consumer_gone("d"), id="deleted"),
        pytest.param(info() | {"created": "2026-01-02T00:00:00Z"}, consumer_recreated("d"), id="recreated"),
    ],
)
def test_change_of_consumer(answer: dict[str, Any] | None, expected: str | None) -> None:
    """A deleted and a recreated consumer are distinguished from an unchanged one."""
    assert expected == change_of(SPEC, CREATED, answer)


def test_changed_setting_is_named() -> None:
    """A changed setting is named in the change."""
    assert "ack_wait" in str(change_of(SPEC, CREATED, info(ack_wait=1)))


async def test_gap_under_other_filter_is_unverified() -> None:
    """A gap between deliveries under another filter must be verified before the next session."""
    watch = ConsumerWatch()

    change = await check(watch, ScriptedApi(info(filter_subject="t.a")), CoverageTracker(gap_from=42))

    assert (True, UnverifiedRange(42, ("t.a",))) == (change is not None, watch.unverified)


@pytest.mark.parametrize(
    ("answer", "gap"),
    [(info(filter_subject="t.a"), None), (info(ack_wait=1), 42), (info(filter_subject=""), 42)],
    ids=["no gap", "same filter", "no filter"],
)
async def test_other_changes_leave_nothing_unverified(answer: dict[str, Any], gap: int | None) -> None:
    """A change that cannot have skipped a message is reported, but leaves nothing to verify."""
    watch = ConsumerWatch()

    change = await check(watch, ScriptedApi(answer), CoverageTracker(gap_from=gap))

    assert (True, None) == (change is not None, watch.unverified)


async def test_gap_is_forgotten_once_consumer_is_verified() -> None:
    """A gap is forgotten when the consumer is as specified, and kept when JetStream does not answer."""
    watch, tracker = ConsumerWatch(), CoverageTracker(gap_from=42)
    with pytest.raises(Retryable):
        await check(watch, ScriptedApi(Retryable("unavailable")), tracker)
    assert 42 == tracker.gap_from

    await check(watch, ScriptedApi(info()), tracker)

    assert tracker.gap_from is None


async def test_repeated_change_is_not_reported_immediately() -> None:
    """Two writers that change each other's consumer do not keep each other from working."""
    watch, api = ConsumerWatch(), ScriptedApi(info(ack_wait=1))

    changes = [await check(watch, api, CoverageTracker()) is not None for _ in range(3)]

    assert [True, False, False] == changes


async def test_skipped_messages_match_only_specified_filter() -> None:
    """From the gap on, the skipped messages are those that match the specification but not the other filter."""
    api: Any = ScriptedApi(info(), {40: "t.b", 42: "t.b", 43: "t.a", 44: "t.c.d", 50: "t.b"})

    skipped = await skipped_messages(api, SPEC, UnverifiedRange(41, ("t.a",)), 50)

    assert [(42, 43), (44, 45)] == skipped


@pytest.mark.parametrize(
    ("previous_s", "ran_s", "expected"),
    [
        pytest.param(0.0, 0.0, 0.5, id="first pause is short"),
        pytest.param(0.5, 0.0, 1.0, id="pause doubles"),
        pytest.param(8.0, 1.0, 10.0, id="pause is limited"),
        pytest.param(10.0, 60.0, 0.5, id="long run resets pause"),
    ],
)
def test_pause_doubles_up_to_limit(previous_s: float, ran_s: float, expected: float) -> None:
    """Pauses double up to a limit and start again after a long run."""
    assert expected == next_pause_s(previous_s, ran_s)
