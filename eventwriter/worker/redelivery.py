"""
NAKs deliveries left by a dead worker before pulling new messages.

After a crash or a lost connection, some deliveries are unacknowledged that no worker holds. JetStream would redeliver
them only after `ack_wait`, behind newer messages. They are therefore NAKed at once, also those that the ledger has:
only the timestamp of a redelivery shows whether the stream has reused the sequence for a new message.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from eventwriter.jetstream.ack_subject import ack_subject
from eventwriter.jetstream.acks import nak_and_wait
from eventwriter.jetstream.api import JetStreamApi
from eventwriter.jetstream.client import DirectClient
from eventwriter.jetstream.consumer import ConsumerSpec, ConsumerState
from eventwriter.jetstream.reorder import NOTHING_REDELIVERED, Redelivered
from eventwriter.jetstream.stream_reader import StreamReader
from eventwriter.pipeline.held import HeldMessages
from eventwriter.worker.reconnect_check import ReconnectCheck

log = logging.getLogger(__name__)

_SPAN_MAX = 500_000
"""Longest span of sequences that is NAKed blindly; the server ignores a NAK of a sequence that is not pending."""
_SCANNED_MAX = 2_000
"""Messages looked up if the span is longer, because the filter then matches few of them; the others are redelivered
after `ack_wait`."""


@dataclass(frozen=True, slots=True)
class Redelivery:
    """
    Requests redelivery of the unacknowledged messages of one session's consumer.

    Attributes:
        check: Checks consumer and stream first.
        held: Messages of this session, which are not NAKed.
    """

    client: DirectClient
    api: JetStreamApi
    spec: ConsumerSpec
    check: ReconnectCheck
    held: HeldMessages

    async def request(self, shared: bool) -> Redelivered:
        """
        NAK all unacknowledged deliveries that this worker does not hold, so that they are delivered before newer ones.

        Args:
            shared: Whether other workers use the durable. They may hold the deliveries, so nothing is NAKed, and
                those of a dead worker are redelivered after `ack_wait`. Consumer and stream are still checked.

        Returns:
            How many deliveries come back, and up to which sequence.

        Raises:
            ConsumerLost, Retryable: As `ReconnectCheck.run`.
        """
        consumer = await self.check.run()
        if shared or not consumer.ack_pending:
            return NOTHING_REDELIVERED
        unacked = await self._unacked(consumer)
        held = {message.stream_seq for message in self.held.messages()}
        stream, durable, last = self.spec.stream, self.spec.durable, consumer.delivered_consumer_seq
        replies = [ack_subject(stream, durable, seq, last) for seq in unacked if seq not in held]
        if not replies:
            return NOTHING_REDELIVERED
        confirmed = await nak_and_wait(self.client, replies)
        log.info("redelivery requested", extra={"sequences": len(replies), "held": len(held), "confirmed": confirmed})
        messages = min(len(replies), max(1, consumer.ack_pending - len(held)))
        return Redelivered(messages, consumer.delivered_stream_seq)

    async def _unacked(self, consumer: ConsumerState) -> Sequence[int]:
        """Return sequences that include every unacknowledged delivery, up to the scan limit."""
        first, end = consumer.ack_floor_stream_seq + 1, consumer.delivered_stream_seq + 1
        if end - first <= _SPAN_MAX:
            return range(first, end)
        reader = StreamReader(self.api, self.spec.stream, self.spec.filter_subjects)
        scan = await reader.scan([(first, end)], _SCANNED_MAX)
        return [message.stream_seq for message in scan.messages]
