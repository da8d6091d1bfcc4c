"""
What is different between two sets of settings, key by key, as a file has them; pure.

Secrets are compared and never shown.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from eventwriter.config.describe import effective
from eventwriter.config.settings import Settings, StreamSettings

SECRET = "a secret, not shown"


@dataclass(frozen=True, slots=True)
class Change:
    """
    One key that is otherwise.

    Attributes:
        key: Its path, like `nats.servers`, or `streams[NETFLOW].batch_size`.
        before, after: As a file has them; None where it was, or is, not set.
    """

    key: str
    before: Any
    after: Any


def differences(before: Settings, after: Settings) -> list[Change]:
    """Return every difference, in the settings' order; entries of streams are told apart by their names."""
    plain = [change for change in _between(before, after, "") if change.key != "streams"]
    return [*plain, *_of_streams(_named(before), _named(after))]


def _between(before: BaseModel, after: BaseModel, path: str) -> Iterator[Change]:
    shown_before, shown_after = effective(before), effective(after)
    for name, field in type(before).model_fields.items():
        old, new, key = getattr(before, name), getattr(after, name), field.alias or name
        if old == new:
            continue
        if isinstance(old, BaseModel) and isinstance(new, BaseModel):
            yield from _between(old, new, f"{path}{key}.")
        elif (was := shown_before[key]) != (now := shown_after[key]):
            yield Change(path + key, was, now)
        else:
            yield Change(path + key, SECRET, SECRET)


def _of_streams(before: Mapping[str, StreamSettings], after: Mapping[str, StreamSettings]) -> Iterator[Change]:
    for name in {**before, **after}:
        old, new, path = before.get(name), after.get(name), f"streams[{name}]"
        if old is not None and new is not None:
            yield from _between(old, new, f"{path}.")
        else:
            yield Change(path, old and "there", new and "there")
    if list(before) != list(after) and set(before) == set(after):
        yield Change("streams", list(before), list(after))


def _named(settings: Settings) -> dict[str, StreamSettings]:
    return {stream.name: stream for stream in settings.streams}
