"""What `soak.py` does to a daemon: each fault is a function of the patient and a random generator."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import httpx
import psutil

ORDERS = ("pause", "resume", "stop", "resume", "priority")


class Patient(Protocol):
    """The daemon under test, as the faults see it."""

    store: Path
    searches: list[str]
    small_disk: bool

    @property
    def pid(self) -> int:
        """Of its process."""
        ...

    def restart(self, *, wait: bool) -> None:
        """Kills it and starts another."""
        ...

    def workers(self) -> list[psutil.Process]:
        """Its workers."""
        ...

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response | None:
        """Asks it something; None if it cannot be reached."""
        ...


Fault = Callable[[Patient, random.Random], None]


def kill_daemon(patient: Patient, rng: random.Random) -> None:
    """SIGKILL; sometimes the next one is killed before it serves."""
    patient.restart(wait=rng.random() < 0.8)


def kill_worker(patient: Patient, rng: random.Random) -> None:
    """SIGKILL of a worker."""
    if found := patient.workers():
        with suppress(psutil.Error):
            rng.choice(found).kill()


def stop_worker(patient: Patient, rng: random.Random) -> None:
    """A worker stands still, sometimes for longer than it may be silent."""
    if found := patient.workers():
        with _stopped(rng.choice(found).pid):
            time.sleep(rng.choice((0.5, 2.0, 7.0)))


def stop_daemon(patient: Patient, rng: random.Random) -> None:
    """The daemon stands still, and its workers go on."""
    with _stopped(patient.pid):
        time.sleep(rng.choice((0.5, 2.0, 7.0)))


def sleep(patient: Patient, rng: random.Random) -> None:
    """Everything stands still, as in a machine that is suspended."""
    pids = [patient.pid, *(worker.pid for worker in patient.workers())]
    for pid in pids:
        _signal(pid, signal.SIGSTOP)
    time.sleep(rng.uniform(1.0, 8.0))
    for pid in pids:
        _signal(pid, signal.SIGCONT)


def fill_disk(patient: Patient, rng: random.Random) -> None:
    """The disk is full for some seconds."""
    if not patient.small_disk:
        return
    ballast = patient.store.parent / "ballast"
    with suppress(OSError), ballast.open("wb") as file:
        while os.statvfs(ballast.parent).f_bavail:
            file.write(b"\0" * (1 << 16))
            file.flush()
    time.sleep(rng.uniform(1.0, 5.0))
    ballast.unlink(missing_ok=True)


def take_files(patient: Patient, rng: random.Random) -> None:
    """The daemon may open no more files for some seconds."""
    with suppress(OSError):
        pid = patient.pid
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(os.listdir(f"/proc/{pid}/fd")), before[1]))
        if rng.random() < 0.5:
            kill_worker(patient, rng)
        time.sleep(rng.uniform(0.5, 3.0))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def slow_disk(patient: Patient, rng: random.Random) -> None:
    """Every sync takes 0.3 s more, for some seconds."""
    if shutil.which("strace") is None:
        return
    inject = "inject=fdatasync,fsync:delay_enter=300000"
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync,fsync", "-e", inject]
    with subprocess.Popen([*command, "-p", str(patient.pid)], stderr=subprocess.DEVNULL) as tracer:
        with suppress(subprocess.TimeoutExpired):
            tracer.wait(rng.uniform(1.0, 5.0))
        tracer.terminate()


def abuse(patient: Patient, rng: random.Random) -> None:
    """What is no HTTP, no JSON, no spec, too long, or left half said."""
    for _ in range(20):
        body = rng.choice((b"{", b"[" * 100_000, rng.randbytes(200), b'{"spec": {"name": 3}}', b"x" * (2 << 20)))
        path = rng.choice(
            ("/v1/searches", "/v1/searches/none/pause", "/v1/nothing", "/v1/jobs/ffff", "/v1/events?after=x")
        )
        answer = patient.ask(rng.choice(("GET", "POST", "PUT", "DELETE")), path, content=body)
        if answer is not None and answer.status_code == 500:
            raise AssertionError(f"500 for {path}: {answer.text}")
    with suppress(OSError, ValueError, KeyError), socket.socket(socket.AF_UNIX) as raw:
        raw.settimeout(1.0)
        raw.connect(str(patient.store / "run" / "api.sock"))
        raw.sendall(rng.randbytes(500))


def order(patient: Patient, rng: random.Random) -> None:
    """Somebody pauses, resumes, stops, or changes the priority of a search."""
    search, what = rng.choice(patient.searches), rng.choice(ORDERS)
    if what == "priority":
        patient.ask("PUT", f"/v1/searches/{search}/priority", json={"priority": rng.randint(-3, 3)})
    else:
        patient.ask("POST", f"/v1/searches/{search}/{what}", json={})


def collect(patient: Patient, rng: random.Random) -> None:
    """Garbage is collected while searches run; what is a minute old may go."""
    patient.ask("POST", "/v1/gc", json={"delete": True, "grace_seconds": 60.0})


FAULTS: dict[str, tuple[Fault, float]] = {
    "SIGKILL of the daemon": (kill_daemon, 3.0),
    "SIGKILL of a worker": (kill_worker, 4.0),
    "SIGSTOP of a worker": (stop_worker, 1.0),
    "SIGSTOP of the daemon": (stop_daemon, 1.0),
    "the machine sleeps": (sleep, 0.5),
    "disk full": (fill_disk, 1.0),
    "no more descriptors": (take_files, 1.0),
    "slow disk": (slow_disk, 0.5),
    "abuse of the API": (abuse, 2.0),
    "an order": (order, 6.0),
    "a collection": (collect, 1.0),
}
"""Each fault by its name, with how often it comes, relative to the others."""


@contextmanager
def _stopped(pid: int) -> Iterator[None]:
    _signal(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        _signal(pid, signal.SIGCONT)


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
