"""Regularised evolution against the algorithm as AmoebaNet prints it, and with rungs and many children under way."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.records.candidates import Data
from store.records.requests import Train
from store.records.results import Individual, Result
from store.records.spec import SearchSpec
from strategies import registry
from strategies.evolution.options import RegularisedEvolutionOptions
from strategies.evolution.population import AgeingPopulation
from strategies.run import Run
from strategies.simulation import Simulation
from strategies.spaces.registry import create
from tests.strategies.builders import failure, separable_share, spec, trained
from tests.strategies.test_econas_asynchronous import Watched, asked
from tests.strategies.test_virtual import MOMENTS, check_kills, virtual


def small(**options: Any) -> SearchSpec:
    sizes = {"models": 40, "population": 10, "sample": 4, "children": 6, "epochs": 2}
    return spec("regularised-evolution", **(sizes | {"promoted_to_2e": 3, "promoted_to_3e": 2} | options))


def run(spec: SearchSpec, **options: Any) -> tuple[Result, Simulation]:
    simulation = Simulation(spec, **{"score": separable_share} | options)
    return simulation.search(registry.create(spec)), simulation


def as_printed(wanted: SearchSpec) -> list[tuple[int, ...]]:
    """Algorithm 1 of Real et al. (2019), line by line, with the same random draws; returns all genes in order."""
    options = RegularisedEvolutionOptions(**wanted.strategy.options)
    space, rng = create(wanted.space), np.random.Generator(np.random.PCG64(wanted.seed))
    maker = Run(Simulation(wanted), wanted, space, Data(name="digits", fingerprint="simulated"))
    population: deque[tuple[float, int, Any]] = deque()
    history: list[Any] = []

    def train_and_eval(arch: Any) -> tuple[float, int, Any]:
        candidate = maker.candidate(arch, schedule="cosine", schedule_epochs=options.schedule_epochs)
        history.append(candidate.architecture)
        return separable_share(candidate, options.epochs), -len(history), candidate.architecture

    while len(population) < options.population:
        population.append(train_and_eval(space.random(rng)))
    while len(history) < options.models:
        sample = [population[place] for place in rng.integers(len(population), size=options.sample)]
        parent = max(sample)[2]
        if rng.random() < options.identity_probability:
            child = parent
        else:
            child, _ = space.mutate(parent, rng, {"hidden_state": 0.475, "operation": 0.475})  # type: ignore[attr-defined]
        population.append(train_and_eval(child))
        population.popleft()
    return [one.genes for one in history]


@pytest.mark.parametrize("seed", range(4))
def test_the_serial_form_is_amoebanets_algorithm(seed: int) -> None:
    wanted = small(seed=seed, models=120)
    result, simulation = run(wanted)
    assert [one.architecture.genes for one in result.history] == as_printed(wanted)
    best = max(one.accuracy or 0.0 for one in result.history)
    assert result.best[0].accuracy == best
    assert len(simulation.world.requests) == 120


def test_the_defaults_are_amoebanets_with_econas_budget() -> None:
    options = RegularisedEvolutionOptions()
    assert (options.population, options.sample, options.identity_probability) == (100, 25, 0.05)
    assert (options.models, options.epochs, options.schedule_epochs, options.in_flight) == (1000, 35, 35, 1)
    rungs = RegularisedEvolutionOptions(hierarchical=True)
    assert (rungs.epochs, rungs.schedule_epochs) == (20, 60)
    assert (rungs.children, rungs.promoted_to_2e, rungs.promoted_to_3e) == (16, 8, 4)
    assert RegularisedEvolutionOptions(hierarchical=True, epochs=7).epochs == 7
    assert RegularisedEvolutionOptions(schedule="cosine_restarts", hierarchical=True).schedule_epochs == 20


@pytest.mark.parametrize(
    ("options", "spent"),
    [
        # Table 4: 1,000 networks for 35 epochs each without the hierarchical proxy.
        ({}, 1000 * 35),
        # With it, 100 random networks and 57 cycles, the first without anyone at 2E and the last of 4 children.
        ({"hierarchical": True}, 20 * (1000 + 57 * 8 + 56 * 4)),
        ({"hierarchical": True, "in_flight": 8}, 20 * (1000 + 57 * 8 + 56 * 4)),
    ],
)
def test_the_budgets_of_table_4(options: dict[str, Any], spent: int) -> None:
    life = virtual(wanted := spec("regularised-evolution", **options), durable=False)
    result = life.search(registry.create(wanted))
    assert len(result.history) == 1000
    assert sum(result.curves["epochs"]) == spent


def test_children_are_copies_inputs_or_operations_in_their_shares() -> None:
    life = virtual(wanted := small(models=1500, identity_probability=0.1, hidden_state_probability=0.25), durable=False)
    history = life.search(registry.create(wanted)).history[10:]
    inputs = sum(": input " in one.origin for one in history)
    copies = sum(one.origin == "identity" for one in history)
    assert copies == pytest.approx(149, abs=35)  # 3 standard deviations
    assert inputs == pytest.approx(335, abs=48)
    assert len(history) == 1490


def test_a_copy_is_answered_from_the_memo_and_counts_as_a_model() -> None:
    result, simulation = run(small(identity_probability=1.0))
    assert simulation.world.trained == 10
    assert len(result.history) == 40
    assert result.notes == ("children that are copies of their parents: 30, with the parents' accuracy from the memo",)
    assert len({one.candidate for one in result.best}) == len(result.best) == 5


def test_a_space_without_hidden_states_is_mutated_in_what_it_has() -> None:
    result, _ = run(small(space={"name": "nasbench201"}, identity_probability=0.0), score=lambda one, epochs: 0.5)
    assert all(one.origin.startswith("edge ") for one in result.history[10:])


@pytest.mark.parametrize("in_flight", [1, 2, 5])
def test_as_many_children_are_under_way_as_it_is_told(in_flight: int) -> None:
    wanted = small(in_flight=in_flight, models=60)
    simulation = Watched(wanted, score=separable_share)
    simulation.search(registry.create(wanted))
    assert set(simulation.widths) == ({in_flight} if in_flight > 1 else set())


def test_with_rungs_the_best_of_the_living_go_on_and_move_one_rung_a_cycle() -> None:
    result, simulation = run(small(hierarchical=True, population=40, models=70))
    order = [epochs for _, epochs in asked(simulation)]
    assert order == [2] * 40 + ([4] * 3 + [2] * 6) + ([4] * 3 + [6] * 2 + [2] * 6) * 4
    first = sorted(result.history[:40], key=lambda one: (-separable_at(one, 2), one.index))[:3]
    assert [candidate for candidate, epochs in asked(simulation) if epochs == 4][:3] == [one.candidate for one in first]
    assert {one.epochs for one in result.best} == {6}
    assert result.curves["epochs"] == [80, 18] + [22] * 4


def separable_at(individual: Individual, epochs: int) -> float:
    run = Run(Simulation(wanted := small()), wanted, create(wanted.space), Data(name="digits", fingerprint="x"))
    return separable_share(run.candidate(individual.architecture), epochs)


def test_the_network_that_was_trained_longer_is_the_better_parent() -> None:
    population = filled(AgeingPopulation(3, 2), 0.9, 0.5, 0.6)
    population.settle(1, trained(0.55, epochs=4))
    chosen = {population.parent(50, np.random.default_rng(seed)).index for seed in range(5)}
    assert chosen == {1}


def filled(population: AgeingPopulation, *accuracies: float | None) -> AgeingPopulation:
    wanted = small()
    run = Run(Simulation(wanted), wanted, create(wanted.space), Data(name="digits", fingerprint="x"))
    for accuracy in accuracies:
        born = population.born(run.candidate(run.space.random(run.rng)), cycle=0, origin="random")
        population.settle(born.index, failure() if accuracy is None else trained(accuracy, epochs=2))
    return population


def test_the_oldest_dies_however_good_it_is() -> None:
    population = filled(AgeingPopulation(2, 2), 0.9, 0.1, 0.2)
    assert list(population.alive) == [1, 2]
    assert population.history[0].accuracy == 0.9


def test_for_a_child_that_fails_nobody_dies() -> None:
    population = filled(AgeingPopulation(2, 2), 0.9, 0.1, None)
    assert list(population.alive) == [0, 1]


def test_who_died_while_it_was_promoted_stays_dead() -> None:
    population = filled(AgeingPopulation(2, 2), 0.9, 0.1, 0.2)
    population.settle(0, trained(0.95, epochs=4))
    assert list(population.alive) == [1, 2]
    assert population.history[0].epochs == 4


@settings(max_examples=60, deadline=None)
@given(
    capacity=st.integers(1, 5),
    events=st.lists(st.tuples(st.integers(0, 3), st.one_of(st.none(), st.floats(0, 1))), max_size=25),
)
def test_the_queue_is_as_long_as_it_may_be_and_in_the_order_of_arrival(
    capacity: int, events: list[tuple[int, float | None]]
) -> None:
    population, arrived = AgeingPopulation(capacity, 2), list[int]()
    for kind, accuracy in events:
        if kind < 3 or not population.alive:
            filled(population, accuracy)
            arrived += [population.history[-1].index] * (accuracy is not None)
        else:
            promoted = population.alive[0]
            epochs = population.history[promoted].epochs + 2
            population.settle(promoted, failure() if accuracy is None else trained(accuracy, epochs=epochs))
            if accuracy is None:
                assert promoted not in population.alive
                arrived.remove(promoted)
    assert list(population.alive) == [one for one in arrived if one in population.alive]
    assert len(population.alive) <= capacity
    again = AgeingPopulation(capacity, 2)
    again.restore(population.state())
    assert (again.alive, again.history) == (population.alive, population.history)


@pytest.mark.parametrize("what", MOMENTS)
def test_in_virtual_time_a_kill_changes_nothing(what: str) -> None:
    wanted = small(in_flight=4, hierarchical=True)
    check_kills(wanted, what)


def test_evolution_beats_random_search_at_the_same_budget() -> None:
    gains = []
    for seed in range(3):
        evolved, _ = run(small(seed=seed, models=150))
        drawn, _ = run(spec("random", seed=seed, candidates=150, epochs=2))
        gains.append((evolved.best[0].accuracy or 0.0) - (drawn.best[0].accuracy or 0.0))
    assert min(gains) > 0.05


def test_random_networks_are_made_when_no_parent_is_alive() -> None:
    failing = {"left": 10}

    def first_ten(candidate: Any, epochs: int) -> bool:
        failing["left"] -= 1
        return failing["left"] >= 0

    result, _ = run(small(models=14), fails=first_ten)
    assert [one.failure is not None for one in result.history] == [True] * 10 + [False] * 4
    assert [one.origin for one in result.history[:11]] == ["random"] * 11
    assert all(one.parent is not None for one in result.history[11:])


def test_every_training_has_one_schedule() -> None:
    _, simulation = run(small(hierarchical=True, schedule="cosine_restarts", reset_momentum=True))
    recipes = {r.candidate.recipe for r in simulation.world.requests.values() if isinstance(r, Train)}
    (recipe,) = recipes
    assert (recipe.schedule, recipe.schedule_epochs, recipe.reset_momentum_epochs) == ("cosine_restarts", 2, 2)
