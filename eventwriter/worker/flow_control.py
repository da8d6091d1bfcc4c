"""Bounds on how much a worker pulls, and answers to deliveries."""

from eventwriter import clock
from eventwriter.config.settings import StreamSettings
from eventwriter.errors import Retryable
from eventwriter.jetstream.acks import ACK, IN_PROGRESS, publish_answers
from eventwriter.jetstream.client import DirectClient
from eventwriter.model import HELD_BATCHES_MAX
from eventwriter.pipeline.held import HeldMessages
from eventwriter.worker.reconnect_check import ReconnectCheck

_IDLE_WAIT_S_MAX = 0.5
"""Longest wait of an idle pull before it checks its heartbeats again."""


class FlowControl:
    """
    Bounds what one session pulls by what it holds, and answers its deliveries.

    Args:
        stream: Gives the largest batch.

    Attributes:
        check: Checks the session after a reconnect, before anything is acknowledged.
    """

    check: ReconnectCheck

    def __init__(self, client: DirectClient, held: HeldMessages, stream: StreamSettings) -> None:
        self._client, self._held = client, held
        self._messages_max = HELD_BATCHES_MAX * stream.max_batch_size
        self._bytes_max = HELD_BATCHES_MAX * stream.max_batch_bytes

    def room(self) -> int:
        """Return how many more messages may be requested, within the limits on messages and on bytes."""
        if self._held.size_bytes() >= self._bytes_max:
            return 0
        return self._messages_max - self._held.count()

    def idle_wait_s(self) -> float:
        """Return how long the pull may wait for messages: until the open batch must be sealed."""
        due_s = self._held.batcher.due_in_s(self._held.copy_is_idle(), clock.monotonic_s())
        if due_s is None:
            return _IDLE_WAIT_S_MAX
        return min(_IDLE_WAIT_S_MAX, max(0.001, due_s))

    async def ack(self, replies: list[str]) -> bool:
        """
        Acknowledge deliveries.

        Returns:
            False if the connection is down. The messages are then redelivered, and the ledger recognizes them.

        Raises:
            ConsumerLost, Retryable: As `ReconnectCheck.run`.
        """
        try:
            await self.check.run_if_reconnected()
        except Retryable:
            if self._client.is_connected:
                raise
            return False
        return await publish_answers(self._client, replies, ACK)

    async def send_in_progress(self, pulled: list[str]) -> None:
        """
        Reset the ack wait of every held delivery, so that JetStream does not redeliver it.

        Args:
            pulled: Ack subjects of deliveries that the pull has not passed to the pipeline yet.
        """
        replies = [message.reply for message in self._held.messages()] + pulled
        await publish_answers(self._client, replies, IN_PROGRESS)
