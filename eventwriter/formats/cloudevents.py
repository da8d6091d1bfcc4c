"""
CloudEvents in structured JSON: the `data` of the envelope, and the summary of an event by its type.

Health and lifecycle events are ServiceRadar's. `data` with a `short_message` is GELF, whatever the
type of the envelope. Any other `data` is searched for the usual field names.

Source: CloudEvents 1.0.2, "JSON Event Format", section 3.1 "Handling of data".
"""

import base64
import binascii
from typing import Any

from eventwriter.formats.fields import find, instant_us, json_value, names, number, text, whole
from eventwriter.formats.gelf import REMOTE_ADDR, SHORT_MESSAGE, EventSummary, gelf
from eventwriter.formats.json import clean_text
from eventwriter.model import Record

_GATEWAY = names("gateway_id", "poller_id", "pollerId")
_PREVIOUS, _CURRENT = names("previous_state"), names("current_state")
_SOURCE_ADDR = names("remote_addr", "source_ip", "sourceIp")
_DEVICE = names("device_id")
_HOST = ("host", "hostname", *_DEVICE, *_GATEWAY)
_MESSAGE = (*SHORT_MESSAGE, "message", "msg", "body", "summary", "description")
_GELF_VERSION = "1.1"
"""Version of summaries that use GELF's fields although their data is not GELF."""

_HEALTH = {
    "offline": (2, "critical"), "unhealthy": (3, "error"), "degraded": (4, "warning"), "unknown": (5, "notice"),
}  # fmt: skip
"""State → (syslog level, its name); every other state is (6, info)."""


def data_of(envelope: Record) -> Any:
    """
    Return the data of an envelope: JSON in text or in base64 is parsed, other base64 becomes text.

    The result is None if there is no data or if it is unreadable.
    """
    data = envelope.get("data")
    return decode_base64(envelope.get("data_base64")) if data is None else json_value(data)


def decode_base64(encoded: Any) -> Any:
    """Return the JSON value or the text that base64 text contains; None for anything else."""
    if encoded.__class__ is not str:
        return None
    try:
        return json_value(clean_text(base64.b64decode(encoded, validate=True).decode()))
    except (binascii.Error, ValueError):
        return None


def summarize(envelope: Record) -> EventSummary:
    """
    Return the summary of an event.

    Its timestamp takes precedence over the envelope's `time`. It is None if the data has no
    timestamp, or if the type of the data is unknown and the envelope has a `time`.
    """
    data = data_of(envelope)
    if data.__class__ is not dict:
        return EventSummary(short_message=data)
    kind = text(envelope.get("type")) or ""
    if kind.endswith((".poller.health", ".gateway.health")):
        return _health(data)
    if kind.endswith(".device.lifecycle"):
        return _lifecycle(data)
    if find(data, SHORT_MESSAGE) is not None:
        return gelf(data)
    return _generic(data, envelope)


def _health(data: Record) -> EventSummary:
    """Describe a state change of a gateway (formerly called poller)."""
    name = text(find(data, _GATEWAY)) or "unknown"
    before, after = text(find(data, _PREVIOUS)) or "unknown", text(find(data, _CURRENT)) or "unknown"
    level, severity = _HEALTH.get(after.lower(), (6, "info"))
    what = "Gateway" if find(data, names("gateway_id")) is not None else "Poller"
    return EventSummary(
        remote_addr=find(data, _SOURCE_ADDR),
        host=text(data.get("host")) or name,
        level=level,
        severity=severity,
        short_message=f"{what} {name} state changed from {before} to {after}",
        version=_GELF_VERSION,
        timestamp=data.get("timestamp"),
    )


def _lifecycle(data: Record) -> EventSummary:
    """Describe an action on a device."""
    device = text(find(data, _DEVICE)) or "unknown"
    action = (text(data.get("action")) or "changed").lower().replace("_", " ")
    actor = text(data.get("actor"))
    level = data.get("level")
    return EventSummary(
        remote_addr=find(data, _SOURCE_ADDR),
        host=device,
        level=5 if whole(level) is None else level,
        severity=text(data.get("severity")) or "Medium",
        short_message=f"Device {device} {action}" + (f" by {actor}" if actor else ""),
        version=_GELF_VERSION,
        timestamp=data.get("timestamp"),
    )


def _generic(data: Record, envelope: Record) -> EventSummary:
    level, severity = data.get("level"), data.get("severity")
    if severity is None and level.__class__ is str and number(level) is None:
        severity = level
    return EventSummary(
        remote_addr=find(data, REMOTE_ADDR),
        host=find(data, _HOST),
        level=level,
        severity=severity,
        short_message=find(data, _MESSAGE),
        version=data.get("version"),
        timestamp=data.get("timestamp") if instant_us(envelope.get("time")) is None else None,
    )
