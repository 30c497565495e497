"""A window, and a daemon on loopback TCP with a search that runs."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import chromium
from tests.browser.chromium import Browser
from tests.faults.serving import Daemon
from tests.system import harness


def free_port() -> int:
    """A port that nobody has at present."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Served(Daemon):
    """A daemon with a TCP port, the same after each start."""

    def __init__(self, folder: Path, *, public_reading: bool = True, **more: object) -> None:
        self.port = free_port()
        reading = str(public_reading).lower()
        tcp = f'[api.tcp]\nport = {self.port}\ntoken_file = "token"\npublic_reading = {reading}\n'
        super().__init__(folder, more=tcp, **more)  # type: ignore[arg-type]

    @property
    def url(self) -> str:
        """Of the page."""
        return f"http://127.0.0.1:{self.port}/"

    @property
    def token(self) -> str:
        """What unlocks it."""
        return (self.folder / "token").read_text().strip()


def search(daemon: Served, name: str, *, cycles: int = 400, epoch_seconds: float = 0.1) -> str:
    """Hands in a search that outlasts the tests; returns its id."""
    return daemon.submit(harness.econas(daemon.folder, name=name, cycles=cycles, epoch_seconds=epoch_seconds))


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A daemon that trains a search called `digits`."""
    if why := chromium.missing():
        pytest.skip(why)
    with Served(tmp_path_factory.mktemp("daemon")) as running:
        search(running, "digits")
        yield running


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium.browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def browser(window: Browser) -> Browser:
    """A wide window in light, that has seen nothing yet."""
    window.forget()
    window.look(chromium.WIDE)
    return window
