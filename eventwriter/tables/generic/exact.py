"""The digits of numbers as a payload has them, for columns of type `numeric`."""

from typing import Any

from eventwriter.formats.json import parse_exactly
from eventwriter.model import Message, Record

_DIGITS_AND_POINT = bytes(ord("0") if chr(byte) in "0123456789." else byte for byte in range(256))
_LONG_NUMBER = "0" * 17
"""Every number with at most 15 digits, and a point, is the shortest text of its float."""
_COMPACT = (b"{", b"[")


class ExactRecords:
    """Parses the payload of a message a second time, with all digits, if it has a long number."""

    def __init__(self) -> None:
        self._message: Message | None = None
        self._records: list[Any] | None = None

    def record(self, message: Message, index: int) -> Record | None:
        """Return a record whose numbers are integers and Decimals; None if no number can have lost digits."""
        # Once per message, not once per record.
        if message is not self._message:
            self._message, self._records = message, _parse(message.payload)
        if self._records is None or index >= len(self._records):
            return None
        record = self._records[index]
        return record if record.__class__ is dict else None


def _parse(payload: bytes) -> list[Any] | None:
    if payload.lstrip()[:1] in _COMPACT and _LONG_NUMBER not in payload.translate(_DIGITS_AND_POINT).decode("latin-1"):
        return None
    try:
        text = payload.decode("utf-8-sig")
        value = _lines(text) if "\n" in text else parse_exactly(text, every_number=True)
    except (ValueError, RecursionError):
        return None
    return value if value.__class__ is list else [value]


def _lines(text: str) -> Any:
    """Parse one JSON value, or one on each line."""
    try:
        return parse_exactly(text, every_number=True)
    except ValueError:
        return [parse_exactly(line, every_number=True) for line in text.splitlines() if line.strip()]
