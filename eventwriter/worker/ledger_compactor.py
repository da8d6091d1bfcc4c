"""
Holes in the ledger below the consumer's ack floor: closed if they contain no message of the filter, otherwise reported.

Messages are acknowledged after COMMIT, so every acknowledged message is in the ledger. A hole with a message of the
filter in it means that the database lost the message (it was restored to an older state), or that another client
acknowledged it. Such a hole is never closed: because of it the message is delivered again when the durable is
recreated.
"""

import logging
from dataclasses import dataclass

from eventwriter.errors import Fatal, Retryable
from eventwriter.jetstream.consumer import ConsumerState
from eventwriter.jetstream.stream_reader import StreamReader
from eventwriter.postgres.errors import Rejected
from eventwriter.postgres.ledger.ranges import Ranges, difference, union
from eventwriter.postgres.ledger.store import Ledger
from eventwriter.postgres.session import PostgresSession
from eventwriter.worker.table_binding import Rebind

log = logging.getLogger(__name__)

_RANGES_MAX = 100
"""With more ranges holes are closed even while batches are in flight, because every batch rewrites all ranges."""


@dataclass(slots=True)
class LedgerCompactor:
    """
    Closes or reports the holes of one session's ledger. Written by the worker's event loop only.

    Attributes:
        missing: One sentence if an acknowledged message is not in the ledger, else None.
    """

    postgres: PostgresSession
    ledger: Ledger
    reader: StreamReader
    durable: str
    missing: str | None = None
    _in_closed_epochs: Ranges | None = None

    async def check(self, consumer: ConsumerState, idle: bool) -> None:
        """
        Look for holes; close them if they contain no message of the filter.

        Args:
            idle: Whether no batch is in flight, so that closing holes delays none.
        """
        try:
            if idle:
                # Detects a lost connection while there are no batches; a new connection reloads the ledger.
                async with self.postgres.transaction() as conn:
                    await self.ledger.refresh(conn)
            if not self._holes(consumer):
                self.missing = None
                return
            if not idle:
                async with self.postgres.transaction() as conn:
                    # Another worker on the durable may have filled the holes in the table.
                    await self.ledger.refresh(conn)
            elsewhere = await self._read_closed_epochs()
            message = await self.reader.first(difference(self._holes(consumer), elsewhere))
            self._report(message.stream_seq if message is not None else None)
            if self.missing is None and (idle or len(self.ledger.committed) > _RANGES_MAX):
                await self._close_holes(consumer, elsewhere)
        except (Retryable, Fatal, Rejected, Rebind) as error:
            log.debug("ledger not compacted", extra={"error": str(error)})

    def _holes(self, consumer: ConsumerState) -> Ranges:
        return self.ledger.holes(consumer.start_seq, consumer.ack_floor_stream_seq)

    async def _read_closed_epochs(self) -> Ranges:
        """
        Return the sequences that closed epochs have written and that the stream has not assigned again.

        They are those below the first message that is later than an epoch's last one.
        """
        if self._in_closed_epochs is None:
            known: Ranges = []
            for epoch in self.ledger.closed_epochs:
                if epoch.committed:
                    low, high = epoch.committed[0][0], epoch.committed[-1][1]
                    reused_from = await self.reader.first_after(epoch.last_us, low, high)
                    known = union(known, difference(epoch.committed, [(reused_from, high)]))
            self._in_closed_epochs = known
        return self._in_closed_epochs

    async def _close_holes(self, consumer: ConsumerState, elsewhere: Ranges) -> None:
        ack_floor = consumer.ack_floor_stream_seq
        async with self.postgres.transaction() as conn:
            if await self.ledger.compact(conn, consumer.start_seq, ack_floor, elsewhere):
                log.debug("ledger compacted", extra={"ack_floor": ack_floor, "ranges": len(self.ledger.committed)})

    def _report(self, seq: int | None) -> None:
        """Set `missing` for the first missing message, if any; log it once."""
        previous, stream = self.missing, self.ledger.key.origin.stream
        self.missing = None
        if seq is not None:
            self.missing = (
                f"message {seq} of stream {stream} was acknowledged but is not in this database, because the database"
                " was restored to an older state or another client acknowledged the message; remove the durable"
                f" (nats consumer rm {stream} {self.durable}) to have all missing messages delivered again and written"
            )
        if self.missing and not previous:
            log.error("messages are missing", extra={"stream_seq": seq, "reason": self.missing})
