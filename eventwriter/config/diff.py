"""
Differences between two configurations, key by key, with values as a file has them. Pure.

Secrets are compared but never shown.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from eventwriter.config.describe import effective
from eventwriter.config.settings import Settings, StreamSettings

SECRET = "(hidden)"
"""Displayed value of a secret that changed."""
PRESENT = "present"
"""Displayed value of a whole stream entry that was added or removed."""


@dataclass(frozen=True, slots=True)
class Change:
    """
    One key whose value changed.

    Attributes:
        key: Key path, like `nats.servers` or `streams[NETFLOW].batch_size`.
        before: Previous value as a file has it; None if it was not set.
        after: New value as a file has it; None if it is not set.
    """

    key: str
    before: Any
    after: Any


def differences(before: Settings, after: Settings) -> list[Change]:
    """Return all differences in the order of the settings; stream entries are matched by name."""
    plain = [change for change in _section_changes(before, after, "") if change.key != "streams"]
    return [*plain, *_stream_changes(_by_name(before), _by_name(after))]


def _section_changes(before: BaseModel, after: BaseModel, path: str) -> Iterator[Change]:
    shown_before, shown_after = effective(before), effective(after)
    for name, field in type(before).model_fields.items():
        old, new, key = getattr(before, name), getattr(after, name), field.alias or name
        if old == new:
            continue
        if isinstance(old, BaseModel) and isinstance(new, BaseModel):
            yield from _section_changes(old, new, f"{path}{key}.")
        elif (old_value := shown_before[key]) != (new_value := shown_after[key]):
            yield Change(path + key, old_value, new_value)
        else:
            yield Change(path + key, SECRET, SECRET)


def _stream_changes(before: Mapping[str, StreamSettings], after: Mapping[str, StreamSettings]) -> Iterator[Change]:
    for name in {**before, **after}:
        old, new, path = before.get(name), after.get(name), f"streams[{name}]"
        if old is not None and new is not None:
            yield from _section_changes(old, new, f"{path}.")
        else:
            yield Change(path, old and PRESENT, new and PRESENT)
    if list(before) != list(after) and set(before) == set(after):
        yield Change("streams", list(before), list(after))


def _by_name(settings: Settings) -> dict[str, StreamSettings]:
    return {stream.name: stream for stream in settings.streams}
