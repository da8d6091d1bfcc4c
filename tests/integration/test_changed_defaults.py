"""DDL that changes neither a table nor a column, under a running daemon: a new default, and a new label of an enum."""

import json

import nats.js.client
import psycopg
from fix_shared_stream import SharedStream

DDL = """
CREATE TYPE mood AS ENUM ('good');
CREATE TABLE things (id int, v text DEFAULT 'old', m mood)
"""


def publish(shared: SharedStream, payload: dict[str, object]) -> None:
    """Publish one message, and wait until it is settled."""

    async def act(js: nats.js.client.JetStreamContext) -> None:
        await js.publish(f"{shared.stream}.t.a", json.dumps(payload).encode())

    shared.jetstream(act)
    shared.published += 1
    shared.run_until_written(shared.published)


def test_new_default_and_new_label_are_used_at_once(shared: SharedStream) -> None:
    """The next batch after SET DEFAULT writes the new default, and the next one after ADD VALUE the new label."""
    config = json.loads(shared.run.config.read_text())
    config["streams"] = [
        {"name": "THINGS", "subject": f"{shared.stream}.t.>", "stream_name": shared.stream, "kind": "json",
         "table": "things", "batch_timeout": 50}
    ]  # fmt: skip
    shared.run.config.write_text(json.dumps(config))
    shared.execute(DDL)

    publish(shared, {"id": 1, "m": "good"})
    shared.execute("ALTER TABLE things ALTER v SET DEFAULT 'new'")
    publish(shared, {"id": 2, "m": "good"})
    shared.execute("ALTER TYPE mood ADD VALUE 'fine'")
    publish(shared, {"id": 3, "m": "fine"})

    with psycopg.connect(shared.dsn) as conn:
        rows = conn.execute("SELECT id, v, m::text FROM things ORDER BY id").fetchall()
        dead = conn.execute("SELECT reason FROM eventwriter_dead_letters").fetchall()
    assert ([(1, "old", "good"), (2, "new", "good"), (3, "new", "fine")], []) == (rows, dead)
