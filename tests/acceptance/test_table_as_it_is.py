"""Existing databases: another schema, another writer's rows."""

import asyncio
import json
import time

import psycopg
from fix_daemon import WAIT_S, Daemon


def test_schema_of_the_search_path_is_found(daemon: Daemon) -> None:
    """Tables in a schema that only the configured search_path names are found and written."""
    with psycopg.connect(daemon.servers.postgres_dsn(), autocommit=True) as conn:
        conn.execute("CREATE SCHEMA platform")
        for table in ("timeseries_metrics", "eventwriter_ledger", "eventwriter_dead_letters"):
            conn.execute(f"ALTER TABLE {table} SET SCHEMA platform")
        conn.execute("ALTER DATABASE postgres SET search_path = platform")
    config = json.loads(daemon.config.read_text())
    config["postgres"]["dsn"] += "?options=-csearch_path%3Dpublic"
    config["postgres"]["runtime_params"] = {"search_path": "platform, public"}
    daemon.config.write_text(json.dumps(config))
    daemon.start()

    asyncio.run(daemon.publish(200, garbage_every=20))

    assert (190, 190, 10) == daemon.balance()


def test_duplicate_key_and_garbage_in_one_batch(daemon: Daemon) -> None:
    """Rows whose key is there already are skipped, counted as such, and the dead letters beside them are written."""
    config = json.loads(daemon.config.read_text())
    config["streams"][0]["on_conflict"] = "nothing"
    daemon.config.write_text(json.dumps(config))
    with psycopg.connect(daemon.servers.postgres_dsn(), autocommit=True) as conn:
        # A user's own table without partitions, so a key without the time column is possible.
        conn.execute("CREATE TABLE theirs (LIKE timeseries_metrics INCLUDING DEFAULTS)")
        conn.execute("DROP TABLE timeseries_metrics")
        conn.execute("ALTER TABLE theirs RENAME TO timeseries_metrics")
        conn.execute("CREATE UNIQUE INDEX one ON timeseries_metrics ((metadata->>'n'))")
        conn.execute(
            "INSERT INTO timeseries_metrics (timestamp, gateway_id, metric_name, metric_type, value, metadata)"
            " SELECT now(), 'g', 'm', 't', n, jsonb_build_object('n', n) FROM generate_series(1, 50) n"
        )
    daemon.start()

    asyncio.run(daemon.publish(200, garbage_every=20))

    # 0, 20, 40, … are garbage; 20 and 40 were there before, and so are rows beside their dead letters.
    daemon.published += 2
    assert (192, 192, 10) == daemon.balance()
    time.sleep(1.5)  # a heartbeat and a half
    slot = daemon.status()["slots"][0]
    assert (142, 48) == (slot["rows_total"], slot["duplicates_total"])


def warnings(daemon: Daemon) -> list[str]:
    """Return what the slot warns of, by the status."""
    status = daemon.status()
    return list((status["slots"][0]["warnings"] if status else None) or ())


def test_dropped_column_is_reported_by_status(daemon: Daemon) -> None:
    """A column that goes while the daemon runs shows in `status` as long as it is missing; rows are written on."""
    daemon.start()
    asyncio.run(daemon.publish(100))
    assert (100, 100, 0) == daemon.balance()
    assert [] == warnings(daemon)

    with psycopg.connect(daemon.servers.postgres_dsn(), autocommit=True) as conn:
        conn.execute("ALTER TABLE timeseries_metrics DROP COLUMN scale")
    asyncio.run(daemon.publish(100))

    assert (200, 200, 0) == daemon.balance()
    until = time.monotonic() + WAIT_S
    while not warnings(daemon) and time.monotonic() < until:
        time.sleep(0.1)
    assert [True] == ["timeseries_metrics" in warning and "scale" in warning for warning in warnings(daemon)]

    with psycopg.connect(daemon.servers.postgres_dsn(), autocommit=True) as conn:
        conn.execute("ALTER TABLE timeseries_metrics ADD COLUMN scale double precision")
    asyncio.run(daemon.publish(100))

    assert (300, 300, 0) == daemon.balance()
    while warnings(daemon) and time.monotonic() < until + WAIT_S:
        time.sleep(0.1)
    assert [] == warnings(daemon)
