"""What a person sees on a terminal, in a real one (tmux)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import serving
from tests.system import harness

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]


class Terminal:
    """A tmux server of its own with one window of 110 columns and 40 lines."""

    def __init__(self, socket: Path) -> None:
        self._socket = str(socket)

    def tmux(self, *arguments: str) -> str:
        command = ["tmux", "-S", self._socket, *arguments]
        # Where readline is imported it tells all that is started after it of 80 columns and 24 lines.
        environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20, env=environment)
        return ended.stdout

    def run(self, *command: str) -> None:
        self.tmux("new-session", "-d", "-x", "110", "-y", "40", *command)
        self.tmux("set-option", "-g", "remain-on-exit", "on")

    def wait_for(self, *texts: str) -> str:
        """Returns the first screen that shows all of the texts."""
        until, screen = time.monotonic() + 60, ""
        while time.monotonic() < until:
            screen = self.tmux("capture-pane", "-p")
            if all(text in screen for text in texts):
                return screen
        raise AssertionError(f"{texts} never showed; the last screen was\n{screen}")


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    opened = Terminal(tmp_path / "tmux")
    yield opened
    opened.tmux("kill-server")


def test_a_running_search_shows_what_every_worker_does_and_ends_with_a_table(
    tmp_path: Path, terminal: Terminal
) -> None:
    spec = harness.econas(tmp_path, name="on a terminal", cycles=2, epoch_seconds=0.5)
    command = [sys.executable, "-m", "orchestrator.cli", "run", str(spec), "--store", str(tmp_path / "store")]
    terminal.run(*command)
    screen = terminal.wait_for("worker-0", "worker-1", "epoch", "best", "%")
    assert "on a terminal" in screen
    assert "Traceback" not in screen
    ended = terminal.wait_for("finished", "multiply-adds", "saved by resuming")
    assert "Traceback" not in ended


def test_interrupting_a_search_says_how_to_go_on(tmp_path: Path, terminal: Terminal) -> None:
    spec = harness.econas(tmp_path, cycles=2, epoch_seconds=2.0)
    command = [sys.executable, "-m", "orchestrator.cli", "run", str(spec), "--store", str(tmp_path / "store")]
    terminal.run(*command)
    terminal.wait_for("worker-0", "epoch")
    terminal.tmux("send-keys", "C-c")
    screen = terminal.wait_for("interrupted", "same command")
    assert "Traceback" not in screen
    harness.assert_none_left(tmp_path / "store")


def test_a_daemon_is_watched_live_across_its_restart_and_left_alone_by_ctrl_c(
    tmp_path: Path, terminal: Terminal
) -> None:
    path = serving.spec(tmp_path, "watched", candidates=60, epoch_seconds=0.4)
    with serving.Daemon(tmp_path) as daemon:
        search = daemon.submit(path)
        terminal.run(sys.executable, "-m", "orchestrator.cli", "watch", "--store", str(daemon.store))
        screen = terminal.wait_for(
            "watched", "running", "worker-0", "worker-1", "of 60", "in service", "of 2 busy", "%"
        )
        assert "Traceback" not in screen
        daemon.kill()
        terminal.wait_for("no daemon")
        daemon.start()
        terminal.wait_for("taken up", "worker-0", "up ")
        terminal.tmux("send-keys", "C-c")
        assert "Traceback" not in terminal.wait_for("no longer watching; the searches go on")
        assert daemon.status(search) == "running"
