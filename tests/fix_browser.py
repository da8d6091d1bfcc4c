"""A headless Chromium for tests of the dashboard, which are skipped if it is not installed."""

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
    """A page of the dashboard in a browser."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, url: str) -> "Page":
        """Load a URL."""
        self.driver.get(url)
        return self

    def ask(self, script: str) -> Any:
        """Evaluate an expression in the page."""
        return self.driver.execute_script(f"return {script}")

    def text(self, selector: str) -> str:
        """Return the text of the first visible element that matches a selector, or an empty string."""
        return next(iter(self.texts(selector)), "")

    def texts(self, selector: str) -> list[str]:
        """Return the texts of all visible elements that match a selector."""
        seen = f"[...document.querySelectorAll({selector!r})].filter((one) => one.checkVisibility())"
        found: list[str] = self.ask(f"{seen}.map((one) => one.innerText)")
        return found

    def resize(self, width: int, height: int, dark: bool = False) -> None:
        """Emulate a screen of this size, optionally with dark mode."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})

    def complaints(self) -> list[str]:
        """Return the errors of the browser's console since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    """An empty page in its own browser."""
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
