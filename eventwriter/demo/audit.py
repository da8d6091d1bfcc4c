"""The demo's books: what was published against what is in the database, for each kind."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import psycopg

from eventwriter.demo.traffic import TRAFFIC
from eventwriter.errors import Retryable
from eventwriter.postgres.errors import one_line

_DEAD = (
    "SELECT count(*), count(DISTINCT (incarnation, epoch, stream_seq)) FROM eventwriter_dead_letters WHERE subject = %s"
)


@dataclass(frozen=True, slots=True)
class Audit:
    """
    What became of the messages of one kind, or of several.

    Attributes:
        published: Messages that NATS stored.
        rows: Rows in the kind's table.
        written: Different messages among the rows.
        dead_letters: Dead letters.
        duplicated: Rows and dead letters that are there once too often.
    """

    published: int = 0
    rows: int = 0
    written: int = 0
    dead_letters: int = 0
    duplicated: int = 0

    def __add__(self, other: "Audit") -> "Audit":
        """Return the books of both."""
        return Audit(
            self.published + other.published,
            self.rows + other.rows,
            self.written + other.written,
            self.dead_letters + other.dead_letters,
            self.duplicated + other.duplicated,
        )

    @property
    def settled(self) -> int:
        """Messages that became rows or dead letters."""
        return self.written + self.dead_letters

    @property
    def lost(self) -> int:
        """Messages that became neither; negative where there are more than were published."""
        return self.published - self.settled

    @property
    def balance(self) -> bool:
        """Whether each message became its rows or a dead letter, once."""
        return self.lost == 0 and self.duplicated == 0

    def line(self) -> str:
        """Return them as one line of text."""
        return (
            f"published={self.published} rows={self.rows} dead_letters={self.dead_letters} "
            f"lost={self.lost} duplicated={self.duplicated}"
        )


def total(books: Iterable[Audit]) -> Audit:
    """Return the books of all."""
    return sum(books, Audit())


def all_balance(books: Iterable[Audit]) -> bool:
    """Whether each balances by itself: one's loss is not made good by another's excess."""
    return all(one.balance for one in books)


def compared(published: int, rows: tuple[int, int], dead: tuple[int, int], records: int) -> Audit:
    """
    Make the books of one kind.

    Args:
        rows: Rows, and the different messages that they come from.
        dead: Dead letters, and the different messages among them.
        records: Rows that one message makes.
    """
    doubled = rows[0] - rows[1] * records + dead[0] - dead[1]
    return Audit(published, rows[0], rows[1], dead[1], doubled)


def read(dsn: str, published: Mapping[str, int]) -> dict[str, Audit]:
    """
    Count what is in the database, for each kind.

    Args:
        published: For each kind, how many messages NATS stored.

    Raises:
        Retryable: The database does not answer.
    """
    found = {}
    try:
        with psycopg.connect(dsn, autocommit=True) as conn:
            for kind, messages in published.items():
                traffic = TRAFFIC[kind]
                rows = conn.execute(traffic.books.encode()).fetchone() or (0, 0)
                dead = conn.execute(_DEAD, (traffic.subject,)).fetchone() or (0, 0)
                found[kind] = compared(messages, (rows[0], rows[1]), (dead[0], dead[1]), traffic.records)
    except psycopg.Error as error:
        raise Retryable(f"the books cannot be read, so nothing is proven: {one_line(error)}") from error
    return found
