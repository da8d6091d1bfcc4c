"""
Splits a batch that PostgreSQL rejected until each rejected message is alone; pure.

If PostgreSQL names the row at which it stopped, the message of that row is tried alone next,
and the messages before and after it stay together: three COPYs then find one bad message.
If it names none, or named a wrong one, the piece is halved: about 2 log2 n COPYs per bad
message. Good pieces are written as they are found, each once. The dead letters of all rejected
messages are written together at the end. After several rejected messages, pieces are small.
"""

from collections.abc import Iterable

Piece = list[int]
"""Positions in the batch, ascending."""

_GROWTH = 2
_MANY = 8
"""Rejected messages from which on a batch is written in small pieces, so that a COPY that fails costs little."""
_SMALL = 64
"""Messages in a small piece."""


class BatchSplitter:
    """
    Pieces of one batch that are still to be written.

    Args:
        count: Number of messages in the batch.
        piece_max: Largest number of messages in a piece.

    Attributes:
        rejected: Number of messages that were rejected.
        searchable: Whether a search for all violations may find some; cleared by the caller after one that did not.
    """

    def __init__(self, count: int, piece_max: int) -> None:
        positions = range(count)
        self._pending = [list(positions[at : at + piece_max]) for at in range(0, count, piece_max)][::-1]
        self._dead: Piece = []
        self._suspect: int | None = None
        """Position that PostgreSQL named, while it is tried alone."""
        self._names_trusted = True
        """Whether every position that PostgreSQL named was the bad one so far."""
        self.rejected = 0
        self.searchable = True

    def take(self) -> Piece | None:
        """Return the next piece: at the end that of all rejected messages, then None."""
        if self._pending:
            return self._pending.pop()
        last, self._dead = sorted(self._dead), []
        return last or None

    def mark_written(self, piece: Piece) -> None:
        """Record that a piece was written; if it is the suspect, PostgreSQL named a wrong row."""
        if [self._suspect] == piece:
            self._names_trusted, self._suspect = False, None

    def put_back(self, piece: Piece) -> None:
        """Return a piece, to be taken again next."""
        self._pending.append(piece)

    def halve(self, piece: Piece) -> None:
        """Split a piece in the middle."""
        middle = len(piece) // 2
        self._add((piece[:middle], piece[middle:]))

    def split(self, piece: Piece, named: int | None) -> None:
        """
        Split a rejected piece.

        Args:
            named: Position of the row that PostgreSQL named, None if it named none.
        """
        # A suspect that is still pending means that a piece before it was rejected after all: its name was wrong.
        self._names_trusted = self._names_trusted and self._suspect is None
        if named is None or not self._names_trusted or named not in piece:
            self.halve(piece)
            return
        at = piece.index(named)
        self._suspect = named
        self._add((piece[:at], [named], piece[at + 1 :]))

    def reject(self, *positions: int) -> None:
        """Set rejected messages aside; their dead letters are written with the last piece."""
        self._suspect = None
        self.rejected += len(positions)
        self._dead.extend(positions)

    def _add(self, pieces: Iterable[Piece]) -> None:
        found = [piece for piece in pieces if piece]
        if self.rejected >= _MANY:
            found = [piece[at : at + _SMALL] for piece in found for at in range(0, len(piece), _SMALL)]
        self._pending.extend(reversed(found))


class BatchSizeLimit:
    """
    Largest number of messages in one transaction, lowered when a limit of the server is exceeded.

    Attributes:
        messages: The current limit.
    """

    def __init__(self, unlimited: int) -> None:
        self._unlimited = unlimited
        self.messages = unlimited
        self._lowered = False

    def lower(self, rejected: int) -> None:
        """Lower the limit to half the number of messages that exceeded the server's limit."""
        self.messages = max(1, rejected // 2)
        self._lowered = True

    def batch_settled(self) -> None:
        """Double the limit, unless the batch that was settled lowered it."""
        if not self._lowered:
            self.messages = min(self._unlimited, self.messages * _GROWTH)
        self._lowered = False
