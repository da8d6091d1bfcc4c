"""Audit of the demo: published messages compared with the database, for each kind."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import psycopg

from eventwriter.demo.traffic import TRAFFIC
from eventwriter.errors import Retryable
from eventwriter.postgres.errors import primary_message

_DEAD = (
    "SELECT count(*), count(DISTINCT (incarnation, epoch, stream_seq)) FROM eventwriter_dead_letters WHERE subject = %s"
)


@dataclass(frozen=True, slots=True)
class Audit:
    """
    Counts of published and stored messages, for one kind or several.

    Attributes:
        published: Messages that NATS stored.
        rows: Rows in the table of the kind.
        written: Distinct messages that the rows come from.
        dead_letters: Distinct messages that became dead letters.
        duplicated: Surplus rows and dead letters.
    """

    published: int = 0
    rows: int = 0
    written: int = 0
    dead_letters: int = 0
    duplicated: int = 0

    def __add__(self, other: "Audit") -> "Audit":
        """Return the sum of both audits."""
        return Audit(
            self.published + other.published,
            self.rows + other.rows,
            self.written + other.written,
            self.dead_letters + other.dead_letters,
            self.duplicated + other.duplicated,
        )

    @property
    def settled(self) -> int:
        """Number of messages that became rows or dead letters."""
        return self.written + self.dead_letters

    @property
    def lost(self) -> int:
        """Number of messages that became neither; negative if more were stored than published."""
        return self.published - self.settled

    @property
    def balanced(self) -> bool:
        """Whether each message became its rows or a dead letter exactly once."""
        return self.lost == 0 and self.duplicated == 0

    def line(self) -> str:
        """Return the counts as one line of text."""
        return (
            f"published={self.published} rows={self.rows} dead_letters={self.dead_letters} "
            f"lost={self.lost} duplicated={self.duplicated}"
        )


def total(audits: Iterable[Audit]) -> Audit:
    """Return the sum of all audits."""
    return sum(audits, Audit())


def all_balanced(audits: Iterable[Audit]) -> bool:
    """Return whether every audit balances; a loss in one is not offset by a surplus in another."""
    return all(audit.balanced for audit in audits)


def compare(published: int, rows: tuple[int, int], dead: tuple[int, int], records: int) -> Audit:
    """
    Return the audit of one kind.

    Args:
        published: Messages that NATS stored.
        rows: Number of rows and of distinct messages that they come from.
        dead: Number of dead letters and of distinct messages among them.
        records: Rows that one message becomes.
    """
    duplicated = rows[0] - rows[1] * records + dead[0] - dead[1]
    return Audit(published, rows[0], rows[1], dead[1], duplicated)


def read(dsn: str, published: Mapping[str, int]) -> dict[str, Audit]:
    """
    Count the rows and dead letters in the database for each kind.

    Args:
        dsn: Connection string of the demo's database.
        published: Number of messages that NATS stored, by kind.

    Raises:
        Retryable: The database cannot be queried.
    """
    audits = {}
    try:
        with psycopg.connect(dsn, autocommit=True) as conn:
            for kind, messages in published.items():
                traffic = TRAFFIC[kind]
                rows = conn.execute(traffic.count_query.encode()).fetchone() or (0, 0)
                dead = conn.execute(_DEAD, (traffic.subject,)).fetchone() or (0, 0)
                audits[kind] = compare(messages, (rows[0], rows[1]), (dead[0], dead[1]), traffic.records)
    except psycopg.Error as error:
        raise Retryable(f"the audit failed because the database cannot be queried: {primary_message(error)}") from error
    return audits
