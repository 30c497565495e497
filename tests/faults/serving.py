"""A real `coldframe serve` on a store of its own, spoken to over its socket, stopped and killed as a machine would."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import psutil

from store.records.events import AnyEvent, WorkerStarted
from tests.system import harness

START_SECONDS = 30.0
LIMIT_SECONDS = 100.0

# One search of each kind that the daemon must tell apart: two strategies, several sizes.
SPEC = """
name = "{name}"
seed = {seed}

[strategy]
name = "random"
candidates = {candidates}
epochs = {epochs}
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
retries = {retries}
checkpoint_seconds = 0.2
"""


def spec(
    folder: Path,
    name: str,
    *,
    seed: int = 7,
    candidates: int = 8,
    epochs: int = 2,
    epoch_seconds: float = 0.05,
    retries: int = 2,
    more: str = "",
) -> Path:
    """Writes a random search on the scripted trainer."""
    path = folder / f"{name}.toml"
    text = SPEC.format(
        name=name, seed=seed, candidates=candidates, epochs=epochs, epoch_seconds=epoch_seconds, retries=retries
    )
    path.write_text(text + more)
    return path


STARTED: list[Daemon] = []
"""Those that the test at hand has made; what is left of them at its end is killed (conftest.py)."""


class Daemon:
    """One daemon's store, configuration and, between `start` and its end, its process.

    Args:
        folder: where its store, its configuration and what it prints go.
        workers: worker processes.
        limits: of the configuration's table `limits`.
        env: added to the environment.
        before: what its command line begins with, e.g. `["strace", "-f"]`.
        module: the module that has the command line.
        more: of the configuration.
        kept: whether it outlives the test that makes it; a fixture ends it then.
    """

    def __init__(
        self,
        folder: Path,
        *,
        workers: int = 2,
        limits: Mapping[str, float] | None = None,
        env: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
        module: str = "orchestrator.cli",
        more: str = "",
        kept: bool = False,
    ) -> None:
        self.folder, self.store = folder, folder / "store"
        self.env, self.before, self.module = dict(env or {}), list(before), module
        self.out = folder / "daemon.out"
        self.config = folder / "daemon.toml"
        lines = [f"store = {json.dumps(str(self.store))}", "[devices]", 'use = "cpu"', f"cpu_workers = {workers}"]
        lines += ["[limits]", *(f"{key} = {value}" for key, value in (limits or {}).items())]
        self.config.write_text("\n".join(lines) + "\n" + more)
        tomllib.loads(self.config.read_text())
        self.process: subprocess.Popen[bytes] | None = None
        self._http: httpx.Client | None = None
        if not kept:
            STARTED.append(self)

    # Its life.

    def start(self, seconds: float = START_SECONDS) -> Self:
        """Starts it and waits until it answers."""
        self.spawn()
        self.until(lambda: self.answers(), seconds)
        return self

    def spawn(self) -> subprocess.Popen[bytes]:
        """Starts it."""
        command = [*self.before, sys.executable, "-m", self.module, "serve", "--config", str(self.config)]
        with self.out.open("ab") as out:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=os.environ | self.env
            )
        return self.process

    @property
    def pid(self) -> int:
        """Of the daemon itself, also where something else started it."""
        return int(self.told()["pid"])

    def told(self) -> dict[str, Any]:
        """What the daemon says of itself in its store's `run/daemon.json`."""
        told: dict[str, Any] = json.loads((self.store / "run" / "daemon.json").read_text())
        return told

    def signal(self, number: signal.Signals) -> None:
        """Sends the daemon a signal."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, and waits for its end."""
        assert self.process is not None
        if self.process.poll() is None:
            if self.before:
                os.kill(self.pid, signal.SIGKILL)
            else:
                self.process.kill()
        self.ended()

    def stop(self, seconds: float = 60.0) -> int:
        """SIGTERM; returns its exit status."""
        self.signal(signal.SIGTERM)
        return self.ended(seconds)

    def ended(self, seconds: float = 60.0) -> int:
        """Waits for its end; returns its exit status."""
        assert self.process is not None
        status = self.process.wait(seconds)
        self.process = None
        if self._http is not None:
            self._http.close()
            self._http = None
        return status

    def abandon(self) -> None:
        """Kills what is left of it, whatever state the test left it in."""
        if self.process is not None:
            with suppress(OSError, ValueError, KeyError):
                os.kill(self.pid, signal.SIGKILL)
            self.process.kill()
            self.process.wait()
            self.process = None
        if self._http is not None:
            self._http.close()
            self._http = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            sys.stderr.write(self.said()[-4000:])
        if self.process is not None:
            self.kill()

    def said(self) -> str:
        """All that it printed."""
        return self.out.read_text(errors="replace") if self.out.exists() else ""

    # Talking to it.

    @property
    def http(self) -> httpx.Client:
        """A client on its socket."""
        if self._http is None:
            transport = httpx.HTTPTransport(uds=str(self.told()["socket"]), verify=False)
            self._http = httpx.Client(transport=transport, base_url="http://localhost", timeout=30.0)
        return self._http

    def answers(self) -> bool:
        """Whether it answers on its socket."""
        try:
            # First by hand: the client leaves a socket unclosed that it could not connect.
            with socket.socket(socket.AF_UNIX) as knocking:
                knocking.connect(str(self.told()["socket"]))
            return self.http.get("/v1/health").status_code == 200
        except (httpx.TransportError, OSError, ValueError, KeyError):
            if self._http is not None:
                self._http.close()
                self._http = None
            return False

    def get(self, path: str) -> Any:
        """GETs JSON."""
        answer = self.http.get(path)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    def post(self, path: str, body: Any = None, expected: tuple[int, ...] = (200, 201, 202, 204)) -> Any:
        """POSTs JSON."""
        answer = self.http.post(path, json={} if body is None else body)
        assert answer.status_code in expected, f"{path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def submit(self, path: Path, **order: Any) -> str:
        """Hands a spec in; returns the search's id."""
        told = self.post("/v1/searches", {"spec": tomllib.loads(path.read_text()), "file": path.name, **order})
        return str(told["search"])

    def order(self, search: str, order: str) -> None:
        """Pauses, resumes or stops a search."""
        self.post(f"/v1/searches/{search}/{order}")

    def status(self, search: str) -> str:
        """The search's status."""
        (found,) = [one for one in self.get("/v1/searches") if one["search"] == search]
        return str(found["status"])

    # Waiting.

    def until(self, happened: Callable[[], object], seconds: float = LIMIT_SECONDS) -> None:
        """Looks again and again until something is so."""
        limit = time.monotonic() + seconds
        while not happened():
            assert time.monotonic() < limit, f"it never happened\n{self.said()[-4000:]}"
            assert self.process is not None
            try:
                status = self.process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
            raise AssertionError(f"the daemon ended with {status}\n{self.said()[-4000:]}")

    def until_events(self, happened: Callable[[list[AnyEvent]], object], seconds: float = LIMIT_SECONDS) -> None:
        """Waits until its journal shows something."""
        self.until(lambda: happened(harness.events(self.store)), seconds)

    def until_ended(self, *searches: str, status: str = "finished", seconds: float = LIMIT_SECONDS) -> None:
        """Waits until these searches have this status."""
        self.until(lambda: all(self.status(search) == status for search in searches), seconds)

    # Its workers.

    def workers(self) -> list[psutil.Process]:
        """The worker processes that have greeted it and live."""
        greeted = {event.pid for event in harness.events(self.store) if isinstance(event, WorkerStarted)}
        return [found for found in harness.processes_of(self.store) if found.pid in greeted]


def results(store: Path) -> dict[str, dict[str, Any]]:
    """The last result of every search, by its id."""
    return {event.search: event.result for event in harness.events(store) if event.type == "search_finished"}


def assert_clean(store: Path) -> None:
    """`coldframe check` finds nothing wrong, and no process is left."""
    assert json.loads(harness.coldframe("check", "--store", str(store), "--json"))["problems"] == []
    harness.assert_none_left(store)
