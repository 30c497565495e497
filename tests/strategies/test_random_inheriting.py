"""Random search that starts its networks from the blocks of earlier searches, and one that fills the pool."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from store.records.candidates import Candidate, Proxy
from store.records.knowledge import Contribution, Inheritance
from store.records.outcomes import AnyOutcome, Failure
from store.records.requests import Measure, Train
from store.records.spec import SearchSpec
from strategies import registry, testing
from strategies.errors import InvalidOptions
from strategies.knowledge import SimulatedPool
from strategies.random_search import RandomSearchOptions
from strategies.run import Strategy
from strategies.simulation import Killed, Moment, Simulation, World
from strategies.testing import StrategyConformance
from tests.strategies.builders import spec

PROXY = Proxy(cells=5)
EARLIER = "e" * 64


def bench(**options: Any) -> SearchSpec:
    small = {"candidates": 6, "epochs": 2}
    made = spec("random", space={"name": "nasbench201"}, **(small | options))
    return made.model_copy(update={"proxy": PROXY})


def run(wanted: SearchSpec, world: World | None = None, **options: Any) -> Any:
    return Simulation(wanted, world, **options).search(registry.create(wanted))


def contributed() -> list[Contribution]:
    """What a search of other networks has put into the pool."""
    world, wanted = World(), bench(contribute=True, candidates=8, seed=5)
    run(wanted, world)
    return list(world.pool.pooled.values())


CONTRIBUTED = contributed()


class StockedWorld(World):
    """A world in whose store an earlier search has filled the pool; calls of other searches are below 0."""

    def __init__(self) -> None:
        super().__init__(pool=stock())

    def forget_search(self) -> None:
        super().forget_search()
        self.pool = stock()


def stock() -> SimulatedPool:
    return SimulatedPool(pooled={-place - 1: one for place, one in enumerate(CONTRIBUTED)})


def trained(world: World) -> list[Candidate]:
    return [one.candidate for one in world.requests.values() if isinstance(one, Train)]


class Conformance(StrategyConformance):
    totals: ClassVar[dict[str, int]] = {"candidates": 9}
    sample = 2

    def strategy(self, spec: SearchSpec) -> Strategy:
        return registry.create(spec)

    def score(self, candidate: Candidate, epochs: int) -> float:
        genes = candidate.architecture.genes
        return round(0.8 * genes.count(3) / len(genes) + 0.01 * len(candidate.initial) + 0.05, 6)


class TestThatContributes(Conformance):
    def spec(self) -> SearchSpec:
        return bench(contribute=True)


class TestThatInherits(Conformance):
    @pytest.fixture(autouse=True)
    def _an_earlier_search(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(testing, "World", StockedWorld)

    def _simulation(self, world: World | None = None, **options: Any) -> Simulation:
        return super()._simulation(world or StockedWorld(), **options)

    def spec(self) -> SearchSpec:
        return bench(inherit_from=[EARLIER])


def test_the_same_networks_start_from_the_most_similar_blocks() -> None:
    plain, heirs = World(), StockedWorld()
    run(bench(), plain)
    result = run(bench(inherit_from=EARLIER, similarity=0.5), heirs)
    assert [one.architecture for one in trained(heirs)] == [one.architecture for one in trained(plain)]
    assert [one.inheriting(()) for one in trained(heirs)] == trained(plain)
    answers = [heirs.pool.matched[call] for call in range(6)]
    assert [one.initial for one in trained(heirs)] == [one.initial for one in answers]
    assert all("stem=" in one.initial[0] for one in trained(heirs))
    assert sum(result.curves["similarity_histogram"]) == 6 * 7
    assert result.curves["similarity_histogram"][-1] >= 6 * 4  # stem, both reductions and the last norm are equal
    assert "had an entry to compare with (hit ratio)" in result.notes[0]


def test_a_higher_bar_leaves_blocks_at_random() -> None:
    low, high = StockedWorld(), StockedWorld()
    run(bench(inherit_from=[EARLIER], similarity=0.3), low)
    result = run(bench(inherit_from=[EARLIER], similarity=1.0), high)
    assert all(len(one.initial) == 7 for one in trained(low))
    blocks = {entry.partition("=")[0] for one in trained(high) for entry in one.initial}
    assert blocks == {"stem", "cell01", "cell03", "norm"}
    assert any("match ratio is below 99 %" in note for note in result.notes)


def test_without_the_options_it_asks_for_trainings_alone() -> None:
    world = World()
    run(bench(), world)
    assert all(isinstance(one, Train) for one in world.requests.values())
    assert RandomSearchOptions(contribute=False) == RandomSearchOptions()
    assert set(RandomSearchOptions().model_dump(exclude_none=True)) == {"candidates", "epochs", "top"}


def test_contributing_changes_no_candidate_and_gives_only_what_was_trained() -> None:
    plain, giving = World(), World()
    run(bench(), plain)
    failing = trained(plain)[2].id
    result = run(bench(contribute=True), giving, fails=lambda one, epochs: one.id == failing)
    assert trained(giving) == trained(plain)
    assert [type(one) for one in giving.requests.values()][:2] == [Measure, Train]
    assert [one.candidate for one in giving.pool.pooled.values()] == [
        one.id for one in trained(plain) if one.id != failing
    ]
    assert {one.generation for one in giving.pool.pooled.values()} == {0}
    assert "networks that entered the knowledge pool: 5" in result.notes


class Unreadable(Simulation):
    """A world in which what the third network starts from cannot be read."""

    def _outcome(self, request: Any) -> AnyOutcome:
        if isinstance(request, Train) and request.candidate.initial and request.candidate in trained(self.world)[2:3]:
            return Failure(reason="corrupt_block", retryable=False, message="flipped")
        return super()._outcome(request)


def test_a_network_whose_block_cannot_be_read_starts_at_random_and_a_raised_total_goes_on() -> None:
    def search(world: World, **options: Any) -> Any:
        wanted = bench(inherit_from=[EARLIER], **options)
        return Unreadable(wanted, world).search(registry.create(wanted))

    world = StockedWorld()
    result = search(world)
    asked = trained(world)
    assert len(asked) == 7
    assert asked[6] == asked[2].inheriting(())
    assert {one.index: one.candidate for one in result.history}[2] == asked[6].id
    assert all(one.failure is None for one in result.history)
    assert any(note.endswith("which began at random: 1") for note in result.notes)
    assert search(world) == result
    assert search(world, candidates=8) == search(StockedWorld(), candidates=8)


def test_inheriting_after_a_kill_starts_from_what_was_answered_before() -> None:
    world = StockedWorld()
    wanted = bench(inherit_from=[EARLIER])
    simulation = Simulation(wanted, world, until=Moment("request", 3))
    with pytest.raises(Killed):
        simulation.search(registry.create(wanted))
    before = dict[int, Inheritance](world.pool.matched)
    world.pool.pooled.clear()
    run(wanted, world)
    assert world.pool.matched == before
    assert len(before) == 6


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"similarity": 0.5}, "only together with inherit_from"),
        ({"contribute": True, "inherit_from": ["a"]}, "contribute without inherit_from"),
        ({"inherit_from": []}, "at least 1 item"),
        ({"inherit_from": ["a"], "similarity": 0.0}, "greater than 0"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError, match=expected):
        RandomSearchOptions(**options)


def test_a_trainer_without_weights_is_refused_by_option() -> None:
    wanted = bench(contribute=True)
    wanted = wanted.model_copy(update={"trainer": wanted.trainer.model_copy(update={"name": "tabular"})})
    with pytest.raises(InvalidOptions, match=r"strategy\.contribute is True: expected false: the trainer tabular"):
        registry.create(wanted)


def test_what_was_found_is_retrained_from_random_weights() -> None:
    found = run(bench(inherit_from=[EARLIER]), StockedWorld()).best[0]
    wanted = spec("retrain", space={"name": "nasbench201"}, architectures=[found.architecture.genes], epochs=2)
    data = wanted.data.model_copy(update={"validation_fraction": 0.0})
    world = World()
    run(wanted.model_copy(update={"data": data, "proxy": PROXY}), world)
    assert [(one.architecture, one.initial) for one in trained(world)] == [(found.architecture, ())]
