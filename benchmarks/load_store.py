"""A store that has seen much: finished searches of the scripted trainer, written through the journal as a daemon does.

    python benchmarks/load_store.py FOLDER [--searches 48] [--events 200000]

Nothing is trained: the journal says what a search of random cells, three epochs each, would have said. The checkpoints
that it names are not there, so `check` and `gc` are not for this store; whatever reads the journal is.
"""

from __future__ import annotations

import argparse
from collections.abc import Generator, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from orchestrator.versions import present
from store.opening import Store
from store.records.base import digest
from store.records.candidates import Candidate, Data, DataSpec, Named, Proxy, Recipe
from store.records.events import (
    AnyEvent,
    CheckpointSaved,
    Delivered,
    JobStarted,
    JobSucceeded,
    Requested,
    SearchFinished,
    SearchOpened,
    SearchStarted,
    SearchSubmitted,
)
from store.records.outcomes import EpochMetrics, Trained
from store.records.requests import Train
from store.records.results import Individual, Result
from store.records.spec import SearchSpec
from strategies.spaces.registry import create

EPOCHS = 3
PER_CANDIDATE = 4 + EPOCHS
"""Events of one candidate: asked for, started, a checkpoint for each epoch, succeeded, delivered."""
BATCH = 2000
SPACE = Named(name="cell")


def write(folder: Path, searches: int, events: int) -> int:
    """Makes the store; returns how many rows its journal has."""
    candidates = max(1, (events // searches - 4) // PER_CANDIDATE)
    with Store.open(folder, write=True, create=True) as store:
        told = (event for number in range(searches) for event in one_search(number, candidates))
        while batch := list(islice(told, BATCH)):
            store.journal.append(batch)
        return store.journal.count


def one_search(number: int, candidates: int) -> Iterator[AnyEvent]:
    """All that the journal has of one finished search."""
    spec = SearchSpec(
        name=f"load-{number:02d}",
        seed=number,
        strategy=Named(name="random", options={"candidates": candidates, "epochs": EPOCHS}),
        space=SPACE,
        trainer=Named(name="scripted"),
        data=DataSpec(name="digits"),
    )
    search = digest(["load", number])
    yield SearchOpened(search=search, spec=spec)
    yield SearchSubmitted(search=search, raw=spec.model_dump(mode="json"), file=f"load-{number:02d}.toml", owner="load")
    yield SearchStarted(search=search, pid=1, versions=present())
    rng, people = np.random.default_rng(number), []
    for index in range(candidates):
        trained = yield from one_candidate(search, index, number, rng)
        people.append(trained)
    best = tuple(sorted(people, key=lambda one: -(one.accuracy or 0.0))[:3])
    yield SearchFinished(search=search, result=Result(best=best, history=tuple(people)).model_dump())


def one_candidate(
    search: str, index: int, seed: int, rng: np.random.Generator
) -> Generator[AnyEvent, None, Individual]:
    """A candidate's events; returns it as the result has it."""
    candidate = Candidate(
        trainer=Named(name="scripted"),
        space=SPACE,
        architecture=create(SPACE).random(rng),
        proxy=Proxy(),
        recipe=Recipe(),
        data=Data(name="digits", fingerprint="load", validation_fraction=0.1),
        seed=seed,
    )
    request = Train(candidate=candidate, epochs=EPOCHS)
    ceiling, known = float(rng.uniform(0.6, 0.95)), candidate.id
    history = tuple(_metrics(ceiling, epoch) for epoch in range(1, EPOCHS + 1))
    yield Requested(search=search, index=index, job=request.key, request=request, answer="queued")
    yield JobStarted(job=request.key, attempt=1, worker=f"worker-{index % 2}", device="cpu")
    for epoch, metrics in enumerate(history, start=1):
        checkpoint = digest([known, epoch])
        common = {"job": request.key, "attempt": 1, "candidate": known, "checkpoint": checkpoint}
        yield CheckpointSaved.model_validate({**common, "epoch": epoch, "metrics": metrics})
    accuracy = history[-1].validation_accuracy
    outcome = Trained(
        candidate=known,
        epochs=EPOCHS,
        accuracy=accuracy,
        history=history,
        checkpoint=checkpoint,
        parameters=180_000 + index,
        multiply_adds=1_900_000 + index,
    )
    yield JobSucceeded(job=request.key, attempt=1, outcome=outcome, seconds=3.0)
    yield Delivered(search=search, call=0, index=index, job=request.key)
    return Individual(
        index=index,
        architecture=candidate.architecture,
        candidate=known,
        epochs=EPOCHS,
        accuracy=accuracy,
        checkpoint=checkpoint,
        parameters=180_000 + index,
        multiply_adds=1_900_000 + index,
    )


def _metrics(ceiling: float, epoch: int) -> EpochMetrics:
    accuracy = round(ceiling * (1 - 0.5**epoch), 4)
    losses = {"train_loss": 1.0 / epoch, "train_accuracy": accuracy, "validation_loss": 1.1 / epoch}
    return EpochMetrics(epoch=epoch, validation_accuracy=accuracy, **losses)


def main() -> None:
    """Makes a store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--searches", type=int, default=48)
    parser.add_argument("--events", type=int, default=200_000)
    args = parser.parse_args()
    print(f"{write(args.folder, args.searches, args.events)} rows in {args.folder}")


if __name__ == "__main__":
    main()
