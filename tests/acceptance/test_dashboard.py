"""The dashboard in a browser: on desktop and phone screens, with a healthy and with an unreachable daemon."""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fix_browser import Page
from fix_daemon import Daemon
from fix_web import WebDaemon, until
from snapshots import heartbeat, made

TOKEN = "0123456789abcdef0123456789abcdef"
HOSTILE = "<img src=x onerror=\"document.title='broken in'\"><script>document.title='broken in'</script>"
NETWORK = re.compile(r"net::ERR_")
"""Messages of the browser console while the server is unreachable; not errors of the page."""
REDUCED_MOTION = {"name": "prefers-reduced-motion", "value": "reduce"}
"""Disables animations, so that a test never reads an intermediate state."""


def wait_for(probe: Callable[[], Any]) -> Any:
    """Wait until a probe of the page returns a true value, and return it."""
    return until(probe, lambda: "the page did not show the expected state")


@pytest.fixture
def dashboard(daemon: Daemon, web_daemon: WebDaemon, tmp_path: Path) -> WebDaemon:
    """A running daemon with servers and a web child."""
    web_daemon.run.config, web_daemon.run.socket = daemon.config, daemon.socket
    web_daemon.config = json.loads(daemon.config.read_text())
    web_daemon.write()
    daemon.start()
    return web_daemon.wait_until_served()


async def test_page_is_updated_as_messages_are_written(dashboard: WebDaemon, daemon: Daemon, page: Page) -> None:
    """The dashboard shows the stream, each stage and new messages without being reloaded."""
    page.open(f"http://127.0.0.1:{dashboard.port}/")
    wait_for(lambda: page.text("#status") == "healthy")
    await daemon.publish(300, garbage_every=100)

    wait_for(lambda: page.text(".tile:nth-child(1) small") == "300 since the start")
    wait_for(lambda: page.text(".reasons") == "malformed\n3")
    assert ["pull", "decode", "rows", "batch", "copy", "ack"] == page.texts(".stage .label")
    assert ["TELEMETRY"] == page.texts(".stream h2")
    assert "running" == page.text("td.state")
    assert ["connected", "connected"] == page.texts(".server strong")
    wait_for(lambda: page.ask("document.querySelector('.throughput .line').getAttribute('d').length > 20"))
    assert "in" in page.text(".bars .value")
    assert "healthy" in page.driver.title
    before = page.text("#about")
    wait_for(lambda: page.text("#about") != before)
    assert [] == page.complaints()


async def test_reloaded_page_shows_history(dashboard: WebDaemon, daemon: Daemon, page: Page) -> None:
    """The web child keeps the history, so that a page that is opened later draws it."""
    url = f"http://127.0.0.1:{dashboard.port}/"
    await daemon.publish(300)
    line = "document.querySelector('.throughput .line')?.getAttribute('d') ?? ''"
    page.open(url)
    wait_for(lambda: page.ask(line).count("L") >= 2)

    page.open(url)

    wait_for(lambda: page.text("#status") == "healthy")
    assert page.ask(line).count("L") >= 2


async def test_page_reconnects_after_a_restart_of_the_daemon(dashboard: WebDaemon, daemon: Daemon, page: Page) -> None:
    """While the daemon is stopped the page reports it; after the restart the page continues without a reload."""
    page.open(f"http://127.0.0.1:{dashboard.port}/")
    await daemon.publish(100)
    wait_for(lambda: page.text(".tile:nth-child(1) small") == "100 since the start")

    assert 0 == daemon.stop()
    wait_for(lambda: "No data from the daemon" in page.text("#lost"))
    daemon.start()
    await daemon.publish(50)

    wait_for(lambda: page.text(".tile:nth-child(1) small") == "50 since the start")
    assert "" == page.text("#lost")
    assert [] == [message for message in page.complaints() if not NETWORK.search(message)]


def test_login_is_required_once(web_daemon: WebDaemon, page: Page, tmp_path: Path) -> None:
    """With a token the login page is shown first; the correct token opens the dashboard, logout closes it."""
    (tmp_path / "token").write_text(TOKEN)
    web_daemon.start(token_file=str(tmp_path / "token")).wait_until_served()
    url = f"http://127.0.0.1:{web_daemon.port}/"

    def log_in(token: str) -> None:
        page.driver.find_element("id", "token").send_keys(token)
        page.driver.find_element("css selector", "form button").click()

    page.open(url)
    assert "/login" in page.driver.current_url
    log_in("not-this-one-not-this-one")
    wait_for(lambda: page.text("#wrong") == "Wrong token.")
    log_in(TOKEN)
    wait_for(lambda: page.driver.current_url == url and page.texts(".stream h2") == ["TELEMETRY"])
    page.open(url)
    wait_for(lambda: page.texts("#logout button") == ["log out"])
    page.driver.find_element("css selector", "#logout button").click()
    wait_for(lambda: "/login" in page.driver.current_url)
    page.open(url)
    assert "/login" in page.driver.current_url
    assert [] == [message for message in page.complaints() if "403" not in message]


def test_ended_session_leads_to_the_login(web_daemon: WebDaemon, page: Page, tmp_path: Path) -> None:
    """When the token is replaced, an open dashboard changes to the login page without a reload."""
    token = tmp_path / "token"
    token.write_text(TOKEN)
    web_daemon.start(token_file=str(token)).wait_until_served()
    page.open(f"http://127.0.0.1:{web_daemon.port}/")
    page.driver.find_element("id", "token").send_keys(TOKEN)
    page.driver.find_element("css selector", "form button").click()
    wait_for(lambda: page.texts(".stream h2") == ["TELEMETRY"])

    token.write_text(TOKEN[::-1])

    wait_for(lambda: "/login" in page.driver.current_url)


def test_external_text_is_escaped(scripted: Any, page: Page) -> None:
    """Names, reasons and errors that contain markup are shown as text."""
    beat = heartbeat(
        reason=HOSTILE,
        state="parked",
        last_error=HOSTILE,
        last_error_at_ns=time.time_ns(),
        stream=HOSTILE,
        nats_url=HOSTILE,
        dead_letters_by_reason={HOSTILE: 7},
    )
    url = scripted(made({f"{HOSTILE}/0": beat})).url

    page.open(url)

    wait_for(lambda: page.texts(".stream h2") == [HOSTILE])
    assert HOSTILE in page.text(".reasons")
    assert HOSTILE in page.text(".why")
    assert HOSTILE in page.text("#reason")
    assert 0 == page.ask("document.querySelectorAll('main img, main script').length")
    assert "broken in" not in page.driver.title
    assert [] == page.complaints()


@pytest.mark.parametrize("width", [390, 768, 1400])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_page_fits_the_screen(scripted: Any, page: Page, width: int, dark: bool) -> None:
    """On phone, tablet and desktop screens nothing is cut off or outside the window, in light and dark mode."""
    long = "a_stream_with_a_name_that_is_as_long_as_names_get"
    slots = {
        "NETFLOW/0": heartbeat(lag_messages=123_456_789, lag_s=86_400.0 * 9),
        "NETFLOW/1": {},
        f"{long}/0": heartbeat(state="parked", reason="x" * 300, postgres_target="y" * 200),
    }
    page.resize(width, 900, dark)

    page.open(scripted(made(slots)).url)

    wait_for(lambda: len(page.texts(".stream")) == 2)
    wide = "[...document.querySelectorAll('.scroll')].filter((one) => one.scrollWidth > one.clientWidth).length"
    assert 0 == page.ask(wide)
    for figure in ("rate", "restarts", "cpu", "memory", "up"):
        assert 3 == sum(bool(text) for text in page.texts(f"td.{figure}")), figure
    assert ["48 MiB", "–", "48 MiB"] == page.texts("td.memory")
    assert width == page.ask("document.documentElement.scrollWidth")
    beyond = """[...document.querySelectorAll('main *')].filter((one) => !one.closest('.scroll')
        && one.getBoundingClientRect().right > innerWidth + 1).map((one) => one.className)"""
    assert [] == page.ask(beyond)
    background = page.ask("getComputedStyle(document.body).backgroundColor")
    assert dark == (sum(map(int, re.findall(r"\d+", background)[:3])) < 300)


def snapshot_after(uptime_s: float, restarts: int = 0, lag_messages: int = 0, **stages_s: float) -> dict[str, Any]:
    """Return the snapshot of a worker that uses 25 % of a processor, with the seconds that it spent in each stage."""
    stages = {stage: {"sum": spent_s, "counts": [1]} for stage, spent_s in stages_s.items()}
    beat = heartbeat(cpu_s=uptime_s / 4, rss_bytes=60 << 20, lag_messages=lag_messages, histograms={"stage_s": stages})
    snapshot = made({"A/0": beat}, uptime_s=uptime_s)
    snapshot["slots"][0]["restarts"] = restarts
    return snapshot


def test_worker_row_shows_restarts_cpu_and_memory(scripted: Any, page: Page) -> None:
    """The row of a worker shows its restarts, CPU usage and memory."""
    supervisor = scripted(snapshot_after(60))
    page.open(supervisor.url)
    wait_for(lambda: page.texts("td.restarts, td.cpu, td.memory") == ["0", "–", "60 MiB"])

    supervisor.snapshot = snapshot_after(160, restarts=3)

    wait_for(lambda: page.texts("td.restarts, td.cpu, td.memory") == ["3", "25 %", "60 MiB"])


def test_stage_bars_show_the_load_by_length_and_hue(scripted: Any, page: Page) -> None:
    """The bar of a stage is as long as its share of the time, and its hue is warmer for a larger share."""
    supervisor = scripted(snapshot_after(60, decode=0.0, copy=0.0))
    page.open(supervisor.url)
    wait_for(lambda: page.texts(".stage.copy .load") == ["–"])
    bars = """[...document.querySelectorAll('.stage.decode, .stage.copy, .stage.ack')].map((stage) => {
        const bar = getComputedStyle(stage.querySelector('.bar'), '::before');
        const [, , hue] = bar.backgroundColor.match(/[\\d.]+/g).map(Number);
        return [stage.querySelector('.load').innerText, stage.style.getPropertyValue('--share'),
            bar.transform.match(/[\\d.]+/)[0], hue];
    })"""
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [REDUCED_MOTION]})

    supervisor.snapshot = snapshot_after(160, decode=50.0, copy=90.0)

    (*decode, warm), (*copy, hot), (*ack, cool) = wait_for(lambda: (found := page.ask(bars))[1][1] == "0.9" and found)
    assert [["50 % busy", "0.5", "0.5"], ["90 % busy", "0.9", "0.9"], ["0 % busy", "0", "0"]] == [decode, copy, ack]
    assert hot < 60 < warm < 150 < cool


def test_backlog_is_drawn(scripted: Any, page: Page) -> None:
    """The lag charts of the stream and of all streams rise with the backlog, and their labels have the figures."""
    supervisor = scripted(snapshot_after(60, lag_messages=100))
    page.open(supervisor.url)
    wait_for(lambda: lag_labels(page) == ["now 100, maximum 100"] * 2)

    supervisor.snapshot = snapshot_after(65, lag_messages=400)

    wait_for(lambda: lag_labels(page) == ["now 400, maximum 400"] * 2)
    for line in page.ask("[...document.querySelectorAll('.lag .line')].map((one) => one.getAttribute('d'))"):
        heights = [float(point.split()[1]) for point in line.removeprefix("M").split("L")]
        # Measured from the top: the baseline is at 55, and the maximum is 52 units above it.
        assert {42.0, 3.0} == set(heights), line
        assert sorted(heights, reverse=True) == heights, line


def lag_labels(page: Page) -> list[str]:
    """Return the accessible labels of the lag charts."""
    labels = page.ask("[...document.querySelectorAll('.lag svg')].map((one) => one.getAttribute('aria-label') ?? '')")
    return [label.rpartition(": ")[2] for label in labels]


def test_unresponsive_supervisor_is_reported(scripted: Any, page: Page) -> None:
    """While the supervisor does not answer the page reports that its figures are stale, until it answers again."""
    supervisor = scripted(made({"A/0": heartbeat()}))
    page.open(supervisor.url)
    wait_for(lambda: page.texts(".stream h2") == ["A"])

    supervisor.snapshot = None
    wait_for(lambda: "No data from the daemon" in page.text("#lost"))
    supervisor.snapshot = made({"A/0": heartbeat(), "B/0": heartbeat()}, uptime_s=90)

    wait_for(lambda: page.texts(".stream h2") == ["A", "B"])
    assert "" == page.text("#lost")


def test_page_is_accessible(scripted: Any, page: Page) -> None:
    """Charts and lists have labels, tables have headings, the language is set, and every link has a target."""
    page.open(scripted(made({"A/0": heartbeat(), "B/0": heartbeat()})).url)
    wait_for(lambda: len(page.texts(".stream")) == 2)
    wait_for(
        lambda: (
            "over the last" in page.ask("document.querySelector('.throughput svg').getAttribute('aria-label') ?? ''")
        )
    )

    assert "en" == page.ask("document.documentElement.lang")
    unnamed = "[...document.querySelectorAll('[role=img], nav, section, ol')].filter((one) => !one.ariaLabel).length"
    assert 0 == page.ask(unnamed)
    assert ["col"] == page.ask("[...new Set([...document.querySelectorAll('th')].map((one) => one.scope))]")
    assert [1, 2] == page.ask("[document.querySelectorAll('h1').length, document.querySelectorAll('h2').length]")
    assert page.ask("[...document.querySelectorAll('#overview a')].every((one) => document.querySelector(one.hash))")
