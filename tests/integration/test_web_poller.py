"""The snapshot poller, with a supervisor that responds wrongly or not at all."""

import asyncio
import json
from pathlib import Path

import pytest

from eventwriter.web import poller
from eventwriter.web.poller import SnapshotPoller

VALID = json.dumps({"v": 1, "id": 1, "ok": True, "result": {"status": "healthy"}}).encode() + b"\n"


@pytest.mark.parametrize(
    "invalid",
    [b"garbage\n", b'{"ok": false, "error": "no"}\n', b"[1]\n", b"{", b"\xff\n", None],
    ids=["no JSON", "error", "no object", "half a line", "no text", "no response"],
)
async def test_invalid_response_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, invalid: bytes | None
) -> None:
    """An invalid response is no snapshot; the poller asks again and takes the next valid one."""
    monkeypatch.setattr(poller, "INTERVAL_S", 0.05)
    monkeypatch.setattr(poller, "RESPONSE_S_MAX", 0.3)
    responses = [invalid, VALID]

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline():
            response = responses.pop(0) if len(responses) > 1 else responses[0]
            if response is None:
                await reader.read()
            else:
                writer.write(response)
            if response != VALID:
                break
        writer.close()

    server = await asyncio.start_unix_server(respond, tmp_path / "sock")
    published: asyncio.Queue[object] = asyncio.Queue()
    polling = SnapshotPoller(str(tmp_path / "sock"), published.put_nowait)
    task = asyncio.ensure_future(polling.run())
    async with asyncio.timeout(10):
        first = await published.get()
    task.cancel()
    polling.close()
    server.close()

    assert {"status": "healthy"} == polling.fresh() == first
    assert [VALID] == responses


async def test_old_snapshot_is_not_fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot older than the limit is not served any more."""
    polling = SnapshotPoller(str(tmp_path / "nobody"), lambda _: None)
    assert (None, None) == (polling.fresh(), polling.age_s)
    now_s = 1000.0
    monkeypatch.setattr("eventwriter.clock.monotonic_s", lambda: now_s)
    polling.snapshot, polling._received_s = {"status": "healthy"}, now_s

    now_s += poller.STALE_S
    assert polling.fresh() is not None
    now_s += 0.1
    assert polling.fresh() is None
