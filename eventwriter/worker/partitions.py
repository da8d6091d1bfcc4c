"""
Maintenance of a stream's partitioned tables, at intervals and over a connection of its own.

The first worker of each stream maintains that stream's tables if `storage.maintain` is set. Otherwise it only checks
them, and warns when a table runs out of partitions. A failure is a warning in the heartbeat; the pipeline continues.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from eventwriter import clock
from eventwriter.config.settings import Settings, StreamSettings
from eventwriter.errors import EventwriterError
from eventwriter.kinds.registry import Kind
from eventwriter.postgres.migrate.files import time_columns
from eventwriter.postgres.partitions.executor import Report, SessionExecutor
from eventwriter.postgres.partitions.maintain import Task, check, maintain
from eventwriter.postgres.session import PostgresSession
from eventwriter.worker.periodic import run_every

log = logging.getLogger(__name__)

RETRY_S = 60.0
"""Interval after a step had to wait for another session and was given up."""
_WARNINGS_MAX = 5
"""Warnings in one heartbeat."""


@dataclass(slots=True)
class StorageState:
    """
    Result of the last maintenance run. Written by the worker's event loop, read by its heartbeat.

    Attributes:
        maintains: Whether the worker maintains the tables, or only checks them.
        looked_at_ns: When the last run ended.
        steps: Maintenance steps since the worker started.
        default_rows: Rows in default partitions.
        blocked: Whether a step was given up because another session held a lock.
    """

    maintains: bool = False
    looked_at_ns: int | None = None
    steps: int = 0
    default_rows: int = 0
    blocked: bool = False
    warnings: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the heartbeat's field."""
        return {
            "maintains": self.maintains,
            "looked_at_ns": self.looked_at_ns,
            "steps_total": self.steps,
            "default_rows": self.default_rows,
            "warnings": self.warnings[:_WARNINGS_MAX],
        }


def tasks(settings: Settings, stream: StreamSettings, of_kind: Kind) -> Iterator[Task]:
    """Yield a task for each of the stream's tables that may be partitioned by time."""
    columns, started_at = time_columns(), clock.utc_now()
    names = stream.tables or [table.name for table in of_kind.tables]
    for name in names:
        schema, _, bare = name.rpartition(".")
        if bare in columns:
            yield Task(schema or stream.schema_name, {bare: columns[bare]}, settings.storage, started_at)


class PartitionMaintenance:
    """
    Maintains or checks the tables of one stream. Written by the worker's event loop only.

    Args:
        postgres: The pipeline's connection, used for checks only; maintenance opens its own.
    """

    def __init__(self, settings: Settings, stream: StreamSettings, of_kind: Kind, postgres: PostgresSession) -> None:
        self._settings, self._stream, self._kind, self._postgres = settings, stream, of_kind, postgres
        self.state = StorageState(settings.storage.maintain)
        self._logged: set[str] = set()
        self._default_rows = 0

    async def run(self) -> None:
        """Maintain the tables at intervals, forever."""
        await run_every(self.interval_s, self.run_once, "table maintenance failed")

    async def run_once(self) -> None:
        """
        Maintain the tables once.

        Raises:
            Retryable: The server is unavailable.
            Fatal: The server refuses the connection.
        """
        warnings: list[str] = []
        self._default_rows, self.state.blocked = 0, False
        # On a connection of its own, because a step may wait for a lock, and batches must not wait with it.
        own = PostgresSession(self._settings.postgres) if self.state.maintains else self._postgres
        executor = SessionExecutor(own, partial(self.report, warnings))
        try:
            for task in tasks(self._settings, self._stream, self._kind):
                await (maintain if self.state.maintains else check)(task, executor)
        except EventwriterError as error:
            warnings.append(f"table maintenance failed: {error}")
            raise
        finally:
            if own is not self._postgres:
                await own.close()
            self.finish(warnings)

    def report(self, warnings: list[str], report: Report) -> None:
        """Count and log a report; a warning is logged only if the previous run did not have it."""
        self.state.blocked = self.state.blocked or report.retryable
        if report.code == "default_rows":
            self._default_rows += report.rows
        if report.changed:
            self.state.steps += 1
            log.info("table maintenance step done", extra={"step": report.text})
        elif not report.warns:
            log.debug("table maintenance", extra={"note": report.text})
        else:
            warnings.append(report.text)
            if report.text not in self._logged:
                self._logged.add(report.text)
                log.warning("table maintenance", extra={"note": report.text})

    def finish(self, warnings: list[str]) -> None:
        """Record the result of a run."""
        self.state.looked_at_ns, self.state.warnings = clock.now_ns(), warnings
        self.state.default_rows = self._default_rows
        self._logged &= set(warnings)

    def interval_s(self) -> float:
        """Return the seconds until the next run."""
        every_s = self._settings.storage.every_s
        return min(every_s, RETRY_S) if self.state.blocked else every_s
