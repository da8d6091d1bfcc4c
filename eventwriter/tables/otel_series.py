"""What tells two data points apart that share name, service, kind and time: `otel_metrics.series_key`."""

import hashlib
from collections.abc import Callable
from typing import Any

from eventwriter.formats.plain_json import dumps_sorted
from eventwriter.tables.scalars import without

Point = tuple[int, str, str, str, str]
"""The other columns of the table's key."""

SeriesOf = Callable[[Point, bytes, Any, str | None, str | None, int], str]
"""(point, its attributes as sorted JSON, resource attributes, scope name and version, index in the message) → key."""


def series_key(attributes: bytes, resource: bytes, scope: bytes) -> str:
    """
    Return the md5 of the sorted attributes; '' where there are none.

    Args:
        attributes: The point's, as JSON with sorted keys.
        resource: The resource's but for the service's name, which is in a column of the key; the same way.
        scope: Name and version, told apart only where the resource has such attributes.
    """
    if resource != b"{}":
        attributes = b"\0".join((attributes, resource, scope))
    elif attributes == b"{}":
        return ""
    return hashlib.md5(attributes, usedforsecurity=False).hexdigest()


def series_maker(redact: frozenset[str]) -> SeriesOf:
    """
    Return the function that makes series keys; within a message it makes no two points collide.

    Points of one message that differ neither in their key's columns nor in what `series_key`
    covers (one key twice, or two instants in one microsecond) are numbered, in their order.

    Args:
        redact: Keys, lower case, that are never stored, nor told apart by.
    """
    seen: dict[tuple[Point, str], int] = {}
    known: Any = None
    resource_json = b"{}"

    def series_of(
        point: Point, attributes: bytes, resource: Any, scope_name: str | None, scope_version: str | None, index: int
    ) -> str:
        # Hot: once per record. Records of one group share one resource: its JSON is made once.
        nonlocal known, resource_json
        if index == 0:
            seen.clear()
        if resource is not known:
            known, resource_json = resource, _without_service(resource, redact)
        series = series_key(attributes, resource_json, f"{scope_name or ''}\0{scope_version or ''}".encode())
        key = point, series
        before = seen.get(key, 0)
        seen[key] = before + 1
        if before:
            series = hashlib.md5(f"{series}\0{before}".encode(), usedforsecurity=False).hexdigest()
        return series

    return series_of


def _without_service(resource: Any, redact: frozenset[str]) -> bytes:
    if resource.__class__ is not dict:
        return b"{}"
    return dumps_sorted(without({key: value for key, value in resource.items() if key != "service.name"}, redact))
