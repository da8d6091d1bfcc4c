"""
Quarantine: a message that kills the worker is found, and becomes a dead letter unread.

A delivery count proves nothing: a connection that flaps, a database that is away and
a neighbour that kills raise it as well. What proves something is a note in the
database, committed before messages are decoded and taken back when their rows are
built: a worker that finds one knows which messages its predecessor died of, with
certainty up to the size of the group. The group is then decoded in smaller ones, down
to messages alone, each settled before the next is touched. So one killer costs, at most:

1. a death in the crowd, without a note: first deliveries are not noted, for speed;
2. a death in a group of 256;
3. a death in a group of 16;
4. a death alone;
5. a second death alone, since somebody's `kill -9` may have caused the first.

At the sixth delivery it is written as a dead letter, `crash_loop`, without being decoded.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from eventwriter import clock
from eventwriter.errors import EventwriterError, Poison, Retryable
from eventwriter.model import Message, Record
from eventwriter.pipeline.batch import KNOWN
from eventwriter.pipeline.copy_stage import pause_s
from eventwriter.pipeline.counters import Counters
from eventwriter.postgres.connect import Connection
from eventwriter.postgres.errors import Rejected
from eventwriter.postgres.ledger.store import Ledger
from eventwriter.postgres.quarantine_notes import Note, Notes
from eventwriter.postgres.session import PostgresSession

log = logging.getLogger(__name__)

SIZES = (256, 16, 1)
"""Messages decoded under one note: of those that nothing is known of, and of those that a note named."""
_LEDGER = 1_000_000
"""The size of groups that the ledger knows: nothing bounds them."""
DEATHS_ALONE_MAX = 2
"""Deaths with a message alone in hand after which it is not decoded again."""
_CAREFUL_S = 60.0
"""After a death in a noted group everything is noted for so long: where one killer came there may be more."""


@dataclass(slots=True)
class Suspicion:
    """
    What is known against one message.

    Attributes:
        company: The smallest group of messages in hand with it when a worker died, itself included.
        deaths_alone: How many workers died with it alone in hand.
    """

    company: int
    deaths_alone: int = 0

    @property
    def size(self) -> int:
        """How many such messages may be decoded together."""
        return next((size for size in SIZES if size < self.company), 1)

    @property
    def proven(self) -> bool:
        """Whether it is not to be decoded again."""
        return self.deaths_alone >= DEATHS_ALONE_MAX


@dataclass(frozen=True, slots=True)
class Group:
    """
    Messages to be decoded under one note.

    Attributes:
        messages: In the order of arrival.
        apart: Everything else is to be settled first, and these before anything else.
        instead: What stands in for decoding them: poison, or no records for what the ledger knows; None to decode.
    """

    messages: list[Message]
    apart: bool = False
    instead: Poison | list[Record] | None = None


def suspicions(notes: Iterable[Note]) -> dict[int, Suspicion]:
    """Return what notes that were left behind say, by stream sequence; pure."""
    found: dict[int, Suspicion] = {}
    for note in notes:
        company = len(note.stream_seqs)
        for seq in note.stream_seqs:
            one = found.setdefault(seq, Suspicion(company))
            one.company = min(one.company, company)
            one.deaths_alone += company == 1
    return found


def groups(
    messages: Iterable[Message], suspected: Mapping[int, Suspicion], knows: Callable[[Message], bool]
) -> Iterator[Group]:
    """
    Divide messages into groups, in their order, each as large as what is known of its messages allows; pure.

    Args:
        knows: Says whether the ledger has a message; then it needs no decoding.
    """
    together: list[Message] = []
    size = 0
    for message in messages:
        suspicion = suspected.get(message.stream_seq)
        fits = _LEDGER if knows(message) else suspicion.size if suspicion else SIZES[0]
        if together and (fits != size or len(together) >= size):
            yield _group(together, size)
            together = []
        if fits != _LEDGER and suspicion is not None and suspicion.proven:
            yield Group([message], apart=True, instead=sentence(suspicion))
        else:
            together.append(message)
            size = fits
    if together:
        yield _group(together, size)


def _group(messages: list[Message], size: int) -> Group:
    # What the ledger knows is settled by the copy stage, which looks again.
    return Group(messages, apart=size < SIZES[0], instead=KNOWN if size == _LEDGER else None)


def sentence(suspicion: Suspicion) -> Poison:
    """Return the dead letter's reason."""
    return Poison(
        "crash_loop",
        f"{suspicion.deaths_alone} workers died while each had this message alone in hand to decode it;"
        " it was not decoded again (the log says how they died)",
    )


class Quarantine:
    """
    One binding's quarantine. Written by the worker's event loop only.

    Args:
        left: Notes that were left behind.
        until_seq: The consumer's last delivery when the worker bound to it, a stream sequence: up to there
            a message may have been in the hands of a worker that died.
    """

    def __init__(
        self,
        postgres: PostgresSession,
        notes: Notes,
        left: Sequence[Note],
        until_seq: int,
        ledger: Ledger,
        counters: Counters,
    ) -> None:
        self._postgres, self._notes, self._ledger, self._counters = postgres, notes, ledger, counters
        self._left = list(left)
        self._until_seq = until_seq
        self._careful_until_s = clock.monotonic_s() + _CAREFUL_S if left else 0.0
        self._active = True
        self.suspected = suspicions(left)
        self.report: Callable[[str | None], None] = lambda _: None
        """Told a sentence while the database is waited for, None when it works again."""
        self.tell: Callable[[], None] = lambda: None
        """Called when a group has been noted and is about to be decoded: the worker may die of it."""

    def concerns(self, messages: list[Message]) -> bool:
        """Say whether any of these is to be handled with care. Once for a list, and little where nothing happened."""
        if not self._active or not messages:
            return False
        if clock.monotonic_s() < self._careful_until_s:
            return True
        return any(message.stream_seq <= self._until_seq for message in messages)

    def groups(self, messages: list[Message]) -> Iterator[Group]:
        """Return a list's messages in groups."""
        return groups(messages, self.suspected, self._ledger.knows)

    async def begin(self, group: Group) -> None:
        """Note, for good, what is about to be decoded."""
        seqs = [message.stream_seq for message in group.messages]
        self._counters.suspects = len(seqs)
        await self._patiently(lambda conn: self._notes.open(conn, seqs))
        self.tell()

    async def survived(self) -> None:
        """Take the note back."""
        await self._patiently(self._notes.close)
        self._counters.suspects = 0

    async def see(self, ack_floor: int) -> None:
        """
        End the care once all that it is for is settled, and clean up.

        Args:
            ack_floor: The consumer's, a stream sequence.
        """
        if not self._active or ack_floor < self._until_seq or clock.monotonic_s() < self._careful_until_s:
            return
        if self._left:
            try:
                async with self._postgres.transaction() as conn:
                    await self._notes.forget(conn, self._left)
            except EventwriterError as error:
                # What is wrong with the database is the line's to say; the next look cleans up.
                log.debug("notes of quarantine not deleted yet", extra={"error": str(error)})
                return
            self._left = []
        self._active = False

    async def _patiently(self, act: Callable[[Connection], Awaitable[None]]) -> None:
        """Do something to the notes; wait for a server that is away, and do without one that refuses."""
        attempt = 0
        while self._active or attempt == 0:
            try:
                async with self._postgres.transaction() as conn:
                    await act(conn)
                return
            except Retryable as error:
                self.report(str(error))
                await asyncio.sleep(pause_s(attempt, random.random()))  # noqa: S311
                attempt += 1
            except Rejected as error:
                log.error("quarantine does not work; a message that kills the worker will not be found",
                          extra={"error": str(error)})  # fmt: skip
                self._active = False
