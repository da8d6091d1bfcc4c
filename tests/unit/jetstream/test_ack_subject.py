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
def test_ack_subject_gives_metadata(reply: str) -> None:
    """Both layouts give sequences, delivery count, pending messages, and the timestamp in nanoseconds."""
    message = message_from(reply, "s", b"p", None)

    assert message is not None
    assert (2, 30, 40, 1700000000123456789) == message[6:7] + message[4:6] + message[7:]
    assert 5 == pending_of(reply)


@pytest.mark.parametrize("reply", ["", "_INBOX.a.b", "$JS.ACK.a.b.1.2.3.4", "$JS.ACK.a.b.x.2.3.4.5"])
def test_other_reply_gives_no_message(reply: str) -> None:
    """A reply subject that is not an ack subject does not belong to a delivery."""
    assert message_from(reply, "s", b"p", None) is None
