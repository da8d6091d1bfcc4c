"""
Metadata of a delivery, which JetStream puts into its ack subject; pure.

Two layouts exist. The old one has nine tokens::

    $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<timestamp>.<pending>

The new one has eleven or more, with ``<domain>.<account hash>`` before the stream (a server option since 2.14).
Tokens after the eleventh are ignored.

Source: NATS architecture decision record ADR-15, "JetStream Subscribe Workflow".
"""

from eventwriter.model import Message

_OLD_TOKENS = 9
_NEW_TOKENS_MIN = 11


def message_from(reply: str, subject: str, payload: bytes, headers: dict[str, str] | None) -> Message | None:
    """
    Return the message of a delivery.

    The timestamp is read as an integer, because nats-py converts it to a float and loses the nanoseconds.

    Returns:
        None if `reply` is not an ack subject, which means that the delivery does not come from a JetStream consumer.
    """
    tokens = reply.split(".")
    count = len(tokens)
    if count == _OLD_TOKENS:
        at = 4
    elif count >= _NEW_TOKENS_MIN:
        at = 6
    else:
        return None
    try:
        return Message(
            reply,
            subject,
            payload,
            headers,
            int(tokens[at + 1]),
            int(tokens[at + 2]),
            int(tokens[at]),
            int(tokens[at + 3]),
        )
    except ValueError:
        return None


def pending_of(reply: str) -> int:
    """Return the number of messages that the consumer had not delivered yet when it sent this one."""
    tokens = reply.split(".")
    try:
        return int(tokens[8] if len(tokens) == _OLD_TOKENS else tokens[10])
    except (IndexError, ValueError):
        return 0


def stream_seq_of(reply: str) -> int:
    """Return the stream sequence in an ack subject, or 0 for other subjects, such as those of status messages."""
    tokens = reply.split(".")
    try:
        return int(tokens[5] if len(tokens) == _OLD_TOKENS else tokens[7])
    except (IndexError, ValueError):
        return 0


def ack_subject(stream: str, consumer: str, stream_seq: int, consumer_seq: int) -> str:
    """
    Return an ack subject for a delivery to another worker, which has died.

    The server looks up the delivery by its stream sequence. The consumer sequence only has to lie between the ack
    floor and the last delivery.
    """
    return f"$JS.ACK.{stream}.{consumer}.1.{stream_seq}.{consumer_seq}.0.0"
