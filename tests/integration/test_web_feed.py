"""The web child's question to a supervisor that does not answer as it should."""

import asyncio
import json
from pathlib import Path

import pytest

from eventwriter.web import poller
from eventwriter.web.poller import Feed

GOOD = json.dumps({"v": 1, "id": 1, "ok": True, "result": {"status": "healthy"}}).encode() + b"\n"


@pytest.mark.parametrize(
    "bad",
    [b"garbage\n", b'{"ok": false, "error": "no"}\n', b"[1]\n", b"{", b"\xff\n", None],
    ids=["no JSON", "refusal", "no object", "half a line", "no text", "silence"],
)
async def test_bad_answer_is_no_snapshot_and_the_next_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: bytes | None
) -> None:
    """What is no answer changes nothing; the supervisor is asked again, and a good answer is taken."""
    monkeypatch.setattr(poller, "ASK_S", 0.05)
    monkeypatch.setattr(poller, "ANSWER_S_MAX", 0.3)
    answers = [bad, GOOD]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline():
            said = answers.pop(0) if len(answers) > 1 else answers[0]
            if said is None:
                await reader.read()
            else:
                writer.write(said)
            if said != GOOD:
                break
        writer.close()

    server = await asyncio.start_unix_server(answer, tmp_path / "sock")
    asked = Feed(str(tmp_path / "sock"))
    taken: asyncio.Queue[object] = asyncio.Queue()
    asked.on_snapshot = taken.put_nowait
    task = asyncio.ensure_future(asked.run())
    async with asyncio.timeout(10):
        first = await taken.get()
    task.cancel()
    asked.close()
    server.close()

    assert {"status": "healthy"} == asked.fresh() == first
    assert [GOOD] == answers


async def test_supervisor_that_is_gone_leaves_the_snapshot_to_age(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A snapshot is given out while it is fresh, and not as if it were when it is not."""
    asked = Feed(str(tmp_path / "nobody"))
    assert (None, None) == (asked.fresh(), asked.age_s)
    now_s = 1000.0
    monkeypatch.setattr("eventwriter.clock.monotonic_s", lambda: now_s)
    asked.snapshot, asked._heard_s = {"status": "healthy"}, now_s

    now_s += poller.STALE_S
    assert asked.fresh() is not None
    now_s += 0.1
    assert asked.fresh() is None
