"""Existing databases: another schema, rows of another writer, changed tables."""

import asyncio
import json

import psycopg
from fix_daemon import Daemon


def test_schema_of_the_search_path_is_used(daemon: Daemon) -> None:
    """Tables in a schema that only the configured search_path names are found and written."""
    daemon.sql("CREATE SCHEMA platform")
    for table in ("timeseries_metrics", "eventwriter_ledger", "eventwriter_dead_letters"):
        daemon.sql(f"ALTER TABLE {table} SET SCHEMA platform")
    daemon.sql("ALTER DATABASE postgres SET search_path = platform")
    config = json.loads(daemon.config.read_text())
    config["postgres"]["dsn"] += "?options=-csearch_path%3Dpublic"
    config["postgres"]["runtime_params"] = {"search_path": "platform, public"}
    daemon.config.write_text(json.dumps(config))
    daemon.start()

    asyncio.run(daemon.publish(200, garbage_every=20))

    assert (190, 190, 10) == daemon.settled_counts()


def test_duplicate_keys_and_garbage_in_one_batch(daemon: Daemon) -> None:
    """Rows with existing keys are skipped and counted, and the dead letters of the same batch are written."""
    config = json.loads(daemon.config.read_text())
    config["streams"][0]["on_conflict"] = "nothing"
    daemon.config.write_text(json.dumps(config))
    with psycopg.connect(daemon.servers.postgres_dsn(), autocommit=True) as conn:
        # A table without partitions, so that a key without the time column is possible.
        conn.execute("CREATE TABLE plain (LIKE timeseries_metrics INCLUDING DEFAULTS)")
        conn.execute("DROP TABLE timeseries_metrics")
        conn.execute("ALTER TABLE plain RENAME TO timeseries_metrics")
        conn.execute("CREATE UNIQUE INDEX one ON timeseries_metrics ((metadata->>'n'))")
        conn.execute(
            "INSERT INTO timeseries_metrics (timestamp, gateway_id, metric_name, metric_type, value, metadata)"
            " SELECT now(), 'g', 'm', 't', n, jsonb_build_object('n', n) FROM generate_series(1, 50) n"
        )
    daemon.start()

    asyncio.run(daemon.publish(200, garbage_every=20))

    # 0, 20, 40, … are garbage; 20 and 40 have both an existing row and a dead letter.
    daemon.published += 2
    assert (192, 192, 10) == daemon.settled_counts()
    daemon.until(
        "counted", lambda: (slot := daemon.slot()) and (142, 48) == (slot["rows_total"], slot["duplicates_total"])
    )


def warnings(daemon: Daemon) -> list[str]:
    """Return the warnings of the slot in the status."""
    return list(daemon.slot().get("warnings") or ())


def test_dropped_column_is_reported_by_status(daemon: Daemon) -> None:
    """The status warns of a column that is dropped while the daemon runs until it is added; rows are written."""
    daemon.start()
    asyncio.run(daemon.publish(100))
    assert (100, 100, 0) == daemon.settled_counts()
    assert [] == warnings(daemon)

    daemon.sql("ALTER TABLE timeseries_metrics DROP COLUMN scale")
    asyncio.run(daemon.publish(100))

    assert (200, 200, 0) == daemon.settled_counts()
    (warning,) = daemon.until("warned", lambda: warnings(daemon))
    assert '"timeseries_metrics"' in warning
    assert "scale" in warning

    daemon.sql("ALTER TABLE timeseries_metrics ADD COLUMN scale double precision")
    asyncio.run(daemon.publish(100))

    assert (300, 300, 0) == daemon.settled_counts()
    daemon.until("no longer warned", lambda: not warnings(daemon))
