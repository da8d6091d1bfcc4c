"""TimescaleDB's policies, set on a stand-in that records the calls, and on TimescaleDB if it is available."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from fix_storage import Storage

STAND_IN = """
CREATE SCHEMA timescaledb_information;
CREATE TABLE timescaledb_information.hypertables (hypertable_schema name, hypertable_name name,
                                                  compression_enabled boolean DEFAULT false);
CREATE TABLE timescaledb_information.jobs (proc_name name, hypertable_schema name, hypertable_name name, config jsonb);
CREATE FUNCTION create_hypertable(relation regclass, time_column_name name, chunk_time_interval interval DEFAULT NULL,
    create_default_indexes boolean DEFAULT true, if_not_exists boolean DEFAULT false) RETURNS void LANGUAGE sql
BEGIN ATOMIC
  INSERT INTO timescaledb_information.hypertables (hypertable_schema, hypertable_name)
    SELECT relnamespace::regnamespace::name, relname FROM pg_class WHERE oid = relation;
END;
CREATE FUNCTION add_policy(proc name, relation regclass, config jsonb) RETURNS integer LANGUAGE sql
BEGIN ATOMIC
  INSERT INTO timescaledb_information.jobs SELECT proc, relnamespace::regnamespace::name, relname, config
    FROM pg_class WHERE oid = relation
      AND NOT EXISTS (SELECT FROM timescaledb_information.jobs j
                      WHERE j.proc_name = proc AND j.hypertable_name = pg_class.relname);
  SELECT 1;
END;
CREATE FUNCTION remove_policy(proc name, relation regclass) RETURNS void LANGUAGE sql
BEGIN ATOMIC
  DELETE FROM timescaledb_information.jobs j USING pg_class c
    WHERE c.oid = relation AND j.proc_name = proc AND j.hypertable_name = c.relname;
END;
CREATE FUNCTION add_retention_policy(relation regclass, drop_after interval, if_not_exists boolean DEFAULT false)
  RETURNS integer LANGUAGE sql
RETURN @extschema@.add_policy('policy_retention', relation, jsonb_build_object('drop_after', drop_after));
CREATE FUNCTION add_compression_policy(relation regclass, compress_after interval, if_not_exists boolean DEFAULT false)
  RETURNS integer LANGUAGE sql
RETURN @extschema@.add_policy('policy_compression', relation, jsonb_build_object('compress_after', compress_after));
CREATE FUNCTION remove_retention_policy(relation regclass, if_exists boolean DEFAULT false) RETURNS void LANGUAGE sql
RETURN @extschema@.remove_policy('policy_retention', relation);
CREATE FUNCTION remove_compression_policy(relation regclass, if_exists boolean DEFAULT false) RETURNS void LANGUAGE sql
RETURN @extschema@.remove_policy('policy_compression', relation);
"""

JOBS = "SELECT hypertable_name, proc_name, config FROM timescaledb_information.jobs ORDER BY 1, 2"


@pytest.fixture
def hypertables(storage: Storage) -> Iterator[Storage]:
    """Tables that are hypertables of the stand-in, whose functions are in a separate schema."""
    if storage.conn.info.server_version < 180000:
        pytest.skip("needs PostgreSQL 18, which takes an extension from any folder")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "extension")
        folder.mkdir()
        Path(folder, "timescaledb.control").write_text("default_version = '1'\n")
        Path(folder, "timescaledb--1.sql").write_text(STAND_IN)
        for path in (Path(name), folder):
            path.chmod(0o755)
        storage.conn.execute(f"SET extension_control_path TO '{name}:$system'")
        if not storage.read("SELECT FROM pg_available_extensions WHERE name = 'timescaledb' AND default_version = '1'"):
            pytest.skip("the server does not see this machine's files")
        storage.conn.execute("CREATE SCHEMA ext; CREATE EXTENSION timescaledb SCHEMA ext")
        storage.migrate("logs", "events")
        yield storage


def test_retention_is_set_as_a_policy(hypertables: Storage) -> None:
    """A table with a retention gets a policy that drops its chunks; a table without one gets none."""
    changes = hypertables.changes(keep="30d", tables={"events": {"keep": "forever"}})

    assert [("logs", "policy_retention", {"drop_after": "30 days"})] == hypertables.read(JOBS)
    assert [("policy_set", "logs")] == [(report.code, report.table) for report in changes]


def test_unchanged_policy_is_not_set_again(hypertables: Storage) -> None:
    """A policy that matches the configuration is left unchanged."""
    hypertables.maintain(keep="30d")
    before = hypertables.read(f"SELECT xmin::text, * FROM ({JOBS}) j, timescaledb_information.jobs")

    assert [] == hypertables.changes(keep="30d")
    assert before == hypertables.read(f"SELECT xmin::text, * FROM ({JOBS}) j, timescaledb_information.jobs")


def test_changed_setting_replaces_the_policy(hypertables: Storage) -> None:
    """A changed setting replaces the policy, which TimescaleDB would keep; without a setting the policy stays."""
    hypertables.maintain(keep="30d")
    hypertables.maintain(keep="36h", tables={"events": {"keep": "7d"}})

    expected = [
        ("events", "policy_retention", {"drop_after": "7 days"}),
        ("logs", "policy_retention", {"drop_after": "36:00:00"}),
    ]
    assert expected == hypertables.read(JOBS)
    hypertables.maintain()
    assert expected == hypertables.read(JOBS)


def test_compression_is_set_as_a_policy(hypertables: Storage) -> None:
    """If compression is enabled already, only the policy is set."""
    hypertables.conn.execute("UPDATE timescaledb_information.hypertables SET compression_enabled = true")

    hypertables.maintain(tables={"logs": {"compress_after": "7d"}})

    assert [("logs", "policy_compression", {"compress_after": "7 days"})] == hypertables.read(JOBS)


def test_compression_is_enabled_before_its_policy(hypertables: Storage) -> None:
    """Compression is enabled with the segment column, and ordered by time and the rest of the primary key."""
    script = hypertables.script(compress_after="7d")

    assert (
        'ALTER TABLE "public"."logs" SET (timescaledb.compress, timescaledb.compress_segmentby = \'"service_name"\','
        ' timescaledb.compress_orderby = \'"timestamp" DESC, "id"\');\n'
        'SELECT "ext".add_compression_policy(\'"public"."logs"\', compress_after => INTERVAL \'7 days\','
        " if_not_exists => true);"
    ) in script
    assert "timescaledb.compress_segmentby = ''," in script
    assert 'timescaledb.compress_orderby = \'"event_timestamp" DESC, "id"\'' in script


def test_refused_policy_is_reported_and_others_are_set(hypertables: Storage) -> None:
    """A server that cannot compress, like the stand-in, causes a report for each table, and retention is set."""
    reports = hypertables.maintain(compress_after="7d", keep="30d", tables={"events": {"compress_after": "1d"}})

    refused = [(report.code, report.table) for report in reports if report.undone]
    assert [("refused", "events"), ("refused", "logs")] == sorted(refused)
    assert 2 == len(hypertables.read(JOBS))


def test_policies_of_timescaledb(storage: Storage) -> None:
    """On a server with TimescaleDB, its own views show the configured policies."""
    if not storage.read("SELECT FROM pg_available_extensions WHERE name = 'timescaledb'"):
        pytest.skip("this server has no TimescaleDB")
    storage.migrate()

    reports = storage.maintain(keep="30d", compress_after="7d")

    assert [] == [report.text for report in reports if report.undone]
    counts = storage.read(
        "SELECT proc_name, count(*) FROM timescaledb_information.jobs WHERE hypertable_name IS NOT NULL GROUP BY 1"
    )
    assert [("policy_compression", 9), ("policy_retention", 9)] == sorted(counts)
    assert [] == storage.changes(keep="30d", compress_after="7d")
