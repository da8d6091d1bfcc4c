"""The column that keeps the payload, without its secrets."""

import orjson

from eventwriter.formats.cloudevents import is_binary
from eventwriter.formats.json import dumps, loads_clean
from eventwriter.model import Message, Record
from eventwriter.tables.redaction import Redactor

_UNSAFE = ("\\u", "\n", "NaN", "nfinity")
"""A payload with one of these may be several records, or JSON that PostgreSQL rejects."""


def raw_data(record: Record, kept: Record, message: Message, redactor: Redactor) -> str:
    """
    Return the text of the payload if it can be cast to jsonb and has no secrets, otherwise the record as JSON.

    A payload of several records always gives the JSON of this record, as does a CloudEvent in binary mode.

    Args:
        kept: The record without its secrets; the record itself if it has none.
    """
    if kept is record and message.payload.lstrip()[:1] == b"{" and not is_binary(message.headers or {}):
        whole = message.payload.decode("utf-8-sig").rstrip("\0")  # framing of GELF
        if _is_one_object(whole) and not redactor.has_escaped_secret(whole, message.subject):
            return whole
    return dumps(kept).decode()


def _is_one_object(whole: str) -> bool:
    for mark in _UNSAFE:
        if mark in whole:
            break
    else:
        return True
    try:
        orjson.loads(whole)
    except orjson.JSONDecodeError:
        return False
    return "\\u0000" not in whole


def castable(text: str) -> str:
    """Return text such that it can be cast to jsonb if it is a JSON object or array; other text is unchanged."""
    if text[:1] in ("{", "[") and not _is_one_object(text):
        try:
            return dumps(loads_clean(text)).decode()
        except ValueError:
            return text
    return text
