"""
The `metadata` object of OCSF rows, and the identity of an event that it may contain.

Source: OCSF schema 1.3.0, "Metadata Object".
"""

import datetime as dt
from collections.abc import Callable
from typing import Any

from eventwriter.formats.bounded_cache import BoundedCache
from eventwriter.formats.json import dumps
from eventwriter.model import Message, Record
from eventwriter.tables.ids import parse_uuid, uuid_from_name
from eventwriter.tables.record_reader import filled


def metadata_maker(version: str, product: str) -> Callable[[Message], bytes]:
    """
    Return the function (message → jsonb) for one product.

    `logged_time` is the JetStream timestamp of the message, `correlation_uid` its subject. All but
    the microseconds repeats and is cached.

    Args:
        version: Version of OCSF, as configured.
    """

    def tail(subject: str) -> bytes:
        return b'Z",' + dumps(_fixed(version, product, subject))[1:]

    heads, tails = BoundedCache(_second), BoundedCache(tail)

    def metadata(message: Message) -> bytes:
        # Hot: once per message.
        second, ns = divmod(message.timestamp_ns, 1_000_000_000)
        return b'\x01{"logged_time":"%b%06d%b' % (heads[second], ns // 1000, tails[message.subject])

    return metadata


def _fixed(version: str, product: str, subject: str) -> dict[str, Any]:
    return {
        "version": version,
        "product": {"name": product, "vendor_name": "ServiceRadar"},
        "correlation_uid": subject,
    }


def _second(second: int) -> bytes:
    return dt.datetime.fromtimestamp(second, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.").encode()


def metadata_filler(version: str, product: str) -> Callable[[dict[str, Any] | None, Message], bytes]:
    """
    Return the function (metadata of the payload, message → jsonb) that adds the missing attributes.

    These are version, product, `logged_time` and `correlation_uid`, as `metadata_maker` makes them.
    """

    def end(key: tuple[str, bool, bool, bool]) -> bytes:
        subject, *given = key
        fixed = _fixed(version, product, subject)
        missing = {name: fixed[name] for name, is_given in zip(fixed, given, strict=True) if not is_given}
        return b"," + dumps(missing)[1:] if missing else b"}"

    whole, seconds, ends = metadata_maker(version, product), BoundedCache(_second), BoundedCache(end)

    def filled(given: dict[str, Any] | None, message: Message) -> bytes:
        # Hot: once per event. Missing attributes are appended to the JSON of the others, without creating a dict.
        if given and None in given.values():
            given = {key: value for key, value in given.items() if value is not None}
        if not given:
            return whole(message)
        written = b"\x01" + dumps(given)
        rest = ends[message.subject, "version" in given, "product" in given, "correlation_uid" in given]
        if "logged_time" in given:
            return written[:-1] + rest
        second, ns = divmod(message.timestamp_ns, 1_000_000_000)
        return b'%b,"logged_time":"%b%06dZ"%b' % (written[:-1], seconds[second], ns // 1000, rest)

    return filled


def identify(given: Any, metadata: Record | None) -> tuple[bytes | None, Record | None, str | None]:
    """
    Return the id of an event.

    OCSF has no top-level id; without one, `metadata.uid` is the id. An id that is not a UUID becomes its UUIDv5
    and is kept in `metadata.uid`.

    Args:
        given: The top-level id of the payload.
        metadata: The metadata of the payload.

    Returns:
        The id, or None if the payload has none; the metadata; and the top-level id, if neither the id nor the
        metadata contains it.

    Source: OCSF schema 1.3.0, "Metadata Object", attribute `uid`.
    """
    # Hot: once per event.
    name = given if given.__class__ is str and given and not given.isspace() else filled(given)
    uid = None if metadata is None else metadata.get("uid")
    if name is None:
        name = filled(uid)
        return (None if name is None else parse_uuid(name) or uuid_from_name(name)), metadata, None
    if (row_id := parse_uuid(name)) is not None:
        return row_id, metadata, None
    if uid is None:
        return uuid_from_name(name), {**(metadata or {}), "uid": name}, None
    return uuid_from_name(name), metadata, None if uid == name else name
