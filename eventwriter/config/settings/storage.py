"""Sections `storage` and `dead_letters`: time partitions, retention and compression."""

import math

from pydantic import Field

from eventwriter.config.settings.fields import DAY_S, HOUR_S, Record, Retention, Seconds, WholeHours


class DeadLetterSettings(Record):
    """
    Retention of dead letters. A deleted dead letter cannot be recovered. By default none is deleted.

    Each worker deletes from its own table, one worker at a time, in small statements.
    """

    keep_s: Seconds | None = Field(None, alias="keep")
    """Age above which a dead letter is deleted, replayed or not, like "90d". Younger ones are never deleted because of
    this key. Default: no limit."""
    keep_max: int | None = Field(None, ge=1)
    """Number of dead letters above which the oldest are deleted, regardless of their age. Default: no limit. Too low: a
    publisher that fails overnight displaces all other dead letters."""


class TableStorage(Record):
    """Exceptions for one table; a key that is absent has the value of section `storage`."""

    keep_s: Retention | None = Field(None, alias="keep")
    """Retention of the table's rows. Default: `storage.keep`."""
    partition_s: WholeHours | None = Field(None, alias="partition")
    """Time that one partition of the table spans. Default: `storage.partition`."""
    ahead: int | None = Field(None, ge=1, le=1000)
    """Number of partitions created in advance. Default: `storage.ahead`."""
    behind: int | None = Field(None, ge=0, le=1000)
    """Number of past periods for which late rows get a partition. Default: `storage.behind`."""
    compress_after_s: Seconds | None = Field(None, alias="compress_after")
    """Age at which the table's chunks are compressed. Default: `storage.compress_after`."""


class StorageSettings(Record):
    """
    Maintenance of the tables that `eventwriter migrate` created: time partitions on plain PostgreSQL, policies on
    TimescaleDB. `eventwriter migrate --maintain` runs it once; see `docs/storage.md`.
    """

    maintain: bool = False
    """Whether the daemon runs the maintenance periodically. Default false: the daemon issues no DDL unless it is told
    to. Its role must own the tables."""
    every_s: Seconds = Field(HOUR_S, alias="every", ge=1)
    """Interval of the daemon's maintenance. Default 1 h. It must be at most half of `ahead` times `partition`."""
    keep_s: Retention = Field(math.inf, alias="keep")
    """Retention of rows, by their own time, like "30d", or "forever". A partition is dropped when the youngest row that
    it may contain is older, so rows live up to one `partition` longer. Dropped rows cannot be recovered."""
    partition_s: WholeHours = Field(DAY_S, alias="partition")
    """Time that one partition spans, in whole hours. Default 1 d. Too short: thousands of tables. Too long: retention
    is coarse. For TimescaleDB chunks see `migrate --chunk-interval`."""
    ahead: int = Field(7, ge=1, le=1000)
    """Number of partitions created in advance, beyond the current one. Default 7: maintenance may fail for a week
    before rows go to the default partition."""
    behind: int = Field(30, ge=0, le=1000)
    """Number of past periods for which late rows get a partition of their own, if there are such rows in the default
    partition. Default 30. Older rows stay in the default partition."""
    compress_after_s: Seconds | None = Field(None, alias="compress_after")
    """TimescaleDB: age at which chunks are compressed. Default: eventwriter adds no compression. Plain PostgreSQL has
    no such feature."""
    move_max: int = Field(100_000, ge=0)
    """Largest number of rows that are moved from the default partition into a new one; the table cannot be written
    meanwhile, for a second or two with the default of 100,000. If there are more, the partition is not created and
    a warning is logged."""
    tables: dict[str, TableStorage] = Field(default_factory=dict)
    """Exceptions for single tables, by name, like `{"logs": {"keep": "90d"}}`."""

    def of(self, table: str) -> "StorageSettings":
        """Return the settings of one table: its exceptions, and otherwise the section's values."""
        exceptions = self.tables.get(table)
        update = exceptions.model_dump(exclude_none=True) if exceptions is not None else {}
        return self.model_copy(update=update)
