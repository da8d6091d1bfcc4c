"""
Holes in the ledger below the consumer's ack floor: closed where nothing that we want lies in them, else told.

What is acknowledged is in the ledger, because acknowledging comes after the commit. So a
hole with a wanted message in it means that the database has lost it (it was restored to an
older state), or that somebody else acknowledged it. It is never closed: it is what brings
the message back when the durable is made anew.
"""

import logging
from dataclasses import dataclass

from eventwriter.errors import Fatal, Retryable
from eventwriter.jetstream.consumer import ConsumerState
from eventwriter.jetstream.stream_reader import StreamReader
from eventwriter.postgres.errors import Rejected
from eventwriter.postgres.ledger.ranges import Ranges, difference, normal
from eventwriter.postgres.ledger.store import Ledger
from eventwriter.postgres.session import PostgresSession
from eventwriter.worker.table_binding import Rebind

log = logging.getLogger(__name__)


_RANGES_MAX = 100
"""Above this the line is held up for a moment to close holes: every batch writes all ranges again."""


def holes(committed: Ranges, start_seq: int | None, ack_floor: int) -> Ranges:
    """
    Return what the consumer has behind it and the ledger does not know; pure.

    Args:
        committed: The ledger's ranges; below the first of them nothing is known.
        start_seq: Where the consumer began, None where that is not known.
        ack_floor: Its ack floor, a stream sequence.
    """
    if not committed:
        return []
    low = max(start_seq or 0, committed[0][0])
    return difference(normal([(low, ack_floor + 1)]), committed)


@dataclass(slots=True)
class LedgerCompactor:
    """
    One binding's look at its ledger. Written by the worker's event loop only.

    Attributes:
        missing: One sentence where a message is acknowledged and not in the ledger.
    """

    postgres: PostgresSession
    ledger: Ledger
    lookup: StreamReader
    durable: str
    missing: str | None = None

    async def look(self, consumer: ConsumerState, idle: bool) -> None:
        """
        Look for holes; close them where nothing wanted is in them.

        Args:
            idle: Whether the line has nothing in flight: closing would only hold it up.
        """
        found = holes(self.ledger.committed, consumer.start_seq, consumer.ack_floor_stream_seq)
        if not found:
            self.missing = None
            return
        try:
            async with self.postgres.transaction() as conn:
                # Another worker on the same durable may have filled them: the table says.
                await self.ledger.refresh(conn)
            found = holes(self.ledger.committed, consumer.start_seq, consumer.ack_floor_stream_seq)
            message = await self.lookup.first(found)
            self._tell(message.stream_seq if message is not None else None)
            ranges = len(self.ledger.committed)
            if self.missing is None and ranges > (1 if idle else _RANGES_MAX):
                # Where it began by a time, the ledger's first range says from where on something is known.
                await self._close(consumer.start_seq or 0, consumer.ack_floor_stream_seq)
        except (Retryable, Fatal, Rejected, Rebind) as error:
            log.debug("ledger not folded", extra={"error": str(error)})

    async def _close(self, low: int, ack_floor: int) -> None:
        async with self.postgres.transaction() as conn:
            if await self.ledger.fold(conn, low, ack_floor):
                log.debug("ledger folded", extra={"ack_floor": ack_floor, "ranges": len(self.ledger.committed)})

    def _tell(self, seq: int | None) -> None:
        before, stream = self.missing, self.ledger.key.origin.stream
        self.missing = None
        if seq is not None:
            self.missing = (
                f"message {seq} of stream {stream} was acknowledged and is not in this database (it was restored to an"
                f" older state, or somebody else acknowledged it): remove the durable (nats consumer rm {stream}"
                f" {self.durable}), and what is missing is delivered again and written"
            )
        if self.missing and not before:
            log.error("messages are missing", extra={"stream_seq": seq, "reason": self.missing})
