"""
Checks after a lost connection to NATS that a session may go on with what it holds.

A server that lost power may have lost the end of the stream, and assigned its sequences to new messages. An ack names a
sequence, so the ack of an old message would settle a new one. Before a session pulls or acknowledges over a new
connection, it therefore compares the consumer, the stream and the newest message that it holds with those that it
knows. `docs/design/ledger-model.md` shows what happens without these checks.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from eventwriter.jetstream.api import JetStreamApi, stored_us
from eventwriter.jetstream.client import DirectClient
from eventwriter.jetstream.consumer import ConsumerSpec, ConsumerState, consumer_info
from eventwriter.jetstream.pull import ConsumerLost
from eventwriter.model import Message
from eventwriter.worker.consumer_watch import consumer_gone, consumer_recreated
from eventwriter.worker.regression import Verdict

log = logging.getLogger(__name__)


@dataclass(slots=True)
class ReconnectCheck:
    """
    Checks one session's consumer, stream and held messages, once for each connection to NATS.

    Attributes:
        created: Creation time of the consumer that the session is bound to, as in CONSUMER.INFO.
        check_stream: Returns whether the stream went backwards; raises Retryable if it was recreated.
        held: Returns the messages that were received and are not settled.
        reconnects: Number of reconnects of the client when the last check began; -1 before the first check.
    """

    client: DirectClient
    api: JetStreamApi
    spec: ConsumerSpec
    created: str
    check_stream: Callable[[], Awaitable[Verdict]]
    held: Callable[[], list[Message]]
    reconnects: int = -1

    async def run_if_reconnected(self) -> None:
        """
        Check if the client has reconnected since the last check.

        Raises: as `run`.
        """
        if self.client.stats["reconnects"] != self.reconnects:
            await self.run()

    async def run(self) -> ConsumerState:
        """
        Check consumer, stream and held messages; return the consumer's state.

        Raises:
            ConsumerLost: The consumer was deleted or recreated, the stream went backwards, or it does not have the
                newest held message any more. The session must end.
            Retryable: The stream was recreated, or JetStream does not answer.
        """
        reconnects = self.client.stats["reconnects"]
        consumer = await self._check_consumer()
        if await self.check_stream() is Verdict.REGRESSED:
            raise ConsumerLost(f"stream {self.spec.stream} went backwards", code="stream_regressed")
        if reconnects != self.reconnects:
            await self._check_held()
        self.reconnects = reconnects
        return consumer

    async def _check_consumer(self) -> ConsumerState:
        info = await consumer_info(self.api, self.spec.stream, self.spec.durable)
        if info is None:
            raise ConsumerLost(consumer_gone(self.spec.durable), code="consumer_gone")
        if info["created"] != self.created:
            raise ConsumerLost(consumer_recreated(self.spec.durable), code="consumer_recreated")
        return ConsumerState.of(info)

    async def _check_held(self) -> None:
        """Look up the newest held message: a stream that has it has not lost an older one of them to a new message."""
        newest = max(self.held(), key=lambda message: message.stream_seq, default=None)
        if newest is None:
            return
        if await stored_us(self.api, self.spec.stream, newest.stream_seq) != newest.timestamp_ns // 1000:
            raise ConsumerLost(
                f"stream {self.spec.stream} does not have message {newest.stream_seq} any more, which was being"
                " written when the connection was lost; unsettled messages are delivered again",
                code="held_messages_lost",
            )
