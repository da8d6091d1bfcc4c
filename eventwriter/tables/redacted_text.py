"""
Payloads as text for display, without the values of redacted keys.

A payload that may hold a secret where it cannot be found for certain is withheld whole: text that is not JSON, objects
whose keys occur twice, and binary data. `eventwriter-ctl dlq export` has the payload itself.
"""

import json
from typing import Any

from eventwriter.errors import Poison
from eventwriter.formats.json import dumps, loads_clean
from eventwriter.model import Message
from eventwriter.tables.redaction import redactor, secret_finder, without

WITHHELD = "not shown: it may contain a key of `redact`"

_NAMES = ("key", "name")
"""Keys whose value names an attribute, as in OTLP's `{"key": …, "value": …}`."""


def displayable(message: Message, redact: frozenset[str]) -> str | None:
    """
    Return a message's payload as text without secrets; None if it is binary data without a redacted key.

    Args:
        redact: Redacted keys in lower case.
    """
    is_suspicious = secret_finder(redact)(message.payload)
    try:
        text = message.payload.decode("utf-8-sig")
        value = loads_clean(text)
    except (Poison, ValueError):
        return WITHHELD if is_suspicious else _printable_text(message.payload)
    try:
        kept = _without_pairs(_without_keys(value, message, redact), redact, message.subject)
        if is_suspicious and _has_repeated_keys(text):
            return WITHHELD
        return text if kept == value else dumps(kept).decode()
    except (Poison, ValueError, RecursionError):  # nested too deeply, or accepted only by a lenient JSON parser
        return WITHHELD


def _without_keys(value: Any, message: Message, redact: frozenset[str]) -> Any:
    redacted = redactor(redact)
    if isinstance(value, dict):
        return redacted(value, message)
    if isinstance(value, list):
        return [redacted(item, message) if isinstance(item, dict) else without(item, redact) for item in value]
    return without(value, redact)


def _printable_text(payload: bytes) -> str | None:
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return None
    return text if all(character.isprintable() or character in "\r\n\t" for character in text) else None


def _without_pairs(value: Any, redact: frozenset[str], subject: str) -> Any:
    """Return a JSON value in which attributes that have a redacted name have nothing but the name."""
    if isinstance(value, list):
        return [_without_pairs(item, redact, subject) for item in value]
    if not isinstance(value, dict):
        return value
    names = {key: item for key, item in value.items() if key.lower() in _NAMES and isinstance(item, str)}
    if any(not without({name: None}, redact, subject) for name in names.values()):
        return names
    return {key: _without_pairs(item, redact, subject) for key, item in value.items()}


def _has_repeated_keys(text: str) -> bool:
    """Return whether an object of JSON text has a key twice, so that a parser returns only one of its values."""
    repeated = False

    def visit(pairs: list[tuple[str, Any]]) -> None:
        nonlocal repeated
        repeated = repeated or len({key for key, _ in pairs}) < len(pairs)

    json.loads(text, object_pairs_hook=visit)
    return repeated
