"""Jobs of the `cell` trainer in the test's own process: a real socketpair, store and trainer."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import numpy as np

from store.checkpoints import CheckpointStore
from store.records.candidates import Candidate, Data, Named, Proxy, Recipe
from store.records.framing import Decoder, encode
from store.records.messages import REPORT, AnyReport, Assign, JobSettings, Saved, Stop
from store.records.requests import AnyRequest
from strategies.spaces import registry as spaces
from trainers.cell import CellTrainer
from trainers.channel import Channel, Inbox
from trainers.fingerprint import DIGITS
from trainers.job import Job

SPACE = Named(name="cell", options={"nodes": 2})
TRAINER = CellTrainer()


class Desk:
    """A store, and jobs done one after another. A context manager."""

    def __init__(self, folder: Path) -> None:
        self.checkpoints = CheckpointStore(folder)

    def __enter__(self) -> Desk:
        return self

    def __exit__(self, *_: object) -> None:
        self.checkpoints.close()

    def do(self, request: AnyRequest, *, resume: str | None = None, attempt: int = 1, **settings: Any) -> Any:
        """Returns a request's outcome; `stop` asks it to stop meanwhile, `reports` has what it sent."""
        assign = Assign(
            job=request.key, attempt=attempt, request=request, resume=resume, settings=JobSettings(**settings)
        )
        ours, theirs = socket.socketpair()
        with ours, theirs:
            self.stop = lambda: ours.sendall(encode(Stop(job=assign.job, attempt=attempt)))
            ours.sendall(encode(assign))
            channel = Channel(theirs)
            inbox = Inbox(channel)
            inbox.next()
            job = Job(assign, channel, inbox, lambda: self.checkpoints)
            try:
                return getattr(TRAINER, request.kind)(job)
            finally:
                self.reports = _received(ours)

    @property
    def saved(self) -> list[Saved]:
        """The checkpoints that the last job reported."""
        return [report for report in self.reports if isinstance(report, Saved)]


def candidate(*, genes: int = 0, recipe: dict[str, Any] | None = None, **changes: Any) -> Candidate:
    """A very small network on 337 of the digits, 5 steps an epoch; `genes` is the seed of its architecture."""
    small = {"batch_size": 64, "padding": 1, "flip": False, "schedule_epochs": 4, "learning_rate": 0.1}
    small |= {"minimum_learning_rate": 0.0}
    fields: dict[str, Any] = {
        "trainer": Named(name="cell"),
        "space": SPACE,
        "architecture": spaces.create(SPACE).random(np.random.default_rng(genes)),
        "proxy": Proxy(channels=4, cells=3, sample_ratio=0.25),
        "recipe": Recipe(**(small | (recipe or {}))),
        "data": Data(name="digits", fingerprint=DIGITS),
        "seed": 1,
    }
    return Candidate(**(fields | changes))


def _received(connection: socket.socket) -> list[AnyReport]:
    connection.setblocking(False)
    decoder, reports = Decoder(REPORT), []
    while True:
        try:
            data = connection.recv(1 << 20)
        except BlockingIOError:
            return reports
        reports += decoder.feed(data)
