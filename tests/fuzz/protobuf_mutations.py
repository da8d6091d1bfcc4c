"""
Mutations of protobuf payloads in their wire format, field by field and without a schema.

A field is a list `[number, wire type, value]`; the value of an embedded message is a list of fields.
Source: Protocol Buffers documentation, "Encoding".
"""

import random
import struct
from collections.abc import Callable
from typing import Any

Field = list[Any]

_VARINT, _I64, _BYTES, _GROUP, _END, _I32 = range(6)
_DEPTH_MAX = 12
VARINTS = (0, 1, 2, 127, 128, 255, 256, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 1)
NUMBERS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 15, 16, 20, 101, 107, 112, 1000, 18_999, 19_000, 2**29 - 1)
BYTES = (
    b"", b"\0", b"a\0b", b"\xff\xfe", b"\xed\xa0\x80", b"x" * 10_000, bytes(16), bytes(8), b"\x0a\0\0\1", b"\1" * 15,
    b"\1" * 17, b"service.name", b"community", b"\xc3", "é\U0001f600".encode(), b"\x0a" * 200, b'{"a":"\\u0000"}',
    b"[1,2",
)  # fmt: skip
DOUBLES = (0.0, -0.0, 1.5, float("nan"), float("inf"), float("-inf"), 5e-324, 1.7976931348623157e308, -1e300)
DEPTHS = (2, 10, 30, 45, 49, 50, 51, 98, 200, 2000)


def varint(value: int) -> bytes:
    """Encode a number as a varint."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("too long")


def parse(data: bytes, depth: int = 0) -> list[Field] | None:
    """Return the fields of a message; None if the bytes are not a message."""
    fields: list[Field] = []
    at = 0
    try:
        while at < len(data):
            tag, at = _read_varint(data, at)
            number, wire_type = tag >> 3, tag & 7
            if wire_type == _VARINT:
                value: Any
                value, at = _read_varint(data, at)
            elif wire_type in (_I64, _I32):
                size = 8 if wire_type == _I64 else 4
                value, at = data[at : at + size], at + size
            elif wire_type == _BYTES:
                size, at = _read_varint(data, at)
                value, at = data[at : at + size], at + size
                if len(value) != size:
                    return None
                value = _inner(value, depth)
            else:
                return None
            if not number or at > len(data):
                return None
            fields.append([number, wire_type, value])
    except (IndexError, ValueError):
        return None
    return fields


def _inner(value: bytes, depth: int) -> Any:
    if depth >= _DEPTH_MAX or not value or all(0x20 <= byte < 0x7F for byte in value):
        return value
    return parse(value, depth + 1) or value


def encode(fields: list[Field]) -> bytes:
    """Encode a message."""
    return b"".join(_encode_field(*field) for field in fields)


def _encode_field(number: int, wire_type: int, value: Any) -> bytes:
    tag = varint(number << 3 | wire_type)
    if isinstance(value, tuple):  # raw bytes, regardless of the wire type
        return tag + value[0]
    if isinstance(value, int):
        return tag + varint(value)
    body = encode(value) if isinstance(value, list) else value
    return tag + (varint(len(body)) + body if wire_type == _BYTES else body)


def _places(fields: list[Field]) -> list[tuple[list[Field], int]]:
    found = []
    waiting = [fields]
    while waiting:
        one = waiting.pop()
        for at, field in enumerate(one):
            found.append((one, at))
            if isinstance(field[2], list):
                waiting.append(field[2])
    return found


def _body(value: Any) -> bytes:
    if isinstance(value, tuple):
        return bytes(value[0])
    return encode(value) if isinstance(value, list) else varint(value) if isinstance(value, int) else value


def _number(rng: random.Random, field: Field) -> None:
    field[0] = rng.choice(NUMBERS)


def _wire_type(rng: random.Random, field: Field) -> None:
    field[1] = rng.randrange(8)
    field[2] = (_body(field[2]),)


def _value(rng: random.Random, field: Field) -> None:
    if field[1] == _VARINT:
        field[2] = rng.choice(VARINTS) if rng.random() < 0.9 else (b"\xff" * rng.choice((9, 10, 11)) + b"\1",)
    elif field[1] == _I64:
        field[2] = rng.choice(
            (struct.pack("<d", rng.choice(DOUBLES)), struct.pack("<Q", rng.choice(VARINTS)), b"\xff" * 8)
        )
    elif field[1] == _I32:
        field[2] = struct.pack("<I", rng.choice((0, 1, 2**31, 2**32 - 1)))
    else:
        field[2] = rng.choice(BYTES) if rng.random() < 0.8 else rng.randbytes(rng.randrange(20))


def _wrong_length(rng: random.Random, field: Field) -> None:
    if field[1] == _BYTES:
        body = _body(field[2])
        length = rng.choice((len(body) + 1, max(0, len(body) - 1), 0, len(body) + 100, 2**31, 2**32 - 1, 2**63))
        field[2] = (varint(length) + body,)


def _deep(rng: random.Random, field: Field) -> None:
    """Nest deeply: AnyValue in arrays or lists of pairs, groups, or the field in itself."""
    depth, choice = rng.choice(DEPTHS), rng.randrange(4)
    if choice == 3:
        field[:] = [field[0], _GROUP, (varint(field[0] << 3 | _GROUP) * depth,)]
        return
    body = b"\x0a\x01x"
    for _ in range(depth):
        if choice == 0:
            body = _encode_field(5, _BYTES, _encode_field(1, _BYTES, body))
        elif choice == 1:
            body = _encode_field(6, _BYTES, _encode_field(1, _BYTES, b"\x0a\x01k" + _encode_field(2, _BYTES, body)))
        else:
            body = _encode_field(field[0], _BYTES, body)
    field[:] = [field[0], _BYTES, body]


_FIELD_MUTATIONS: tuple[Callable[[random.Random, Field], None], ...] = (
    _value, _value, _value, _value, _number, _wire_type, _wrong_length,
)  # fmt: skip


def mutate(rng: random.Random, payload: bytes, other: bytes) -> bytes:
    """
    Return a payload with one to four changes; a payload that is not protobuf is returned unchanged.

    Args:
        other: Another payload, from which fields are copied.
    """
    fields = parse(payload)
    if not fields:
        return payload
    for _ in range(rng.choice((1, 1, 2, 2, 3, 4))):
        _change(rng, fields, other)
        if not fields:
            break
    return encode(fields)


def _change(rng: random.Random, fields: list[Field], other: bytes) -> None:
    box, at = rng.choice(_places(fields))
    choice = rng.randrange(14)
    if choice == 0:
        del box[at]
    elif choice == 1:
        box[at:at] = [list(box[at])] * rng.choice((1, 2, 30))
    elif choice == 2:
        box.insert(
            at,
            [rng.choice(NUMBERS), *rng.choice(((0, 5), (1, bytes(8)), (2, b"x"), (5, bytes(4)), (3, b""), (4, b"")))],
        )
    elif choice == 3:
        rng.shuffle(box)
    elif choice == 4 and (foreign := parse(other)):
        their, there = rng.choice(_places(foreign))
        box[at] = their[there]
    elif choice == 5:
        _deep(rng, box[at])
    else:
        rng.choice(_FIELD_MUTATIONS)(rng, box[at])
