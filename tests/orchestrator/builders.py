"""Small records for tests of the pure core."""

from __future__ import annotations

from orchestrator.memory import Memory
from orchestrator.reactions import Terms
from orchestrator.scheduler import Scheduler
from store.records import messages
from store.records.candidates import Architecture, Candidate, Data, DataSpec, Named, Proxy, Recipe
from store.records.events import SearchOpened
from store.records.outcomes import EpochMetrics, Trained
from store.records.requests import Train
from store.records.spec import SearchSpec


def candidate(gene: int) -> Candidate:
    return Candidate(
        trainer=Named(name="scripted"),
        space=Named(name="cell"),
        architecture=Architecture(space="cell", genes=(gene,)),
        proxy=Proxy(),
        recipe=Recipe(),
        data=Data(name="digits", fingerprint="d"),
        seed=0,
    )


def train(gene: int, epochs: int = 2) -> Train:
    return Train(candidate=candidate(gene), epochs=epochs)


def metrics(epoch: int) -> EpochMetrics:
    return EpochMetrics(epoch=epoch, train_loss=1, train_accuracy=0.5, validation_loss=1, validation_accuracy=0.5)


def trained(request: Train) -> Trained:
    return Trained(
        candidate=request.candidate.id,
        epochs=request.epochs,
        accuracy=0.5,
        history=tuple(metrics(epoch + 1) for epoch in range(request.epochs)),
        checkpoint=f"{request.epochs:064x}",
        parameters=1,
        multiply_adds=1,
    )


def spec(name: str = "test") -> SearchSpec:
    return SearchSpec(name=name, strategy=Named(name="random"), space=Named(name="cell"), data=DataSpec(name="digits"))


def scheduler(*searches: str, retries: int = 2) -> Scheduler:
    memory = Memory()
    made = Scheduler(memory)
    for search in searches or ("s",):
        memory.apply("search_opened", SearchOpened(search=search, spec=spec(search)).model_dump())
        made.add_search(search, Terms(retries=retries))
    return made


def saved(request: Train, attempt: int, epoch: int, step: int = 0) -> messages.Saved:
    digest = f"{epoch:032x}{step:032x}"
    return messages.Saved(
        job=request.key, attempt=attempt, candidate=request.candidate.id, checkpoint=digest, epoch=epoch, step=step
    )


def finished(request: Train, attempt: int) -> messages.Finished:
    return messages.Finished(job=request.key, attempt=attempt, outcome=trained(request))


def failed(request: Train, attempt: int, reason: str, **extra: object) -> messages.Failed:
    return messages.Failed.model_validate(
        {"job": request.key, "attempt": attempt, "reason": reason, "message": f"it was {reason}", **extra}
    )
