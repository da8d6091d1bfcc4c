"""
What looking after tables is made of: questions, steps, and words.

A generator yields them and is sent the answers. So the same decisions serve the
command, which has a blocking connection, the daemon, which has an event loop, and the
dry run, which asks and only prints what it would do.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Ask:
    """A question that changes nothing. The answer is its rows, or a `Refusal`."""

    sql: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Act:
    """
    One transaction, without its BEGIN and COMMIT. The answer is how many rows it moved or deleted, or a `Refusal`.

    Attributes:
        says: What it does, said when it is done; `%d` stands for how many rows.
    """

    sql: str
    says: str

    def said(self, rows: int) -> str:
        """Return what is said when it is done."""
        return self.says.replace("%d", str(rows))


@dataclass(frozen=True, slots=True)
class Note:
    """
    Something to be said; there is no answer.

    Attributes:
        warns: Whether somebody has to know, or do something.
        undone: Whether a step was refused.
        rows: Rows that are in a default partition.
    """

    text: str
    warns: bool = False
    undone: bool = False
    rows: int = 0


@dataclass(frozen=True, slots=True)
class Refusal:
    """
    What the server said instead of doing it.

    Attributes:
        later: Somebody was in the way: the same step may well work later.
    """

    text: str
    later: bool
    sqlstate: str | None = None


Steps = Generator[Ask | Act | Note, Any, None]
