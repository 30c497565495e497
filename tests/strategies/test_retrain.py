from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from store.records.candidates import Candidate, Named
from store.records.requests import Evaluate, Train
from store.records.spec import SearchSpec
from strategies import registry
from strategies.errors import InvalidOptions
from strategies.simulation import Simulation, by_digest
from strategies.spaces import registry as spaces

WINNERS, EPOCHS = 4, 6
SPACE = spaces.create(Named(name="cell"))
RNG = np.random.default_rng(3)
GENES = [SPACE.canonical(SPACE.random(RNG)).genes for _ in range(WINNERS)]


def genes(count: int = WINNERS) -> list[tuple[int, ...]]:
    return GENES[:count]


def spec_of(architectures: list[tuple[int, ...]], *, validation_fraction: float = 0, **options: Any) -> SearchSpec:
    return SearchSpec.model_validate(
        {
            "name": "winners retrained",
            "seed": 5,
            "strategy": {"name": "retrain", "architectures": architectures, "epochs": EPOCHS, **options},
            "space": {"name": "cell"},
            "data": {"name": "digits", "validation_fraction": validation_fraction},
        }
    )


def test_every_network_is_trained_once_and_then_tested_with_its_last_weights() -> None:
    spec = spec_of(genes())
    simulation = Simulation(spec)
    result = simulation.search(registry.create(spec))
    asked = list(simulation.world.requests.values())
    trainings = [request for request in asked if isinstance(request, Train)]
    tests = {request.candidate.id: request for request in asked if isinstance(request, Evaluate)}
    assert [request.candidate.architecture.genes for request in trainings] == genes()
    assert {request.epochs for request in trainings} == {EPOCHS}
    assert {request.candidate.recipe.schedule_epochs for request in trainings} == {EPOCHS}
    assert {request.candidate.data.validation_fraction for request in trainings} == {0}
    assert {request.split for request in tests.values()} == {"test"}
    assert [tests[one.candidate].checkpoint for one in result.history] == [one.checkpoint for one in result.history]


def test_the_best_are_those_of_the_highest_test_accuracy_and_the_history_keeps_the_order() -> None:
    spec = spec_of(genes(), accuracies=[0.4, 0.3, 0.2, None], candidates=["a" * 64, "b" * 64, "c" * 64, "d" * 64])
    result = Simulation(spec).search(registry.create(spec))
    assert [one.architecture.genes for one in result.history] == genes()
    assert [one.proxy_accuracy for one in result.history] == [0.4, 0.3, 0.2, None]
    assert [one.origin for one in result.history] == [f"candidate {letter * 12}" for letter in "abcd"]
    scores = [one.test_accuracy for one in result.best]
    assert len(scores) == WINNERS
    assert scores == sorted(scores, key=lambda score: -(score or 0))
    assert result.notes[0].endswith("tested on 100 images that nothing else has read")


def test_several_seeds_are_candidates_of_their_own_and_their_spread_is_told() -> None:
    spec = spec_of(genes(2), seeds=3)
    simulation = Simulation(spec)
    result = simulation.search(registry.create(spec))
    seeds = {request.candidate.seed for request in simulation.world.requests.values() if isinstance(request, Train)}
    assert seeds == {5, 6, 7}
    assert len({one.candidate for one in result.history}) == 6
    assert [one.origin for one in result.history[:3]] == ["given, seed 5", "given, seed 6", "given, seed 7"]
    scores = [one.test_accuracy or 0.0 for one in result.history[:3]]
    expected = f"network 0: test accuracy {np.mean(scores):.2%} ± {np.std(scores, ddof=1):.2%} over 3 seeds"
    assert expected in result.notes


def test_a_network_whose_training_fails_is_kept_with_the_reason_and_is_not_tested() -> None:
    spec = spec_of(genes())
    failing: list[str] = []

    def first_fails(candidate: Candidate, epochs: int) -> bool:
        failing.extend([] if failing else [candidate.id])
        return candidate.id in failing

    simulation = Simulation(spec, fails=first_fails)
    result = simulation.search(registry.create(spec))
    (failed,) = [one for one in result.history if one.failure is not None]
    assert failed.failure == "diverged: simulated"
    assert failed.test_accuracy is None
    assert len(result.best) == WINNERS - 1
    tested = {request.candidate.id for request in simulation.world.requests.values() if isinstance(request, Evaluate)}
    assert failed.candidate not in tested


def test_a_search_that_was_not_finished_is_told() -> None:
    spec = spec_of(genes(1), search="f" * 64, search_name="small", unfinished=True)
    result = Simulation(spec, score=by_digest).search(registry.create(spec))
    assert "the search small was not finished: these were its best so far" in result.notes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architectures": []}, "strategy.architectures"),
        ({"architectures": [(1, 2, 3)]}, "strategy.architectures.0 expected 32 genes, got 3"),
        ({"architectures": genes(1) * 2}, "expected architectures to be different"),
        ({"accuracies": [0.5]}, "expected accuracies to have as many entries as architectures, got 1"),
        ({"epochs": 0}, "strategy.epochs"),
        ({"seeds": 0}, "strategy.seeds"),
        ({"validation_fraction": 0.1}, "data.validation_fraction is 0.1: expected 0"),
    ],
)
def test_what_cannot_be_retrained_is_refused(changes: dict[str, Any], message: str) -> None:
    fields: dict[str, Any] = {"architectures": genes()} | changes
    with pytest.raises(InvalidOptions, match=message.replace(".", r"\.")):
        registry.create(spec_of(**fields))


def test_other_strategies_need_images_to_choose_by() -> None:
    spec = spec_of(genes()).model_dump(mode="json") | {"strategy": {"name": "random"}}
    with pytest.raises(InvalidOptions, match=r"data\.validation_fraction is 0.0: expected more than 0"):
        registry.create(SearchSpec.model_validate(spec))
