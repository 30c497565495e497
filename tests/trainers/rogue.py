"""A worker with a trainer that misbehaves as its option says: `python -m tests.trainers.rogue`."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable
from pathlib import Path

from store.errors import BlobCorrupt, ManifestMissing
from store.records.base import Config
from store.records.outcomes import Evaluated, Measured, Trained
from trainers import registry, worker
from trainers.job import Job, Stopping
from trainers.registry import Entry

MANIFEST, BLOCK = "a" * 64, "b" * 64


class RogueOptions(Config):
    """Which deed."""

    deed: str


class RogueTrainer:
    """Commits the deed, whatever is asked."""

    def train(self, job: Job) -> Trained:
        """Commits the deed; returns an outcome if it is one that lets it."""
        DEEDS[job.options.deed]()  # type: ignore[attr-defined]
        return Trained(
            candidate="", epochs=1, accuracy=0.5, history=(), checkpoint=MANIFEST, parameters=1, multiply_adds=1
        )

    def evaluate(self, job: Job) -> Evaluated:
        """Returns a loss that is no number."""
        return Evaluated(accuracy=0.5, loss=math.nan, images=1)

    def measure(self, job: Job) -> Measured:
        """Returns what fits in no frame."""
        return Measured(parameters=1, multiply_adds=1, latency_ms=math.inf)


def _print() -> None:
    sys.stdout.write("\x00\x00\x00\x05garbage\n" * 1000)
    os.write(1, b"\xff" * 4096)
    os.write(2, b"\xff" * 4096)
    if os.read(0, 1):
        raise RuntimeError("there is something to read on standard input")


def _raise(error: BaseException) -> Callable[[], None]:
    def deed() -> None:
        raise error

    return deed


DEEDS: dict[str, Callable[[], None]] = {
    "print": _print,
    "leave": _raise(SystemExit(0)),
    "stop unasked": _raise(Stopping()),
    "damaged block": _raise(BlobCorrupt(BLOCK, Path("packs/x"))),
    "missing manifest": _raise(ManifestMissing(MANIFEST)),
}

if __name__ == "__main__":
    registry.TRAINERS = {**registry.TRAINERS, "rogue": Entry(RogueOptions, f"{__spec__.name}:RogueTrainer")}
    sys.exit(worker.main())
