"""
OTLP/JSON: camelCase keys (snake_case is taken too), identifiers in hex, 64-bit integers as text.

The counterpart of `otlp`, over plain dicts. What producers get wrong is read where its
meaning is plain (attributes as an object, identifiers in base64); the rest is poison.

Source: OpenTelemetry Protocol specification 1.5, "JSON Protobuf Encoding"; Protocol Buffers, "ProtoJSON Format".
"""

import base64
import binascii
import contextlib
import re
from collections.abc import Mapping
from typing import Any

from eventwriter.errors import Poison
from eventwriter.formats.fields import find, names, number, text
from eventwriter.model import Record

_BASE64_IDS = {24: 16, 12: 8}
"""Lengths of identifiers in base64 -> bytes: what protobuf's own JSON mapping writes, against OTLP's rule."""

_HEX = re.compile("[0-9A-Fa-f]+")

_KEY_VALUES = names("values")
_STRING, _INT, _DOUBLE = names("string_value"), names("int_value"), names("double_value")
_ARRAY, _KVLIST = names("array_value"), names("kvlist_value")
_BOOL_OR_BYTES = (*names("bool_value"), *names("bytes_value"))
_KINDS = frozenset({*_STRING, *_INT, *_DOUBLE, *_ARRAY, *_KVLIST, *_BOOL_OR_BYTES})


def json_list(value: Any, what: str) -> list[Record]:
    """
    Return the objects of a repeated field of OTLP/JSON; none where it is absent.

    Raises:
        Poison: `malformed`: it is no array of objects.
    """
    if value is None:
        return []
    if value.__class__ is list:
        for element in value:
            if element.__class__ is not dict:
                break
        else:
            return value
    raise Poison("malformed", f"{what} of the OTLP/JSON is no array of objects")


def json_object(value: Any, what: str) -> Record:
    """
    Return an object of OTLP/JSON; an empty one where it is absent.

    Raises:
        Poison: `malformed`: it is something else.
    """
    if value is None:
        return {}
    if value.__class__ is dict:
        return value
    raise Poison("malformed", f"{what} of the OTLP/JSON is no object")


def json_attributes(value: Any) -> dict[str, Any]:
    """
    Return attributes of OTLP/JSON as a dict; those that are an object already (against the rule), as they are.

    Raises:
        Poison: `malformed`: it is no list of keys and values.
    """
    if value.__class__ is dict:
        return value
    return {_key(pair.get("key")): json_plain(pair.get("value")) for pair in json_list(value, "attributes")}


def _key(value: Any) -> str:
    if value.__class__ is dict or value.__class__ is list:
        raise Poison("malformed", "a key of attributes of the OTLP/JSON is no text")
    return text(value) or ""


def json_plain(value: Any) -> Any:
    """Return an AnyValue of OTLP/JSON as plain Python; what is no AnyValue, as it is."""
    if value.__class__ is not dict:
        return value
    if (found := find(value, _STRING)) is not None:
        return text(found)
    if (found := find(value, _INT)) is not None:
        return json_whole(found)
    if (found := find(value, _DOUBLE)) is not None:
        return found if (as_number := number(found)) is None else as_number
    if (found := find(value, _ARRAY)) is not None:
        return [json_plain(inner) for inner in _values(found)]
    if (found := find(value, _KVLIST)) is not None:
        return json_attributes(_values(found))
    found = find(value, _BOOL_OR_BYTES)
    return found if found is not None or value.keys() & _KINDS else value or None


def _values(value: Any) -> list[Any]:
    found = find(json_object(value, "a list"), _KEY_VALUES)
    if found is None or found.__class__ is list:
        return found or []
    raise Poison("malformed", "values of the OTLP/JSON is no array")


def json_numbers(value: Any, what: str) -> list[Any]:
    """
    Return the numbers of a repeated field of OTLP/JSON, 64-bit integers also where they are text.

    Raises:
        Poison: `malformed`: it is no array.
    """
    if value is None or value.__class__ is list:
        return [json_whole(one) for one in value or ()]
    raise Poison("malformed", f"{what} of the OTLP/JSON is no array")


def json_whole(value: Any) -> Any:
    """Return a 64-bit integer that is written as text; what is none, as it is."""
    try:
        return int(value) if value.__class__ is str and len(value) < 40 and "_" not in value else value
    except ValueError:
        return value


def json_id(value: Any) -> str:
    """Return an identifier: hex in lower case, base64 of 16 or 8 bytes as hex, anything else as it is; '' for none."""
    found = text(value) or ""
    if _HEX.fullmatch(found):
        return found.lower()
    if size := _BASE64_IDS.get(len(found)):
        with contextlib.suppress(binascii.Error, ValueError):
            raw = base64.b64decode(found, validate=True)
            return raw.hex() if len(raw) == size else found
    return found


def json_enum(value: Any, prefix: str, numbers: Mapping[str, int]) -> Any:
    """
    Return an enum's number, given as number or name; anything else as it is.

    Args:
        prefix: What the names begin with; it may be left out (`SPAN_KIND_`).
        numbers: Name in upper case without the prefix -> number.
    """
    if value.__class__ is str:
        return numbers.get(value.upper().removeprefix(prefix), value)
    return value
