"""One search as people see it: its state, what it cost and saved, its candidates, and the best of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.views.costs import Costs, costs
from orchestrator.views.entries import JobView, Payload, PoolUse, SearchEntry, ServedStatus
from orchestrator.views.fold import History
from orchestrator.views.samples import SIMILARITIES, Samples, samples
from store.records import arrays
from store.records.outcomes import brief
from store.records.studies import Study

ACCURACIES = ("accuracy", "test_accuracy", "proxy_accuracy")
MEAN_ACCURACY = "mean_accuracy_"
"""What the names of curves begin with that hold a rung's mean accuracy after each cycle."""


@dataclass(frozen=True, slots=True)
class CandidateView:
    """One network of a search; accuracies are in [0, 1].

    Attributes:
        accuracy: of the validation images; none where it failed, or where no image was held out.
        test_accuracy: of the test images, which only retrained networks are tried on.
        proxy_accuracy: of the validation images in the search that found a retrained network.
        train_accuracy: of the training images in the last epoch that was saved.
        curve: (epoch, validation accuracy) after each epoch that was saved.
        training: (epoch, accuracy of the training images) in each of them.
    """

    index: int
    candidate: str
    architecture: Payload
    epochs: int
    accuracy: float | None
    checkpoint: str | None
    parameters: int | None
    multiply_adds: int | None
    origin: str = ""
    parent: int | None = None
    cycle: int = 0
    failure: str | None = None
    test_accuracy: float | None = None
    proxy_accuracy: float | None = None
    curve: tuple[tuple[int, float], ...] = ()
    training: tuple[tuple[int, float], ...] = ()

    @property
    def score(self) -> float | None:
        """What candidates of one search are compared by: validation accuracy, else test accuracy."""
        return self.test_accuracy if self.accuracy is None else self.accuracy

    @property
    def train_accuracy(self) -> float | None:
        """Accuracy of the training images in the last epoch that was saved."""
        return self.training[-1][1] if self.training else None


@dataclass(frozen=True, slots=True)
class SearchView:
    """All that is shown of one search; `best` and `candidates` are the strategy's own once it has returned.

    `submitted`: it was handed to a daemon, not run in the foreground alone.
    """

    id: str
    name: str
    status: ServedStatus
    message: str
    spec: Payload
    opened: float
    runs: int
    costs: Costs
    best: tuple[CandidateView, ...]
    candidates: tuple[CandidateView, ...]
    curves: Mapping[str, Any]
    notes: tuple[str, ...]
    troubled: tuple[JobView, ...]
    pool: PoolUse
    study: Study | None = None
    submitted: bool = False

    @property
    def retrained(self) -> bool:
        """Whether its networks are tried on the test images: they were chosen before, and trained in full."""
        return any(candidate.test_accuracy is not None for candidate in self.candidates)

    @property
    def samples(self) -> Samples | None:
        """What its agent learnt from, read from the curves at each call; none if it has no samples."""
        return samples(self.curves)

    @property
    def nothing(self) -> str:
        """Why there is no best network, on one line: none has been trained yet, or every one failed, and how."""
        failures = [candidate.failure for candidate in self.candidates if candidate.failure is not None]
        if not failures or len(failures) < len(self.candidates):
            return "no candidate has been trained yet"
        which = "the only network" if len(failures) == 1 else f"all {len(failures):,} networks"
        return f"{which} failed, first: {failures[0]}"

    @property
    def finished(self) -> bool:
        """Whether its strategy returned."""
        return self.status == "finished"


def totals(view: SearchView) -> dict[str, int | float]:
    """Returns what a search cost, under the names that `coldframe run --json` documents."""
    names = ("requests", "jobs", "attempts", "epochs_trained", "epochs_resumed_over", "memo_hits")
    return {name: getattr(view.costs, name) for name in names} | {"seconds": round(view.costs.seconds, 3)}


def search_view(history: History, search: str, *, alive: bool = True) -> SearchView:
    """Builds the view of one search.

    Args:
        history: the folded journal.
        search: the search's id.
        alive: whether a process holds the store; without one, nothing that the journal left open is running.
    """
    entry = history.searches[search]
    candidates = tuple(_candidates(history, search))
    own = history.own(search)
    return SearchView(
        id=search,
        name=entry.name,
        status="interrupted" if entry.status == "running" and not alive else entry.status,
        message=entry.message,
        spec=entry.spec,
        opened=entry.opened,
        runs=len(entry.runs),
        costs=costs(history, search, alive=alive),
        best=tuple(_best(history, search, candidates)),
        candidates=candidates,
        curves=_curves(entry),
        notes=tuple((entry.result or {}).get("notes", ())),
        troubled=tuple(job for job in own if any(a.outcome == "failed" for a in job.attempts)),
        pool=entry.pool,
        study=_study(entry),
        submitted=entry.submitted,
    )


def _study(entry: SearchEntry) -> Study | None:
    found = (entry.result or {}).get("study")
    return None if found is None else Study.model_validate(found)


def _curves(entry: SearchEntry) -> Mapping[str, Any]:
    """The strategy's curves: of its result, or of its last saved state where it has not returned."""
    if entry.result is not None:
        found = entry.result.get("curves")
    else:
        state = arrays.unpack(entry.state) if entry.state else None
        found = _saved(state) if isinstance(state, dict) else None
    return found if isinstance(found, dict) else {}


def _saved(state: Payload) -> Any:
    """The curves in a saved state; those of an agent's samples are kept there as arrays."""
    if "ledger" not in state:
        return state.get("curves")
    from strategies.fnas.ledger import Ledger

    ledger = Ledger()
    ledger.restore(state["ledger"])
    pool = state.get("pool")
    return ledger.curves() | ({} if pool is None else {SIMILARITIES: pool["histogram"].tolist()})


def _candidates(history: History, search: str) -> Iterator[CandidateView]:
    """The strategy's own history if it has returned; else what its requests tell, in order of birth."""
    entry = history.searches[search]
    if entry.result is not None:
        for individual in entry.result.get("history", ()):
            yield _from_individual(history, individual)
        return
    births: dict[str, list[JobView]] = {}
    tested: dict[str, float] = {}
    for asked in entry.requests:
        job = history.jobs[asked.job]
        if job.kind == "train":
            births.setdefault(job.candidate or job.id, []).append(job)
        elif job.tested is not None and job.candidate:
            tested[job.candidate] = job.tested
    for index, (candidate, jobs) in enumerate(births.items()):
        yield _from_jobs(index, candidate, jobs, tested.get(candidate))


def _from_jobs(index: int, candidate: str, jobs: list[JobView], test_accuracy: float | None) -> CandidateView:
    outcomes = [job.outcome for job in jobs if job.trained and job.outcome]
    latest = max(outcomes, key=lambda outcome: outcome["epochs"], default={})
    failed = [brief(job.outcome["message"]) for job in jobs if job.state == "failed" and job.outcome]
    return CandidateView(
        index=index,
        candidate=candidate,
        architecture=jobs[0].request["candidate"]["architecture"],
        epochs=latest.get("epochs", 0),
        accuracy=latest.get("accuracy"),
        test_accuracy=test_accuracy,
        checkpoint=latest.get("checkpoint"),
        parameters=latest.get("parameters"),
        multiply_adds=latest.get("multiply_adds"),
        failure=failed[-1] if failed and not outcomes else None,
        curve=curve(jobs),
        training=curve(jobs, "train_accuracy"),
    )


def _from_individual(history: History, individual: Payload) -> CandidateView:
    """Builds a candidate's view from a strategy's `Individual`, with the curve that the journal holds."""
    names = [*("checkpoint", "parameters", "multiply_adds", "parent", "failure"), *ACCURACIES]
    jobs = list(history.trainings.get(individual["candidate"], {}).values())
    return CandidateView(
        index=individual["index"],
        candidate=individual["candidate"],
        architecture=individual["architecture"],
        epochs=individual.get("epochs", 0),
        origin=individual.get("origin", ""),
        cycle=individual.get("cycle", 0),
        curve=curve(jobs),
        training=curve(jobs, "train_accuracy"),
        **{name: individual.get(name) for name in names},
    )


def curve(jobs: list[JobView], metric: str = "validation_accuracy") -> tuple[tuple[int, float], ...]:
    """A metric after each epoch, from the newest committed ones; epochs that do not have it are left out."""
    points: dict[int, float | None] = {}
    for saved in sorted((saved for job in jobs for saved in job.checkpoints), key=lambda saved: saved.time):
        if saved.metrics is not None:
            points[saved.epoch] = saved.metrics.get(metric)
    return tuple((epoch, value) for epoch, value in sorted(points.items()) if value is not None)


def _best(history: History, search: str, candidates: tuple[CandidateView, ...]) -> list[CandidateView]:
    """The strategy's choice if it has returned, else the highest accuracies so far: validation, else test."""
    entry = history.searches[search]
    if entry.result is not None:
        return [_from_individual(history, individual) for individual in entry.result.get("best", ())]
    scored = [candidate for candidate in candidates if candidate.score is not None]
    return sorted(scored, key=lambda candidate: (-(candidate.score or 0.0), candidate.index))[:5]
