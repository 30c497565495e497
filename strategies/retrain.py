"""Retraining: networks that are chosen already are trained from scratch on all training images, and tested."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np
from pydantic import Field, model_validator

from store.records.candidates import Architecture, Candidate
from store.records.outcomes import AnyOutcome, Evaluated, Failure, Trained
from store.records.results import Individual, Result
from strategies.individuals import learnt
from strategies.options import StrategyOptions
from strategies.run import Run

SHORT = 12


class RetrainOptions(StrategyOptions):
    """Options of the strategy `retrain`. Lists are in the order of `architectures`; all but it may be left out."""

    holds_out: ClassVar[bool] = False

    architectures: tuple[tuple[int, ...], ...] = Field(min_length=1, description="genes of the networks to train")
    epochs: int = Field(ge=1, description="epochs for each, and the length of its schedule")
    seeds: int = Field(default=1, ge=1, le=100, description="trainings of each network, with the seeds from `seed` on")
    search: str | None = Field(default=None, description="id of the search that found the networks")
    search_name: str | None = Field(default=None, description="its name")
    unfinished: bool = Field(default=False, description="whether it was still to go on when the networks were taken")
    candidates: tuple[str, ...] = Field(default=(), description="digests of the candidates that they were in it")
    accuracies: tuple[float | None, ...] = Field(default=(), description="their validation accuracies in it")

    @model_validator(mode="after")
    def _as_many(self) -> RetrainOptions:
        for name in ("candidates", "accuracies"):
            if (found := len(getattr(self, name))) not in (0, len(self.architectures)):
                raise ValueError(f"expected {name} to have as many entries as architectures, got {found}")
        if len(set(self.architectures)) < len(self.architectures):
            raise ValueError("expected architectures to be different; `seeds` trains each several times")
        return self


class Retrain:
    """Trains networks from scratch, all at once, and scores each on the test images as soon as it is trained.

    This is the only place where the test split is read: `Run.evaluate` refuses it to candidates that validation images
    were held out for, and a spec of this strategy must hold none out.
    """

    def __init__(self, options: RetrainOptions) -> None:
        self.options = options

    async def search(self, run: Run) -> Result:
        """Returns the networks in the order given, and the best of them by test accuracy."""
        options, networks = self.options, list(self._networks(run))
        candidates = {born.candidate: candidate for born, candidate in networks}
        handles = {run.train(candidate, epochs=options.epochs): candidate for candidate in candidates.values()}
        trainings: dict[str, AnyOutcome] = {}
        tests = {}
        self._progress(run, 0, len(handles))
        async for handle in run.as_completed(handles):
            candidate, outcome = handles[handle], await handle
            trainings[candidate.id] = outcome
            if isinstance(outcome, Trained):
                tests[candidate.id] = run.evaluate(candidate, checkpoint=outcome.checkpoint, split="test")
            self._progress(run, len(trainings), len(handles))
        tested = {name: await handle for name, handle in tests.items()}
        history = [_tested(learnt(born, trainings[born.candidate]), tested) for born, _ in networks]
        return self._result(history, tested)

    def _networks(self, run: Run) -> Iterator[tuple[Individual, Candidate]]:
        """Yields the networks as they are born, for each architecture one for every seed."""
        options = self.options
        for place, genes in enumerate(options.architectures):
            architecture = Architecture(space=run.space.spec.name, genes=genes)
            first = run.candidate(architecture, schedule_epochs=options.epochs)
            for number in range(options.seeds):
                candidate = _seeded(first, first.seed + number)
                born = Individual(
                    index=place * options.seeds + number,
                    architecture=candidate.architecture,
                    candidate=candidate.id,
                    proxy_accuracy=options.accuracies[place] if options.accuracies else None,
                    origin=self._origin(place, candidate.seed),
                )
                yield born, candidate

    def _origin(self, place: int, seed: int) -> str:
        found = f"candidate {self.options.candidates[place][:SHORT]}" if self.options.candidates else "given"
        return f"{found}, seed {seed}" if self.options.seeds > 1 else found

    def _progress(self, run: Run, done: int, networks: int) -> None:
        epochs = self.options.epochs
        run.progress(done * epochs, networks * epochs, f"retrained {done} of {networks}")

    def _result(self, history: list[Individual], tested: Mapping[str, AnyOutcome]) -> Result:
        sound = [one for one in history if one.test_accuracy is not None]
        best = sorted(sound, key=lambda one: (-(one.test_accuracy or 0.0), one.index))
        return Result(best=tuple(best), history=tuple(history), notes=tuple(self._notes(history, tested)))

    def _notes(self, history: list[Individual], tested: Mapping[str, AnyOutcome]) -> Iterator[str]:
        options = self.options
        images = max((one.images for one in tested.values() if isinstance(one, Evaluated)), default=0)
        if images:
            yield f"trained on all training images; tested on {images:,} images that nothing else has read"
        if options.unfinished:
            yield f"the search {options.search_name or options.search} was not finished: these were its best so far"
        for place in range(len(options.architectures)) if options.seeds > 1 else ():
            found = [one.test_accuracy for one in history[place * options.seeds : (place + 1) * options.seeds]]
            scores = [one for one in found if one is not None]
            if len(scores) > 1:
                spread = f"{np.mean(scores):.2%} ± {np.std(scores, ddof=1):.2%}"
                yield f"network {place}: test accuracy {spread} over {len(scores)} seeds"


def _seeded(candidate: Candidate, seed: int) -> Candidate:
    if seed == candidate.seed:
        return candidate
    return Candidate(**{name: getattr(candidate, name) for name in Candidate.model_fields} | {"seed": seed})


def _tested(individual: Individual, tested: Mapping[str, AnyOutcome]) -> Individual:
    """Returns the individual with its test accuracy, or with the reason why it has none."""
    outcome = tested.get(individual.candidate)
    if isinstance(outcome, Evaluated) and not math.isfinite(outcome.accuracy):
        return individual.model_copy(update={"failure": f"its test accuracy is not finite ({outcome.accuracy})"})
    if isinstance(outcome, Evaluated):
        return individual.model_copy(update={"test_accuracy": outcome.accuracy})
    if isinstance(outcome, Failure):
        return individual.model_copy(update={"failure": f"the test failed: {outcome.reason}: {outcome.message}"})
    return individual
