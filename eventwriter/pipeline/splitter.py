"""
What of a batch is still to be written, in pieces; pure.

A refused piece is taken apart until the guilty messages are alone. Where PostgreSQL
says at which row it stopped, that message is tried by itself at once, and what lies
before and behind it stays whole; three COPYs find one guilty message then. Where it
does not say, or was wrong, the piece is halved: about 2 log2 n COPYs for each of them.
Either way the good pieces are written as they are found, each once, and all guilty
ones' dead letters at the end, together.
"""

from collections.abc import Iterable

Piece = list[int]
"""Positions in the batch, ascending."""

_GROWTH = 2


class BatchSplitter:
    """
    The pieces of one batch.

    Args:
        count: How many messages it has.
        most: How many may be in one piece at the beginning.
    """

    def __init__(self, count: int, most: int) -> None:
        whole = range(count)
        self._left = [list(whole[at : at + most]) for at in range(0, count, most)][::-1]
        self._buried: Piece = []
        self._tried: int | None = None
        """The message that PostgreSQL named, while it is tried by itself."""
        self._trusted = True
        """Whether what PostgreSQL names was the guilty one so far."""
        self.buried = 0
        """How many messages were found guilty."""

    def take(self) -> Piece | None:
        """Take the next piece, None where nothing is left."""
        if self._left:
            return self._left.pop()
        last, self._buried = self._buried, []
        return last or None

    def written(self, piece: Piece) -> None:
        """Note that a piece was written."""
        if [self._tried] == piece:
            self._trusted, self._tried = False, None

    def put_back(self, piece: Piece) -> None:
        """Give a piece back to be taken again."""
        self._left.append(piece)

    def halve(self, piece: Piece) -> None:
        """Take a piece apart in the middle."""
        middle = len(piece) // 2
        self._put((piece[:middle], piece[middle:]))

    def part(self, piece: Piece, guilty: int | None) -> None:
        """
        Take a refused piece apart.

        Args:
            guilty: The position that PostgreSQL named, None where it named none.
        """
        # What lies before the named message had passed: where it is refused after all, the name was wrong.
        self._trusted = self._trusted and self._tried is None
        if guilty is None or not self._trusted or guilty not in piece:
            self.halve(piece)
            return
        at = piece.index(guilty)
        self._tried = guilty
        self._put((piece[:at], [guilty], piece[at + 1 :]))

    def bury(self, position: int) -> None:
        """Put a guilty message aside: its dead letter is written with the last piece."""
        self._tried = None
        self.buried += 1
        self._buried.append(position)

    def _put(self, parts: Iterable[Piece]) -> None:
        self._left.extend(part for part in reversed(list(parts)) if part)


class BatchSizeLimit:
    """How many messages go into one transaction, after the server had a limit that whole batches are beyond."""

    def __init__(self, unlimited: int) -> None:
        self._unlimited = unlimited
        self.messages = unlimited
        self._lowered = False

    def lower(self, tried: int) -> None:
        """Note that so many were too many."""
        self.messages = max(1, tried // 2)
        self._lowered = True

    def settled(self) -> None:
        """Note that a batch is done: if none of it was too much, the next may have twice as many."""
        if not self._lowered:
            self.messages = min(self._unlimited, self.messages * _GROWTH)
        self._lowered = False
