"""
The `metadata` object of OCSF rows.

Source: OCSF schema 1.3.0, "Metadata Object".
"""

import datetime as dt
from collections.abc import Callable

from eventwriter.formats.plain_json import dumps
from eventwriter.formats.remember import Remembered
from eventwriter.model import Message


def metadata_maker(version: str, product: str) -> Callable[[Message], bytes]:
    """
    Return the function (message → jsonb) for one product.

    `logged_time` is when JetStream stored the message, `correlation_uid` its subject;
    all but the microseconds repeats, so it is kept.

    Args:
        version: OCSF's, as configured.
    """

    def tail(subject: str) -> bytes:
        fixed = {
            "version": version,
            "product": {"name": product, "vendor_name": "ServiceRadar"},
            "correlation_uid": subject,
        }
        return b'Z",' + dumps(fixed)[1:]

    def head(second: int) -> bytes:
        moment = dt.datetime.fromtimestamp(second, dt.UTC)
        return b'\x01{"logged_time":"' + moment.strftime("%Y-%m-%dT%H:%M:%S.").encode()

    heads, tails = Remembered(head), Remembered(tail)

    def metadata(message: Message) -> bytes:
        # Hot: once per message.
        second, ns = divmod(message.timestamp_ns, 1_000_000_000)
        return b"%b%06d%b" % (heads[second], ns // 1000, tails[message.subject])

    return metadata
