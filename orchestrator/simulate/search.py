"""One search in virtual time: its answers and the lengths of its jobs from the table, and how good its picks are."""

from __future__ import annotations

from typing import NamedTuple

from orchestrator import transfers
from orchestrator.errors import Problem, SimulationCrashed, SpecError
from orchestrator.spec import Plan
from orchestrator.tables import TABULAR
from store.errors import StoreError
from store.records.base import digest
from store.records.candidates import Candidate, Named
from store.records.outcomes import AnyOutcome, Failure
from store.records.requests import AnyRequest, Compute, Evaluate, Measure, Train
from strategies import registry
from strategies.errors import StrategyError
from strategies.virtual import Order, VirtualTime, VirtualWorld
from trainers import tabular
from trainers.benchmark import Benchmark
from trainers.compute import compute
from trainers.errors import CheckpointMismatch, ImpossibleSetting, TrainerError
from trainers.failures import reason_of


class Pick(NamedTuple):
    """From so many epochs on the search would have named a network with this true accuracy."""

    epochs: int
    accuracy: float


class Simulated(NamedTuple):
    """What one simulated search came to.

    Attributes:
        seed: its seed.
        accuracy: of the network that it named as the best, as the search saw it; none if it named none.
        true_accuracy: what the table says of that network.
        regret: how much the best architecture of the table is better.
        epochs: epochs trained.
        seconds: virtual seconds that it took.
        idle_share: share of the devices' time without a job.
        picks: what it would have named after so many epochs, each time that this changed.
        genes: of the network that it named.
        failure: why its first network failed, if it named none.
    """

    seed: int
    accuracy: float | None
    true_accuracy: float | None
    regret: float | None
    epochs: int
    seconds: float
    idle_share: float
    picks: tuple[Pick, ...]
    genes: tuple[int, ...] | None
    failure: str | None = None


class Simulator:
    """Runs the searches of one spec.

    Args:
        plan: the checked spec.
        devices: how many there are.
        order: which waiting job is next.

    Raises:
        SpecError: if the spec has another trainer than `tabular`, or refers to earlier searches.
    """

    def __init__(self, plan: Plan, *, devices: int = 4, order: Order = "daemon") -> None:
        trainer = plan.spec.trainer
        if trainer.name != TABULAR:
            raise SpecError(plan.file, [Problem("trainer.name", trainer.name, f"expected {TABULAR!r} to simulate it")])
        transfers.refuse(plan)
        self.plan, self._devices, self._order = plan, devices, order
        self.benchmark = self._benchmark_of(trainer)

    def run(self, seed: int) -> Simulated:
        """Returns what the search comes to with another seed.

        Raises:
            StrategyError: as the strategy raises it.
            SimulationCrashed: if the strategy raises anything else.
        """
        time = self.time(seed)
        try:
            result = time.search(registry.create(time.spec))
        except (StrategyError, StoreError):
            raise
        except Exception as error:
            raise SimulationCrashed(self.plan.spec.name, seed, f"{type(error).__name__}: {error}") from error
        timeline, found = time.timeline, result.best[0] if result.best else None
        truth = self.benchmark.final(found.architecture) if found else None
        picks = [Pick(one.spent, self.benchmark.final(one.candidate.architecture)) for one in timeline.picks()]
        return Simulated(
            seed=seed,
            accuracy=found.accuracy if found else None,
            true_accuracy=truth,
            regret=None if truth is None else round(self.benchmark.best - truth, 9),
            epochs=timeline.epochs,
            seconds=timeline.seconds,
            idle_share=timeline.idle_share,
            picks=tuple(picks),
            genes=found.architecture.genes if found else None,
            failure=None if found else next((one.failure for one in result.history if one.failure), None),
        )

    def time(self, seed: int) -> VirtualTime:
        """Returns the search with another seed, about to begin."""
        spec = self.plan.spec.model_copy(update={"seed": seed})
        return VirtualTime(
            spec,
            self.answer,
            self.seconds,
            world=VirtualWorld(devices=self._devices),
            order=self._order,
            space=self.plan.space,
            data=self.plan.data,
            durable=False,
        )

    def answer(self, request: AnyRequest) -> AnyOutcome:
        """Returns what a worker with the tabular trainer answers; its errors are failures, as there."""
        try:
            return self._answer(request)
        except (TrainerError, StrategyError, StoreError) as error:
            return Failure(reason=reason_of(error), retryable=False, message=str(error))

    def seconds(self, request: AnyRequest, epoch: int) -> float:
        """Returns how long a request's job takes; what is no training takes no time."""
        if not isinstance(request, Train):
            return 0.0
        return (request.epochs - epoch) * self._of(request.candidate).seconds(request.candidate.architecture)

    def _answer(self, request: AnyRequest) -> AnyOutcome:
        match request:
            case Train(candidate=candidate, epochs=epochs):
                return self._of(candidate).train(candidate, epochs, _checkpoint(candidate, epochs))
            case Evaluate(candidate=candidate):
                benchmark = self._of(candidate)
                return benchmark.evaluate(candidate, _epoch(request, benchmark.epochs), request.split)
            case Measure(candidate=candidate):
                return self._of(candidate).measure(request)
            case Compute():
                return compute(request)

    def _of(self, candidate: Candidate) -> Benchmark:
        if candidate.trainer is self.plan.spec.trainer or candidate.trainer == self.plan.spec.trainer:
            return self.benchmark
        return self._benchmark_of(candidate.trainer)

    def _benchmark_of(self, trainer: Named) -> Benchmark:
        path = self.plan.tables.get(trainer.options.get("table", ""))
        if trainer.name != TABULAR or path is None:
            raise ImpossibleSetting("trainer", trainer.name, f"{TABULAR!r}, and a table that the spec names")
        return tabular.benchmark(trainer, self.plan.space.spec, path)


def _checkpoint(candidate: Candidate, epoch: int) -> str:
    """Returns the name of a checkpoint that nobody writes."""
    return digest([candidate.id, epoch])


def _epoch(request: Evaluate, epochs: int) -> int:
    """Returns the epoch of a checkpoint of a candidate; raises `CheckpointMismatch` if it is not one of it."""
    for epoch in range(1, epochs + 1):
        if _checkpoint(request.candidate, epoch) == request.checkpoint:
            return epoch
    raise CheckpointMismatch(request.checkpoint, f"candidate {request.candidate.id}", "it is not of")
