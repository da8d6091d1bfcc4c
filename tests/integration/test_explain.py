"""`eventwriter explain` with messages that are stored in JetStream."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import nats
import psycopg
import pytest


def explain(nats_url: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """A function that runs the command."""
    return subprocess.run(
        [sys.executable, "-m", "eventwriter", "explain", *arguments],
        capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False,
        env={"EVENT_WRITER_NATS_URL": nats_url, "PATH": ""},
    )  # fmt: skip


@pytest.fixture
def filled(nats_url: str, stream: str) -> str:
    """A stream with a valid message that has a header, and an invalid message."""

    async def fill() -> None:
        client = await nats.connect(nats_url)
        jetstream = client.jetstream()
        await jetstream.publish(f"{stream}.a", b'{"value": 5}', headers={"Source": "test"})
        await jetstream.publish(f"{stream}.b", b"garbage")
        await client.close()

    asyncio.run(fill())
    return stream


def stored_at(url: str, stream: str, seq: int) -> str:
    """Return the timestamp at which JetStream stored a message, with nine decimals."""

    async def ask() -> str:
        client = await nats.connect(url)
        answer = await client.request(f"$JS.API.STREAM.MSG.GET.{stream}", json.dumps({"seq": seq}).encode())
        await client.close()
        return str(json.loads(answer.data)["message"]["time"])

    second, _, decimals = asyncio.run(ask()).rstrip("Z").partition(".")
    return f"{second}.{decimals:0<9}Z"


def test_stored_message_is_explained_as_a_row(nats_url: str, filled: str) -> None:
    """A message is fetched by its sequence and explained with its subject and timestamp."""
    done = explain(nats_url, "--stream", filled, "--seq", "1", "--kind", "telemetry", "--json")

    found = json.loads(done.stdout)
    assert 0 == done.returncode, done.stderr
    assert (f"{filled}.a", 1, 5.0) == (found["subject"], found["stream_seq"], found["rows"][0]["columns"]["value"])
    assert {"timestamp_defaulted": 1} == found["adjusted"]
    assert stored_at(nats_url, filled, 1) == found["stored_at"]


def test_invalid_stored_message_is_explained_as_a_dead_letter(nats_url: str, filled: str) -> None:
    """An invalid message in the stream is explained as the dead letter that it becomes."""
    done = explain(nats_url, "--stream", filled, "--seq", "2", "--kind", "telemetry")

    assert 1 == done.returncode, done.stderr
    assert "dead letter: malformed: " in done.stdout
    assert f"message: {filled} 2, {filled}.b, stored {stored_at(nats_url, filled, 2)}" == done.stdout.splitlines()[0]


@pytest.mark.parametrize(
    ("name", "seq", "sentence"),
    [("{stream}", "9", "has no message 9; it holds messages 1 to 2"), ("nope", "1", "JetStream has no stream 'nope'")],
)
def test_missing_message_or_stream_exits_with_2(nats_url: str, filled: str, name: str, seq: str, sentence: str) -> None:
    """A missing message or stream is an error of one line with exit code 2."""
    done = explain(nats_url, "--stream", name.format(stream=filled), "--seq", seq, "--kind", "telemetry")

    assert 2 == done.returncode
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_unreachable_nats_exits_with_3() -> None:
    """If NATS is unreachable, the exit code is 3, and the error names the address."""
    done = explain("nats://127.0.0.1:1", "--stream", "s", "--seq", "1", "--kind", "telemetry")

    assert 3 == done.returncode
    assert "NATS at nats://127.0.0.1:1 is unreachable" in done.stderr


def test_kind_json_uses_the_columns_of_the_real_table(database: str, nats_url: str, tmp_path: Path) -> None:
    """For kind json the row is shown in the columns of the real table."""
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute("CREATE TABLE readings (sensor text, taken_at timestamptz, value real)")
    sample = tmp_path / "sample.json"
    sample.write_text('{"sensor": "a", "takenAt": 1704067200, "value": "1.5", "more": 1}')

    done = explain(nats_url, str(sample), "--kind", "json", "--table", "readings", "--dsn", database, "--json")

    assert 0 == done.returncode, done.stderr
    (row,) = json.loads(done.stdout)["rows"]
    assert {"sensor": "a", "taken_at": "2024-01-01T00:00:00+00:00", "value": 1.5} == row["columns"]
