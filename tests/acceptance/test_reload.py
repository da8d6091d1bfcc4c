"""Reloads of a daemon under load, and stack dumps of a hanging worker."""

import asyncio
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fix_ctl import WAIT_S, Site
from fix_deadly_kind import BLOCK, KIND, install

from eventwriter.demo.servers import EmbeddedServers

RELOADS = 10
CHANGED: dict[str, Any] = {"name": "TELEMETRY", "subjects": ["telemetry.>"], "batch_timeout": 50}
UNCHANGED: dict[str, Any] = {"name": "OTHER", "subjects": ["other.>"], "kind": "telemetry", "batch_timeout": 50}


@pytest.fixture
def site(ctl_servers: EmbeddedServers, tmp_path: Path) -> Iterator[Site]:
    """A daemon with two entries."""
    made = Site(tmp_path, ctl_servers, [CHANGED, UNCHANGED])
    made.run.start()
    made.healthy()
    yield made
    made.close()


async def load(site: Site, is_over: asyncio.Event) -> None:
    """Publish to both entries until the reloads are done."""
    while not is_over.is_set():
        await site.send("telemetry.a", 100)
        await site.send("other.a", 100)


async def reload_repeatedly(site: Site, is_over: asyncio.Event) -> list[dict[str, int]]:
    """Change the settings of one entry ten times, alternating verb and signal; return the pids after each reload."""
    pids = [await asyncio.to_thread(site.pids)]
    for at in range(RELOADS):
        site.configure(streams=[{**CHANGED, "batch_size": 50 + at}, UNCHANGED])
        if at % 2:
            assert site.run.process is not None
            site.run.process.send_signal(signal.SIGHUP)
        else:
            done = await asyncio.to_thread(site.ctl, "reload")
            assert "replaced: TELEMETRY/0" in done.stdout, done.stderr
        while True:
            await asyncio.sleep(0.1)
            slots = await asyncio.to_thread(site.slots)
            one = slots["TELEMETRY/0"]
            if one["state"] == "running" and one["pid"] != pids[-1]["TELEMETRY/0"]:
                break
        pids.append({name: slot["pid"] for name, slot in slots.items()})
    is_over.set()
    return pids


def test_ten_reloads_under_load_lose_and_duplicate_nothing(site: Site) -> None:
    """Each reload replaces only the worker whose settings changed; every message is written once."""

    async def both() -> list[dict[str, int]]:
        is_over = asyncio.Event()
        loading = asyncio.ensure_future(load(site, is_over))
        pids = await asyncio.wait_for(reload_repeatedly(site, is_over), 300)
        await loading
        return pids

    seen = asyncio.run(both())

    assert RELOADS + 1 == len({pids["TELEMETRY/0"] for pids in seen})
    assert 1 == len({pids["OTHER/0"] for pids in seen})
    assert site.published >= 2000
    assert (site.published, site.published, 0) == site.settled_counts()
    events = ("exited unexpectedly", "worker killed", "rebinding")
    assert [] == [event for event in events if event in site.run.log()]


def test_invalid_file_on_sighup_changes_nothing(site: Site) -> None:
    """SIGHUP with an invalid file logs the errors, and every worker continues."""
    before, content = site.pids(), site.run.config.read_text()
    site.run.config.write_text(content.replace('"batch_timeout"', '"batch_timout"'))
    assert site.run.process is not None
    site.run.process.send_signal(signal.SIGHUP)
    until = time.monotonic() + WAIT_S
    while "batch_timout" not in site.run.log() and time.monotonic() < until:
        time.sleep(0.05)
    site.run.config.write_text(content)
    site.publish("telemetry.a", 100)

    assert "batch_timout" in site.run.log()
    assert before == site.pids()
    assert (100, 100, 0) == site.settled_counts()


def test_log_format_and_level_change_in_every_process(site: Site) -> None:
    """A reload that changes only the log settings replaces no worker, and applies to supervisor and workers."""
    before = site.pids()
    site.configure(log={"level": "debug", "format": "text"})
    done = site.ctl("reload")
    start = len(site.run.log())
    site.publish("telemetry.a", 10)
    site.settled_counts()
    lines = site.run.log()[start:]

    assert 0 == done.returncode
    assert before == site.pids()
    assert "DEBUG   TELEMETRY/0: batch written messages=" in lines


def test_stacks_of_a_hanging_worker_show_the_blocking_call(ctl_servers: EmbeddedServers, tmp_path: Path) -> None:
    """The stacks of a worker that does not answer requests contain the call that blocks it."""
    site = Site(tmp_path, ctl_servers, [{**CHANGED, "kind": KIND}, UNCHANGED], supervisor={"hang_max": 60})
    site.run.environ |= install(tmp_path)
    site.run.start()
    try:
        site.healthy()
        site.publish("telemetry.a", 1, lambda _: b'{"value": 1, "text": "%s"}' % BLOCK.encode())
        until = time.monotonic() + WAIT_S
        while " in block" not in (done := site.ctl("stacks", "TELEMETRY")).stdout and time.monotonic() < until:
            time.sleep(0.2)
        other = site.ctl("stacks", "OTHER")
    finally:
        assert site.run.process is not None
        site.run.process.kill()  # a drain would wait for the blocked worker
        site.close()

    assert (1, 0) == (done.returncode, other.returncode)
    assert "deadly_kind.py" in done.stdout
    assert " in block" in done.stdout
