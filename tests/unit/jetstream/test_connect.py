"""What a failed attempt to connect to NATS is told as."""

import nats.errors

from eventwriter.jetstream.connect import decisive

SERVERS = ("nats://localhost:4222",)


def test_refusal_followed_by_a_reset_is_told_as_the_refusal() -> None:
    """A refused login whose connection is then reset is a refused login."""
    refusal = nats.errors.AuthorizationError()

    assert refusal is decisive([refusal, ConnectionResetError(104, "reset")], SERVERS)


def test_outages_are_told_by_the_newest() -> None:
    """Where nobody refused anything, the newest cause is told."""
    newest = ConnectionRefusedError(111, "refused")

    assert newest is decisive([TimeoutError(), newest], SERVERS)
