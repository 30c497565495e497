from __future__ import annotations

import math

import pytest

from store.records import arrays
from store.records.candidates import Candidate, Data
from strategies.econas.population import P_2E, P_3E, P_E, Population
from strategies.run import Run
from strategies.simulation import Simulation
from strategies.spaces.registry import create
from tests.strategies.builders import architecture, failure, small_econas, trained


def candidate(seed: int) -> Candidate:
    spec = small_econas()
    run = Run(Simulation(spec), spec, create(spec.space), Data(name="digits", fingerprint="x"))
    return run.candidate(architecture(*(0,) * 31, seed % 8)).model_copy(update={"seed": seed})


def population(*accuracies: float, cycle: int = 0) -> Population:
    made = Population()
    for accuracy in accuracies:
        add(made, accuracy, cycle)
    return made


def add(made: Population, accuracy: float, cycle: int = 0, rung: int = P_E) -> int:
    index = made.born(candidate(len(made.history)), cycle=cycle, origin="random").index
    made.settle(index, rung, trained(accuracy, (rung + 1) * 20), cycle)
    return index


def test_a_trained_network_joins_p_e_and_the_history() -> None:
    made = population(0.5)
    (only,) = made.history
    assert (only.accuracy, only.epochs, only.checkpoint) == (0.5, 20, f"{20:064x}")
    assert (only.parameters, only.multiply_adds) == (10, 100)
    assert made.rungs == ([0], [], [])
    assert only.candidate in made


def test_the_top_is_by_accuracy_and_the_older_wins_a_tie() -> None:
    made = population(0.1, 0.7, 0.3, 0.7, 0.9)
    assert [one.index for one in made.top(P_E, 4)] == [4, 1, 3, 2]


@pytest.mark.parametrize(
    ("count", "limit_half", "expected"), [(8, False, 5), (8, True, 2), (1, True, 1), (3, False, 3)]
)
def test_no_more_than_there_are_or_half_of_them(count: int, limit_half: bool, expected: int) -> None:
    assert len(population(0.1, 0.2, 0.3, 0.4, 0.5).top(P_E, count, limit_half=limit_half)) == expected


def test_a_promoted_network_moves_and_its_accuracy_is_the_new_one() -> None:
    made = population(0.5, 0.6)
    made.settle(1, P_2E, trained(0.8, 40), cycle=1)
    assert made.rungs == ([0], [1], [])
    assert (made.history[1].accuracy, made.history[1].epochs) == (0.8, 40)
    made.settle(1, P_3E, trained(0.7, 60), cycle=2)
    assert made.rungs == ([0], [], [1])
    assert len(made.history) == 2


def test_a_network_that_fails_at_birth_is_only_in_the_history() -> None:
    made = population(0.5)
    index = made.born(candidate(7), cycle=1, origin="mutation").index
    made.settle(index, P_E, failure(), cycle=1)
    assert made.rungs == ([0], [], [])
    assert (made.history[1].accuracy, made.history[1].failure) == (None, "diverged: loss is NaN")
    assert [one.index for one in made.ranked(P_E)] == [0]


def test_a_network_that_fails_in_its_promotion_leaves_the_rungs_and_keeps_what_it_had() -> None:
    made = population(0.5, 0.6)
    made.settle(1, P_2E, failure(), cycle=1)
    assert made.rungs == ([0], [], [])
    assert (made.history[1].accuracy, made.history[1].epochs) == (0.6, 20)
    assert made.history[1].failure == "diverged: loss is NaN"


@pytest.mark.parametrize("accuracy", [math.nan, math.inf, -math.inf])
def test_an_accuracy_that_is_not_finite_is_a_failure(accuracy: float) -> None:
    made = population(0.5)
    add(made, accuracy)
    assert made.rungs == ([0], [], [])
    assert made.history[1].accuracy is None
    assert "not finite" in (made.history[1].failure or "")


def test_idle_networks_leave_ten_cycles_after_their_last_training() -> None:
    made = population(0.5, 0.6)
    add(made, 0.7, cycle=2)
    made.settle(1, P_2E, trained(0.8, 40), cycle=3)
    left = []
    for cycle in range(1, 14):
        made.remove_idle(cycle, 10)
        left.append(tuple(sorted(index for members in made.rungs for index in members)))
    # At the start of cycle 11 the initial population, numbered like cycle 1, has been idle for ten; and so on.
    assert left == [(0, 1, 2)] * 9 + [(1, 2)] + [(1,)] + [()] * 2


def test_fifo_keeps_the_youngest_of_each_rung() -> None:
    made = population(0.9, 0.1, 0.2, 0.3)
    for index in (0, 3):
        made.settle(index, P_2E, trained(0.9, 40), cycle=1)
    made.remove_oldest_of_each(1)
    assert made.rungs == ([2], [3], [])
    assert len(made.history) == 4


def test_union_keeps_the_youngest_of_all_rungs() -> None:
    made = population(0.9, 0.1, 0.2, 0.3)
    for index in (0, 3):
        made.settle(index, P_2E, trained(0.9, 40), cycle=1)
    made.remove_oldest_of_all(2)
    assert made.rungs == ([2], [3], [])
    made.remove_oldest_of_all(1)
    assert made.rungs == ([], [3], [])


def test_age_is_the_age_of_the_architecture_and_not_of_its_promotion() -> None:
    made = population(0.9, 0.1, 0.2)
    made.settle(0, P_2E, trained(0.9, 40), cycle=5)
    add(made, 0.8, cycle=6, rung=P_2E)
    made.remove_oldest_of_each(1)
    assert made.rungs == ([2], [3], [])


def test_mean_accuracy_of_a_rung() -> None:
    made = population(0.5, 0.6, 0.1)
    assert made.mean_accuracy(P_E) == pytest.approx(0.4)
    assert made.mean_accuracy(P_2E) is None


def test_a_restored_population_is_the_same() -> None:
    made = population(0.5, 0.6)
    made.settle(1, P_2E, trained(0.8, 40), cycle=4)
    add(made, math.nan, cycle=5)
    again = Population.restore(arrays.unpack(arrays.pack(made.state())))
    assert again.history == made.history
    assert again.rungs == made.rungs
    assert all(one.candidate in again for one in made.history)
    again.remove_idle(13, 10)
    assert again.rungs == ([], [], [])
    assert Population.restore(made.state()).state()["trained_in"] == [0, 4, 5]


def test_an_empty_population_can_be_saved_and_restored() -> None:
    assert Population.restore(arrays.unpack(arrays.pack(Population().state()))).history == []
