"""Another number of workers for a stream: where it is safe."""

from typing import Any

import pytest

from eventwriter.config.settings import Settings
from eventwriter.errors import Fatal
from eventwriter.supervisor.reload import scaled


def settings(**entry: Any) -> Settings:
    plain = {"name": "A", "stream_name": "events", "subjects": ["a.>"], "kind": "telemetry"}
    other = {**plain, "name": "B", "subjects": ["b.>"]}
    return Settings.model_validate({"streams": [{**plain, **entry}, other]})


SHARED = {"partition_mode": "shared", "partitions": 3}
NUMBERED = {"subjects": ["a.{partition}.>"], "partitions": 3}


@pytest.mark.parametrize(
    ("entry", "workers"),
    [
        pytest.param(SHARED, 5, id="shared, more"),
        pytest.param(SHARED, 1, id="shared, one"),
        pytest.param(NUMBERED, 4, id="numbered subjects, more"),
        pytest.param({}, 1, id="as it is"),
    ],
)
def test_what_is_safe_is_done(entry: dict[str, Any], workers: int) -> None:
    """Slots of the stream are as many as asked, and no other entry changes."""
    given = settings(**entry)

    made = scaled(given, "A", workers)

    assert workers == sum(name.stream == "A" for name in made.slots())
    assert given.streams[1] == made.streams[1]


@pytest.mark.parametrize(
    ("entry", "workers", "words"),
    [
        pytest.param({}, 2, "edit its entry (partition_mode = shared", id="one worker"),
        pytest.param(
            {"partition_subjects": [["a.1"], ["a.2"]], "partitions": 2}, 3, "edit its partition_subjects", id="lists"
        ),
        pytest.param(NUMBERED, 2, "partitions 2 to 2 of stream A would be read by nobody", id="numbered, fewer"),
        pytest.param({**NUMBERED, "partitions": 1}, 2, "the durables of stream A are others", id="numbered, from one"),
        pytest.param(SHARED, 0, "0 workers are not possible: 1 to 256 are; `drain A` stops them all", id="none"),
        pytest.param(SHARED, 257, "257 workers are not possible", id="too many"),
        pytest.param({**SHARED, "enabled": False}, 2, "is not enabled", id="not enabled"),
    ],
)
def test_what_is_not_safe_says_what_to_edit(entry: dict[str, Any], workers: int, words: str) -> None:
    """A number that would lose or double messages is refused, with what to edit."""
    with pytest.raises(Fatal) as refusal:
        scaled(settings(**entry), "A", workers)

    assert words in str(refusal.value)


def test_unknown_stream_is_named_with_those_that_are_there() -> None:
    """A stream that is not there is a sentence."""
    with pytest.raises(Fatal, match="known entries are A, B"):
        scaled(settings(), "C", 2)
