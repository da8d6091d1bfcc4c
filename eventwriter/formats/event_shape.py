"""
Which of the event shapes a record has: decided here, once, for every table that stores events.

Sources: OCSF schema 1.3.0, "Base Event"; CloudEvents 1.0.2, "JSON Event Format"; GELF 1.1.
"""

from enum import Enum, auto

from eventwriter.errors import Poison
from eventwriter.model import Record


class Shape(Enum):
    """What an event is, by the fields that tell."""

    OCSF = auto()
    """`class_uid`."""
    CLOUDEVENT = auto()
    """`specversion`."""
    GELF = auto()
    """`version`, `host` and `short_message`."""
    SNMP_TRAP = auto()
    """`varbinds`."""


def shape_of(record: Record) -> Shape:
    """
    Return a record's shape; the first that fits, in the order of `Shape`. Null is absence.

    Raises:
        Poison: `unknown_shape`.
    """
    # Hot: once per event and table.
    get = record.get
    if get("class_uid") is not None or get("classUid") is not None:
        return Shape.OCSF
    if get("specversion") is not None:
        return Shape.CLOUDEVENT
    if get("version") is not None and get("host") is not None and _short_message(record) is not None:
        return Shape.GELF
    if get("varbinds") is not None:
        return Shape.SNMP_TRAP
    raise Poison(
        "unknown_shape",
        "the record is no event that eventwriter knows: it has no class_uid (OCSF), no specversion (CloudEvents),"
        " not version, host and short_message together (GELF), and no varbinds (an SNMP trap)",
    )


def _short_message(record: Record) -> object:
    value = record.get("short_message")
    return record.get("shortMessage") if value is None else value
