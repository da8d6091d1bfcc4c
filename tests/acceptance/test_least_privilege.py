"""The daemon with exactly the privileges listed in docs/security.md, and with names that need quoting in SQL."""

import asyncio
import json
import re
import uuid
from pathlib import Path
from typing import Any

import nats
import psycopg
from fix_nats import StartNats
from fix_run import Run, command
from psycopg import sql

PAGE = Path(__file__).parents[2] / "docs" / "security.md"
PAYLOADS = (b'{"name":"m","value":1}', b"garbage", b'{"name":"m","value":2}')


def block(language: str) -> str:
    """Return the first code block of the page in a language."""
    found = re.search(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    assert found
    return found[1]


async def publish(url: str, subject: str, **options: Any) -> None:
    """Create the stream and publish the payloads."""
    client = await nats.connect(url, **options)
    jetstream = client.jetstream()
    await jetstream.add_stream(name="events", subjects=[f"{subject.split('.')[0]}.>"])
    for payload in PAYLOADS:
        await jetstream.publish(subject, payload)
    await client.close()


def is_written(status: dict[str, Any]) -> bool:
    """Return whether all payloads are written and acknowledged."""
    return (status["totals"]["messages_total"], status["slots"][0]["lag_messages"]) == (len(PAYLOADS), 0)


def test_documented_privileges_suffice(tmp_path: Path, start_nats: StartNats, database: str) -> None:
    """With only the documented permissions and grants the daemon creates its consumer and writes rows and dead
    letters."""
    permissions = json.loads(block("json"))
    server = start_nats(
        {"authorization": {"users": [
            {"user": "owner", "password": "o"}, {"user": "writer", "password": "w", "permissions": permissions},
        ]}}
    )  # fmt: skip
    asyncio.run(publish(server.url, "telemetry.a", user="owner", password="o"))
    assert 0 == command("eventwriter", "migrate", "--dsn", database).returncode
    role = f"writer_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'w'").format(sql.Identifier(role)))
        conn.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        conn.execute(block("sql").replace(" writer;", f" {role};").encode())
    config = {
        "nats": {"servers": [server.url], "user": "writer", "password": "w", "inbox_prefix": "_INBOX_eventwriter"},
        "postgres": {"dsn": database.replace("://postgres@", f"://{role}@")},
        "streams": ["TELEMETRY"],
        "dead_letters": {"keep_max": 10},
    }
    run = Run(tmp_path, config)
    run.config.chmod(0o600)
    run.start()
    try:
        status = run.until(
            lambda s: s["totals"]["messages_total"] == 3 and s["slots"][0]["lag_messages"] == 0, "written"
        )
        tools = [
            run.ctl("--config", str(run.config), "dlq", *words)
            for words in (["list"], ["show", "1"], ["replay"], ["export", "-"], ["purge", "--yes"])
        ]
    finally:
        code = run.stop()
        with psycopg.connect(database, autocommit=True) as conn:
            conn.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(role)))

    slot = status["slots"][0]
    assert (2, 1, "healthy") == (slot["rows_total"], slot["dead_letters_total"], slot["health"])
    assert 0 == code
    # `replay` exits with 1, because the letter stays dead.
    assert [0, 0, 1, 0, 0] == [done.returncode for done in tools], tools
    assert not re.search(r'denie[ds]|[Gg]rant|GRANT|"level": "error"', run.log()), run.log()


def test_names_are_quoted(tmp_path: Path, start_nats: StartNats, database: str) -> None:
    """Schema and durable names with quotes, SQL and non-Latin letters are only used as names."""
    server = start_nats({})
    asyncio.run(publish(server.url, "telemetry.a"))
    schema = """sch"ema'; DROP TABLE x; -- ünï 表"""
    migrated = command("eventwriter", "migrate", "--dsn", database, "--schema", schema)
    assert 0 == migrated.returncode, migrated.stderr
    entry = {"name": "TELEMETRY", "schema": schema, "durable": """d"'$1;--ü"""}
    config = {"nats": {"servers": [server.url]}, "postgres": {"dsn": database}, "streams": [entry]}
    run = Run(tmp_path, config).start()
    try:
        run.until(is_written, "written")
        dead_letters = run.ctl("--config", str(run.config), "dlq", "list", "--json")
        verified = command("eventwriter-ctl", "--config", str(run.config), "verify", "--json")
    finally:
        run.stop()
    with psycopg.connect(database, autocommit=True) as conn:
        count = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, "timeseries_metrics"))
        row = conn.execute(count).fetchone()

    assert (2,) == row
    assert "garbage" not in dead_letters.stderr
    assert 0 == dead_letters.returncode, dead_letters.stderr
    assert 0 == verified.returncode, verified.stdout + verified.stderr
