"""
Deliveries that nobody holds: given back, and taken back by JetStream, before anything new is asked for.

After a crash or a cut connection deliveries are out that would come again only after
`ack_wait`, and behind what is delivered meanwhile. So they are given back at once,
those that the ledger has as well: only a delivery's timestamp shows whether it is what
the ledger has, or new under a sequence that was given out again.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from eventwriter.jetstream.ack_subject import answer_subject
from eventwriter.jetstream.acks import give_back
from eventwriter.jetstream.api import JetStreamApi, stream_state
from eventwriter.jetstream.client import DirectClient
from eventwriter.jetstream.consumer import ConsumerSpec, ConsumerState, consumer_info
from eventwriter.jetstream.pull import ConsumerLost
from eventwriter.jetstream.reorder import NOTHING, Redelivered
from eventwriter.jetstream.stream_reader import StreamReader
from eventwriter.model import Message
from eventwriter.postgres.ledger.epochs import went_backwards
from eventwriter.postgres.ledger.store import Ledger
from eventwriter.worker.consumer_watch import stream_end

log = logging.getLogger(__name__)

_SPAN_MAX = 500_000
"""Sequences that are given back unseen: most are nobody's, and the server passes over those."""
_LOOKED_MAX = 2_000
"""Where the span is longer, the filter wants little of it: so many messages are looked up, of more the rest comes
after `ack_wait`."""


@dataclass(frozen=True, slots=True)
class Reclaim:
    """
    What one binding of a worker gives back.

    Attributes:
        created: When the consumer was made that the line is bound to, as CONSUMER.INFO has it.
        held: Tells which messages the line has.
    """

    client: DirectClient
    api: JetStreamApi
    wish: ConsumerSpec
    created: str
    ledger: Ledger
    held: Callable[[], Iterable[Message]]

    async def look(self, shared: bool) -> Redelivered:
        """
        Have JetStream give us now what it believes another one still works on.

        Returns:
            What was given back. It is delivered before anything newer.

        Args:
            shared: Other workers are on the durable: what is out may well be with one of them, and a dead one's
                messages come after `ack_wait`. It is only seen whether consumer and stream are what they were.

        Raises:
            ConsumerLost: The consumer is gone, or another one has its name; or the stream.
            Retryable: JetStream does not answer.
        """
        consumer = await self._consumer()
        await self._stream()
        if shared or not consumer.ack_pending:
            return NOTHING
        out = await self._out(consumer)
        held = {message.stream_seq for message in self.held()}
        name, durable, last = self.wish.stream, self.wish.durable, consumer.delivered_consumer_seq
        back = [answer_subject(name, durable, seq, last) for seq in out if seq not in held]
        if not back:
            return NOTHING
        taken = await give_back(self.client, back)
        log.info("deliveries reclaimed", extra={"given_back": len(back), "held": len(held), "taken": taken})
        return Redelivered(min(len(back), max(1, consumer.ack_pending - len(held))), consumer.delivered_stream_seq)

    async def _consumer(self) -> ConsumerState:
        info = await consumer_info(self.api, self.wish.stream, self.wish.durable)
        if info is None:
            raise ConsumerLost(f"consumer {self.wish.durable} is gone")
        if info["created"] != self.created:
            raise ConsumerLost(f"consumer {self.wish.durable} was made anew by somebody")
        return ConsumerState.of(info)

    async def _stream(self) -> None:
        last_seq, last_us = self.ledger.last_seq, self.ledger.last_us
        stream = await stream_state(self.api, self.wish.stream)
        another = stream.incarnation_ns != self.ledger.key.origin.incarnation_ns
        if another or await went_backwards(last_seq, last_us, stream_end(self.api, stream)):
            raise ConsumerLost(f"stream {stream.name} is another one than before, or went backwards")

    async def _out(self, consumer: ConsumerState) -> Sequence[int]:
        """Return sequences among which all are that were delivered and not answered; as many as are looked for."""
        first, end = consumer.ack_floor_stream_seq + 1, consumer.delivered_stream_seq + 1
        if end - first <= _SPAN_MAX:
            return range(first, end)
        walked = await StreamReader(self.api, self.wish.stream, self.wish.filter_subjects).walk(
            [(first, end)], _LOOKED_MAX
        )
        return [message.stream_seq for message in walked.messages]
