"""Faults once more where batches end in another way: rows that PostgreSQL refuses, keys that are there, sharers."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from faults import nats_side, postgres_side, process_side
from faults.bed import Bed, Setup
from faults.book import garbage, sample
from faults.harness import Fault

Status = Mapping[str, Any]

REPEATED = frozenset({
    ("nats", "server killed"), ("nats", "RST in the middle"), ("nats", "black hole"),
    ("postgres", "server killed"), ("postgres", "server away"), ("postgres", "backend killed in COPY"),
    ("postgres", "backend killed at COMMIT"), ("postgres", "COMMIT unanswered"),
    ("process", "worker SIGKILL"), ("process", "supervisor killed"), ("process", "daemon restarted"),
})  # fmt: skip
"""What concerns what a batch ends in."""


def refused(n: int) -> bytes:
    """Return a message that is no sample: half of them no JSON, half of them a row that the table's CHECK refuses."""
    if n % 100 < 50:
        return garbage(n)
    return json.dumps({"value": n, "metadata": {"n": n, "refused": True}}).encode()


def with_a_check(bed: Bed) -> None:
    """Prepare a table that refuses some rows: they are found by bisecting, and become dead letters."""
    bed.sql("ALTER TABLE timeseries_metrics ADD CONSTRAINT sound CHECK (metadata->>'refused' IS NULL)")
    bed.garbage = refused
    bed.write()


def some_refused(bed: Bed, _status: Status) -> object:
    """Say whether PostgreSQL has refused rows."""
    return bed.sql("SELECT 1 FROM eventwriter_dead_letters WHERE reason = 'rejected' LIMIT 1")


def with_a_key(bed: Bed) -> None:
    """Prepare a table with a key that a tenth of the rows have once more: every batch takes the way of conflicts."""
    for statement in (
        "CREATE TABLE theirs (LIKE timeseries_metrics INCLUDING DEFAULTS)",
        "DROP TABLE timeseries_metrics",
        "ALTER TABLE theirs RENAME TO timeseries_metrics",
        "CREATE UNIQUE INDEX once ON timeseries_metrics ((metadata->>'n'))",
    ):
        bed.sql(statement)
    bed.body = repeats(bed)
    bed.write(streams={"on_conflict": "nothing"})


def some_left_out(_bed: Bed, status: Status) -> object:
    """Say whether batches went through the staging table, and left rows out because their key was there."""
    return status["slots"][0]["duplicates_total"] and status["slots"][0]["staged_merges_total"]


def repeats(bed: Bed) -> Callable[[int], bytes]:
    """Return what makes messages of which some have the number before theirs, so that they have no row of their own."""

    def body(n: int) -> bytes:
        if n % 10 != 4:
            return sample(n)
        bed.publisher.excused.add(n)
        return sample(n - 1)

    return body


def with_durable_workers(bed: Bed) -> None:
    """Prepare three workers on one durable."""
    bed.write(streams={"partitions": 3, "partition_mode": "shared", "ack_wait": "2s"})


def several_wrote(_bed: Bed, status: Status) -> object:
    """Say whether more than one worker has written."""
    return sum(slot["rows_total"] > 0 for slot in status["slots"]) > 1


SETUPS = {
    "rows refused": Setup("rows refused", with_a_check, some_refused),
    "keys repeated": Setup("keys repeated", with_a_key, some_left_out),
    "three sharers": Setup("three sharers", with_durable_workers, several_wrote),
}
"""A dead letter by bisecting in every second batch; a staging table in every batch; several writers on one ledger."""

FAULTS: tuple[Fault, ...] = tuple(
    replace(fault, name=f"{name}: {fault.name}", setup=setup, recovery_s_max=fault.recovery_s_max + 5.0, brief=False)
    for name, setup in SETUPS.items()
    for fault in (*nats_side.FAULTS, *postgres_side.FAULTS, *process_side.FAULTS)
    if (fault.area, fault.name) in REPEATED
)
