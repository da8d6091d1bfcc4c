"""
GELF messages, and what the `events` table wants to know of any event, of whichever form.

Source: Graylog, "GELF Payload Specification", version 1.1.
"""

from typing import Any, NamedTuple

from eventwriter.formats.fields import find, names
from eventwriter.model import Record

SHORT_MESSAGE, REMOTE_ADDR = names("short_message"), ("_remote_addr", *names("remote_addr"))


class Said(NamedTuple):
    """What an event says of itself; values as the payload has them, not yet of any column's type."""

    remote_addr: Any = None
    host: Any = None
    level: Any = None
    """A syslog severity, 0 to 7."""
    severity: Any = None
    short_message: Any = None
    version: Any = None
    timestamp: Any = None


def gelf(message: Record) -> Said:
    """Return what a GELF message says."""
    get = message.get
    return Said(
        remote_addr=find(message, REMOTE_ADDR),
        host=get("host"),
        level=get("level"),
        severity=get("severity"),
        short_message=find(message, SHORT_MESSAGE),
        version=get("version"),
        timestamp=get("timestamp"),
    )
