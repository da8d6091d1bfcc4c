"""What is asked of a consumer, by the server's version and by what is found."""

from dataclasses import replace
from typing import Any

import pytest

from eventwriter.errors import Fatal
from eventwriter.jetstream.consumer import ConsumerSpec, begin, differences, ensure


class Api:
    """JetStream's API as a script: one consumer, and what was asked."""

    prefix = "$JS.API"

    def __init__(self, version: tuple[int, int], config: dict[str, Any]) -> None:
        self.server_version = version
        self.config = config
        self.asked: list[tuple[str, Any]] = []

    async def request(self, verb: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        word = verb.split(".")[1]
        self.asked.append((word, body))
        if word == "DURABLE":
            assert body is not None
            self.config = body["config"]
        at = {"consumer_seq": 0, "stream_seq": (body or {}).get("seq", 1) - 1}
        return {
            "config": self.config, "created": "2026-01-01T00:00:00Z", "delivered": at, "ack_floor": at,
            "num_ack_pending": 0, "num_pending": 0,
        }  # fmt: skip


WISH = ConsumerSpec("s", "d", ("a.>",), 60.0, 1000)
NOON = "2026-11-25T12:00:00Z"


def found(**changes: Any) -> dict[str, Any]:
    """Return the wished consumer's configuration, changed by hand."""
    return WISH.config() | changes


async def test_changed_filter_sets_the_consumer_back() -> None:
    """A consumer that had another filter passed over messages, and begins again where the ledger ends."""
    api = Api((2, 15), found(filter_subject="b.>"))

    state = await ensure(api, WISH, 42)

    assert ["INFO", "DURABLE", "RESET"] == [word for word, _ in api.asked]
    assert ({"seq": 42}, 41) == (api.asked[-1][1], state.delivered_stream_seq)


async def test_changed_filter_without_a_ledger_is_only_updated() -> None:
    """A consumer that never delivered for these subjects is updated, and keeps its place."""
    api = Api((2, 15), found(filter_subject="b.>"))

    await ensure(api, WISH, None)

    assert ["INFO", "DURABLE"] == [word for word, _ in api.asked]


async def test_changed_filter_on_an_old_server_is_for_an_operator() -> None:
    """A server that cannot set a consumer back gets no update: the sentence says what to do."""
    api = Api((2, 12), found(filter_subject="b.>"))

    with pytest.raises(Fatal, match=r"nats consumer rm s d\): it is made anew from sequence 42"):
        await ensure(api, WISH, 42)

    assert ["INFO"] == [word for word, _ in api.asked]


async def test_changed_wait_is_set_right_in_place() -> None:
    """Settings that pass nothing over are updated, and the consumer keeps its place."""
    api = Api((2, 15), found(ack_wait=10**9))

    await ensure(api, WISH, 42)

    assert ["INFO", "DURABLE"] == [word for word, _ in api.asked]
    assert {} == differences(WISH.config(), api.config)


async def test_several_filters_on_a_server_that_knows_one() -> None:
    """A server before 2.10 is not asked for several filters, which it would leave out in silence."""
    api = Api((2, 9), found())

    with pytest.raises(Fatal, match=r"needs 2 filter subjects \(a, b\), and this NATS is a 2\.9"):
        await ensure(api, ConsumerSpec("s", "d", ("a", "b"), 60.0, 1000), None)

    assert [] == api.asked


@pytest.mark.parametrize(
    ("start_seq", "start_time", "expected"),
    [
        (None, None, {}),
        (42, None, {"deliver_policy": "by_start_sequence", "opt_start_seq": 42}),
        (None, NOON, {"deliver_policy": "by_start_time", "opt_start_time": NOON}),
        (42, NOON, {"deliver_policy": "by_start_sequence", "opt_start_seq": 42}),
    ],
    ids=["first message", "ledger", "time", "ledger before time"],
)
def test_missing_consumer_begins(start_seq: int | None, start_time: str | None, expected: dict[str, Any]) -> None:
    """A missing consumer begins where the ledger ends, else at the operator's time, else at the first message."""
    assert expected == begin(replace(WISH, start_time=start_time), start_seq)
