"""
CloudEvents in structured JSON and in binary mode: the `data` of the envelope, and the summary of an event by its type.

Health and lifecycle events are ServiceRadar's. `data` with a `short_message` is GELF, whatever the
type of the envelope. Any other `data` is searched for the usual field names.

Source: CloudEvents 1.0.2, "JSON Event Format", section 3.1 "Handling of data"; "NATS Protocol
Binding", section 3.1 "Binary Content Mode".
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from eventwriter.errors import Poison
from eventwriter.formats.compression import ENCODING_HEADER, MAGIC
from eventwriter.formats.fields import find, instant_us, json_value, names, number, text, whole
from eventwriter.formats.gelf import REMOTE_ADDR, SHORT_MESSAGE, EventSummary, gelf
from eventwriter.formats.json import clean_text, load
from eventwriter.model import Record

_HEADER_PREFIX, _VERSION, _CONTENT_TYPE = "ce-", "specversion", "content-type"
_STRUCTURED, _JSON = "application/cloudevents", "application/json"
"""Media type of structured mode and, with `-batch`, of batches; media type of data in JSON."""
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


def is_binary(headers: Mapping[str, str]) -> bool:
    """Return whether the headers of a message have the attributes of an event."""
    return any(name.lower() == _HEADER_PREFIX + _VERSION for name in headers)


def from_headers(headers: Mapping[str, str], payload: bytes) -> Record | None:
    """
    Return the structured form of an event in binary mode, whose attributes are headers; None for other messages.

    The data is JSON unless `Content-Type` says otherwise. Data that is neither JSON nor text becomes `data_base64`.

    Raises:
        Poison: `malformed`: the data is not JSON although its type is, or must be expanded first.
    """
    attributes: Record = {}
    content_type = encoding = ""
    for name, value in headers.items():
        lower = name.lower()
        if lower.startswith(_HEADER_PREFIX):
            attributes[lower.removeprefix(_HEADER_PREFIX)] = clean_text(unquote(value))
        elif lower == _CONTENT_TYPE:
            content_type = value
        elif lower == ENCODING_HEADER:
            encoding = value
    if _VERSION not in attributes or content_type.lower().startswith(_STRUCTURED):
        return None
    if encoding and payload.startswith(MAGIC):
        raise Poison("malformed", f"the data of the event is compressed by {encoding}")
    if content_type:
        attributes["datacontenttype"] = clean_text(content_type)
    return {**attributes, **_binary_data(payload, content_type.partition(";")[0].strip().lower())}


def _binary_data(payload: bytes, media_type: str) -> Record:
    if not payload:
        return {}
    if not media_type or media_type == _JSON or media_type.endswith(("+json", "/json")):
        return {"data": load(payload)}
    if media_type.startswith("text/") or media_type.endswith("xml"):
        try:
            return {"data": clean_text(payload.decode())}
        except UnicodeDecodeError:
            pass
    return {"data_base64": base64.b64encode(payload).decode()}


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
