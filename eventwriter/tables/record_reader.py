"""
Reading of a record whose fields may have several names; what no column takes remains.

Of the names of a field the first one with a readable value wins. All other values stay in `rest`, which the
row builder stores in the column for remaining fields, so that nothing of a payload disappears. Unreadable
values are counted by column.

Row builders use it for records that differ from the usual ones, which they read without it.
"""

from collections.abc import Callable, Sequence
from typing import Any

from eventwriter.formats.fields import boolean, instant_us, is_blank, json_value, number, text, whole
from eventwriter.model import Adjustments, Record


class RecordReader:
    """
    The fields of one record.

    Attributes:
        rest: The fields that were not read yet; null is absence.
    """

    __slots__ = ("_adjustments", "rest")

    def __init__(self, record: Record, adjustments: Adjustments) -> None:
        self.rest: Record = {key: value for key, value in record.items() if value is not None}
        self._adjustments = adjustments

    def first(self, column: str | None, keys: Sequence[str], read: Callable[[Any], Any]) -> Any:
        """
        Take the first readable value of a field, and those of its other names that are equal.

        Args:
            column: Where unreadable values are counted. None counts nothing, for names with several meanings.
            read: Converts a value; returns None if it is unreadable.
        """
        rest = self.rest
        for key in keys:
            if (value := rest.get(key)) is None:
                continue
            if (converted := read(value)) is not None:
                self._take(key, value, keys)
                return converted
            if column is not None and not is_blank(value):
                self._adjustments.nulled_by_column.add(column)
        return None

    def _take(self, key: str, value: Any, keys: Sequence[str]) -> None:
        rest = self.rest
        del rest[key]
        for other in keys:
            if other in rest and rest[other].__class__ is value.__class__ and rest[other] == value:
                del rest[other]

    def text(self, keys: Sequence[str]) -> str | None:
        """Take a text; every value is readable, numbers and objects as their JSON."""
        return self.first(None, keys, text)  # type: ignore[no-any-return]

    def filled_text(self, keys: Sequence[str]) -> str | None:
        """Take a text that is neither empty nor white space only."""
        return self.first(None, keys, filled)  # type: ignore[no-any-return]

    def integer(self, column: str, keys: Sequence[str], limits: tuple[int, int]) -> int | None:
        """Take an integer, clamped to `limits`; a clamped one is counted and stays in `rest`."""
        rest = self.rest
        low, high = limits
        for key in keys:
            if (value := rest.get(key)) is None:
                continue
            exact = whole(value)
            if exact is None:
                if not is_blank(value):
                    self._adjustments.nulled_by_column.add(column)
                continue
            if low <= exact <= high:
                self._take(key, value, keys)
                return exact
            self._adjustments.clamped_by_column.add(column)
            return low if exact < low else high
        return None

    def number(self, column: str, keys: Sequence[str]) -> float | None:
        """Take a float."""
        return self.first(column, keys, number)  # type: ignore[no-any-return]

    def boolean(self, column: str, keys: Sequence[str]) -> bool | None:
        """Take a boolean."""
        return self.first(column, keys, boolean)  # type: ignore[no-any-return]

    def instant_us(self, column: str, keys: Sequence[str]) -> int | None:
        """Take an instant, as microseconds since 1970 UTC."""
        return self.first(column, keys, instant_us)  # type: ignore[no-any-return]

    def json(self, key: str) -> Any:
        """Take a value for a JSON column; text that contains JSON is parsed."""
        return json_value(self.rest.pop(key, None))

    def object(self, column: str, keys: Sequence[str]) -> Record | None:
        """Take an object."""
        return self.first(column, keys, object_or_none)  # type: ignore[no-any-return]

    def array(self, column: str, keys: Sequence[str]) -> list[Any] | None:
        """Take an array; an object becomes its only element."""
        return self.first(column, keys, array_or_none)  # type: ignore[no-any-return]

    def count_unreadable(self, column: str) -> None:
        """Count a value that the column cannot hold and that remains."""
        self._adjustments.nulled_by_column.add(column)

    def remaining(self) -> Record:
        """Return the values that were not taken, for a JSON column."""
        return {key: json_value(value) for key, value in self.rest.items()}


class PathReader(RecordReader):
    """
    A `RecordReader` in which the name of a field may be a path into objects (`log.level`).

    A field that is spelled like the whole path is preferred to the path.
    """

    __slots__ = ()

    def first(self, column: str | None, keys: Sequence[str], read: Callable[[Any], Any]) -> Any:
        """Take the first readable value of a field, and those of its other names that are equal."""
        for key in keys:
            value = self.value(key)
            if value is None:
                continue
            if (converted := read(value)) is not None:
                self.take(key, value, keys)
                return converted
            if column is not None and not is_blank(value):
                self._adjustments.nulled_by_column.add(column)
        return None

    def value(self, key: str) -> Any:
        """Return the value of a field, or None."""
        rest = self.rest
        if (value := rest.get(key)) is not None or "." not in key:
            return value
        inner: Any = rest
        for step in key.split("."):
            if inner.__class__ is not dict:
                return None
            inner = inner.get(step)
        return inner

    def take(self, key: str, value: Any, keys: Sequence[str] = ()) -> None:
        """Remove a field, and those of `keys` with an equal value."""
        for other in (key, *keys):
            found = self.value(other)
            if other == key or (found.__class__ is value.__class__ and found == value):
                self._remove(other)

    def _remove(self, key: str) -> None:
        if self.rest.pop(key, None) is None and "." in key:
            self.rest = _without(self.rest, key.split("."))


def _without(fields: Record, steps: Sequence[str]) -> Record:
    """Return an object without the field at a path; objects that become empty are removed too."""
    inner = fields.get(steps[0])
    if len(steps) == 1 or inner.__class__ is not dict:
        left: Any = None
    else:
        left = _without(inner, steps[1:]) or None
    return {key: left if key == steps[0] else value for key, value in fields.items() if key != steps[0] or left}


def filled(value: Any) -> str | None:
    """Return a value as text, or None for text that is empty or white space only."""
    return None if is_blank(value) else text(value)


def object_or_none(value: Any) -> Record | None:
    """Return an object, parsing JSON text; None for anything else."""
    value = json_value(value)
    return value if value.__class__ is dict else None


def array_or_none(value: Any) -> list[Any] | None:
    """Return an array, parsing JSON text, or an array of one object; None for anything else."""
    value = json_value(value)
    if value.__class__ is dict:
        return [value]
    return value if value.__class__ is list else None


def with_rest(own: Any, rest: Record, name: str) -> Any:
    """
    Add remaining fields to the value of the JSON column that stores them.

    A remaining field whose key the object has with another value is stored as `payload.<key>`.

    Args:
        own: The value that the payload gives for the column; one that is not an object becomes a field itself.
        name: Field name of such a value.
    """
    if not rest:
        return own
    if own is None:
        return rest
    if own.__class__ is not dict:
        own = {name: own}
    if own.keys().isdisjoint(rest):
        return {**rest, **own}
    added: Record = {}
    for key, value in rest.items():
        free = key
        while free in added or (free in own and not _equal(own[free], value)):
            free = f"payload.{free}"
        added[free] = value
    return {**added, **own}


def _equal(first: Any, second: Any) -> bool:
    return first.__class__ is second.__class__ and bool(first == second)
