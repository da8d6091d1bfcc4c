"""The column that keeps a payload as it came, where it is wanted; secrets are left out of it too."""

from collections.abc import Callable

from eventwriter.formats.cloudevents import decode_base64
from eventwriter.formats.json import dumps
from eventwriter.model import Message, Record
from eventwriter.tables.values import has_escaped_secret, secret_finder, without


def redactor(redact: frozenset[str]) -> Callable[[Record, Message], Record]:
    """
    Return the function (record, its message → record without secrets), the record itself where it holds none.

    Args:
        redact: Keys, lower case, that are never stored.
    """
    may_hold = secret_finder(redact)

    def sieve(record: Record, message: Message) -> Record:
        # Base64 would hide a key from the look at the payload.
        if record.get("data_base64") is not None or may_hold(message.payload):
            kept = _without_secrets(record, redact)
            return record if kept == record else kept
        return record

    return sieve


def _without_secrets(record: Record, redact: frozenset[str]) -> Record:
    kept: Record = without(record, redact)
    data = decode_base64(kept.get("data_base64"))
    if data is not None and (clean := without(data, redact)) != data:
        # What was in base64 is told in JSON, without what must not be kept.
        given = kept.get("data")
        kept = {**kept, "data": clean if given is None else given}
        del kept["data_base64"]
    return kept


def raw_data(record: Record, kept: Record, message: Message, redact: frozenset[str]) -> str:
    """
    Return the payload's own text; where it holds secrets or several records, the JSON of this one.

    Args:
        kept: What is left of the record without secrets; the record itself where it holds none.
        redact: Keys, lower case, that are never stored.
    """
    if kept is record and message.payload.lstrip()[:1] == b"{":
        whole = message.payload.decode("utf-8-sig")
        if not has_escaped_secret(whole, redact):
            return whole
    return dumps(kept).decode()
