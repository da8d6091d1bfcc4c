"""
CloudEvents in structured JSON: the envelope's `data`, and what it says, by its type.

Health and lifecycle events are ServiceRadar's; `data` with a `short_message` is GELF,
whatever the envelope's type; of anything else the usual names are read.

Source: CloudEvents 1.0.2, "JSON Event Format", section 3.1 "Handling of data".
"""

import base64
import binascii
from typing import Any

from eventwriter.formats.fields import INT4, find, instant_us, integer, json_value, names, number, text
from eventwriter.formats.gelf import REMOTE_ADDR, SHORT_MESSAGE, Said, gelf
from eventwriter.formats.json import clean_text
from eventwriter.model import Adjustments, Record

_GATEWAY = names("gateway_id", "poller_id", "pollerId")
_PREVIOUS, _CURRENT = names("previous_state"), names("current_state")
_SOURCE_ADDR = names("remote_addr", "source_ip", "sourceIp")
_DEVICE = names("device_id")
_HOST = ("host", "hostname", *_DEVICE, *_GATEWAY)
_MESSAGE = (*SHORT_MESSAGE, "message", "msg", "body", "summary", "description")
_GELF_VERSION = "1.1"
"""Of events that are told in GELF's terms though their data is not GELF."""

_HEALTH = {"unhealthy": (3, "error"), "unknown": (5, "notice")}
"""State to syslog level and its word; every other state is (6, info)."""


def data_of(envelope: Record) -> Any:
    """
    Return an envelope's data: JSON in text or in base64 is parsed, other text in base64 is text; None where
    there is none, or none that can be read.
    """
    data = envelope.get("data")
    return decoded(envelope.get("data_base64")) if data is None else json_value(data)


def decoded(encoded: Any) -> Any:
    """Return what text in base64 holds: JSON, parsed, or text; None for anything else."""
    if encoded.__class__ is not str:
        return None
    try:
        return json_value(clean_text(base64.b64decode(encoded, validate=True).decode()))
    except (binascii.Error, ValueError):
        return None


def said(envelope: Record) -> Said:
    """
    Return what an event says.

    Its timestamp wins over the envelope's `time`; it is None where the data has none, or is of no known
    type and the envelope has one.
    """
    data = data_of(envelope)
    if data.__class__ is not dict:
        return Said(short_message=data)
    kind = text(envelope.get("type")) or ""
    if kind.endswith((".poller.health", ".gateway.health")):
        return _health(data)
    if kind.endswith(".device.lifecycle"):
        return _lifecycle(data)
    if find(data, SHORT_MESSAGE) is not None:
        return gelf(data)
    return _generic(data, envelope)


def _health(data: Record) -> Said:
    """Tell a change of a gateway's (formerly: poller's) state."""
    name = text(find(data, _GATEWAY)) or "unknown"
    before, now = text(find(data, _PREVIOUS)) or "unknown", text(find(data, _CURRENT)) or "unknown"
    level, severity = _HEALTH.get(now.lower(), (6, "info"))
    what = "Gateway" if find(data, names("gateway_id")) is not None else "Poller"
    return Said(
        remote_addr=find(data, _SOURCE_ADDR),
        host=text(data.get("host")) or name,
        level=level,
        severity=severity,
        short_message=f"{what} {name} state changed from {before} to {now}",
        version=_GELF_VERSION,
        timestamp=data.get("timestamp"),
    )


def _lifecycle(data: Record) -> Said:
    """Tell what was done to a device."""
    device = text(find(data, _DEVICE)) or "unknown"
    action = (text(data.get("action")) or "changed").lower().replace("_", " ")
    actor = text(data.get("actor"))
    level = data.get("level")
    return Said(
        remote_addr=find(data, _SOURCE_ADDR),
        host=device,
        level=5 if integer(level, INT4, Adjustments()) is None else level,
        severity=text(data.get("severity")) or "Medium",
        short_message=f"Device {device} {action}" + (f" by {actor}" if actor else ""),
        version=_GELF_VERSION,
        timestamp=data.get("timestamp"),
    )


def _generic(data: Record, envelope: Record) -> Said:
    level, severity = data.get("level"), data.get("severity")
    if severity is None and level.__class__ is str and number(level) is None:
        severity = level
    return Said(
        remote_addr=find(data, REMOTE_ADDR),
        host=find(data, _HOST),
        level=level,
        severity=severity,
        short_message=find(data, _MESSAGE),
        version=data.get("version"),
        timestamp=data.get("timestamp") if instant_us(envelope.get("time")) is None else None,
    )
