"""Takes the pictures of docs/page.md from a daemon: `python -m tests.browser.pictures URL SEARCH FOLDER`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.browser import chromium
from tests.browser.chromium import WIDE, Browser, Scheme


def take(browser: Browser, url: str, path: Path, width: int, scheme: Scheme, most: int) -> None:
    """Saves the page as high as it is, at most so many CSS pixels."""
    browser.look(width, scheme)
    browser.driver.get("about:blank")
    browser.driver.get(url)
    browser.until(lambda: browser.all(".view:not([aria-busy]) .events li") and not browser.all(".hold"), 90)
    height = int(browser.script("return document.documentElement.scrollHeight"))
    browser.look(width, scheme, min(height, most))
    browser.until(lambda: browser.script("return innerHeight") == min(height, most))
    browser.until(lambda: browser.script("return [...document.images].every((one) => one.complete)"))
    path.write_bytes(browser.driver.get_screenshot_as_png())


def main(url: str, search: str, folder: Path) -> None:
    """Takes them all."""
    with tempfile.TemporaryDirectory() as profile, chromium.browser(Path(profile)) as browser:
        take(browser, f"{url}#/", folder / "page-overview-light.png", WIDE, "light", 1400)
        take(browser, f"{url}#/search/{search}", folder / "page-search-light.png", WIDE, "light", 2000)
        take(browser, f"{url}#/search/{search}", folder / "page-search-dark.png", WIDE, "dark", 1300)
        take(browser, f"{url}#/", folder / "page-phone.png", 375, "dark", 1700)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
