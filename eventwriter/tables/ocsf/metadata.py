"""
The `metadata` object of OCSF rows.

Source: OCSF schema 1.3.0, "Metadata Object".
"""

import datetime as dt
from collections.abc import Callable
from typing import Any

from eventwriter.formats.bounded_cache import BoundedCache
from eventwriter.formats.json import dumps
from eventwriter.model import Message

_EMPTY_BYTES = 3
"""The length of jsonb's `{}`."""


def metadata_maker(version: str, product: str) -> Callable[[Message], bytes]:
    """
    Return the function (message → jsonb) for one product.

    `logged_time` is when JetStream stored the message, `correlation_uid` its subject;
    all but the microseconds repeats, so it is kept.

    Args:
        version: OCSF's, as configured.
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


def metadata_filler(
    version: str, product: str, json_column: Callable[[Any], bytes | None]
) -> Callable[[dict[str, Any] | None, Message], bytes]:
    """
    Return the function (metadata of the payload, message → jsonb) that keeps what is given and adds what is missing:
    version, product, `logged_time` and `correlation_uid`, as `metadata_maker` makes them.

    Args:
        json_column: Writes jsonb, secrets left out.
    """

    def end(key: tuple[str, bool, bool, bool]) -> bytes:
        subject, *given = key
        fixed = _fixed(version, product, subject)
        missing = {name: fixed[name] for name, is_given in zip(fixed, given, strict=True) if not is_given}
        return b"," + dumps(missing)[1:] if missing else b"}"

    whole, seconds, ends = metadata_maker(version, product), BoundedCache(_second), BoundedCache(end)

    def filled(given: dict[str, Any] | None, message: Message) -> bytes:
        # Hot: once per event. What is missing is appended to what is given, with no dict made.
        if given and None in given.values():
            given = {key: value for key, value in given.items() if value is not None}
        written = json_column(given) if given else None
        if not given or written is None or len(written) == _EMPTY_BYTES:
            return whole(message)
        rest = ends[message.subject, "version" in given, "product" in given, "correlation_uid" in given]
        if "logged_time" in given:
            return written[:-1] + rest
        second, ns = divmod(message.timestamp_ns, 1_000_000_000)
        return b'%b,"logged_time":"%b%06dZ"%b' % (written[:-1], seconds[second], ns // 1000, rest)

    return filled
