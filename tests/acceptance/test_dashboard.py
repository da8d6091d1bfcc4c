"""The dashboard in a browser: what is seen on a desk and on a phone, while all is well and while it is not."""

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
"""What the console says by itself while a server is away; no mistake of the page."""
STILL = {"name": "prefers-reduced-motion", "value": "reduce"}
"""Asks a page not to move: then what a test reads is never half of the way."""


def seen(probe: Callable[[], Any]) -> Any:
    """Wait until the page shows it."""
    return until(probe, lambda: "the page never showed it")


@pytest.fixture
def watched(daemon: Daemon, web_daemon: WebDaemon, tmp_path: Path) -> WebDaemon:
    """A daemon with its servers and a web child, started."""
    web_daemon.run.config, web_daemon.run.socket = daemon.config, daemon.socket
    web_daemon.config = json.loads(daemon.config.read_text())
    web_daemon.write()
    daemon.start()
    return web_daemon.wait_until_served()


async def test_page_follows_what_is_written(watched: WebDaemon, daemon: Daemon, page: Page) -> None:
    """The dashboard shows the stream, each stage, and the messages as they come, without being loaded again."""
    page.open(f"http://127.0.0.1:{watched.port}/")
    seen(lambda: page.text("#status") == "healthy")
    await daemon.publish(300, garbage_every=100)

    seen(lambda: page.text(".tile:nth-child(1) small") == "300 since the start")
    seen(lambda: page.text(".reasons") == "malformed\n3")
    assert ["pull", "decode", "rows", "batch", "copy", "ack"] == page.texts(".stage .label")
    assert ["TELEMETRY"] == page.texts(".stream h2")
    assert "running" == page.text("td.state")
    assert ["connected", "connected"] == page.texts(".server strong")
    seen(lambda: page.ask("document.querySelector('.throughput .line').getAttribute('d').length > 20"))
    assert "in" in page.text(".bars .value")
    assert "healthy" in page.driver.title
    before = page.text("#about")
    seen(lambda: page.text("#about") != before)
    assert [] == page.complaints()


async def test_page_that_is_loaded_again_has_its_past(watched: WebDaemon, daemon: Daemon, page: Page) -> None:
    """The web child remembers: a page that is opened later draws what was before."""
    url = f"http://127.0.0.1:{watched.port}/"
    await daemon.publish(300)
    line = "document.querySelector('.throughput .line')?.getAttribute('d') ?? ''"
    page.open(url)
    seen(lambda: page.ask(line).count("L") >= 2)

    page.open(url)

    seen(lambda: page.text("#status") == "healthy")
    assert page.ask(line).count("L") >= 2


async def test_page_outlives_a_restart_of_the_daemon(watched: WebDaemon, daemon: Daemon, page: Page) -> None:
    """While the daemon is away the page says so; when it is back the page goes on by itself."""
    page.open(f"http://127.0.0.1:{watched.port}/")
    await daemon.publish(100)
    seen(lambda: page.text(".tile:nth-child(1) small") == "100 since the start")

    assert 0 == daemon.stop()
    seen(lambda: "No data from the daemon" in page.text("#lost"))
    daemon.start()
    await daemon.publish(50)

    seen(lambda: page.text(".tile:nth-child(1) small") == "50 since the start")
    assert "" == page.text("#lost")
    assert [] == [said for said in page.complaints() if not NETWORK.search(said)]


def test_login_is_required_once(web_daemon: WebDaemon, page: Page, tmp_path: Path) -> None:
    """With a token the page is the login; the right one leads to the dashboard, logging out leads back."""
    (tmp_path / "token").write_text(TOKEN)
    web_daemon.start(token_file=str(tmp_path / "token")).wait_until_served()
    url = f"http://127.0.0.1:{web_daemon.port}/"

    def log_in(token: str) -> None:
        page.driver.find_element("id", "token").send_keys(token)
        page.driver.find_element("css selector", "form button").click()

    page.open(url)
    assert "/login" in page.driver.current_url
    log_in("not-this-one-not-this-one")
    seen(lambda: page.text("#wrong") == "Wrong token.")
    log_in(TOKEN)
    seen(lambda: page.driver.current_url == url and page.texts(".stream h2") == ["TELEMETRY"])
    page.open(url)
    seen(lambda: page.texts("#logout button") == ["log out"])
    page.driver.find_element("css selector", "#logout button").click()
    seen(lambda: "/login" in page.driver.current_url)
    page.open(url)
    assert "/login" in page.driver.current_url
    assert [] == [said for said in page.complaints() if "403" not in said]


def test_session_that_ends_leads_to_the_login(web_daemon: WebDaemon, page: Page, tmp_path: Path) -> None:
    """When the token is replaced an open dashboard ends at the login page, by itself."""
    token = tmp_path / "token"
    token.write_text(TOKEN)
    web_daemon.start(token_file=str(token)).wait_until_served()
    page.open(f"http://127.0.0.1:{web_daemon.port}/")
    page.driver.find_element("id", "token").send_keys(TOKEN)
    page.driver.find_element("css selector", "form button").click()
    seen(lambda: page.texts(".stream h2") == ["TELEMETRY"])

    token.write_text(TOKEN[::-1])

    seen(lambda: "/login" in page.driver.current_url)


def test_words_from_outside_are_never_markup(scripted: Any, page: Page) -> None:
    """Names, reasons and errors that hold markup are shown as the text that they are."""
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

    seen(lambda: page.texts(".stream h2") == [HOSTILE])
    assert HOSTILE in page.text(".reasons")
    assert HOSTILE in page.text(".why")
    assert HOSTILE in page.text("#reason")
    assert 0 == page.ask("document.querySelectorAll('main img, main script').length")
    assert "broken in" not in page.driver.title
    assert [] == page.complaints()


@pytest.mark.parametrize("width", [390, 768, 1400])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_page_fits_the_screen(scripted: Any, page: Page, width: int, dark: bool) -> None:
    """On a phone, a tablet and a desk nothing is cut off or beyond the edge, in light and in dark."""
    long = "a_stream_with_a_name_that_is_as_long_as_names_get"
    slots = {
        "NETFLOW/0": heartbeat(lag_messages=123_456_789, lag_s=86_400.0 * 9),
        "NETFLOW/1": {},
        f"{long}/0": heartbeat(state="parked", reason="x" * 300, postgres_target="y" * 200),
    }
    page.resize(width, 900, dark)

    page.open(scripted(made(slots)).url)

    seen(lambda: len(page.texts(".stream")) == 2)
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


def worked(uptime_s: float, restarts: int = 0, lag_messages: int = 0, **stages_s: float) -> dict[str, Any]:
    """Return the snapshot of a worker that takes a quarter of a processor, with the seconds it was in each stage."""
    stages = {stage: {"sum": spent_s, "counts": [1]} for stage, spent_s in stages_s.items()}
    beat = heartbeat(cpu_s=uptime_s / 4, rss_bytes=60 << 20, lag_messages=lag_messages, histograms={"stage_s": stages})
    snapshot = made({"A/0": beat}, uptime_s=uptime_s)
    snapshot["slots"][0]["restarts"] = restarts
    return snapshot


def test_worker_has_its_restarts_processor_and_memory(scripted: Any, page: Page) -> None:
    """A worker's line says how often it was restarted, how much of a processor it takes, and its memory."""
    supervisor = scripted(worked(60))
    page.open(supervisor.url)
    seen(lambda: page.texts("td.restarts, td.cpu, td.memory") == ["0", "–", "60 MiB"])

    supervisor.snapshot = worked(160, restarts=3)

    seen(lambda: page.texts("td.restarts, td.cpu, td.memory") == ["3", "25 %", "60 MiB"])


def test_stages_are_as_warm_as_they_are_busy(scripted: Any, page: Page) -> None:
    """A stage's bar is as long as its share of the time, and the longer it is the nearer its hue is to the hot one."""
    supervisor = scripted(worked(60, decode=0.0, copy=0.0))
    page.open(supervisor.url)
    seen(lambda: page.texts(".stage.copy .load") == ["–"])
    bars = """[...document.querySelectorAll('.stage.decode, .stage.copy, .stage.ack')].map((stage) => {
        const bar = getComputedStyle(stage.querySelector('.bar'), '::before');
        const [, , hue] = bar.backgroundColor.match(/[\\d.]+/g).map(Number);
        return [stage.querySelector('.load').innerText, stage.style.getPropertyValue('--share'),
            bar.transform.match(/[\\d.]+/)[0], hue];
    })"""
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [STILL]})

    supervisor.snapshot = worked(160, decode=50.0, copy=90.0)

    (*decode, warm), (*copy, hot), (*ack, cool) = seen(lambda: (found := page.ask(bars))[1][1] == "0.9" and found)
    assert [["50 % busy", "0.5", "0.5"], ["90 % busy", "0.9", "0.9"], ["0 % busy", "0", "0"]] == [decode, copy, ack]
    assert hot < 60 < warm < 150 < cool


def test_backlog_is_drawn(scripted: Any, page: Page) -> None:
    """The line of what waits rises with the backlog, for the stream and for all together, and says how much it is."""
    supervisor = scripted(worked(60, lag_messages=100))
    page.open(supervisor.url)
    seen(lambda: said_of_lag(page) == ["now 100, maximum 100"] * 2)

    supervisor.snapshot = worked(65, lag_messages=400)

    seen(lambda: said_of_lag(page) == ["now 400, maximum 400"] * 2)
    for line in page.ask("[...document.querySelectorAll('.lag .line')].map((one) => one.getAttribute('d'))"):
        heights = [float(point.split()[1]) for point in line.removeprefix("M").split("L")]
        # From the top: 52 units are all of it, the ground is at 55.
        assert {42.0, 3.0} == set(heights), line
        assert sorted(heights, reverse=True) == heights, line


def said_of_lag(page: Page) -> list[str]:
    """Return what the charts of waiting messages say to who cannot see them."""
    labels = page.ask("[...document.querySelectorAll('.lag svg')].map((one) => one.getAttribute('aria-label') ?? '')")
    return [label.rpartition(": ")[2] for label in labels]


def test_silent_supervisor_is_said(scripted: Any, page: Page) -> None:
    """Figures that are no longer fresh are greyed, and how old they are is said; when they are fresh again it goes."""
    supervisor = scripted(made({"A/0": heartbeat()}))
    page.open(supervisor.url)
    seen(lambda: page.texts(".stream h2") == ["A"])

    supervisor.snapshot = None
    seen(lambda: "No data from the daemon" in page.text("#lost"))
    supervisor.snapshot = made({"A/0": heartbeat(), "B/0": heartbeat()}, uptime_s=90)

    seen(lambda: page.texts(".stream h2") == ["A", "B"])
    assert "" == page.text("#lost")


def test_page_can_be_used_without_a_mouse_and_without_eyes(scripted: Any, page: Page) -> None:
    """Charts and lists have names, tables have headings, the language is said, and each link can be reached."""
    page.open(scripted(made({"A/0": heartbeat(), "B/0": heartbeat()})).url)
    seen(lambda: len(page.texts(".stream")) == 2)
    seen(
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
