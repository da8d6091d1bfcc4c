"""`eventwriter explain` on messages that are in JetStream."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import nats
import psycopg
import pytest


def explain(nats_url: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the command as an operator does."""
    return subprocess.run(
        [sys.executable, "-m", "eventwriter", "explain", *arguments],
        capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False,
        env={"EVENT_WRITER_NATS_URL": nats_url, "PATH": ""},
    )  # fmt: skip


@pytest.fixture
def filled(nats_url: str, stream: str) -> str:
    """A stream with a good message and garbage in it, the first with a header."""

    async def fill() -> None:
        client = await nats.connect(nats_url)
        jetstream = client.jetstream()
        await jetstream.publish(f"{stream}.a", b'{"value": 5}', headers={"Source": "test"})
        await jetstream.publish(f"{stream}.b", b"garbage")
        await client.close()

    asyncio.run(fill())
    return stream


def stored_at(url: str, stream: str, seq: int) -> str:
    """Return when JetStream stored a message, by its own word, with nine decimals."""

    async def ask() -> str:
        client = await nats.connect(url)
        answer = await client.request(f"$JS.API.STREAM.MSG.GET.{stream}", json.dumps({"seq": seq}).encode())
        await client.close()
        return str(json.loads(answer.data)["message"]["time"])

    second, _, decimals = asyncio.run(ask()).rstrip("Z").partition(".")
    return f"{second}.{decimals:0<9}Z"


def test_stored_message_becomes_its_row(nats_url: str, filled: str) -> None:
    """A message is fetched by its sequence and explained with its own subject and time."""
    done = explain(nats_url, "--stream", filled, "--seq", "1", "--kind", "telemetry", "--json")

    found = json.loads(done.stdout)
    assert 0 == done.returncode, done.stderr
    assert (f"{filled}.a", 1, 5.0) == (found["subject"], found["stream_seq"], found["rows"][0]["columns"]["value"])
    assert {"timestamp_defaulted": 1} == found["adjusted"]
    assert stored_at(nats_url, filled, 1) == found["stored_at"]


def test_stored_garbage_is_a_dead_letter(nats_url: str, filled: str) -> None:
    """Garbage in the stream is explained as the dead letter that it becomes."""
    done = explain(nats_url, "--stream", filled, "--seq", "2", "--kind", "telemetry")

    assert 1 == done.returncode, done.stderr
    assert "dead letter: malformed: " in done.stdout
    assert f"message: {filled} 2, {filled}.b, stored {stored_at(nats_url, filled, 2)}" == done.stdout.splitlines()[0]


@pytest.mark.parametrize(
    ("name", "seq", "sentence"),
    [("{stream}", "9", "has no message 9; it holds messages 1 to 2"), ("nope", "1", "JetStream has no stream 'nope'")],
)
def test_what_is_not_there_is_said(nats_url: str, filled: str, name: str, seq: str, sentence: str) -> None:
    """A message or stream that is not there is one sentence, exit code 2, no traceback."""
    done = explain(nats_url, "--stream", name.format(stream=filled), "--seq", seq, "--kind", "telemetry")

    assert 2 == done.returncode
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_nats_away_is_said() -> None:
    """Where NATS does not answer, the exit code is 3 and the address is named."""
    done = explain("nats://127.0.0.1:1", "--stream", "s", "--seq", "1", "--kind", "telemetry")

    assert 3 == done.returncode
    assert "NATS at nats://127.0.0.1:1 is unreachable" in done.stderr


def test_any_table_is_asked_for_its_columns(database: str, nats_url: str, tmp_path: Path) -> None:
    """For kind json the real table is looked up, and the row shown in its columns."""
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute("CREATE TABLE readings (sensor text, taken_at timestamptz, value real)")
    sample = tmp_path / "sample.json"
    sample.write_text('{"sensor": "a", "takenAt": 1704067200, "value": "1.5", "more": 1}')

    done = explain(nats_url, str(sample), "--kind", "json", "--table", "readings", "--dsn", database, "--json")

    assert 0 == done.returncode, done.stderr
    (row,) = json.loads(done.stdout)["rows"]
    assert {"sensor": "a", "taken_at": "2024-01-01T00:00:00+00:00", "value": 1.5} == row["columns"]
