"""A consumer that somebody changes, and how long to wait before something is tried again."""

from typing import Any

import pytest

from eventwriter.errors import Retryable
from eventwriter.jetstream.api import ApiError
from eventwriter.jetstream.consumer import ConsumerSpec
from eventwriter.pipeline.coverage import Tracker
from eventwriter.worker.consumer_watch import ConsumerWatch, UnverifiedRange, change, next_pause_s, passed_over

WISH = ConsumerSpec("s", "d", ("t.>",), 60.0, 1000)
BORN = "2026-01-01T00:00:00Z"


class Api:
    """JetStream's API as a script: CONSUMER.INFO, and the stream's messages as sequence → subject."""

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
                return {"message": {"seq": seq, "subject": self.stored[seq], "time": BORN, "data": ""}}
        return ApiError(404, 10037, "no message found")


def info(**changes: Any) -> dict[str, Any]:
    return {"created": BORN, "config": WISH.config() | changes}


@pytest.mark.parametrize(
    ("found", "words"),
    [
        pytest.param(info(), None, id="as it was"),
        pytest.param(None, "is gone", id="deleted"),
        pytest.param(info() | {"created": "2026-01-02T00:00:00Z"}, "made anew", id="another one"),
        pytest.param(info(ack_wait=1), "changed by somebody: ack_wait", id="changed"),
    ],
)
def test_change_is_said(found: dict[str, Any] | None, words: str | None) -> None:
    """A consumer that is gone, another one, or changed is told from one that is as it was."""
    said = change(WISH, BORN, found)

    assert said is None if words is None else words in str(said)


async def test_gap_under_another_filter_is_a_doubt() -> None:
    """What was accounted for without being delivered, while the filter was another, is to be looked through."""
    drift, tracker = ConsumerWatch(), Tracker(gap_from=42)

    _, changed = await drift.look(Api(info(filter_subject="t.a")), WISH, BORN, tracker)

    assert changed == "consumer d was changed by somebody: filter_subjects"
    assert UnverifiedRange(42, ("t.a",)) == drift.doubt


@pytest.mark.parametrize(
    ("found", "gap"),
    [(info(filter_subject="t.a"), None), (info(ack_wait=1), 42), (info(filter_subject=""), 42)],
    ids=["nothing was passed over", "the filter is the same", "the filter wants everything"],
)
async def test_other_changes_leave_no_doubt(found: dict[str, Any], gap: int | None) -> None:
    """A change that cannot have passed a message over makes the worker bind again, and no more."""
    drift = ConsumerWatch()

    _, changed = await drift.look(Api(found), WISH, BORN, Tracker(gap_from=gap))

    assert (True, None) == (changed is not None, drift.doubt)


async def test_gaps_before_a_good_look_are_no_doubt() -> None:
    """Gaps of the time before the consumer was seen as it ought to be are forgotten; without an answer they stay."""
    drift, tracker = ConsumerWatch(), Tracker(gap_from=42)
    with pytest.raises(Retryable):
        await drift.look(Api(Retryable("away")), WISH, BORN, tracker)
    assert 42 == tracker.gap_from

    await drift.look(Api(info()), WISH, BORN, tracker)

    assert tracker.gap_from is None


async def test_second_change_at_once_is_left_for_a_while() -> None:
    """Two writers who change each other's consumer do not keep each other from working."""
    drift, api = ConsumerWatch(), Api(info(ack_wait=1))

    changes = [(await drift.look(api, WISH, BORN, Tracker()))[1] is not None for _ in range(3)]

    assert [True, False, False] == changes


async def test_passed_over_is_what_the_other_filter_did_not_want() -> None:
    """Of what lies beyond the gap the messages are named that the wish wants and the filter did not."""
    api = Api(info(), {40: "t.b", 42: "t.b", 43: "t.a", 44: "t.c.d", 50: "t.b"})

    found = await passed_over(api, WISH, UnverifiedRange(41, ("t.a",)), 50)

    assert [(42, 43), (44, 45)] == found


@pytest.mark.parametrize(
    ("before_s", "well_s", "expected"),
    [
        pytest.param(0.0, 0.0, 0.5, id="the first time soon"),
        pytest.param(0.5, 0.0, 1.0, id="then twice as long"),
        pytest.param(8.0, 1.0, 10.0, id="up to a limit"),
        pytest.param(10.0, 60.0, 0.5, id="soon again after it went well"),
    ],
)
def test_pause_grows_and_is_forgotten(before_s: float, well_s: float, expected: float) -> None:
    """Pauses double up to a limit, and begin anew after it went well for longer than that."""
    assert expected == next_pause_s(before_s, well_s)
