"""The unit, as systemd's own tools see it, and what a real daemon tells a notify socket."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from tests.deploy.files import DEPLOY
from tests.faults import serving

UNIT = "coldframe.service"
MOST_EXPOSED = 1.8
"""systemd's score, from 0 to 10, where 10 is a service that may do everything; 1.6 measured with systemd 252."""
WATCHDOG_SECONDS = 2.0
WEDGED_SECONDS = 6.0


def analyze(*arguments: str) -> str:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed (Debian: apt-get install systemd)")
    done = subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, env=os.environ | {"LC_ALL": "C"}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with the coldframe of this environment instead of the one in /opt."""
    program = Path(sys.executable).with_name("coldframe")
    text = (DEPLOY / UNIT).read_text()
    assert "/opt/coldframe/.venv/bin/coldframe serve" in text
    copy = tmp_path / UNIT
    copy.write_text(text.replace("/opt/coldframe/.venv/bin/coldframe", str(program)))
    return copy


@pytest.mark.system
def test_systemd_finds_nothing_wrong_with_the_unit(unit: Path) -> None:
    assert analyze("verify", str(unit)) == ""


@pytest.mark.system
def test_the_unit_is_exposed_no_more_than_a_gpu_needs(unit: Path) -> None:
    said = analyze("security", "--offline=true", "--no-pager", f"--threshold={round(MOST_EXPOSED * 10)}", str(unit))
    score = re.search(r"Overall exposure level for \S+: ([\d.]+)", said)
    assert score, said
    assert float(score[1]) <= MOST_EXPOSED


@pytest.mark.system
def test_systemd_makes_the_user(tmp_path: Path) -> None:
    if shutil.which("systemd-sysusers") is None:
        pytest.skip("systemd-sysusers is not installed (Debian: apt-get install systemd)")
    (tmp_path / "etc").mkdir()
    command = ["systemd-sysusers", f"--root={tmp_path}", str(DEPLOY / "coldframe.sysusers")]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    made = (tmp_path / "etc" / "passwd").read_text()
    assert re.search(r"^coldframe:.*:/var/lib/coldframe:", made, re.MULTILINE)


class Manager:
    """The service manager's end of the notify socket, and what came there so far."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self.messages: list[str] = []
        self._judged = 0

    def listen(self, seconds: float) -> None:
        """Takes what comes within so long."""
        limit = time.monotonic() + seconds
        while (left := limit - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                self.messages.append(self._socket.recv(65536).decode())
            except TimeoutError:
                return

    def until(self, wanted: Callable[[str], bool], seconds: float = 60.0) -> str:
        """Returns the next message that is wanted; those before it are passed over."""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            for message in self.messages[self._judged :]:
                self._judged += 1
                if wanted(message):
                    return message
            self.listen(0.1)
        raise AssertionError(f"it never came: {self.messages}")

    def pings(self, seconds: float) -> int:
        """How often the watchdog was told within so long."""
        self._judged = len(self.messages)
        self.listen(seconds)
        return sum(is_ping(message) for message in self.messages[self._judged :])

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(tmp_path)
    yield manager
    manager.close()


def told(folder: Path, manager: Manager, **more: str) -> serving.Daemon:
    """A daemon that a service manager would have started."""
    environment = {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": str(round(WATCHDOG_SECONDS * 1e6))} | more
    (folder / "served").mkdir()
    return serving.Daemon(folder / "served", env=environment, module="tests.deploy.wedging")


@contextmanager
def watched(daemon: serving.Daemon) -> Iterator[None]:
    """Starts it; ends it if the test has not, and shows what it said if the test fails."""
    daemon.spawn()
    with ExitStack() as ending:
        ending.push(daemon.__exit__)
        yield


def is_ready(message: str) -> bool:
    return message.startswith("READY=1\nSTATUS=")


def is_ping(message: str) -> bool:
    return message.startswith("WATCHDOG=1")


def test_a_daemon_is_ready_when_it_answers_and_says_when_it_leaves(tmp_path: Path, manager: Manager) -> None:
    daemon = told(tmp_path, manager)
    with watched(daemon):
        manager.until(is_ready)
        assert daemon.get("/v1/health")["status"] == "ok"
        manager.until(is_ping)
        daemon.signal(signal.SIGTERM)
        manager.until(lambda message: message.startswith("STOPPING=1\nSTATUS=draining: SIGTERM"))
        manager.until(lambda message: message.startswith("EXTEND_TIMEOUT_USEC="))
        assert daemon.ended() == 0
    order = [message.partition("=")[0] for message in manager.messages]
    assert order[0] == "READY"
    assert order.index("STOPPING") < order.index("EXTEND_TIMEOUT_USEC")


@pytest.mark.faults
def test_the_watchdog_hears_nothing_of_a_daemon_whose_loop_is_blocked(tmp_path: Path, manager: Manager) -> None:
    daemon = told(tmp_path, manager, WEDGED_SECONDS=str(WEDGED_SECONDS))
    with watched(daemon):
        manager.until(is_ready)
        manager.until(is_ping)
        daemon.signal(signal.SIGUSR1)
        manager.listen(1.5)  # one that was on its way
        assert manager.pings(WEDGED_SECONDS - 2.0) == 0
        manager.until(is_ping)
        assert daemon.stop() == 0


@pytest.mark.faults
def test_the_watchdog_hears_nothing_of_a_daemon_whose_journal_is_stuck(tmp_path: Path, manager: Manager) -> None:
    """The loop goes on and the API answers, but nothing can be journalled: somebody has SQLite's lock."""
    daemon = told(tmp_path, manager)
    with watched(daemon):
        manager.until(is_ready)
        manager.until(is_ping)
        with closing(sqlite3.connect(daemon.store / "journal.sqlite", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            path = serving.spec(tmp_path, "stuck")
            asking = subprocess.Popen(
                [sys.executable, "-m", "orchestrator.cli", "submit", str(path), "--store", str(daemon.store)],
                stdout=subprocess.DEVNULL,
            )
            stuck = manager.until(lambda message: message.startswith("STATUS=no progress: "))
            assert "journal" in stuck
            assert manager.pings(2 * WATCHDOG_SECONDS) == 0
            assert daemon.answers()
            other.execute("ROLLBACK")
        manager.until(is_ping)
        assert asking.wait(60) == 0
        assert daemon.stop() == 0
