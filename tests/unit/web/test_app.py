"""What pages are made of: ours alone, and to be read by everybody."""

import re

import pytest

from eventwriter.web.app import assets

FILES = assets()
CSS = FILES["dashboard.css"].body.decode()
TEXT_CONTRAST_MIN = 4.5
"""WCAG 2.2, success criterion 1.4.3, level AA."""


def colours(css: str) -> dict[str, str]:
    """Return the variables that are a plain colour."""
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", css))


LIGHT = colours(CSS.split("@media (prefers-color-scheme: dark)")[0])
DARK = colours(CSS.split("@media (prefers-color-scheme: dark)")[1].split("* {")[0])


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour. Source: WCAG 2.2, "relative luminance"."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("ground", ["paper", "card"])
@pytest.mark.parametrize("ink", ["ink", "soft", "good", "warn", "bad", "accent"])
def test_text_can_be_read(theme: dict[str, str], ground: str, ink: str) -> None:
    """Every colour of text has enough contrast with every ground, in light and in dark."""
    brighter, darker = sorted((luminance(theme[ink]), luminance(theme[ground])), reverse=True)

    assert (brighter + 0.05) / (darker + 0.05) >= TEXT_CONTRAST_MIN


@pytest.mark.parametrize("name", FILES)
def test_nothing_comes_from_elsewhere(name: str) -> None:
    """No file names another host, and none has what the policy forbids: code or style within the page."""
    text = FILES[name].body.decode()

    assert [] == [
        url
        for url in re.findall(r"(?:https?:)?//[a-z][^\s\"')]*", text)
        if "www.w3.org" not in url and url.startswith("http")
    ]
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:", text)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", text)


def test_known_file_is_not_sent_again() -> None:
    """A reader that has a file gets a short answer."""
    asset = FILES["main.js"]

    assert (200, 304) == (asset.response().status, asset.response(asset.etag).status)
    assert asset.etag != FILES["page.js"].etag


def test_scripts_import_what_is_there() -> None:
    """Each module that a script imports is among the files, and so is each file that a page names."""
    text = "\n".join(asset.body.decode() for asset in FILES.values())
    named = re.findall(r'from "\./([^"]+)"', text) + re.findall(r'"/static/([^"]+)"', text)

    assert set() == set(named) - set(FILES)
    assert {"main.js", "dashboard.css", "icon.svg"} <= set(named)
