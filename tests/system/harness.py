"""Runs `coldframe run` as a person does, in processes of its own, and reads what is left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from store.journal import Journal
from store.records.events import AnyEvent, CheckpointSaved, JobSucceeded, SearchFinished
from store.records.outcomes import Trained

LIMIT_SECONDS = 100

ECONAS = """
name = "{name}"
seed = 7

[strategy]
name = "econas"
initial = 8
cycles = {cycles}
children = 4
promoted_to_2e = 2
promoted_to_3e = 1
epochs = 2
top = 3

[space]
name = "cell"

[trainer]
name = "scripted"
epoch_seconds = {epoch_seconds}
steps = 4

[data]
name = "digits"

[resources]
workers = 2
checkpoint_seconds = {checkpoint_seconds}
"""


def econas(
    folder: Path,
    *,
    name: str = "kill",
    cycles: int = 3,
    epoch_seconds: float = 0.02,
    checkpoint_seconds: float = 30.0,
    more: str = "",
) -> Path:
    """Writes a small EcoNAS spec on the scripted trainer."""
    path = folder / f"{name}-{cycles}.toml"
    text = ECONAS.format(name=name, cycles=cycles, epoch_seconds=epoch_seconds, checkpoint_seconds=checkpoint_seconds)
    path.write_text(text + more)
    return path


def start(
    spec: Path, store: Path, *options: str, module: str = "orchestrator.cli", **popen: Any
) -> subprocess.Popen[str]:
    """Starts a run in the background, of the command line that a module has."""
    command = [sys.executable, "-m", module, "run", str(spec), "--store", str(store), "--json", *options]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | popen.pop("env", {}),
        **popen,
    )


def finish(process: subprocess.Popen[str], expected: int = 0) -> dict[str, Any]:
    """Waits for a run and returns the JSON object that it ends with."""
    out, err = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == expected, f"exit {process.returncode}\n{out}\n{err}"
    ended: dict[str, Any] = json.loads(out)
    return ended


def run(spec: Path, store: Path, *options: str, expected: int = 0, **popen: Any) -> dict[str, Any]:
    """Runs a search to its end and returns the JSON object that it ends with."""
    return finish(start(spec, store, *options, **popen), expected)


def coldframe(*arguments: str, expected: int = 0, **popen: Any) -> str:
    """Runs another command and returns what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        env=os.environ | popen.pop("env", {}),
        **popen,
    )
    assert done.returncode == expected, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout if expected == 0 else done.stdout + done.stderr


def events(store: Path) -> list[AnyEvent]:
    """Reads a store's journal."""
    journal = Journal(store, read_only=True)
    try:
        return [row.event for row in journal.rows()]
    finally:
        journal.close()


def checkpoints(store: Path) -> dict[str, str]:
    """The final checkpoint of every training that succeeded, by job."""
    found = [event for event in events(store) if isinstance(event, JobSucceeded)]
    return {event.job: event.outcome.checkpoint for event in found if isinstance(event.outcome, Trained)}


def wait_for(process: subprocess.Popen[str], store: Path, happened: Callable[[list[AnyEvent]], bool]) -> None:
    """Lets a run go on until its journal shows that something has happened."""
    until = time.monotonic() + LIMIT_SECONDS
    while not ((store / "journal.sqlite").exists() and happened(events(store))):
        assert time.monotonic() < until, "it never happened"
        try:
            process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
        out, err = process.communicate()
        raise AssertionError(f"the run ended first, exit {process.returncode}\n{out}\n{err}")


def kill(process: subprocess.Popen[str]) -> None:
    """Kills a run and closes its pipes."""
    process.kill()
    process.communicate()


def result(store: Path) -> dict[str, Any]:
    """The last result in the journal: best networks, history and curves."""
    return [event.result for event in events(store) if isinstance(event, SearchFinished)][-1]


def epochs_committed(store: Path) -> Counter[tuple[str, int]]:
    """How often each epoch of each candidate was committed."""
    saved = [event for event in events(store) if isinstance(event, CheckpointSaved) and event.step == 0]
    return Counter((event.candidate, event.epoch) for event in saved)


def processes_of(store: Path) -> list[psutil.Process]:
    """Every process that names this store on its command line and is alive."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = process.info["cmdline"] or []
        if str(store) in words and "python" in Path(words[0]).name and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def assert_none_left(store: Path, seconds: float = 10.0) -> None:
    """Fails if a process of this store is still there after so long."""
    psutil.wait_procs(processes_of(store), timeout=seconds)
    left = processes_of(store)  # without those that have ended and whose parent has not asked yet
    assert not left, f"left behind: {left}"


def now() -> float:
    """The wall clock, as the journal's rows have it."""
    return time.time()
