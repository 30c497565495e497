"""A window for each test, and a daemon on loopback TCP with a search that runs."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import chromium
from tests.browser.chromium import Browser
from tests.faults.serving import Daemon


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    (tmp_path / "profile").mkdir()
    with chromium.browser(tmp_path / "profile") as window:
        window.look(chromium.WIDE)
        yield window


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


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Served]:
    if why := chromium.missing():
        pytest.skip(why)
    folder = tmp_path / "daemon"
    folder.mkdir()
    with Served(folder) as running:
        yield running
