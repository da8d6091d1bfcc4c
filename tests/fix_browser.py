"""A browser for the dashboard: Debian's Chromium without a window. Where it is not installed, its tests are skipped."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars",
    "--window-size=1400,1000",
)  # fmt: skip


class Page:
    """What a test does with a page; knows nothing of the daemon."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, url: str) -> "Page":
        """Go somewhere."""
        self.driver.get(url)
        return self

    def ask(self, script: str) -> Any:
        """Return what a script returns in the page."""
        return self.driver.execute_script(f"return {script}")

    def text(self, selector: str) -> str:
        """Return the text of the first element that a selector finds and that can be seen; else an empty one."""
        return next(iter(self.texts(selector)), "")

    def texts(self, selector: str) -> list[str]:
        """Return the texts of all elements that a selector finds and that can be seen."""
        seen = f"[...document.querySelectorAll({selector!r})].filter((one) => one.checkVisibility())"
        found: list[str] = self.ask(f"{seen}.map((one) => one.innerText)")
        return found

    def resize(self, width: int, height: int, dark: bool = False) -> None:
        """Be a screen of another size, or a dark one."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})

    def complaints(self) -> list[str]:
        """Return what the browser's console has at level error since the last call: scripts, policy, files."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    """An empty page in a browser of its own."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed (extra `test`)")
    chromium, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or chromedriver is None:
        pytest.skip("no Chromium here (Debian: apt-get install --no-install-recommends chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'browser'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(chromedriver))
    driver.set_page_load_timeout(30)
    driver.set_script_timeout(10)
    yield Page(driver)
    driver.quit()
