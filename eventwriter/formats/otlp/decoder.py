"""Decoders of payloads that are an OTLP export, in protobuf or JSON, or JSON objects of other forms."""

from collections.abc import Callable
from typing import Any

from eventwriter.errors import Poison
from eventwriter.formats import json
from eventwriter.formats.json import within_depth
from eventwriter.formats.otlp.encoding import PROTOBUF, SIGNALS, Encoding, Signal, parse, signal_of
from eventwriter.formats.otlp.json import JSON, Invalid, request_parser
from eventwriter.model import Message, Record, Records

Flatten = Callable[[Any, Encoding, Records], None]
"""(export request, its encoding, list to which its records are added)."""
ReadObject = Callable[[Record, Records], None]
"""(JSON object that is not an export, list to which its records are added)."""

_CONTAINERS = frozenset(
    spelling
    for level in ("resource", "scope", "instrumentation_library")
    for records in ("span", "spans", "metric", "metrics", "log", "logs")
    for snake in (f"{level}_{records}",)
    for pascal in (snake.title().replace("_", ""),)
    for spelling in (snake, pascal, pascal[0].lower() + pascal[1:], pascal.lower())
)
"""Keys of OTLP's containers, and misspellings of them. An object with one of them is an export or broken."""


class Decoder:
    """
    Decodes messages of a kind whose payloads are OTLP or JSON objects.

    Args:
        signal: The signal that the kind stores. Exports of the others are poison.
        flatten: Adds the records of an export; raises only `Poison`.
        read_object: Adds the records of a JSON object of another form; raises only `Poison`.
        time_field: Key of a record's time. An export without it may be one of another signal that happens to parse.
    """

    def __init__(self, signal: Signal, flatten: Flatten, read_object: ReadObject, time_field: str) -> None:
        self._signal = signal
        self._flatten = flatten
        self._read_object = read_object
        self._time_field = time_field
        self._parse_json = request_parser(signal.request.DESCRIPTOR)
        self._keys = _request_keys(signal)

    def __call__(self, message: Message) -> list[Record]:
        """
        Return the records of a message.

        Raises:
            Poison: `malformed`, and what `flatten` and `read_object` raise.
        """
        return json.decode_json_or_protobuf(message.payload, self._from_protobuf, self._from_json)

    def _from_protobuf(self, payload: bytes) -> list[Record]:
        records = Records()
        try:
            self._flatten(parse(payload, self._signal), PROTOBUF, records)
        except Poison as poison:
            if poison.reason == "too_large":
                raise
            raise _other_signal(payload, self._signal) or poison from None
        if records and not records[0][self._time_field]:
            error = _other_signal(payload, self._signal)
            if error is not None:
                raise error
        return records

    def _from_json(self, payload: bytes) -> list[Record]:
        return within_depth(self._from_objects, json.decode(payload))  # type: ignore[no-any-return]

    def _from_objects(self, objects: list[Record]) -> list[Record]:
        records, read_object = Records(), self._read_object
        for index, found in enumerate(objects):
            try:
                # Hot for JSON of other forms: once per record.
                if _CONTAINERS.isdisjoint(found):
                    read_object(found, records)
                else:
                    self._add_export(found, records)
            except Poison as poison:
                if len(objects) > 1:
                    raise Poison(poison.reason, f"element {index}: {poison.detail}") from None
                raise
        return records

    def _add_export(self, found: Record, records: Records) -> None:
        if self._keys.isdisjoint(found):
            raise _misplaced_container(found, self._signal)
        try:
            request = self._parse_json(found)
        except Invalid as error:
            raise error.poison() from None
        self._flatten(request, JSON, records)


def _request_keys(signal: Signal) -> frozenset[str]:
    field = signal.request.DESCRIPTOR.fields_by_name[signal.path[0]]
    return frozenset({field.name, field.json_name})


def _other_signal(payload: bytes, expected: Signal) -> Poison | None:
    """Return the error for an export of another signal, or None."""
    found = signal_of(payload)
    return None if found is None or found is expected else _wrong_signal(found.name, expected)


def _wrong_signal(found: str, expected: Signal) -> Poison:
    return Poison("malformed", f"the payload is an OTLP export of {found}, but this stream takes {expected.name}")


_REQUEST_KEYS = {key: signal for signal in SIGNALS for key in _request_keys(signal)}


def _misplaced_container(found: Record, expected: Signal) -> Poison:
    """Return the error for an object that is not an export of this signal but has a container of OTLP."""
    key = next(key for key in found if key in _CONTAINERS)
    if (signal := _REQUEST_KEYS.get(key)) is not None:
        return _wrong_signal(signal.name, expected)
    name = expected.request.DESCRIPTOR.fields_by_name[expected.path[0]].json_name
    return Poison("malformed", f"{key} is not a field of an OTLP/JSON export of {expected.name}, only {name} is")
