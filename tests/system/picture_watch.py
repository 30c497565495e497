"""Makes docs/images/watch.png: `coldframe watch` in a real terminal (tmux), of a real daemon with several searches.

Run as `python -m tests.system.picture_watch FILE.png`; needs tmux and chromium.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from tests.faults.serving import Daemon, spec
from tests.orchestrator.command import coldframe
from tests.system import harness

COLUMNS, LINES = 144, 32
FAULTS = """
[[faults]]
kind = "error"
epoch = 2
attempts = 1
every = 9
"""


def main(picture: Path) -> None:
    """Starts everything, waits until there is something to see, takes the picture, and ends everything."""
    with tempfile.TemporaryDirectory() as place, Daemon(Path(place), workers=4) as daemon:
        _submit(daemon)
        screen = _screen(daemon.store, Path(place) / "tmux")
        _picture(screen, picture, Path(place))


def _submit(daemon: Daemon) -> None:
    folder, store = daemon.folder, daemon.store
    specs = {
        "econas-digits": harness.econas(folder, name="econas-digits", cycles=40, epoch_seconds=0.1, more=FAULTS),
        "econas-long": harness.econas(folder, name="econas-long", cycles=120, epoch_seconds=0.4),
        "baseline": spec(folder, "baseline", candidates=8, epoch_seconds=0.05),
        "ablation": spec(folder, "ablation", candidates=60, epochs=4, epoch_seconds=0.3, seed=3),
    }
    for name, path in specs.items():
        weight = "2" if name == "econas-long" else "1"
        assert coldframe("submit", path, "--store", store, "--weight", weight).code == 0
    daemon.until(lambda: daemon.status(_id(daemon, "baseline")) == "finished")
    coldframe("pause", "ablation", "--store", store)
    coldframe("priority", "econas-digits", "--priority", "1", "--store", store)
    daemon.until(lambda: _epochs(daemon, "econas-digits") >= 150)
    coldframe("priority", "econas-digits", "--priority", "0", "--store", store)
    daemon.until(lambda: _epochs(daemon, "econas-long") >= 60)


def _id(daemon: Daemon, name: str) -> str:
    return next(str(one["search"]) for one in daemon.get("/v1/searches") if one["name"] == name)


def _epochs(daemon: Daemon, name: str) -> int:
    return next(int(one["totals"]["epochs_trained"]) for one in daemon.get("/v1/searches") if one["name"] == name)


def _screen(store: Path, socket: Path) -> str:
    """Returns the terminal's content, with its colours as escape sequences."""
    command = [sys.executable, "-m", "orchestrator.cli", "watch", "--store", str(store)]
    tmux = ["tmux", "-S", str(socket)]
    environment = ["-e", "COLORTERM=truecolor", "-e", "TERM=tmux-256color"]
    start = ["new-session", "-d", "-x", str(COLUMNS), "-y", str(LINES), *environment, *command]
    subprocess.run([*tmux, *start], check=True, timeout=20)
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            screen = subprocess.run(
                [*tmux, "capture-pane", "-e", "-p"], capture_output=True, text=True, check=True
            ).stdout
            if all(word in screen for word in ("worker-3", "paused", "finished", "rungs", "done after")):
                return screen
            time.sleep(0.5)
        raise AssertionError(f"the view never was complete:\n{screen}")
    finally:
        subprocess.run([*tmux, "kill-server"], check=False, timeout=20)


def _picture(screen: str, picture: Path, place: Path) -> None:
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.from_ansi(screen.rstrip("\n")), no_wrap=True, crop=True)
    drawing = place / "watch.svg"
    drawing.write_text(console.export_svg(title="coldframe watch", theme=MONOKAI))
    page = place / "watch.html"
    size = drawing.read_text().split('viewBox="0 0 ', 1)[1].split('"', 1)[0].split()
    width, height = (round(float(one)) for one in size)
    page.write_text(f'<body style="margin:0"><img src="watch.svg" width="{width}" height="{height}"></body>')
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += [f"--user-data-dir={place / 'profile'}", f"--window-size={width},{height}"]
    command += [f"--screenshot={picture.absolute()}", page.as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=120)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
