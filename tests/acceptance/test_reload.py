"""Reloads of a real daemon under load, and a worker that is replaced while it hangs."""

import asyncio
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fix_ctl import Site
from fix_deadly_kind import BLOCK, KIND, install

from eventwriter.demo.servers import EmbeddedServers

RELOADS = 10
CHANGED: dict[str, Any] = {"name": "TELEMETRY", "subjects": ["telemetry.>"], "batch_timeout": 50}
STEADY: dict[str, Any] = {"name": "OTHER", "subjects": ["other.>"], "kind": "telemetry", "batch_timeout": 50}


@pytest.fixture
def site(ctl_servers: EmbeddedServers, tmp_path: Path) -> Iterator[Site]:
    """A daemon of two streams."""
    made = Site(tmp_path, ctl_servers, [CHANGED, STEADY])
    made.run.start()
    made.healthy()
    yield made
    made.close()


async def load(site: Site, is_over: asyncio.Event) -> None:
    """Publish to both streams until the reloads are over."""
    while not is_over.is_set():
        await site.send("telemetry.a", 100)
        await site.send("other.a", 100)


async def reload_again_and_again(site: Site, is_over: asyncio.Event) -> list[dict[str, int]]:
    """Change one stream's settings ten times, by verb and by signal in turn; return the workers after each."""
    seen = [await asyncio.to_thread(site.pids)]
    for at in range(RELOADS):
        site.configure(streams=[{**CHANGED, "batch_size": 50 + at}, STEADY])
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
            if one["state"] == "running" and one["pid"] != seen[-1]["TELEMETRY/0"]:
                break
        seen.append({name: slot["pid"] for name, slot in slots.items()})
    is_over.set()
    return seen


def test_ten_reloads_under_load_lose_and_double_nothing(site: Site) -> None:
    """Each reload replaces only the worker whose settings changed; every message has its row, once."""

    async def both() -> list[dict[str, int]]:
        is_over = asyncio.Event()
        loading = asyncio.ensure_future(load(site, is_over))
        seen = await asyncio.wait_for(reload_again_and_again(site, is_over), 120)
        await loading
        return seen

    seen = asyncio.run(both())

    assert RELOADS + 1 == len({pids["TELEMETRY/0"] for pids in seen})
    assert 1 == len({pids["OTHER/0"] for pids in seen})
    assert site.published >= 2000
    assert (site.published, site.published, 0) == site.settled()
    events = ("exited unexpectedly", "worker killed", "rebinding")
    assert [] == [event for event in events if event in site.run.log()]


def test_broken_file_on_a_signal_changes_nothing(site: Site) -> None:
    """A hang-up with a broken file names the mistakes in the log, and every worker goes on."""
    before, content = site.pids(), site.run.config.read_text()
    site.run.config.write_text(content.replace('"batch_timeout"', '"batch_timout"'))
    assert site.run.process is not None
    site.run.process.send_signal(signal.SIGHUP)
    until = time.monotonic() + 10
    while "configuration not reloaded, nothing changed" not in site.run.log() and time.monotonic() < until:
        time.sleep(0.05)
    site.run.config.write_text(content)
    site.publish("telemetry.a", 100)

    assert "batch_timout" in site.run.log()
    assert before == site.pids()
    assert (100, 100, 0) == site.settled()


def test_log_form_and_level_change_in_every_process(site: Site) -> None:
    """A reload that concerns only the log replaces nobody, and holds for the supervisor and the workers."""
    before = site.pids()
    site.configure(log={"level": "debug", "format": "text"})
    done = site.ctl("reload")
    start = len(site.run.log())
    site.publish("telemetry.a", 10)
    site.settled()
    said = site.run.log()[start:]

    assert "no worker is affected" in done.stdout
    assert before == site.pids()
    assert "DEBUG   TELEMETRY/0: batch written messages=" in said


def test_stacks_of_a_hanging_worker_show_where_it_hangs(ctl_servers: EmbeddedServers, tmp_path: Path) -> None:
    """The stacks of a worker that answers no query are shown, with the call that blocks it."""
    site = Site(tmp_path, ctl_servers, [{**CHANGED, "kind": KIND}, STEADY], supervisor={"hang_max": 60})
    site.run.environ |= install(tmp_path)
    site.run.start()
    try:
        site.healthy()
        site.publish("telemetry.a", 1, lambda _: b'{"value": 1, "text": "%s"}' % BLOCK.encode())
        time.sleep(1.0)
        done = site.ctl("stacks", "TELEMETRY")
        other = site.ctl("stacks", "OTHER")
    finally:
        assert site.run.process is not None
        site.run.process.kill()  # a drain would wait for what never ends
        site.close()

    assert (1, 0) == (done.returncode, other.returncode)
    assert "its worker did not answer within 2 s" in done.stdout
    assert "deadly_kind.py" in done.stdout
    assert " in block" in done.stdout
