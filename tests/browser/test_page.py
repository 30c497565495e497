"""The page in a real Chromium, on a real daemon while it trains."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.browser.chromium import PHONE, WIDE, Browser, Scheme
from tests.browser.conftest import Served, search
from tests.faults import serving

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]
HOSTILE = "<img src=x onerror=window.pwned=1>"


def opened(browser: Browser, daemon: Served, place: str = "") -> None:
    """Opens the page, and waits for what it shows."""
    browser.driver.get("about:blank")
    browser.driver.get(f"{daemon.url}#/{place}")
    browser.until(lambda: browser.all(".view:not([aria-busy])"))


def number(text: str) -> int:
    return int(re.sub(r"\D", "", text))


def readout(browser: Browser, name: str) -> str:
    """The figure below a name."""
    code = """return [...document.querySelectorAll(".readouts div")]
        .find((one) => one.querySelector("dt").innerText === arguments[0])?.querySelector("dd").innerText ?? "" """
    return str(browser.script(code, name))


def unlock(browser: Browser, token: str) -> None:
    browser.one("#token-input").clear()
    browser.one("#token-input").send_keys(token)
    browser.one("#token-form button[type=submit]").click()


def test_a_running_search_is_shown_and_followed_without_loading_again(browser: Browser, daemon: Served) -> None:
    opened(browser, daemon)
    browser.script("window.marked = true")
    browser.until(lambda: "digits" in browser.text(".searches") and "running" in browser.text(".searches"))
    browser.until(lambda: number(readout(browser, "Epochs trained")) > 0)
    trained = number(readout(browser, "Epochs trained"))
    events = browser.text(".events")
    browser.until(lambda: number(readout(browser, "Epochs trained")) > trained)
    assert browser.text(".events") != events
    assert browser.text("#link") == "live"
    assert len(browser.all(".lanes .lane")) == 2
    assert browser.all(".lanes .job")
    assert "in service" in browser.text(".devices")

    browser.driver.find_element(By.LINK_TEXT, "digits").click()
    browser.until(lambda: browser.text("h1") == "digits")
    browser.until(lambda: len(browser.all("#main .series.look-1")) >= 2)  # the second rung has begun
    browser.until(lambda: browser.script("return document.querySelector('.drawn img')?.naturalWidth ?? 0") > 100)
    assert "Normal cell: node 0" in browser.text(".drawn")
    best = daemon.get("/v1/searches/digits/candidates")["top"][0]["candidate"]
    browser.until(lambda: best[:12] in browser.text("[aria-labelledby=best-title] tbody"))
    assert "2 epochs" in browser.text(".legend")

    browser.driver.find_element(By.CSS_SELECTOR, "[aria-labelledby=costs-title] a, .events a").click()
    browser.until(lambda: "asked for it (request" in browser.text("pre"))
    assert "worker-" in browser.text("[aria-labelledby=attempts-title] table")
    assert browser.script("return window.marked") is True
    assert browser.log() == []
    assert browser.foreign(daemon.url) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, PHONE])
def test_everyone_can_use_it(browser: Browser, daemon: Served, width: int, scheme: Scheme) -> None:
    browser.look(width, scheme)
    opened(browser, daemon)
    browser.until(lambda: number(readout(browser, "Epochs trained")) > 0)
    assert browser.violations() == []
    assert browser.script("return document.documentElement.scrollWidth") <= width
    assert too_small(browser) == []

    opened(browser, daemon, "search/digits")
    browser.until(lambda: browser.all(".drawn img") and browser.all(".chart"))
    assert browser.violations() == []
    assert browser.script("return document.documentElement.scrollWidth") <= width
    assert too_small(browser) == []

    job = next(one["job"] for one in daemon.get("/v1/events?after=0&limit=50")["events"] if "job" in one)
    opened(browser, daemon, f"job/{job}")
    assert browser.violations() == []
    assert browser.script("return document.documentElement.scrollWidth") <= width

    browser.button("Unlock").click()
    assert browser.one("#token-dialog").is_displayed()
    assert browser.violations() == []


def too_small(browser: Browser) -> list[str]:
    """Buttons and inputs that are less than 24 CSS pixels high or wide (WCAG 2.2, 2.5.8)."""
    code = """return [...document.querySelectorAll("button, input, summary")].filter((one) => one.checkVisibility())
        .map((one) => [one.outerHTML.slice(0, 80), one.getBoundingClientRect()])
        .filter(([, box]) => box.width < 24 || box.height < 24).map(([text]) => text)"""
    return list(browser.script(code))


def test_it_can_be_walked_by_keyboard(browser: Browser, daemon: Served) -> None:
    opened(browser, daemon)
    browser.until(lambda: browser.all(".searches a"))
    focused = browser.driver.switch_to
    body = browser.one("body")
    body.send_keys(Keys.TAB)
    assert focused.active_element.text == "Skip to the content"
    assert focused.active_element.location["y"] >= 0  # it can be seen now
    focused.active_element.send_keys(Keys.ENTER)
    assert browser.script("return document.activeElement.id") == "main"
    assert browser.all(".searches a")  # and is no other page

    wanted, met, outlined = {"digits", "5 min", "15 min", "60 min", "Searches"}, set(), set()
    for _ in range(40):
        focused.active_element.send_keys(Keys.TAB)
        name = browser.script("const one = document.activeElement; return one.ariaLabel ?? one.innerText.trim()")
        outline = browser.script("return getComputedStyle(document.activeElement).outlineStyle")
        met.add(name)
        if outline == "none" and browser.script("return document.activeElement !== document.body"):
            outlined.add(name)
        if wanted <= met:
            break
    assert wanted <= met
    assert outlined == set()  # wherever the focus was, it could be seen

    browser.script("document.querySelector('[data-minutes=\"5\"]').focus()")
    focused.active_element.send_keys(Keys.SPACE)
    browser.until(lambda: browser.one('[data-minutes="5"]').get_attribute("aria-pressed") == "true")
    assert browser.script("return document.activeElement.dataset.minutes") == "5"  # it was drawn anew around the focus


def test_the_token_unlocks_orders_and_goes_nowhere_else(browser: Browser, daemon: Served) -> None:
    ordered = search(daemon, "ordered")
    opened(browser, daemon, f"search/{ordered}")
    assert [one.text for one in browser.all(".lead button")] == []
    browser.button("Unlock").click()
    unlock(browser, "wrong" * 10)
    browser.until(lambda: "not the daemon's token" in browser.text("#token-wrong"))
    assert browser.script("return sessionStorage.length") == 0
    unlock(browser, daemon.token)
    browser.until(lambda: not browser.one("#token-dialog").is_displayed())
    browser.until(lambda: browser.all("[data-action=pause]"))
    assert browser.text("#mode") == "Orders allowed"

    browser.button("Pause").click()
    browser.until(lambda: daemon.status(ordered) in {"pausing", "paused"})
    browser.until(lambda: browser.text(".lead .status") == "paused")
    browser.button("Resume").click()
    browser.until(lambda: daemon.status(ordered) == "running")

    weight = browser.one("input[name=weight]")
    weight.clear()
    weight.send_keys("3.5")
    browser.button("Set share").click()
    browser.until(lambda: "weight 3.5" in browser.text(".lead"))
    assert daemon.get(f"/v1/searches/{ordered}")["weight"] == 3.5

    browser.button("Stop…").click()
    browser.until(lambda: "ordered ends in good order" in browser.text("#stop-dialog"))
    browser.button("Keep it running").click()
    assert daemon.status(ordered) == "running"
    browser.button("Stop…").click()
    browser.button("Stop it").click()
    browser.until(lambda: browser.text(".lead .status") == "stopped")
    assert daemon.status(ordered) == "stopped"

    stored = "return [Object.values(sessionStorage), Object.values(localStorage), document.cookie, location.href]"
    assert browser.script(stored) == [[daemon.token], [], "", f"{daemon.url}#/search/{ordered}"]
    assert not [url for url in browser.requests() if daemon.token in url]
    browser.button("Lock").click()
    browser.until(lambda: not browser.all("[data-action=resume]"))
    assert browser.script("return sessionStorage.length") == 0
    assert [line for line in browser.log() if "401" not in line] == []


def test_where_reading_is_not_public_the_token_is_asked_for_first(browser: Browser, tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir()
    with Served(folder, public_reading=False) as daemon:
        search(daemon, "secret-search")
        browser.driver.get(daemon.url)
        browser.until(lambda: browser.one("#token-dialog").is_displayed())
        assert "secret-search" not in browser.text("body")
        assert browser.log() == []  # nothing was asked for that would have been refused
        unlock(browser, "wrong" * 10)
        browser.until(lambda: "not the daemon's token" in browser.text("#token-wrong"))
        unlock(browser, daemon.token)
        browser.until(lambda: "secret-search" in browser.text(".searches"))
        browser.driver.refresh()  # the tab keeps it
        browser.until(lambda: "secret-search" in browser.text(".searches"))


def test_it_says_when_the_daemon_is_away_and_goes_on_when_it_is_back(browser: Browser, tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    folder.mkdir()
    with Served(folder) as daemon:
        search(daemon, "digits")
        opened(browser, daemon)
        browser.script("window.marked = true")
        browser.until(lambda: number(readout(browser, "Epochs trained")) > 0)
        daemon.kill()
        browser.until(lambda: browser.text("#link") == "not connected")
        assert "does not answer" in browser.text("#notice")
        assert "digits" in browser.text(".searches")  # what was known stays
        trained = number(readout(browser, "Epochs trained"))
        daemon.spawn()
        browser.until(lambda: browser.text("#link") == "live", 60)
        browser.until(lambda: number(readout(browser, "Epochs trained")) > trained, 60)
        assert browser.script("return document.querySelector('#notice').hidden && window.marked") is True


def test_what_people_write_is_never_markup(browser: Browser, daemon: Served) -> None:
    hostile = daemon.folder / "hostile.toml"
    hostile.write_text(serving.SPEC.format(name=HOSTILE, seed=1, candidates=400, epochs=2, epoch_seconds=1, retries=2))
    named = daemon.submit(hostile)
    for place in ("", f"search/{named}", f"job/{HOSTILE}", f"search/{HOSTILE}x"):
        opened(browser, daemon, place)
        browser.until(lambda: browser.all(".lead, .searches, [role=alert]"))
        assert browser.script("return window.pwned") is None
        assert browser.script("return document.querySelectorAll('img[src=x], [onerror]').length") == 0
    opened(browser, daemon)
    browser.until(lambda: HOSTILE in browser.text(".searches"))
    browser.driver.get(f"{daemon.url}#/search/{named}")
    browser.until(lambda: browser.text("h1") == HOSTILE)
    browser.button("Unlock").click()
    unlock(browser, daemon.token)
    browser.until(lambda: browser.all("[data-action=stop]"))
    browser.button("Stop…").click()
    browser.until(lambda: HOSTILE in browser.text("#stop-dialog"))
    assert browser.script("return window.pwned") is None


def test_the_parser_takes_a_stream_cut_anywhere(browser: Browser, daemon: Served) -> None:
    opened(browser, daemon)
    code = """
        const done = arguments[0];
        import("/static/stream.js").then(({ Parser }) => {
            const text = ": hello\\n\\nid: 7\\ndata: {\\"a\\":\\ndata: 1}\\n\\n"
                + "event: progress\\ndata: {}\\r\\n\\r\\nid:8\\ndata:x\\n\\n";
            const results = new Set();
            for (let cut = 0; cut <= text.length; cut += 1) {
                const found = [];
                const parser = new Parser((kind, id, data) => found.push([kind, id, data]));
                parser.feed(text.slice(0, cut));
                parser.feed(text.slice(cut));
                results.add(JSON.stringify(found));
            }
            done([...results].map(JSON.parse));
        });"""
    found = browser.driver.execute_async_script(code)
    assert found == [[["message", "7", '{"a":\n1}'], ["progress", "", "{}"], ["message", "8", "x"]]]


def test_fifty_searches_and_thousands_of_candidates_are_drawn_in_a_blink(browser: Browser, daemon: Served) -> None:
    opened(browser, daemon)
    took = browser.driver.execute_async_script((Path(__file__).parent / "many.js").read_text())
    assert took["nodes"] > 500
    assert took["overview"] < 250, took  # milliseconds, the median of repaints, on a machine that may be busy
    assert took["search"] < 250, took
