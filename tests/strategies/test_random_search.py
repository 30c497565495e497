from __future__ import annotations

from store.records.candidates import Candidate
from strategies import registry
from strategies.simulation import Simulation, World
from tests.strategies.builders import separable_share, spec


def test_the_history_is_ranked_and_failures_come_last() -> None:
    wanted = spec("random", candidates=12, epochs=3)
    failing: list[str] = []

    def two_fail(candidate: Candidate, epochs: int) -> bool:
        failing.extend([candidate.id] if len(failing) < 2 else [])
        return candidate.id in failing

    result = Simulation(wanted, score=separable_share, fails=two_fail).search(registry.create(wanted))
    accuracies = [one.accuracy for one in result.history[:10] if one.accuracy is not None]
    assert accuracies == sorted(accuracies, reverse=True)
    assert [one.failure for one in result.history[10:]] == ["diverged: simulated"] * 2
    assert sorted(one.index for one in result.history) == list(range(12))
    assert result.best == result.history[:5]


def test_the_curve_is_the_best_so_far_in_the_order_of_drawing() -> None:
    wanted = spec("random", candidates=8, epochs=3)
    result = Simulation(wanted, score=separable_share).search(registry.create(wanted))
    drawn = sorted(result.history, key=lambda one: one.index)
    expected = [max(one.accuracy or 0.0 for one in drawn[: place + 1]) for place in range(8)]
    assert result.curves["best_accuracy"] == expected


def test_all_candidates_are_asked_for_at_once_with_one_full_schedule() -> None:
    wanted = spec("random", candidates=8, epochs=3)
    simulation = Simulation(wanted)
    coroutine = simulation.start(registry.create(wanted))
    coroutine.send(None)
    coroutine.close()
    candidates = [request.candidate for request in simulation.world.requests.values()]
    assert len(candidates) == 8
    assert {one.recipe.schedule_epochs for one in candidates if one is not None} == {3}


def test_more_candidates_train_only_the_new_ones() -> None:
    world, fewer, more = World(), spec("random", candidates=5, epochs=3), spec("random", candidates=9, epochs=3)
    Simulation(fewer, world).search(registry.create(fewer))
    assert world.trained == 5
    result = Simulation(more, world).search(registry.create(more))
    assert world.trained == 9
    assert len(result.history) == 9


def test_the_seed_decides_what_is_drawn() -> None:
    def drawn(seed: int) -> set[str]:
        wanted = spec("random", candidates=5, seed=seed)
        result = Simulation(wanted).search(registry.create(wanted))
        return {str(one.architecture.genes) for one in result.history}

    assert drawn(1) == drawn(1)
    assert not drawn(1) & drawn(2)
