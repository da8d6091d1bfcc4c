"""
What JetStream says of a delivery in its ack subject; pure.

Two layouts exist. The old one has nine tokens::

    $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<timestamp>.<pending>

the new one eleven or more, with ``<domain>.<account hash>`` before the stream
(a server option since 2.14). Tokens after the eleventh may come and are ignored.

Source: NATS architecture decision record ADR-15, "JetStream Subscribe Workflow".
"""

from eventwriter.model import Message

_OLD_TOKENS = 9
_NEW_TOKENS_MIN = 11


def message_from(reply: str, subject: str, payload: bytes, headers: dict[str, str] | None) -> Message | None:
    """
    Make a message of a delivery.

    The timestamp is read as the integer that it is (nats-py's own metadata passes
    it through a float and loses the nanoseconds).

    Returns:
        None where `reply` is no ack subject, or holds what is no number: such a
        delivery did not come from a JetStream consumer.
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
    """Return how many messages the consumer had not yet delivered when it sent this one."""
    tokens = reply.split(".")
    try:
        return int(tokens[8] if len(tokens) == _OLD_TOKENS else tokens[10])
    except (IndexError, ValueError):
        return 0


def stream_seq_of(reply: str) -> int:
    """Return the stream sequence that an ack subject speaks of; 0 where it is none (of the server's own messages)."""
    tokens = reply.split(".")
    try:
        return int(tokens[5] if len(tokens) == _OLD_TOKENS else tokens[7])
    except (IndexError, ValueError):
        return 0


def answer_subject(stream: str, consumer: str, stream_seq: int, consumer_seq: int) -> str:
    """
    Return an ack subject for a delivery that somebody else (a dead worker) received.

    The server finds the delivery by its stream sequence; the consumer sequence
    has only to lie between the ack floor and the last one delivered.
    """
    return f"$JS.ACK.{stream}.{consumer}.1.{stream_seq}.{consumer_seq}.0.0"
