"""Both layouts of the ack subject."""

import pytest

from eventwriter.jetstream.ack_subject import message_from, pending_of


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param("$JS.ACK.events.durable.2.30.40.1700000000123456789.5", id="nine tokens"),
        pytest.param("$JS.ACK.hub.AbC12.events.durable.2.30.40.1700000000123456789.5", id="eleven tokens"),
        pytest.param("$JS.ACK._.AbC12.events.durable.2.30.40.1700000000123456789.5.rnd", id="twelve tokens"),
    ],
)
def test_layout_is_read(reply: str) -> None:
    """Sequences, deliveries and the timestamp, to the nanosecond, come out of either layout."""
    message = message_from(reply, "s", b"p", None)

    assert message is not None
    assert (2, 30, 40, 1700000000123456789) == message[6:7] + message[4:6] + message[7:]
    assert 5 == pending_of(reply)


@pytest.mark.parametrize("reply", ["", "_INBOX.a.b", "$JS.ACK.a.b.1.2.3.4", "$JS.ACK.a.b.x.2.3.4.5"])
def test_other_reply_is_no_delivery(reply: str) -> None:
    """A reply subject that is no ack subject makes no message."""
    assert message_from(reply, "s", b"p", None) is None
