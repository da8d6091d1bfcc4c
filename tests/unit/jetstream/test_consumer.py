"""How a consumer is created and updated, depending on the server's version and on the existing settings."""

from dataclasses import replace
from typing import Any

import pytest

from eventwriter.errors import Fatal
from eventwriter.jetstream.consumer import ConsumerSpec, differences, ensure, start_config


class ScriptedApi:
    """A JetStream API with one consumer; it records the requests."""

    prefix = "$JS.API"

    def __init__(self, version: tuple[int, int], config: dict[str, Any]) -> None:
        self.server_version = version
        self.config = config
        self.requests: list[tuple[str, Any]] = []

    async def request(self, verb: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        word = verb.split(".")[1]
        self.requests.append((word, body))
        if word == "DURABLE":
            assert body is not None
            self.config = body["config"]
        position = {"consumer_seq": 0, "stream_seq": (body or {}).get("seq", 1) - 1}
        return {
            "config": self.config, "created": "2026-01-01T00:00:00Z", "delivered": position, "ack_floor": position,
            "num_ack_pending": 0, "num_pending": 0,
        }  # fmt: skip

    def verbs(self) -> list[str]:
        return [verb for verb, _ in self.requests]


SPEC = ConsumerSpec("s", "d", ("a.>",), 60.0, 1000)
NOON = "2026-11-25T12:00:00Z"


def config(**changes: Any) -> dict[str, Any]:
    """Return the specified configuration with changes."""
    return SPEC.config() | changes


async def test_changed_filter_resets_consumer() -> None:
    """A consumer that had another filter has skipped messages, so it is reset to the ledger's floor."""
    api = ScriptedApi((2, 15), config(filter_subject="b.>"))

    state = await ensure(api, SPEC, 42)

    assert ["INFO", "DURABLE", "RESET"] == api.verbs()
    assert ({"seq": 42}, 41) == (api.requests[-1][1], state.delivered_stream_seq)


async def test_changed_filter_without_ledger_floor_updates_consumer() -> None:
    """A consumer that never delivered for these subjects is updated and keeps its position."""
    api = ScriptedApi((2, 15), config(filter_subject="b.>"))

    await ensure(api, SPEC, None)

    assert ["INFO", "DURABLE"] == api.verbs()


async def test_changed_filter_on_old_server_is_fatal() -> None:
    """A consumer whose server cannot reset it is not updated; the hint names the command that removes it."""
    api = ScriptedApi((2, 12), config(filter_subject="b.>"))

    with pytest.raises(Fatal) as caught:
        await ensure(api, SPEC, 42)

    assert "consumer_reset_unsupported" == caught.value.code
    assert "nats consumer rm s d" in str(caught.value.hint)
    assert ["INFO"] == api.verbs()


async def test_changed_ack_wait_updates_consumer() -> None:
    """A change that skips no message is updated, and the consumer keeps its position."""
    api = ScriptedApi((2, 15), config(ack_wait=10**9))

    await ensure(api, SPEC, 42)

    assert ["INFO", "DURABLE"] == api.verbs()
    assert {} == differences(SPEC.config(), api.config)


async def test_several_filters_on_old_server_are_fatal() -> None:
    """A server before 2.10, which would silently ignore several filters, gets no request."""
    api = ScriptedApi((2, 9), config())

    with pytest.raises(Fatal) as caught:
        await ensure(api, ConsumerSpec("s", "d", ("a", "b"), 60.0, 1000), None)

    assert ("consumer_filters_unsupported", []) == (caught.value.code, api.requests)


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
def test_missing_consumer_starts(start_seq: int | None, start_time: str | None, expected: dict[str, Any]) -> None:
    """A missing consumer starts at the ledger's floor, else at the configured time, else at the first message."""
    assert expected == start_config(replace(SPEC, start_time=start_time), start_seq)


@pytest.mark.parametrize(("actual", "differs"), [(999, True), (1000, False), (5000, False), (-1, False)])
def test_larger_max_ack_pending_is_no_difference(actual: int, differs: bool) -> None:
    """Two hosts with different numbers of workers on one durable keep the larger limit."""
    expected = SPEC.config() | {"max_ack_pending": 1000}

    found = differences(expected, expected | {"max_ack_pending": actual})

    assert differs == ("max_ack_pending" in found)
