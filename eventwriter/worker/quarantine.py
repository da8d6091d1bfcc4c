"""
Putting quarantine together: whose notes, where, and what the worker before left behind.
"""

import asyncio
import logging
import socket

from eventwriter.errors import EventwriterError, Fatal
from eventwriter.jetstream.consumer import ConsumerState
from eventwriter.model import SlotName
from eventwriter.pipeline.counters import Counters
from eventwriter.pipeline.quarantine import Quarantine, suspicions
from eventwriter.postgres.connect import Connection
from eventwriter.postgres.ledger.store import Ledger
from eventwriter.postgres.quarantine_notes import RIGHTS, SUSPECTS, Note, Notes, permitted
from eventwriter.postgres.schema.catalog import read_columns
from eventwriter.postgres.session import PostgresSession

log = logging.getLogger(__name__)

_LEAVE_S = 1.0
"""What a worker that ends gives the database; a quick stop must be quick."""


class Case:
    """
    One worker's notes over all its bindings. Written by the worker's event loop only.

    Args:
        slot: Together with the host's name and `control` it says whose the notes are: a slot has one worker at a time.
        control: The path of the supervisor's control socket; two supervisors on one host have two.
    """

    def __init__(self, slot: SlotName, schema: str | None, control: str) -> None:
        self._holder = f"{socket.gethostname()} {control} {slot}"
        self._schema = schema
        self._looked = self._warned = False
        self._notes: Notes | None = None
        self._left: list[Note] = []

    async def look(self, conn: Connection, ledger: Ledger) -> None:
        """Read what was left behind. A database without the table, or the rights to it, has no quarantine."""
        self._notes = None
        try:
            table, _ = await read_columns(conn, self._schema, SUSPECTS)
            if not await permitted(conn, table):
                raise Fatal(f"table {table}: GRANT {', '.join(RIGHTS)} on it to the daemon's role")
        except Fatal as error:
            if not self._warned:
                log.warning(
                    "no quarantine: a message that kills the worker will not be found; run eventwriter migrate",
                    extra={"reason": str(error)},
                )
            self._warned = True
            return
        notes = Notes(table, ledger.key.origin, ledger.key.consumer, self._holder)
        # Only the process's first look can find another one's death.
        self._left = await notes.find(conn, died=not self._looked)
        self._notes = notes
        if self._left:
            known = suspicions(self._left)
            extra = {"messages": len(known), "smallest_group": min(one.company for one in known.values())}
            log.warning("workers died decoding: quarantine narrows down which message it is", extra=extra)

    def open(
        self, postgres: PostgresSession, ledger: Ledger, counters: Counters, consumer: ConsumerState
    ) -> Quarantine | None:
        """Return the quarantine of a new binding, whose look is committed."""
        self._looked = True
        if self._notes is None:
            return None
        until_seq = consumer.delivered_stream_seq if consumer.ack_pending else 0
        return Quarantine(postgres, self._notes, self._left, until_seq, ledger, counters)

    async def leave(self, postgres: PostgresSession) -> None:
        """Take an open note back at an orderly end: it would count as a death."""
        if self._notes is None:
            return
        try:
            async with asyncio.timeout(_LEAVE_S), postgres.transaction() as conn:
                await self._notes.close(conn)
        except (TimeoutError, EventwriterError) as error:
            log.warning("a note of quarantine was not taken back", extra={"error": str(error)})
