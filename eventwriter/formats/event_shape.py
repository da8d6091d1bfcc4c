"""
Recognition of the shape of an event, shared by all tables that store events.

Sources: OCSF schema 1.3.0, "Base Event"; CloudEvents 1.0.2, "JSON Event Format"; GELF 1.1.
"""

from enum import Enum, auto

from eventwriter.errors import Poison
from eventwriter.formats.fields import find
from eventwriter.formats.gelf import SHORT_MESSAGE
from eventwriter.model import Record


class Shape(Enum):
    """The shape of an event, recognized by the fields named below."""

    OCSF = auto()
    """`class_uid`."""
    CLOUDEVENT = auto()
    """`specversion`."""
    GELF = auto()
    """`version`, `host`, and `short_message` or `full_message`."""
    SNMP_TRAP = auto()
    """`varbinds`."""


def shape_of(record: Record) -> Shape:
    """
    Return the first shape, in the order of `Shape`, whose fields the record has. A null field counts as absent.

    Raises:
        Poison: `unknown_shape`.
    """
    # Hot: once per event and table.
    get = record.get
    if get("class_uid") is not None or get("classUid") is not None:
        return Shape.OCSF
    if get("specversion") is not None:
        return Shape.CLOUDEVENT
    if get("version") is not None and get("host") is not None and _has_message(record):
        return Shape.GELF
    if get("varbinds") is not None:
        return Shape.SNMP_TRAP
    raise Poison(
        "unknown_shape",
        "the record is not a known kind of event: it has no class_uid (OCSF), no specversion (CloudEvents),"
        " no version, host and short_message or full_message together (GELF), and no varbinds (SNMP trap)",
    )


def _has_message(record: Record) -> bool:
    # Hot: once per GELF message and table; nearly all have the first key.
    return record.get("short_message") is not None or find(record, SHORT_MESSAGE) is not None
