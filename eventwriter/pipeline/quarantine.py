"""
Quarantine: finds a message that kills the worker and turns it into a dead letter without decoding it.

A delivery count proves nothing, because an unstable connection, a database outage or another message that kills the
worker raises it as well. Proof is a note in the database, committed before messages are decoded and deleted when
their rows are built: a worker that finds a note knows which messages its predecessor was decoding when it died. These
messages are then decoded in smaller groups, down to single messages, and each group is settled before the next one is
decoded. One killer therefore costs at most these deaths:

1. one without a note, because first deliveries are not noted, for speed;
2. one in a group of 256;
3. one in a group of 16;
4. one alone;
5. a second one alone, because the first may have been an operator's `kill -9`.

At its sixth delivery the message is written as a dead letter, reason `crash_loop`, without being decoded.
"""

import asyncio
import logging
import random
import socket
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from eventwriter import clock
from eventwriter.errors import EventwriterError, Fatal, Poison, Retryable
from eventwriter.model import Message, Record, SlotName
from eventwriter.pipeline.batch import KNOWN
from eventwriter.pipeline.counters import Counters
from eventwriter.pipeline.retry import pause_s
from eventwriter.postgres import quarantine as sql
from eventwriter.postgres.connect import Connection
from eventwriter.postgres.errors import Rejected
from eventwriter.postgres.ledger.store import Ledger
from eventwriter.postgres.quarantine import QuarantineNote, QuarantineNotes
from eventwriter.postgres.session import PostgresSession

log = logging.getLogger(__name__)

GROUP_SIZES = (256, 16, 1)
"""Group sizes: the first for messages without a note, the smaller ones for messages that notes name."""
_IN_LEDGER_SIZE = 1_000_000
"""Group size for messages that the ledger has: they are not decoded, so nothing bounds the group."""
DEATHS_ALONE_MAX = 2
"""A message is not decoded again after this many workers died while they decoded it alone."""
_NOTE_ALL_S = 60.0
"""After a death in a noted group every message is noted for this long: more killers may follow."""
_CLOSE_S_MAX = 1.0
"""Time limit for deleting the open note of a worker that exits; a quick stop must stay quick."""


@dataclass(slots=True)
class QuarantineState:
    """
    Evidence against one message.

    Attributes:
        smallest_group: Size of the smallest group with this message that a worker was decoding when it died.
        deaths_alone: Number of workers that died while they decoded it alone.
    """

    smallest_group: int
    deaths_alone: int = 0

    @property
    def group_size(self) -> int:
        """Number of such messages that may be decoded together."""
        return next((size for size in GROUP_SIZES if size < self.smallest_group), 1)

    @property
    def proven(self) -> bool:
        """Whether the message must not be decoded again."""
        return self.deaths_alone >= DEATHS_ALONE_MAX


@dataclass(frozen=True, slots=True)
class Group:
    """
    Messages to be decoded under one note, in the order of arrival.

    Attributes:
        isolated: Whether all earlier messages must be settled before this group, and this group before later ones.
        override: Used instead of decoding: poison, or `KNOWN` for messages that the ledger has; None to decode.
    """

    messages: list[Message]
    isolated: bool = False
    override: Poison | list[Record] | None = None


def suspicions_from(notes: Iterable[QuarantineNote]) -> dict[int, QuarantineState]:
    """Return the evidence in the notes of dead workers, by stream sequence; pure."""
    suspicions: dict[int, QuarantineState] = {}
    for note in notes:
        group_size = len(note.stream_seqs)
        for seq in note.stream_seqs:
            state = suspicions.setdefault(seq, QuarantineState(group_size))
            state.smallest_group = min(state.smallest_group, group_size)
            state.deaths_alone += group_size == 1
    return suspicions


def split_into_groups(
    messages: Iterable[Message], suspicions: Mapping[int, QuarantineState], in_ledger: Callable[[Message], bool]
) -> Iterator[Group]:
    """
    Divide messages into groups, in their order, each as large as the evidence against its messages allows; pure.

    Args:
        in_ledger: Returns whether the ledger has a message, which then needs no decoding.
    """
    group: list[Message] = []
    size = 0
    for message in messages:
        state = suspicions.get(message.stream_seq)
        fits = _IN_LEDGER_SIZE if in_ledger(message) else state.group_size if state else GROUP_SIZES[0]
        if group and (fits != size or len(group) >= size):
            yield _group(group, size)
            group = []
        if fits != _IN_LEDGER_SIZE and state is not None and state.proven:
            yield Group([message], isolated=True, override=_crash_loop(state))
        else:
            group.append(message)
            size = fits
    if group:
        yield _group(group, size)


def _group(messages: list[Message], size: int) -> Group:
    # The copy stage settles messages that the ledger has, and checks the ledger again.
    return Group(messages, isolated=size < GROUP_SIZES[0], override=KNOWN if size == _IN_LEDGER_SIZE else None)


def _crash_loop(state: QuarantineState) -> Poison:
    return Poison(
        "crash_loop",
        f"{state.deaths_alone} workers died while they decoded this message alone; it was not decoded again"
        " (the log shows how they died)",
    )


def holder_name(slot: SlotName, control_socket: str) -> str:
    """
    Return the name under which the workers of a slot write notes.

    Args:
        control_socket: Path of the supervisor's control socket, which differs between supervisors on one host.
    """
    return f"{socket.gethostname()} {control_socket} {slot}"


class Quarantine:
    """
    Quarantine of one session. Written by the worker's event loop only.

    Args:
        left_behind: Notes of workers that died.
        until_seq: Highest stream sequence that the consumer had delivered before this session. Messages up to it may
            have been held by a worker that died.
        in_ledger: Returns whether the ledger has a message.
    """

    def __init__(
        self,
        worker: "QuarantineStore",
        notes: QuarantineNotes,
        left_behind: Sequence[QuarantineNote],
        until_seq: int,
        in_ledger: Callable[[Message], bool],
    ) -> None:
        self._worker, self._notes, self._in_ledger = worker, notes, in_ledger
        self._left_behind = list(left_behind)
        self._until_seq = until_seq
        self._note_all_until_s = clock.monotonic_s() + _NOTE_ALL_S if left_behind else 0.0
        self._active = True
        self._suspicions = suspicions_from(left_behind)

    def applies_to(self, messages: list[Message]) -> bool:
        """Return whether any of these messages must be decoded under a note. Called once a list."""
        if not self._active or not messages:
            return False
        if clock.monotonic_s() < self._note_all_until_s:
            return True
        return any(message.stream_seq <= self._until_seq for message in messages)

    def groups(self, messages: list[Message]) -> Iterator[Group]:
        """Divide a list of messages into groups."""
        return split_into_groups(messages, self._suspicions, self._in_ledger)

    async def note(self, group: Group) -> None:
        """Commit a note of the group that is about to be decoded."""
        seqs = [message.stream_seq for message in group.messages]
        self._worker.counters.suspects = len(seqs)
        await self._update_notes(lambda conn: self._notes.open(conn, seqs))
        self._worker.send_heartbeat()

    async def clear_note(self) -> None:
        """Delete the open note: the worker survived decoding the group."""
        await self._update_notes(self._notes.close)
        self._worker.counters.suspects = 0

    async def end_if_settled(self, ack_floor: int) -> None:
        """
        Stop noting groups, and delete old notes, once every message that may kill a worker is settled.

        Args:
            ack_floor: The consumer's ack floor, a stream sequence.
        """
        if not self._active or ack_floor < self._until_seq or clock.monotonic_s() < self._note_all_until_s:
            return
        if self._left_behind:
            try:
                async with self._worker.postgres.transaction() as conn:
                    await self._notes.delete(conn, self._left_behind)
            except EventwriterError as error:
                # The copy stage reports database outages; the next call tries again.
                log.debug("quarantine notes not deleted yet", extra={"error": str(error)})
                return
            self._left_behind = []
        self._active = False

    async def _update_notes(self, update: Callable[[Connection], Awaitable[None]]) -> None:
        """Update the notes, retrying with backoff during an outage; give up if the server rejects the statement."""
        attempt = 0
        while self._active or attempt == 0:
            try:
                async with self._worker.postgres.transaction() as conn:
                    await update(conn)
                return
            except Retryable as error:
                self._worker.set_outage(str(error))
                await asyncio.sleep(pause_s(attempt, random.random()))  # noqa: S311
                attempt += 1
            except Rejected as error:
                log.error(
                    "quarantine is disabled: a message that kills the worker will not be found",
                    extra={"error": str(error)},
                )
                self._active = False


class QuarantineStore:
    """
    One worker's quarantine notes over all its sessions. Written by the worker's event loop only.

    Args:
        holder: The worker's name in notes, see `holder_name`.
        schema: Schema of the quarantine table; None to use the search path.
        set_outage: Receives the reason while the database is unavailable.
        send_heartbeat: Called after a group was noted and before it is decoded, because the worker may die then.
    """

    def __init__(
        self,
        holder: str,
        schema: str | None,
        postgres: PostgresSession,
        counters: Counters,
        set_outage: Callable[[str | None], None],
        send_heartbeat: Callable[[], None],
    ) -> None:
        self._holder, self._schema = holder, schema
        self.postgres, self.counters = postgres, counters
        self.set_outage, self.send_heartbeat = set_outage, send_heartbeat
        self._opened_once = self._warned = False
        self._notes: QuarantineNotes | None = None
        self._left_behind: list[QuarantineNote] = []

    async def read(self, conn: Connection, ledger: Ledger) -> None:
        """
        Read the notes of workers that died.

        Without the table, or without the privileges on it, there is no quarantine; this is logged once.
        """
        self._notes = None
        try:
            table = await sql.find_table(conn, self._schema)
        except Fatal as error:
            if not self._warned:
                log.warning(
                    "no quarantine: a message that kills the worker will not be found; run eventwriter migrate",
                    extra={"reason": str(error)},
                )
            self._warned = True
            return
        notes = QuarantineNotes(table, ledger.key.origin, ledger.key.consumer, self._holder)
        # Only before this process's first session can an open note be another process's.
        self._left_behind = await notes.read_left_behind(conn, predecessor_died=not self._opened_once)
        self._notes = notes
        if self._left_behind:
            suspicions = suspicions_from(self._left_behind)
            smallest = min(state.smallest_group for state in suspicions.values())
            log.warning(
                "workers died while they decoded messages: quarantine narrows down which message kills them",
                extra={"messages": len(suspicions), "smallest_group": smallest},
            )

    def open(self, ledger: Ledger, until_seq: int) -> Quarantine | None:
        """Return the quarantine of a new session, or None without the table. Call it after `read` was committed."""
        self._opened_once = True
        if self._notes is None:
            return None
        return Quarantine(self, self._notes, self._left_behind, until_seq, ledger.has_message)

    async def close(self) -> None:
        """Delete the open note when the worker exits normally: otherwise it would count as a death."""
        if self._notes is None:
            return
        try:
            async with asyncio.timeout(_CLOSE_S_MAX), self.postgres.transaction() as conn:
                await self._notes.close(conn)
        except (TimeoutError, EventwriterError) as error:
            log.warning("the open quarantine note was not deleted", extra={"error": str(error)})
