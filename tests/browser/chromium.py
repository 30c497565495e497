"""A headless Chromium that opens the page: what it logs, what it asks for, what axe-core finds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

T = TypeVar("T")
Scheme = Literal["light", "dark"]
WIDE, PHONE = 1280, 320
WAIT_SECONDS = 30.0
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def missing() -> str | None:
    """What is not installed, or None."""
    lacking = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return f"needs Debian's packages chromium and chromium-driver: no {' and no '.join(lacking)}" if lacking else None


class Browser:
    """One window. Everything in it is asked of one place, and its logs are kept from its first page on."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver
        self.complaints: list[str] = []
        self.asked: list[str] = []

    def forget(self) -> None:
        """Leaves the page, the token that it kept, and what was logged."""
        if self.driver.current_url.startswith("http"):
            self.script("sessionStorage.clear()")
        self.driver.get("about:blank")
        for kind in ("browser", "performance"):
            self.driver.get_log(kind)
        self.complaints, self.asked = [], []

    # What it looks like

    def look(self, width: int, scheme: Scheme = "light", height: int = 900) -> None:
        """Gives the window a width in CSS pixels, and the person's taste."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    # What is on it

    def all(self, selector: str) -> list[WebElement]:
        """Elements by a CSS selector."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> WebElement:
        """The one element that there is."""
        (found,) = self.all(selector)
        return found

    def text(self, selector: str = "main") -> str:
        """What an element says."""
        return str(self.script("return document.querySelector(arguments[0])?.innerText ?? ''", selector))

    def script(self, code: str, *arguments: Any) -> Any:
        """Runs JavaScript."""
        return self.driver.execute_script(code, *arguments)

    def button(self, words: str) -> WebElement:
        """The button that says something and can be seen."""
        (found,) = [one for one in self.all("button") if one.is_displayed() and one.text == words]
        return found

    def until(self, happened: Callable[[], T], seconds: float = WAIT_SECONDS) -> T:
        """Looks until something is so; elements that are changed meanwhile are looked for again."""
        wait = WebDriverWait(self.driver, seconds, 0.1, ignored_exceptions=[StaleElementReferenceException, ValueError])
        try:
            return wait.until(lambda driver: happened())
        except WebDriverException as error:
            raise AssertionError(f"it never happened; the page says:\n{self.text('body')}\n{self.log()}") from error

    # What it has logged

    def log(self) -> list[str]:
        """Everything that the console was told, at the level of a warning or worse."""
        self.complaints += [entry["message"] for entry in self.driver.get_log("browser")]
        return self.complaints

    def requests(self) -> list[str]:
        """The address of every request that was sent."""
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self.asked.append(message["params"]["request"]["url"])
        return self.asked

    def foreign(self, url: str) -> list[str]:
        """Requests that went anywhere but to the daemon."""
        own = urlsplit(url).netloc
        local = [f"blob:{url}", "about:", "data:,"]
        return [one for one in self.requests() if urlsplit(one).netloc != own and not one.startswith(tuple(local))]

    # Whether all can use it

    def violations(self) -> list[str]:
        """What axe-core finds, each with the elements that it finds it at."""
        source = (resources.files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8")
        self.script(source + "\nwindow.axe = axe;")
        run = "axe.run(document).then((found) => done(found.violations), (why) => done(`${why}`))"
        found = self.driver.execute_async_script(f"const done = arguments[0]; {run}")
        assert isinstance(found, list), found
        return [f"{one['id']}: {one['help']}: {[node['html'][:160] for node in one['nodes']]}" for one in found]


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """Opens a window with an empty profile.

    Args:
        profile: an empty folder.
    """
    if why := missing():
        pytest.skip(why)
    options = Options()
    options.binary_location = str(shutil.which("chromium"))
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "WARNING", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(shutil.which("chromedriver"))))
    try:
        driver.set_script_timeout(WAIT_SECONDS)
        yield Browser(driver)
    finally:
        driver.quit()
