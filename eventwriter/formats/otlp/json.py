"""
OTLP/JSON, parsed into objects with the attributes of the generated protobuf classes.

Which fields a message has, their types and their defaults come from the protobuf descriptors, so that both
encodings have the same fields: an unknown field is an error, and a default that is written out is the
same as an absent field. Keys are in camelCase or snake_case. Deviations whose meaning is clear are accepted:
attributes as an object, identifiers in base64 or with `0x`, enums without their prefix.

Source: OpenTelemetry Protocol specification 1.5, "JSON Protobuf Encoding"; Protocol Buffers, "ProtoJSON Format".
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping, Sized
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from eventwriter.errors import Poison
from eventwriter.formats.fields import number, text
from eventwriter.formats.json import RECORDS_MAX
from eventwriter.formats.otlp.encoding import Encoding, resource_of, scope_of, with_repeated
from eventwriter.model import Record

_BASE64_LENGTHS = {24: 16, 12: 8}
"""Length of an identifier in base64 → bytes. protobuf's own JSON mapping writes base64, contrary to OTLP's rule."""
_HEX = re.compile("[0-9A-Fa-f]+")
_IDENTIFIER_BYTES = {"trace_id": 16, "span_id": 8, "parent_span_id": 8}
_DIGITS_MAX = 40
"""Longest text that is parsed as an integer; the time grows with the square of the length."""

_LEGACY_KEYS = {
    "ResourceSpans": {"instrumentationLibrarySpans": "scope_spans", "instrumentation_library_spans": "scope_spans"},
    "ResourceMetrics": {
        "instrumentationLibraryMetrics": "scope_metrics",
        "instrumentation_library_metrics": "scope_metrics",
    },
    "ResourceLogs": {"instrumentationLibraryLogs": "scope_logs", "instrumentation_library_logs": "scope_logs"},
    "ScopeSpans": {"instrumentationLibrary": "scope", "instrumentation_library": "scope"},
    "ScopeMetrics": {"instrumentationLibrary": "scope", "instrumentation_library": "scope"},
    "ScopeLogs": {"instrumentationLibrary": "scope", "instrumentation_library": "scope"},
    "LogRecord": {"name": "event_name"},
}
"""Keys of opentelemetry-proto before 0.20 → fields that have replaced them, by message."""


class Invalid(ValueError):
    """
    A value that OTLP does not allow at its place.

    Args:
        problem: What is wrong with it.
        reason: Reason of the dead letter.
    """

    def __init__(self, problem: str, reason: str = "malformed") -> None:
        super().__init__(problem)
        self.problem = problem
        self.reason = reason
        self.path = ""

    def at(self, step: str) -> "Invalid":
        """Return the error with one more step at the front of the path of its value."""
        self.path = step + self.path if self.path[:1] in ("", "[") else f"{step}.{self.path}"
        return self

    def poison(self) -> Poison:
        """Return the error of the message."""
        return Poison(self.reason, f"{self.path} of the OTLP/JSON {self.problem}")


# Values


def id_text(value: Any) -> str:
    """
    Return an identifier: hexadecimal digits in lower case without `0x`, base64 as hexadecimal digits.

    Other text is returned as it is. An identifier that is absent or consists of zeros becomes ''.
    """
    digits = text(value) or ""
    if digits[:2] in ("0x", "0X"):
        digits = digits[2:]
    if _HEX.fullmatch(digits):
        return digits.lower() if digits.strip("0") else ""
    if size := _BASE64_LENGTHS.get(len(digits)):
        try:
            raw = base64.b64decode(digits, validate=True)
        except (binascii.Error, ValueError):
            return digits
        if len(raw) == size:
            return raw.hex() if any(raw) else ""
    return digits


def enum_number(value: Any, names: Mapping[str, int]) -> Any:
    """Return the number of an enum name, with or without its prefix and in any case; return other values as is."""
    return names.get(value.strip().upper(), value) if value.__class__ is str else value


def enum_names(enum: EnumDescriptor) -> dict[str, int]:
    """Return the numbers of an enum by its names, with and without the prefix that the names share."""
    prefix = enum.values[0].name.rpartition("_")[0] + "_"
    numbers = {value.name: value.number for value in enum.values}
    return numbers | {name.removeprefix(prefix): value for name, value in numbers.items()}


def whole(value: Any) -> Any:
    """Return a 64-bit integer that is given as text or as an integral float; return other values as is."""
    if value.__class__ is str and value.isdecimal() and len(value) < _DIGITS_MAX:
        return int(value)
    if value.__class__ is str and len(value) < _DIGITS_MAX and "_" not in value:
        try:
            return int(value)
        except ValueError:
            return value
    if value.__class__ is float and value.is_integer():
        return int(value)
    return value


def attributes(value: Any) -> dict[str, Any]:
    """
    Return a list of keys and values as a dict, and an object (contrary to OTLP's rule) as it is.

    Raises:
        Invalid: The value is something else.
    """
    # Hot for OTLP/JSON: several attributes to a record. The usual ones are read without a call.
    if value.__class__ is not list:
        return value if value.__class__ is dict else _attributes(value)
    found: dict[str, Any] = {}
    for pair in value:
        if pair.__class__ is not dict or len(pair) != 2:
            return _attributes(value)
        key, inner = pair.get("key"), pair.get("value")
        if key.__class__ is not str or inner.__class__ is not dict:
            return _attributes(value)
        word = inner.get("stringValue")
        found[key] = word if word.__class__ is str and len(inner) == 1 else _plain(inner)
    return found if len(found) == len(value) else _attributes(value)


def _attributes(value: Any) -> dict[str, Any]:
    pairs = [(_key(pair), _value(pair)) for pair in _objects(value, _KEY_VALUE_KEYS)]
    found = dict(pairs)
    return found if len(found) == len(pairs) else with_repeated(pairs)


def _key(pair: Record) -> str:
    value = pair.get("key")
    if value.__class__ is str:
        return value
    if value.__class__ is dict or value.__class__ is list:
        raise Invalid("has a key that is not text")
    return text(value) or ""


def _value(pair: Record) -> Any:
    value = pair.get("value")
    return plain(value) if value.__class__ is dict else value


def _objects(value: Any, keys: frozenset[str]) -> list[Record]:
    """Return a list whose elements are objects with no other keys than these."""
    if value is None:
        return []
    if value.__class__ is not list:
        raise Invalid(f"is {_json_type(value)}, not an array")
    for element in value:
        if element.__class__ is not dict:
            raise Invalid(f"has {_json_type(element)} as an element, not an object")
        if not keys.issuperset(element):
            raise Invalid(f"has an unknown field {_unknown(element, keys)!r}")
    return value


def _unknown(found: Record, keys: Iterable[str]) -> str:
    return next(key for key in found if key not in keys)


_KEY_VALUE_KEYS = frozenset({"key", "value"})
_VALUES_KEYS = frozenset({"values"})


def plain(value: Any) -> Any:
    """
    Return an AnyValue as plain Python, and what is not an object as it is.

    Raises:
        Invalid: The object is not an AnyValue.
    """
    return _plain(value) if value.__class__ is dict else value


def _plain(value: Record) -> Any:
    found: Any = None
    for key, inner in value.items():
        convert = _VALUE_KINDS.get(key)
        if convert is None:
            raise Invalid(f"has an unknown field {key!r}")
        if inner is not None:
            if found is not None:
                raise Invalid("has several values")
            found = convert(inner)
    return found


def _double(value: Any) -> Any:
    converted = number(value)
    return value if converted is None or value.__class__ is bool else converted


def _list(value: Any) -> list[Any]:
    return [plain(inner) for inner in _values(value)]


def _values(value: Any) -> list[Any]:
    if value.__class__ is not dict:
        raise Invalid(f"has {_json_type(value)} as a list, not an object")
    if not _VALUES_KEYS.issuperset(value):
        raise Invalid(f"has an unknown field {_unknown(value, _VALUES_KEYS)!r}")
    values = value.get("values")
    if values is None or values.__class__ is list:
        return values or []
    raise Invalid(f"has {_json_type(values)} as values, not an array")


_VALUE_KINDS: dict[str, Callable[[Any], Any]] = {
    key: convert
    for keys, convert in (
        (("stringValue", "string_value"), text),
        (("intValue", "int_value"), whole),
        (("doubleValue", "double_value"), _double),
        (("boolValue", "bool_value", "bytesValue", "bytes_value"), lambda value: value),
        (("arrayValue", "array_value"), _list),
        (("kvlistValue", "kvlist_value"), lambda value: attributes(_values(value))),
    )
    for key in keys
}


def _json_type(value: Any) -> str:
    names = {dict: "an object", list: "an array", str: "text", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


# Converters of fields, by type


def _text_field(value: Any) -> str:
    if value.__class__ is str:
        return value
    if value.__class__ is dict or value.__class__ is list:
        raise Invalid(f"is {_json_type(value)}, not text")
    return text(value) or ""


def _number_field(value: Any) -> float:
    if value.__class__ is float:
        return value
    converted = number(value) if value.__class__ is not bool else None
    if converted is None:
        raise Invalid(f"is {text(value)!r}, not a number", "bad_value")
    return converted


def _integer_field(value: Any) -> int:
    if value.__class__ is str and value.isdecimal() and len(value) < _DIGITS_MAX:
        return int(value)
    converted = value if value.__class__ is int else whole(value)
    if converted.__class__ is not int:
        raise Invalid(f"is {text(value)!r}, not an integer", "bad_value")
    return converted


def _boolean_field(value: Any) -> bool:
    if value.__class__ is bool:
        return value
    if value in ("true", "false"):
        return bool(value == "true")
    raise Invalid(f"is {text(value)!r}, not a boolean", "bad_value")


def _enum_field(enum: EnumDescriptor) -> Callable[[Any], int]:
    names = enum_names(enum)

    def convert(value: Any) -> int:
        converted = names.get(value) if value.__class__ is str else None
        if converted is None:
            converted = whole(enum_number(value, names))
        if converted.__class__ is not int:
            raise Invalid(f"is {text(value)!r}, not a name or a number of {enum.name}", "bad_value")
        return converted

    return convert


def _identifier_field(size: int) -> Callable[[Any], bytes]:
    def convert(value: Any) -> bytes:
        if value.__class__ is str and len(value) == 2 * size:
            try:
                if len(raw := bytes.fromhex(value)) == size:
                    return raw
            except ValueError:
                pass
        digits = id_text(value)
        if not digits:
            return b""
        if len(digits) != 2 * size or not _HEX.fullmatch(digits):
            raise Invalid(f"is {text(value)!r}, not an identifier of {size} bytes")
        return bytes.fromhex(digits)

    return convert


def _list_field(convert: Callable[[Any], Any], unchanged: type | None = None) -> Callable[[Any], list[Any]]:
    def convert_all(value: Any) -> list[Any]:
        if value.__class__ is not list:
            raise Invalid(f"is {_json_type(value)}, not an array")
        if len(value) > RECORDS_MAX:
            raise Invalid(f"has {len(value):,} elements, more than {RECORDS_MAX:,}; publish it in parts", "too_large")
        index = 0
        converted: list[Any] = []
        try:
            for index, element in enumerate(value):  # noqa: B007  # used when it fails
                converted.append(element if element.__class__ is unchanged else convert(element))
        except Invalid as error:
            raise error.at(f"[{index}]") from None
        return converted

    return convert_all


_INTEGERS = (
    FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_UINT32, FieldDescriptor.TYPE_UINT64,
    FieldDescriptor.TYPE_SINT32, FieldDescriptor.TYPE_FIXED32, FieldDescriptor.TYPE_FIXED64,
    FieldDescriptor.TYPE_SFIXED64,
)  # fmt: skip


def _scalar(field: FieldDescriptor) -> Callable[[Any], Any]:
    if field.type in _INTEGERS:
        # Times are read more leniently: the tables accept ISO 8601 and coarser units.
        return whole if field.name.endswith("time_unix_nano") else _integer_field
    if field.enum_type is not None:
        return _enum_field(field.enum_type)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _identifier_field(_IDENTIFIER_BYTES[field.name])
    return {
        FieldDescriptor.TYPE_DOUBLE: _number_field,
        FieldDescriptor.TYPE_BOOL: _boolean_field,
        FieldDescriptor.TYPE_STRING: _text_field,
    }[field.type]


# Messages


class JsonMessage:
    """
    Base of the classes that stand for protobuf classes, one for each message type.

    Fields that the JSON has are attributes of the object; defaults are attributes of the class.
    """

    DESCRIPTOR: Descriptor

    def HasField(self, name: str) -> bool:  # noqa: N802  # protobuf's name
        """Return whether the JSON has a field."""
        return name in self.__dict__

    def WhichOneof(self, group: str) -> str | None:  # noqa: N802  # protobuf's name
        """Return the field of a oneof group that the JSON has, or None."""
        present = self.__dict__
        for field in self.DESCRIPTOR.oneofs_by_name[group].fields:
            if field.name in present:
                return str(field.name)
        return None


class _Parser:
    """
    Parses JSON objects of one message type.

    Attributes:
        default: Object with the defaults of all fields.
    """

    def __init__(self, descriptor: Descriptor) -> None:
        self._name = descriptor.name
        self._fields: dict[str, tuple[str, type | None, Callable[[Any], Any]]] = {}
        """Key → (name of the field, type of values that need no conversion, converter of other values)."""
        self._oneofs = [
            frozenset(field.name for field in oneof.fields) for oneof in descriptor.oneofs if len(oneof.fields) > 1
        ]
        defaults: dict[str, Any] = {"DESCRIPTOR": descriptor}
        for field in descriptor.fields:
            convert, defaults[field.name] = _field(field)
            for key in (field.json_name, field.name):
                self._fields[key] = field.name, None if field.is_repeated else _UNCHANGED.get(field.type), convert
        for key, name in _LEGACY_KEYS.get(descriptor.name, {}).items():
            self._fields.setdefault(key, self._fields[name])
        self._type = type(descriptor.name, (JsonMessage,), defaults)
        self.default = self._type()

    def __call__(self, value: Any) -> Any:
        """
        Parse an object.

        Raises:
            Invalid: It is not an object, or a field of it is unknown or has a value that it cannot have.
        """
        # Hot for OTLP/JSON: once per message, its nested ones included.
        if value.__class__ is not dict:
            raise Invalid(f"is {_json_type(value)}, not an object")
        values: dict[str, Any] = {}
        fields, key = self._fields, ""
        try:
            for key, inner in value.items():
                if inner is None:
                    continue
                name, unchanged, convert = fields[key]
                if inner.__class__ is not unchanged:
                    inner = convert(inner)
                if name in values:
                    inner = _joined(values[name], inner)
                values[name] = inner
        except KeyError:
            raise Invalid(f"is not a field of {self._name}").at(key) from None
        except Invalid as error:
            raise error.at(key) from None
        for oneof in self._oneofs:
            if len(oneof & values.keys()) > 1:
                raise Invalid(f"has several of {', '.join(sorted(oneof & values.keys()))}, of which one may be present")
        message = self._type()
        message.__dict__ = values
        return message


_UNCHANGED: dict[int, type] = {
    **dict.fromkeys(_INTEGERS, int),
    FieldDescriptor.TYPE_ENUM: int,
    FieldDescriptor.TYPE_DOUBLE: float,
    FieldDescriptor.TYPE_BOOL: bool,
    FieldDescriptor.TYPE_STRING: str,
}
"""Field type → type of JSON values that need no conversion."""


def _joined(first: Any, second: Any) -> Any:
    """Return the elements of a list that was given under two of its names; refuse any other repetition."""
    if first.__class__ is list and second.__class__ is list:
        return first + second
    raise Invalid("repeats a field that is present already")


def _field(field: FieldDescriptor) -> tuple[Callable[[Any], Any], Any]:
    """Return a field's (converter, default)."""
    if field.message_type is None:
        convert = _scalar(field)
        unchanged = _UNCHANGED.get(field.type)
        return (_list_field(convert, unchanged), ()) if field.is_repeated else (convert, field.default_value)
    if field.message_type.name == "KeyValue":
        return attributes, {}
    if field.message_type.name == "AnyValue":
        return plain, None
    parse = _Parser(field.message_type)
    return (_list_field(parse), ()) if field.is_repeated else (parse, parse.default)


def request_parser(descriptor: Descriptor) -> Callable[[Any], Any]:
    """Return the function that parses an export request; it raises `Invalid` for a value that is not one."""
    return _Parser(descriptor)


def _scopes(group: Any, field: str) -> Iterable[Any]:
    scopes: Iterable[Any] = getattr(group, field)
    return scopes


def _unknown_fields(_message: Any) -> Sized:
    return ()


JSON = Encoding(
    attributes=lambda value: value,
    plain=lambda value: value,
    resource=lambda message: resource_of(message, message.attributes),
    scope=lambda message: scope_of(message, message.attributes),
    scopes=_scopes,
    unknown=_unknown_fields,
)
