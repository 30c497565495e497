"""A real worker process on a real socketpair, spoken to synchronously: the daemon's side, as small as it can be."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from store.records.candidates import Architecture, Candidate, Data, Named, Proxy, Recipe
from store.records.framing import Decoder, encode
from store.records.messages import REPORT, AnyOrder, AnyReport, Assign, Hello, JobSettings, Progress
from store.records.requests import AnyRequest, Train

SECONDS = 60.0
"""Longest wait for anything; a test that needs so long has failed."""

ROOT = Path(__file__).parents[2]

Report = TypeVar("Report", bound=AnyReport)


class Daemon:
    """Starts a worker and talks to it. A context manager: the worker is gone when it ends."""

    def __init__(
        self,
        store: Path,
        *options: str,
        module: str = "trainers.worker",
        parent: int | None = None,
        hello: bool = True,
        limit_bytes: int | None = None,
    ) -> None:
        ours, theirs = socket.socketpair()
        self.attach(ours, store)
        with theirs, self._log.open("ab") as log:
            self.process = subprocess.Popen(
                command(store, theirs.fileno(), parent or os.getpid(), *options, module=module),
                cwd=ROOT,
                stdout=log,
                stderr=log,
                pass_fds=(theirs.fileno(),),
            )
        if limit_bytes is not None:
            resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))
        self.hello = self.receive(Hello) if hello else None

    def attach(self, connection: socket.socket, store: Path) -> None:
        """Talks through a socket, without a process of its own."""
        connection.settimeout(SECONDS)
        self.store = store
        self.socket = connection
        self._decoder = Decoder(REPORT)
        self._arrived: list[AnyReport] = []
        self._log = store / "worker.log"

    def __enter__(self) -> Daemon:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()
        self.process.kill()
        self.process.wait(SECONDS)

    def send(self, *orders: AnyOrder) -> None:
        """Sends orders, in one write."""
        self.socket.sendall(b"".join(map(encode, orders)))

    def reports(self) -> Iterator[AnyReport]:
        """Yields reports as they come, until the worker closes its end."""
        while True:
            while self._arrived:
                yield self._arrived.pop(0)
            try:
                data = self.socket.recv(1 << 16)
            except ConnectionResetError:
                return
            if not data:
                return
            self._arrived += self._decoder.feed(data)

    def receive(self, kind: type[Report]) -> Report:
        """Returns the next report of a kind, and skips others; at the end of the stream, fails with the log."""
        for report in self.reports():
            if isinstance(report, kind):
                return report
        raise AssertionError(f"the worker left before any {kind.__name__}; its log:\n{self.log()}")

    def until_last(self) -> list[AnyReport]:
        """Returns the reports up to and with the one that ends a job (`Finished`, `Failed` or `Stopped`)."""
        collected = []
        for report in self.reports():
            collected.append(report)
            if report.type in ("finished", "failed", "stopped"):
                return collected
        raise AssertionError(f"the worker left in the middle; its log:\n{self.log()}")

    def do(self, order: Assign) -> Any:
        """Sends one job and returns the report that ends it."""
        self.send(order)
        return self.until_last()[-1]

    def status(self) -> int:
        """Waits for the process's end; returns its exit status, negative for a signal."""
        return self.process.wait(SECONDS)

    def log(self) -> str:
        """What the worker and its jobs have printed so far."""
        found = [self._log, *sorted((self.store / "logs" / "jobs").glob("*.log"))]
        return "".join(path.read_text(errors="replace") if path.is_file() else f"({path} is no file)" for path in found)


def command(store: Path, descriptor: int, parent: int, *options: str, module: str = "trainers.worker") -> list[str]:
    """The command line of a worker."""
    fixed = ["--store", str(store), "--fd", str(descriptor), "--parent", str(parent), "--worker", "w0"]
    return [sys.executable, "-m", module, *fixed, *options]


def candidate(*, genes: tuple[int, ...] = (1, 0, 3, 2), seed: int = 0, **options: Any) -> Candidate:
    """A candidate of the scripted trainer with these options."""
    return Candidate(
        trainer=Named(name="scripted", options=options),
        space=Named(name="cell"),
        architecture=Architecture(space="cell", genes=genes),
        proxy=Proxy(),
        recipe=Recipe(),
        data=Data(name="digits", fingerprint="digits-1"),
        seed=seed,
    )


def assign(
    request: AnyRequest | None = None, *, attempt: int = 1, resume: str | None = None, **settings: Any
) -> Assign:
    """An order for a request, or for two epochs of a job that does nothing."""
    request = request or noop()
    return Assign(job=request.key, attempt=attempt, request=request, resume=resume, settings=JobSettings(**settings))


def noop(seed: int = 0, epochs: int = 2, **options: Any) -> Train:
    """A request that is answered at once and writes nothing."""
    return Train(candidate=candidate(seed=seed, checkpoint=False, **options), epochs=epochs)


def endless(seed: int = 0, **options: Any) -> Train:
    """A request that goes on until it is stopped: its one epoch takes an hour."""
    return Train(candidate=candidate(seed=seed, epoch_seconds=3600.0, **options), epochs=1)


def under_way(daemon: Daemon, order: Assign) -> None:
    """Waits until a job has said that it is alive."""
    for report in daemon.reports():
        if isinstance(report, Progress) and report.job == order.job and report.attempt == order.attempt:
            return
    raise AssertionError(f"the job never began; the log:\n{daemon.log()}")
