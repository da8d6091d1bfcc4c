"""
Commands and the daemon in a database where another role may create functions and operators in `public`.

PostgreSQL prefers a function whose argument types match exactly to a polymorphic one or one that needs a cast, even if
the latter is in pg_catalog. An unqualified name in a statement of ours would then run the other role's code.
"""

import asyncio
import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import nats
import psycopg
import pytest
from fix_run import Run, command

import eventwriter

SOURCES = [path.read_text() for path in Path(eventwriter.__file__).parent.rglob("*.py")]
NAMES = sorted({name for text in SOURCES for name in re.findall(r"\b([a-z][a-z0-9_]+)\(", text)})
"""All names that may be functions in our SQL; the database knows which of them are."""

PREPARE = r"""
SET LOCAL search_path TO pg_catalog;
CREATE SEQUENCE public.hostile_runs;
GRANT ALL ON SEQUENCE public.hostile_runs TO PUBLIC;

CREATE FUNCTION pg_temp.create_hostile(name text, arguments text[], result text) RETURNS void LANGUAGE plpgsql AS $do$
BEGIN
  EXECUTE format(
    'CREATE FUNCTION public.%%I(%%s) RETURNS %%s LANGUAGE plpgsql AS $f$ BEGIN'
    ' PERFORM pg_catalog.nextval(''public.hostile_runs''); RAISE EXCEPTION ''hostile %%s(%%s) ran''; END $f$',
    name, array_to_string(arguments, ','), result, name, array_to_string(arguments, ','));
EXCEPTION WHEN duplicate_function OR invalid_function_definition OR undefined_object OR datatype_mismatch
  OR feature_not_supported THEN NULL;
END $do$;

-- Operators: every pair of types that pg_catalog lacks.
DO $do$
DECLARE pair record; name text;
BEGIN
  FOR pair IN SELECT l, r FROM unnest(%(types)s::text[]) l, unnest(%(types)s::text[]) r LOOP
    PERFORM pg_temp.create_hostile('hostile_operator', ARRAY[pair.l, pair.r], 'boolean');
    FOR name IN
      SELECT o FROM unnest(%(operators)s::text[]) o WHERE NOT EXISTS (
      SELECT FROM pg_operator p WHERE p.oprname = o AND p.oprleft = pair.l::regtype AND p.oprright = pair.r::regtype)
    LOOP
      EXECUTE format('CREATE OPERATOR public.%%s (FUNCTION = public.hostile_operator, LEFTARG = %%s, RIGHTARG = %%s)',
        name, pair.l, pair.r);
    END LOOP;
  END LOOP;
END $do$;

-- Functions: each signature of pg_catalog with one argument's type, or all polymorphic ones, replaced.
DO $do$
DECLARE f record; at int; other text; types text[]; replaced text[];
BEGIN
  FOR f IN
    SELECT p.proname, ARRAY(SELECT format_type(t, NULL) FROM unnest(p.proargtypes::oid[]) t) AS arguments,
           CASE WHEN r.typtype = 'p' THEN 'text' ELSE format_type(p.prorettype, NULL) END AS result
    FROM pg_proc p JOIN pg_type r ON r.oid = p.prorettype
    WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname = ANY (%(names)s) AND p.pronargs BETWEEN 1 AND 4
      AND p.prokind <> 'p'
  LOOP
    FOR at IN 1 .. cardinality(f.arguments) LOOP
      FOREACH other IN ARRAY %(types)s::text[] LOOP
        replaced := f.arguments;
        replaced[at] := other;
        replaced := ARRAY(SELECT CASE
          WHEN a IN ('anyarray', 'anycompatiblearray')
          THEN CASE WHEN other LIKE '%%[]' THEN other ELSE other || '[]' END
          WHEN a LIKE 'any%%' OR a = '"any"' THEN other ELSE a END FROM unnest(replaced) a);
        CONTINUE WHEN EXISTS (SELECT FROM pg_proc p WHERE p.proname = f.proname
          AND ARRAY(SELECT format_type(t, NULL) FROM unnest(p.proargtypes::oid[]) t) = replaced);
        PERFORM pg_temp.create_hostile(f.proname, replaced, f.result);
      END LOOP;
    END LOOP;
  END LOOP;
END $do$;
"""
TYPES = [
    "boolean", "smallint", "integer", "bigint", "double precision", "numeric", "text", "name", '"char"', "oid", "xid",
    "regclass", "timestamp with time zone", "interval", "jsonb", "bytea", "int8multirange", "text[]", "bigint[]",
    "smallint[]", "name[]", "character varying",
]  # fmt: skip
OPERATORS = ["=", "<>", "<", ">", "<=", ">=", "+", "-", "*", "&", "&&", "@>", "||", "->>", "~~"]


@pytest.fixture
def hostile_database(database: str) -> Iterator[str]:
    """A database in whose schema public another role has created functions and operators that shadow built-in ones."""
    role = f"mallory_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute(f"CREATE ROLE {role}")
        conn.execute("GRANT CREATE, USAGE ON SCHEMA public TO PUBLIC")
        conn.execute(f"SET ROLE {role}")
        cursor = psycopg.ClientCursor(conn)
        cursor.execute(PREPARE, {"types": TYPES, "operators": OPERATORS, "names": NAMES})
        created = conn.execute(
            "SELECT count(*) FROM pg_catalog.pg_proc WHERE proowner = current_user::regrole"
        ).fetchone()
        assert created
        assert created[0] > 500
    yield database
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}")


def hostile_runs(dsn: str) -> int:
    """Return how often a hostile function ran; a sequence counts also in transactions that were rolled back."""
    with psycopg.connect(dsn) as conn:
        row = conn.execute("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM public.hostile_runs").fetchone()
    assert row
    return int(row[0])


def test_shadowing_functions_are_effective(hostile_database: str) -> None:
    """The functions of this test would run if a statement of ours did not name its functions and operators exactly."""
    with psycopg.connect(hostile_database, autocommit=True) as conn:
        for query in ("SELECT '{}'::int8multirange + '{}'::int8multirange", "SELECT * FROM unnest('{}'::text[])"):
            with pytest.raises(psycopg.errors.RaiseException, match="hostile"):
                conn.execute(query)

    assert 2 == hostile_runs(hostile_database)


THINGS = """
CREATE TABLE things (id int PRIMARY KEY, v text NOT NULL DEFAULT 'x', parent int REFERENCES things, w numeric,
  at timestamptz DEFAULT pg_catalog.now(), CHECK (id OPERATOR(pg_catalog.<) 1000));
"""


async def publish(url: str, stream: str) -> int:
    """Publish good messages, duplicates, violations and garbage."""
    client = await nats.connect(url)
    jetstream = client.jetstream()
    await jetstream.add_stream(name=stream, subjects=[f"{stream}.>"])
    payloads: list[tuple[str, bytes]] = []
    for n in range(30):
        payloads.append(("telemetry", json.dumps({"name": "m", "value": n}).encode()))
        payloads.append(("things", json.dumps({"id": n % 20, "v": "a"}).encode()))
    bad = ({"id": 5000, "v": "a"}, {"id": 100, "v": None}, {"id": 101, "v": "a", "parent": 999}, {"id": 102, "v": "\0"})
    payloads += [("things", json.dumps(thing).encode()) for thing in bad]
    payloads += [("things", b"garbage"), ("telemetry", b"garbage")]
    for kind, payload in payloads:
        await jetstream.publish(f"{stream}.{kind}", payload)
    await client.close()
    return len(payloads)


def test_no_statement_runs_a_function_of_another_role(hostile_database: str, nats_url: str, tmp_path: Path) -> None:
    """migrate, the daemon with duplicates, violations and dead letters, maintenance, dlq, verify, doctor and explain
    run no function that another role created."""
    stream = f"hostile_{uuid.uuid4().hex[:8]}"
    outputs = [command("eventwriter", "migrate", "--dsn", hostile_database)]
    with psycopg.connect(hostile_database, autocommit=True) as conn:
        conn.execute(THINGS)
    count = asyncio.run(publish(nats_url, stream))
    config = {
        "nats": {"servers": [nats_url]}, "postgres": {"dsn": hostile_database}, "stream_name": stream,
        "consumer_name": stream, "dead_letters": {"keep_max": 100, "keep": "1h"},
        "storage": {"maintain": True, "keep": "10d"},
        "streams": [
            {"name": "TELEMETRY", "subject": f"{stream}.telemetry"},
            {"name": "THINGS", "subject": f"{stream}.things", "kind": "json", "table": "things",
             "on_conflict": "replace"},
        ],
    }  # fmt: skip
    run = Run(tmp_path, config).start()
    try:
        run.until(lambda s: s["totals"]["messages_total"] == count and s["totals"]["lag_messages"] == 0, "settled")
        outputs += [run.ctl("restart", "all", "--wait"), run.ctl("streams", "--json"), run.ctl("lag", "--json")]
        file = ["--config", str(run.config)]
        for arguments in (
            ["doctor", "--json"], ["migrate"], ["migrate", "--dry-run"], ["migrate", "--maintain"],
            ["migrate", "--maintain", "--dry-run"], ["explain", "--stream", stream, "--seq", "2"],
        ):  # fmt: skip
            outputs.append(command("eventwriter", *file, *arguments))
        for arguments in (
            ["verify", "--json"], ["dlq", "list"], ["dlq", "list", "--reason", "malformed", "--since", "1h", "--json"],
            ["dlq", "show", "1"], ["dlq", "replay", "--dry-run"], ["dlq", "replay"], ["dlq", "export", "-"],
            ["dlq", "purge", "--yes"],
        ):  # fmt: skip
            outputs.append(command("eventwriter-ctl", *file, *arguments))
    finally:
        run.stop()

    said = [line for done in outputs for line in (done.stdout + done.stderr).splitlines() if "hostile " in line]
    said += [line for line in run.log().splitlines() if "hostile " in line]
    findings = json.loads(next(done for done in outputs if "doctor" in done.args).stdout)["findings"]
    assert "warn" in {found["status"] for found in findings if found["check"] == "search path"}
    assert [] == said
    assert 0 == hostile_runs(hostile_database)
