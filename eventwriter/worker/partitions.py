"""
The daemon's care for its tables: at intervals, over a connection of its own, never the line's.

The first worker of each stream looks after that stream's tables, if `storage.maintain`
is set. Without it, it only looks, and says when a table runs out of partitions. What
goes wrong here is a warning and shows in the heartbeat; the line goes on.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from eventwriter import clock
from eventwriter.config.settings import Settings, StreamSettings
from eventwriter.errors import EventwriterError, Retryable
from eventwriter.kinds.registry import Kind
from eventwriter.postgres.errors import Rejected
from eventwriter.postgres.partitions.maintain import Task, look, maintain
from eventwriter.postgres.partitions.run import now, refusal, rows_of, time_columns
from eventwriter.postgres.partitions.steps import Act, Ask, Note, Refusal, Steps
from eventwriter.postgres.session import PostgresSession
from eventwriter.worker.periodic import run_every

log = logging.getLogger(__name__)

SOON_S = 60.0
"""Until the next look where somebody was in the way."""
_SHOWN_MAX = 5
"""Warnings that a heartbeat carries at most."""


@dataclass(slots=True)
class StorageState:
    """How the last look went. Written by the worker's event loop, read by its heartbeat."""

    maintains: bool = False
    looked_at_ns: int | None = None
    steps: int = 0
    """Steps taken since the worker began."""
    default_rows: int = 0
    """Rows in default partitions."""
    later: bool = False
    """Whether somebody was in the way of a step."""
    warnings: list[str] = field(default_factory=list)

    def picture(self) -> dict[str, Any]:
        """Return it for a heartbeat."""
        return {
            "maintains": self.maintains,
            "looked_at_ns": self.looked_at_ns,
            "steps_total": self.steps,
            "default_rows": self.default_rows,
            "warnings": self.warnings[:_SHOWN_MAX],
        }


def tasks(settings: Settings, stream: StreamSettings, of_kind: Kind) -> Iterator[Task]:
    """Yield what a worker looks after: those of its stream's tables that are cut by time."""
    columns, at = time_columns(), now()
    names = stream.tables or [table.name for table in of_kind.tables]
    for name in names:
        schema, _, bare = name.rpartition(".")
        if bare in columns:
            yield Task(schema or stream.schema_name, {bare: columns[bare]}, settings.storage, at)


class PartitionMaintenance:
    """
    One worker's care for its stream's tables.

    Written by the worker's event loop only.

    Args:
        line: The line's connection; only asked, and only where nothing is to be maintained.
    """

    def __init__(self, settings: Settings, stream: StreamSettings, of_kind: Kind, line: PostgresSession) -> None:
        self.settings, self.stream, self.kind, self.line = settings, stream, of_kind, line
        self.state = StorageState(settings.storage.maintain)
        self._said: set[str] = set()
        self._rows = 0

    async def run(self) -> None:
        """Look after the tables for ever."""
        await run_every(self.pause_s, self.once, "table maintenance failed")

    async def once(self) -> None:
        """
        Look after them once.

        Raises:
            Retryable: The server is away.
            Fatal: It refuses us.
        """
        warnings: list[str] = []
        self._rows, self.state.later = 0, False
        # A connection of its own: a step may wait for others, and the line must not wait for it.
        own = PostgresSession(self.settings.postgres) if self.state.maintains else self.line
        try:
            for task in tasks(self.settings, self.stream, self.kind):
                await self._take(own, maintain(task) if self.state.maintains else look(task), warnings)
        except EventwriterError as error:
            warnings.append(f"tables not looked after: {error}")
            raise
        finally:
            if own is not self.line:
                await own.close()
            self.looked(warnings)

    async def _take(self, postgres: PostgresSession, steps: Steps, warnings: list[str]) -> None:
        answer: Any = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration:
                return
            answer = None
            if isinstance(step, Note):
                self.say(step, warnings)
                continue
            answer = await self._answer(postgres, step)
            if isinstance(step, Act) and isinstance(answer, int):
                self.state.steps += 1
                log.info("tables looked after", extra={"step": step.said(answer)})

    async def _answer(self, postgres: PostgresSession, step: Ask | Act) -> Any:
        try:
            async with postgres.transaction() as conn:
                if isinstance(step, Ask):
                    return await (await conn.execute(step.sql, step.values)).fetchall()
                return rows_of(await conn.execute(step.sql))
        except Rejected as error:
            refused = refusal(error.detail, error.sqlstate)
        except Retryable as error:
            if not postgres.connected:
                raise
            refused = Refusal(str(error), later=True)
        self.state.later = self.state.later or refused.later
        return refused

    def say(self, note: Note, warnings: list[str]) -> None:
        """Warn of what was not warned of in the last look as well."""
        self._rows += note.rows
        if not note.warns:
            log.debug("tables looked after", extra={"found": note.text})
            return
        warnings.append(note.text)
        if note.text not in self._said:
            self._said.add(note.text)
            log.warning("tables looked after", extra={"found": note.text})

    def looked(self, warnings: list[str]) -> None:
        """Note how a look went."""
        self.state.looked_at_ns, self.state.warnings = clock.now_ns(), warnings
        self.state.default_rows = self._rows
        self._said &= set(warnings)

    def pause_s(self) -> float:
        """Return how long until the next look."""
        every_s = self.settings.storage.every_s
        return min(every_s, SOON_S) if self.state.later else every_s
