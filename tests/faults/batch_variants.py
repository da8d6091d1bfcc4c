"""Some of the faults again for batches that end differently: rejected rows, duplicate keys, a shared durable."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from faults import nats_faults, postgres_faults, process_faults
from faults.environment import Environment, Setup
from faults.harness import Fault
from faults.publisher import garbage, sample

Status = Mapping[str, Any]

REPEATED = frozenset({
    ("nats", "server killed"), ("nats", "repeated resets"), ("nats", "black hole"),
    ("postgres", "server killed"), ("postgres", "server down for 5 s"), ("postgres", "backend killed in COPY"),
    ("postgres", "backend killed at COMMIT"), ("postgres", "COMMIT answer lost"),
    ("process", "worker SIGKILL"), ("process", "supervisor killed"), ("process", "daemon restarted"),
})  # fmt: skip
"""Faults that interrupt the end of a batch."""


def rejected(n: int) -> bytes:
    """Return a message that becomes a dead letter: half of them are not JSON, the others violate a CHECK."""
    if n % 100 < 50:
        return garbage(n)
    return json.dumps({"value": n, "metadata": {"n": n, "rejected": True}}).encode()


def with_check_constraint(env: Environment) -> None:
    """Add a constraint that rejects some rows, which bisection isolates as dead letters."""
    env.sql("ALTER TABLE timeseries_metrics ADD CONSTRAINT valid CHECK (metadata->>'rejected' IS NULL)")
    env.garbage = rejected
    env.write()


def has_rejected_rows(env: Environment, _status: Status) -> object:
    """Return whether PostgreSQL has rejected rows."""
    return env.sql("SELECT 1 FROM eventwriter_dead_letters WHERE reason = 'rejected' LIMIT 1")


def with_unique_key(env: Environment) -> None:
    """Add a unique key that a tenth of the rows repeat, so that every batch goes through the staging table."""
    for statement in (
        "CREATE TABLE keyed (LIKE timeseries_metrics INCLUDING DEFAULTS)",
        "DROP TABLE timeseries_metrics",
        "ALTER TABLE keyed RENAME TO timeseries_metrics",
        "CREATE UNIQUE INDEX once ON timeseries_metrics ((metadata->>'n'))",
    ):
        env.sql(statement)
    env.body = with_repeated_keys(env)
    env.write(streams={"on_conflict": "nothing"})


def has_duplicates(_env: Environment, status: Status) -> object:
    """Return whether batches went through the staging table and rows with existing keys were skipped."""
    return status["slots"][0]["duplicates_total"] and status["slots"][0]["staged_merges_total"]


def with_repeated_keys(env: Environment) -> Callable[[int], bytes]:
    """Return a body function in which some messages repeat the number before theirs and so get no row."""

    def body(n: int) -> bytes:
        if n % 10 != 4:
            return sample(n)
        env.publisher.optional.add(n)
        return sample(n - 1)

    return body


def with_shared_durable(env: Environment) -> None:
    """Run three workers on one durable."""
    env.write(streams={"partitions": 3, "partition_mode": "shared", "ack_wait": "2s"})


def several_have_written(_env: Environment, status: Status) -> object:
    """Return whether more than one worker has written."""
    return sum(slot["rows_total"] > 0 for slot in status["slots"]) > 1


SETUPS = {
    "rejected rows": Setup("rejected rows", with_check_constraint, has_rejected_rows),
    "duplicate keys": Setup("duplicate keys", with_unique_key, has_duplicates),
    "shared durable": Setup("shared durable", with_shared_durable, several_have_written),
}
"""Bisection in every second batch; a staging table in every batch; several writers to one ledger row."""

FAULTS: tuple[Fault, ...] = tuple(
    replace(fault, name=f"{name}: {fault.name}", setup=setup, quick=False)
    for name, setup in SETUPS.items()
    for fault in (*nats_faults.FAULTS, *postgres_faults.FAULTS, *process_faults.FAULTS)
    if (fault.area, fault.name) in REPEATED
)
