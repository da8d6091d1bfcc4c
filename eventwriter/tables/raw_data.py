"""The column that keeps a payload as it came, where it is wanted; secrets are left out of it too."""

from collections.abc import Callable

from eventwriter.formats.cloudevents import decoded
from eventwriter.formats.plain_json import dumps
from eventwriter.model import Message, Record
from eventwriter.tables.scalars import without


def secrets_sieve(redact: frozenset[str]) -> Callable[[Record, Message], Record]:
    """
    Return the function (record, its message → record without secrets), the record itself where it holds none.

    Args:
        redact: Keys, lower case, that are never stored.
    """
    marks = [*sorted(redact), "\\u"]

    def sieve(record: Record, message: Message) -> Record:
        # An escape (\u0063) or base64 may hide a key from the look at the payload's text.
        payload = message.payload.decode("utf-8", "replace").lower()
        if record.get("data_base64") is not None or any(mark in payload for mark in marks):
            kept = _without_secrets(record, redact)
            return record if kept == record else kept
        return record

    return sieve


def _without_secrets(record: Record, redact: frozenset[str]) -> Record:
    kept: Record = without(record, redact)
    data = decoded(kept.get("data_base64"))
    if data is not None and (clean := without(data, redact)) != data:
        # What was in base64 is told in JSON, without what must not be kept.
        given = kept.get("data")
        kept = {**kept, "data": clean if given is None else given}
        del kept["data_base64"]
    return kept


def raw_data(record: Record, kept: Record, message: Message) -> str:
    """
    Return the payload's own text; where it holds secrets or several records, the JSON of this one.

    Args:
        kept: What the sieve left of the record.
    """
    if kept is record and message.payload.lstrip()[:1] == b"{":
        return message.payload.decode("utf-8-sig")
    return dumps(kept).decode()
