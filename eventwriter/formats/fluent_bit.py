"""
Fluent Bit's JSON: an array of events, each of which is an array of a time and a record.

The time is a number of seconds, or an array of it and an object of metadata.

Source: Fluent Bit, "Key Concepts", "Event Format".
"""

from typing import Any

from eventwriter.errors import Poison
from eventwriter.formats.json import check_count, load
from eventwriter.model import Record

_TIME, _METADATA = "@timestamp", "metadata"


def decode(payload: bytes, poison: Poison) -> list[Record]:
    """
    Return the records of a payload.

    Args:
        poison: Raised if the payload has another form.

    Raises:
        Poison: `poison`, or `too_large`.
    """
    events = load(payload)
    if events.__class__ is not list or not events or not all(map(_is_event, events)):
        raise poison
    check_count(0, events)
    return [_record(*event) for event in events]


def _is_event(value: Any) -> bool:
    if value.__class__ is not list or len(value) != 2 or value[1].__class__ is not dict:
        return False
    time = value[0]
    if time.__class__ is list:
        return len(time) == 2 and _is_time(time[0]) and time[1].__class__ is dict
    return _is_time(time)


def _is_time(value: Any) -> bool:
    return value.__class__ in (int, float, str)


def _record(time: Any, fields: Record) -> Record:
    """Return the record of an event. A key that the record has itself is stored as `fluent_bit.<key>`."""
    metadata: Record = {}
    if time.__class__ is list:
        time, metadata = time
    event = {_TIME: time, **({_METADATA: metadata} if metadata else {})}
    return {**fields, **{f"fluent_bit.{key}" if key in fields else key: value for key, value in event.items()}}
