"""Events, states and stores for the tests of the store."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from store.checkpoints import CheckpointStore
from store.elements import Array
from store.opening import Store
from store.records.candidates import Architecture, Candidate, Data, Named, Proxy, Recipe
from store.records.events import CheckpointSaved, Delivered, JobSucceeded, Requested
from store.records.knowledge import BlockKey, Contribution, PoolQuery
from store.records.outcomes import Computed, EpochMetrics, Trained
from store.records.requests import Compute, Train

ROOT = Path(__file__).resolve().parents[2]


def delivered(index: int, search: str = "a" * 64, job: str = "b" * 64) -> Delivered:
    """A small event."""
    return Delivered(search=search, call=0, index=index, job=job)


def candidate(seed: int = 0) -> Candidate:
    """A candidate like those of an EcoNAS search."""
    return Candidate(
        trainer=Named(name="cell"),
        space=Named(name="cell", options={"nodes": 4, "concat": "loose"}),
        architecture=Architecture(space="cell", genes=(0, 1, 2, 3, 4, 5, 6, 7)),
        proxy=Proxy(channels=8, resolution=8, sample_ratio=1.0, cells=20),
        recipe=Recipe(batch_size=96, schedule_epochs=60),
        data=Data(name="digits", fingerprint="digits-1"),
        seed=seed,
    )


def requested(index: int = 0, seed: int = 0) -> Requested:
    """A large event."""
    request = Train(candidate=candidate(seed), epochs=20)
    return Requested(search="a" * 64, index=index, job=request.key, request=request, answer="queued")


def metrics(epoch: int) -> EpochMetrics:
    """One epoch's metrics."""
    return EpochMetrics(
        epoch=epoch, train_loss=1 / epoch, train_accuracy=0.5, validation_loss=1.5, validation_accuracy=0.25
    )


def state(seed: int, shared: int = 0) -> dict[str, dict[str, dict[str, Array]]]:
    """A small network's tensors with momentum, by role, block and name; the first `shared` blocks are always alike."""
    tensors: dict[str, dict[str, dict[str, Array]]] = {"model": {}, "optimizer": {}}
    for number in range(4):
        rng = np.random.default_rng(number if number < shared else 1000 * (seed + 1) + number)
        block = f"cells.{number}"
        for role in tensors:
            tensors[role][block] = {
                f"{block}.weight": rng.standard_normal((8, 4, 3, 3)).astype(np.float32),
                f"{block}.bias": rng.standard_normal(8).astype(np.float32),
            }
        tensors["model"][block][f"{block}.batches"] = np.array(number + 17, dtype=np.int64)
    return tensors


def save(checkpoints: CheckpointStore, seed: int = 0, epoch: int = 1, shared: int = 0, **changes: Any) -> str:
    """Saves a small checkpoint."""
    fields: dict[str, Any] = {
        "candidate": f"{seed:064x}",
        "epoch": epoch,
        "step": 0,
        "history": [metrics(number) for number in range(1, epoch + 1)],
        "sums": {},
        "position": "{}",
        "tensors": state(seed * 1000 + epoch, shared),
    }
    return checkpoints.save(**(fields | changes))


def saved(checkpoint: str, seed: int = 0, epoch: int = 1) -> CheckpointSaved:
    """The event that commits a checkpoint."""
    return CheckpointSaved(job=f"{seed:064d}", attempt=1, candidate=f"{seed:064x}", checkpoint=checkpoint, epoch=epoch)


def succeeded(checkpoint: str, seed: int = 0, epochs: int = 1) -> JobSucceeded:
    """The event that ends a training."""
    outcome = Trained(
        candidate=f"{seed:064x}",
        epochs=epochs,
        accuracy=0.5,
        history=(),
        checkpoint=checkpoint,
        parameters=1,
        multiply_adds=1,
    )
    return JobSucceeded(job=f"{seed:064d}", attempt=1, outcome=outcome, seconds=1.0)


def computation(index: int, state: str | None = None, search: str = "s") -> Requested:
    """A search asks for a computation that starts from a state."""
    asked = Compute(function="trainers.x:y", arguments=bytes([index]), stateful=True, state=state)
    return Requested(search=search, index=index, job=asked.key, request=asked, answer="queued")


def compute_chain(store: Store, length: int, search: str = "s") -> list[str]:
    """Journals computations of which each starts from the one before, and stores their states; returns these."""
    states: list[str] = []
    for index in range(length):
        asked = computation(index, states[-1] if states else None, search)
        tensors = {"state": {f"block{place}": {"weight": np.full(100, 10.0 * index + place)} for place in range(3)}}
        states.append(save(store.checkpoints, candidate=asked.job, epoch=0, history=[], tensors=tensors))
        outcome = Computed(value=b"", state=states[-1])
        store.journal.append([asked, JobSucceeded(job=asked.job, attempt=1, outcome=outcome, seconds=1.0)])
    return states


def new_store(folder: Path) -> Store:
    """Makes a store and opens it for writing."""
    return Store.open(folder, write=True, create=True)


def equal(left: dict[str, Any], right: dict[str, Any]) -> bool:
    """Whether two states hold the same names, types, shapes and bits."""
    if left.keys() != right.keys():
        return False
    return all(
        equal(left[key], right[key])
        if isinstance(left[key], dict)
        else left[key].dtype == right[key].dtype
        and left[key].shape == right[key].shape
        and left[key].tobytes() == right[key].tobytes()
        for key in left
    )


def flip(path: Path, offset: int) -> None:
    """Flips one bit of a file."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x10
    path.write_bytes(data)


def child(name: str, *arguments: object, under: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """Starts one of `tests.store.children`'s functions in a process of its own."""
    command = [*under, sys.executable, "-m", "tests.store.children", name, *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen[str]) -> list[str]:
    """Waits for a child that must succeed; returns the lines that it wrote."""
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out.splitlines()


def contribution(number: int, keys: Sequence[Sequence[int]], **changes: Any) -> Contribution:
    """A trained network whose blocks have these keys, of tokens with four choices each, unless told otherwise."""
    fields: dict[str, Any] = {
        "candidate": f"{number:064x}",
        "checkpoint": f"{number:064x}",
        "space": "5" * 64,
        "choices": (4,) * len(keys[0]) if keys else (4,),
        "shape": (3, 32, 32),
        "blocks": tuple(BlockKey(name=f"cells.{place}", tokens=tuple(key)) for place, key in enumerate(keys)),
        "iterations": 400,
    }
    return Contribution(**(fields | changes))


def asking(keys: Sequence[Sequence[int]], **changes: Any) -> PoolQuery:
    """A network whose blocks have these keys, in the same space as `contribution`'s."""
    made = contribution(0, keys)
    fields = {"space": made.space, "choices": made.choices, "shape": made.shape, "blocks": made.blocks, "bar": 0.5}
    return PoolQuery(**(fields | changes))


def drawn(seed: int, blocks: int = 4, tokens: int = 10) -> list[list[int]]:
    """The keys of a random network."""
    found: list[list[int]] = np.random.default_rng(seed).integers(0, 4, (blocks, tokens)).tolist()
    return found
