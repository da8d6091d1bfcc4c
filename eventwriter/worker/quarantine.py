"""
Putting quarantine together: whose notes, where, and what the worker before left behind.
"""

import logging
import socket

from eventwriter.errors import Fatal
from eventwriter.jetstream.consumer import ConsumerState
from eventwriter.model import SlotName
from eventwriter.pipeline.counters import Counters
from eventwriter.pipeline.quarantine import Quarantine, suspicions
from eventwriter.postgres.catalog import read_columns
from eventwriter.postgres.connect import Connection
from eventwriter.postgres.copy_in import CopyIn
from eventwriter.postgres.ledger import Ledger
from eventwriter.postgres.suspects import SUSPECTS, Note, Notes

log = logging.getLogger(__name__)


class Case:
    """
    One worker's notes over all its bindings. Written by the worker's event loop only.

    Args:
        slot: Together with the host's name it says whose the notes are: a slot has one worker at a time.
    """

    def __init__(self, slot: SlotName, schema: str | None) -> None:
        self._holder = f"{socket.gethostname()} {slot}"
        self._schema = schema
        self._looked = False
        self._notes: Notes | None = None
        self._left: list[Note] = []

    async def look(self, conn: Connection, ledger: Ledger) -> None:
        """Read what was left behind. A database without the table, or the rights to it, has no quarantine."""
        self._notes = None
        try:
            table, _ = await read_columns(conn, self._schema, SUSPECTS)
        except Fatal as error:
            if not self._looked:
                log.warning(
                    "no quarantine: a message that kills the worker will not be found; run eventwriter migrate",
                    extra={"reason": str(error)},
                )
            self._looked = True
            return
        notes = Notes(table, ledger.key.origin, ledger.key.consumer, self._holder)
        # Only the process's first look can find another one's death.
        self._left = await notes.find(conn, died=not self._looked)
        self._notes, self._looked = notes, True
        if self._left:
            known = suspicions(self._left)
            extra = {"messages": len(known), "smallest_group": min(one.company for one in known.values())}
            log.warning("workers died decoding: quarantine narrows down which message it is", extra=extra)

    def open(self, copy_in: CopyIn, ledger: Ledger, counters: Counters, consumer: ConsumerState) -> Quarantine | None:
        """Return the quarantine of a new binding."""
        if self._notes is None:
            return None
        until_seq = consumer.delivered_stream_seq if consumer.ack_pending else 0
        return Quarantine(copy_in, self._notes, self._left, until_seq, ledger, counters)
