"""
GELF messages, and the summary that the `events` table stores of an event of any form.

Source: Graylog, "GELF Payload Specification", version 1.1.
"""

from typing import Any, NamedTuple

from eventwriter.formats.fields import find, names
from eventwriter.model import Record

SHORT_MESSAGE, REMOTE_ADDR = (*names("short_message"), *names("full_message")), ("_remote_addr", *names("remote_addr"))


class EventSummary(NamedTuple):
    """The stored fields of an event, as the payload has them: not yet converted to the types of the columns."""

    remote_addr: Any = None
    host: Any = None
    level: Any = None
    """Syslog severity, 0 to 7."""
    severity: Any = None
    short_message: Any = None
    version: Any = None
    timestamp: Any = None


def gelf(message: Record) -> EventSummary:
    """Return the summary of a GELF message."""
    get = message.get
    return EventSummary(
        remote_addr=find(message, REMOTE_ADDR),
        host=get("host"),
        level=get("level"),
        severity=get("severity"),
        short_message=find(message, SHORT_MESSAGE),
        version=get("version"),
        timestamp=get("timestamp"),
    )
