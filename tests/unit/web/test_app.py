"""Files of the dashboard, and the body of `/api/health`."""

import re
from typing import Any

import pytest
from snapshots import heartbeat, made

from eventwriter.observe.metrics import HEALTHS
from eventwriter.web.app import CODES, assets, health

FILES = assets()
CSS = FILES["dashboard.css"].body.decode()
TEXT_CONTRAST_MIN = 4.5
"""WCAG 2.2, success criterion 1.4.3, level AA."""


def colours(css: str) -> dict[str, str]:
    """Return the CSS variables with a plain colour."""
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", css))


LIGHT = colours(CSS.split("@media (prefers-color-scheme: dark)")[0])
DARK = colours(CSS.split("@media (prefers-color-scheme: dark)")[1].split("* {")[0])


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour. Source: WCAG 2.2, "relative luminance"."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("background", ["paper", "card"])
@pytest.mark.parametrize("ink", ["ink", "soft", "good", "warn", "bad", "accent"])
def test_text_has_enough_contrast(theme: dict[str, str], background: str, ink: str) -> None:
    """Every text colour has enough contrast with every backbackground, in light and dark mode."""
    brighter, darker = sorted((luminance(theme[ink]), luminance(theme[background])), reverse=True)

    assert (brighter + 0.05) / (darker + 0.05) >= TEXT_CONTRAST_MIN


@pytest.mark.parametrize("name", FILES)
def test_files_load_nothing_from_other_hosts(name: str) -> None:
    """No file refers to another host, and none contains inline code or styles, which the policy forbids."""
    text = FILES[name].body.decode()

    assert [] == [
        url
        for url in re.findall(r"(?:https?:)?//[a-z][^\s\"')]*", text)
        if "www.w3.org" not in url and url.startswith("http")
    ]
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:", text)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", text)


def test_unchanged_file_is_not_sent_again() -> None:
    """A client that has the current version of a file gets 304."""
    asset = FILES["main.js"]

    assert (200, 304) == (asset.response().status, asset.response(asset.etag).status)
    assert asset.etag != FILES["page.js"].etag


def test_referenced_files_exist() -> None:
    """Every module that a script imports and every file that a page refers to exists."""
    text = "\n".join(asset.body.decode() for asset in FILES.values())
    referenced = re.findall(r'from "\./([^"]+)"', text) + re.findall(r'"/static/([^"]+)"', text)

    assert set() == set(referenced) - set(FILES)
    assert {"main.js", "dashboard.css", "icon.svg"} <= set(referenced)


@pytest.mark.parametrize(
    ("beat", "code", "status"),
    [
        (heartbeat(), 200, "healthy"),
        (heartbeat(state="starting"), 200, "starting"),
        (heartbeat(postgres_connected=False), 503, "degraded"),
        (heartbeat(state="parked", reason="table x is missing"), 503, "failing"),
    ],
)
def test_health_has_the_code_of_its_status(beat: dict[str, Any], code: int, status: str) -> None:
    """Healthy and starting daemons get 200, degraded and failing ones 503, with the health of each slot."""
    actual, body = health(made({"A/0": beat}, uptime_s=10), 0.5)

    assert (code, status) == (actual, body["status"])
    assert ("A/0", status) == (body["slots"][0]["name"], body["slots"][0]["health"])


def test_every_health_has_a_code() -> None:
    """Every health that the supervisor can report has an HTTP status."""
    assert set(HEALTHS) == CODES.keys()


@pytest.mark.parametrize(("age_s", "shown_age_s"), [(None, None), (12.34, 12.3)])
def test_health_without_fresh_snapshot_is_unknown(age_s: float | None, shown_age_s: float | None) -> None:
    """Without a fresh snapshot the health is unknown, which is 503."""
    code, body = health(None, age_s)

    assert (503, "unknown", shown_age_s) == (code, body["status"], body["snapshot_age_s"])
