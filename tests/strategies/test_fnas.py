"""FNAS as a whole, in simulated worlds: what is trained, what the agent is told, what the result says."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from store.experience import annealed
from store.records import arrays
from store.records.candidates import Candidate, Proxy
from store.records.knowledge import Inheritance, PoolQuery
from store.records.outcomes import AnyOutcome, Failure, Measured, Trained
from store.records.requests import AnyRequest, Compute, Measure, Train
from store.records.results import Result
from store.records.spec import SearchSpec
from strategies import registry
from strategies.errors import RequestFailed
from strategies.fnas.networks import AGAIN
from strategies.fnas.pool import optimiser_steps
from strategies.simulation import Simulation, World
from tests.strategies.builders import spec, trained

OFF = {"uncertainty_critic": False, "knowledge_pool": False, "experience_buffer": False}
SMALL = {"samples": 40, "batch": 8, "epochs": 2, "pool_warmup": 3, "buffer_size": 5, "anneal_samples": 32}
NETWORKS = {"hidden": 4, "critic_hidden": 4, "critic_steps": 1, "trust_window": 8}
FEW = {"name": "cell", "nodes": 1, "operations": ["none", "sep_conv_3x3"]}
"""A space of 256 encodings of 100 architectures, so that many are drawn again."""


def wanted(**options: Any) -> SearchSpec:
    """A small search without modules, but those that are asked for."""
    given = {"space": {"name": "nasbench201"}} | SMALL | NETWORKS | OFF | options
    return spec("fnas", **given).model_copy(update={"proxy": Proxy(cells=5)})


def score(candidate: Candidate, epochs: int) -> float:
    return round(0.1 + 0.8 * candidate.architecture.genes.count(3) / len(candidate.architecture.genes), 6)


class Watched(Simulation):
    """A world that tells what it was asked."""

    def __init__(self, spec: SearchSpec, **options: Any) -> None:
        super().__init__(spec, **({"score": score} | options))
        self.queries: list[PoolQuery] = []

    def run(self) -> Result:
        return self.search(registry.create(self.spec))

    async def inherit(self, call: int, query: PoolQuery) -> Inheritance:
        self.queries.append(query)
        return await super().inherit(call, query)

    def asked(self, kind: type[AnyRequest]) -> list[Any]:
        return [request for request in self.world.requests.values() if isinstance(request, kind)]

    @property
    def agent(self) -> list[dict[str, Any]]:
        """What the agent was asked, in order; without what is None."""
        return [arrays.unpack(request.arguments)[0] for request in self.asked(Compute)]


def searched(**options: Any) -> tuple[Watched, Result]:
    world = Watched(wanted(**options))
    return world, world.run()


def rows(result: Result) -> list[dict[str, Any]]:
    curves = {name.removeprefix("sample_"): column for name, column in result.curves.items() if "sample_" in name}
    return [dict(zip(curves, row, strict=True)) for row in zip(*curves.values(), strict=True)]


def test_without_modules_all_samples_are_trained() -> None:
    """Plain PPO, the baseline: five batches of eight, and a last step that only learns."""
    world, result = searched(preset="mnas")
    assert result.curves["sample_source"] == ["trained"] * 40
    assert result.curves["iteration_trained"] == [8] * 5
    steps = world.agent
    assert [step.get("draw") for step in steps] == [{"count": 8, "most_trusted": 0}] * 5 + [None]
    assert ["learn" in step for step in steps] == [False] + [True] * 5
    assert all("critic" not in step and not step["carry"] for step in steps)
    assert len({step["seed"] for step in steps}) == 6
    assert not world.queries


def test_rows_add_up_and_a_quarter_is_trained_with_critic_and_buffer() -> None:
    world, result = searched(uncertainty_critic=True, experience_buffer=True, samples=80, trust_window=16)
    samples = rows(result)
    assert len(samples) == 80
    assert [one["iteration"] for one in samples] == [number for number in range(1, 11) for _ in range(8)]
    by_source = {
        name: [one for one in samples if one["source"] == name] for name in ("trained", "trusted", "exploited")
    }
    assert sum(map(len, by_source.values())) == 80
    assert all(by_source.values()), "the search is to have samples of every source"
    for number, step in enumerate(world.agent[1:-1], 2):
        assert step["draw"]["count"] + sum(one["iteration"] == number for one in by_source["exploited"]) == 8
        assert step["draw"]["most_trusted"] == step["draw"]["count"] // 2
    last = [one["source"] for one in samples[-8:]]
    assert last.count("exploited") == 4
    assert last.count("trusted") <= 2
    assert result.curves["iteration_trained"] == [
        sum(one["iteration"] == number for one in by_source["trained"]) for number in range(1, 11)
    ]
    assert len(world.asked(Train)) == len(result.history)
    assert {one["individual"] for one in by_source["trained"]} == set(range(len(result.history)))
    for one in by_source["trained"]:
        assert one["accuracy"] == one["reward"] == result.history[one["individual"]].accuracy
        assert one["error"] in (None, pytest.approx(abs(one["value"] - one["reward"])))
    for one in by_source["trusted"]:
        assert one["reward"] == one["value"]
        assert one["accuracy"] is one["cost"] is one["error"] is None
    assert f"of which {len(by_source['trained'])} trained" in result.notes[0]


def test_trusted_architectures_are_not_trained() -> None:
    """What is asked for is what is not trusted, and no more: by genes, batch by batch."""
    world, result = searched(uncertainty_critic=True, samples=80, trust_window=16)
    drawn = iter(rows(result))
    trained_genes: set[tuple[int, ...]] = set()
    for step in world.agent[1:]:
        for genes in step["learn"]["genes"].tolist():
            if next(drawn)["source"] == "trained":
                trained_genes.add(tuple(genes))
    assert {request.candidate.architecture.genes for request in world.asked(Train)} == trained_genes
    assert "trusted" in result.curves["sample_source"]


def test_exploited_samples_are_learnt_from_as_they_were_when_they_were_new() -> None:
    """The old log-probabilities, the real reward, and a weight of (N P)^-beta over its maximum, beta annealed."""
    world, result = searched(experience_buffer=True)
    lessons = [step["learn"] for step in world.agent[1:]]
    samples, place = rows(result), 0
    first: dict[bytes, tuple[bytes, float]] = {}
    for number, learnt in enumerate(lessons):
        beta = annealed(place, 32)
        for row in range(len(learnt["rewards"])):
            sample, genes = samples[place], learnt["genes"][row].tobytes()
            kept = (learnt["log_probabilities"][row].tobytes(), float(learnt["rewards"][row]))
            if sample["source"] == "trained":
                first[genes] = kept
                assert learnt["weights"][row] == 1.0
            else:
                assert first[genes] == kept, f"sample {place} was changed"
                assert not learnt["trained"][row]
                assert math.exp(-beta) <= learnt["weights"][row] <= 1.0
            place += 1
        assert number == 0 or beta > 0
    assert [sample["source"] for sample in samples].count("exploited") == 16


def test_the_weights_follow_the_buffers_rewards() -> None:
    """In the second batch the buffer holds the last five of the first: weights are exp(-beta (r - min r))."""
    world, result = searched(experience_buffer=True, samples=16)
    rewards = result.curves["sample_reward"]
    least = min(rewards[3:8])
    expected = [math.exp(-8 / 32 * (reward - least)) for reward in rewards[12:]]
    assert world.agent[2]["learn"]["weights"][4:].tolist() == pytest.approx(expected, abs=1e-7)


def test_an_architecture_that_is_drawn_again_is_not_trained_again() -> None:
    world, result = searched(space=FEW, samples=160, uncertainty_critic=True)
    samples = [one for one in rows(result) if one["source"] == "trained"]
    assert len(world.asked(Train)) == len(result.history) < len(samples)
    assert len({one.architecture for one in result.history}) == len(result.history)
    assert [one.index for one in result.history] == list(range(len(result.history)))
    seen = set[int]()
    for one in samples:
        assert (one["error"] is None) == (one["individual"] in seen), "an error is that of a new reward"
        seen.add(one["individual"])
    told = np.concatenate([step["learn"]["trained"] for step in world.agent[1:]])
    assert told.sum() == len(result.history), "the critic learns each reward once"


def test_the_best_are_those_with_the_highest_reward() -> None:
    """With a hard target the most accurate network need not be the best."""
    _, result = searched(target=100_000, form="hard", top=4)
    samples = {one["individual"]: one for one in rows(result)}
    rewards = sorted((one["reward"] for one in samples.values()), reverse=True)
    assert [samples[one.index]["reward"] for one in result.best] == rewards[:4]
    for one in samples.values():
        over = one["cost"] / 100_000
        assert one["reward"] == pytest.approx(one["accuracy"] / max(over, 1.0))


def test_a_target_that_no_network_meets_is_told_with_the_nearest() -> None:
    _, result = searched(target=5_000)
    least = min(one.multiply_adds or 0 for one in result.history)
    assert result.notes[-1] == f"no network met the target of 5000 multiply-adds: the nearest takes {least:g}"
    _, met = searched(target=1e12)
    assert not any("target" in note for note in met.notes)


def test_latency_is_measured_on_the_device_for_what_is_trained() -> None:
    world, result = searched(cost="latency", device="cpu", target=20.0, knowledge_pool=True)
    measures = [request for request in world.asked(Measure) if request.device == "cpu"]
    assert len(measures) == len(result.history)
    assert all(request.candidate.initial == () for request in measures), "equal networks are measured once"
    latencies = {request.candidate.architecture: world.world.outcomes[request.key] for request in measures}
    for one in rows(result):
        measured = latencies[result.history[one["individual"]].architecture]
        assert isinstance(measured, Measured)
        assert one["cost"] == measured.latency_ms
        assert one["reward"] == pytest.approx(one["accuracy"] * (one["cost"] / 20.0) ** -0.07)


class NoLatency(Watched):
    """A world in which latency cannot be measured."""

    def _outcome(self, request: AnyRequest) -> AnyOutcome:
        if isinstance(request, Measure):
            return Failure(reason="device", retryable=False, message="no such device")
        return super()._outcome(request)


def test_a_latency_that_cannot_be_measured_is_a_failure_of_its_network() -> None:
    result = NoLatency(wanted(cost="latency", device="cuda", target=20.0)).run()
    assert result.best == ()
    assert {one.failure for one in result.history} == {"its latency was not measured: device: no such device"}
    assert all(one.accuracy is not None for one in result.history)


@pytest.mark.parametrize("failed_reward", [0.0, -0.5])
def test_failed_samples_are_told_to_the_policy_and_to_nobody_else(failed_reward: float) -> None:
    """Neither the critic nor the buffer learns a reward that nobody measured; failures and NaN alike."""

    def half(candidate: Candidate, epochs: int) -> float:
        return math.nan if candidate.architecture.genes[0] > 2 else score(candidate, epochs)

    given = wanted(uncertainty_critic=True, experience_buffer=True, failed_reward=failed_reward, samples=80)
    world = Watched(given, score=half, fails=lambda candidate, epochs: candidate.architecture.genes[0] == 2)
    result = world.run()
    failed = {one.index for one in result.history if one.failure is not None}
    assert {result.history[index].failure for index in failed} == {
        "diverged: simulated",
        "its accuracy is not finite (nan)",
    }
    samples = rows(result)
    told = np.concatenate([step["learn"]["trained"] for step in world.agent[1:]])
    for sample, teaches in zip(samples, told, strict=True):
        if sample["individual"] in failed:
            assert (sample["source"], sample["reward"], sample["error"]) == ("trained", failed_reward, None)
            assert not teaches
    assert any(sample["source"] == "exploited" for sample in samples)
    assert f"networks without a reward: {len(failed)}; the agent was told {failed_reward:g}" in result.notes[1]


def test_what_is_trained_starts_from_the_pool_that_the_warm_up_filled() -> None:
    world, result = searched(knowledge_pool=True)
    warm, sampled = result.history[:3], result.history[3:]
    assert [one.origin for one in result.history] == ["warm-up"] * 3 + ["sampled"] * len(sampled)
    requests = {request.candidate.id: request.candidate for request in world.asked(Train)}
    assert all(requests[one.candidate].initial == () for one in warm)
    sources = {one.checkpoint for one in warm}
    for one in sampled:
        blocks = requests[one.candidate].initial
        assert len(blocks) == 7, "every block but the classifier has an entry that is similar enough"
        assert {block.partition("=")[2].partition("/")[0] for block in blocks} <= sources
    assert {one.candidate for one in world.world.pool.pooled.values()} == {one.candidate for one in warm}
    assert {one.generation for one in world.world.pool.pooled.values()} == {0}
    assert {(query.bar, query.shape, query.sources) for query in world.queries} == {(0.5, (3, 32, 32), ())}
    assert result.curves["iteration_hit_ratio"] == result.curves["iteration_match_ratio"] == [1.0] * 5
    assert sum(result.curves["similarity_histogram"]) == 7 * len(world.queries)
    assert all(one.origin == "sampled" for one in result.best), "random starts are not compared with the others"
    assert "3 random networks were trained first" in result.notes[1]


def test_networks_that_match_nothing_start_at_random_and_enter_the_pool() -> None:
    world, result = searched(knowledge_pool=True, similarity=1.0, pool_warmup=0, samples=16)
    assert result.curves["iteration_match_ratio"][0] == 0.0
    assert result.curves["iteration_hit_ratio"][0] == 0.0, "there is nothing in the pool to compare with"
    first = [one for one in result.history if one.cycle == 1]
    entered = {one.candidate for one in world.world.pool.pooled.values()}
    assert entered >= {one.candidate for one in first}
    assert any("below 99 %" in note for note in result.notes)


def test_later_generations_enter_the_pool_only_if_they_are_asked_for() -> None:
    world, result = searched(knowledge_pool=True, generations=1, samples=16)
    assert {one.generation for one in world.world.pool.pooled.values()} == {0, 1}
    assert any("later generations had more training" in note for note in result.notes)


def test_what_the_critic_knows_least_starts_from_equal_blocks_only() -> None:
    world, result = searched(knowledge_pool=True, uncertainty_critic=True, exact_quantile=0.5, samples=80)
    bars = [query.bar for query in world.queries]
    assert set(bars) == {0.5, 1.0}
    assert bars[:8] == [0.5] * 8, "nothing is known of the first batch's uncertainties"
    assert min(result.curves["iteration_match_ratio"]) < 1.0


def test_the_pool_is_asked_for_the_searches_that_it_takes_over_from_and_no_warm_up_is_needed() -> None:
    other = "ab" * 32
    world, result = searched(knowledge_pool=True, transfer={"pool": [other]}, samples=16)
    assert {query.sources for query in world.queries} == {(other,)}
    assert {one.origin for one in result.history} == {"sampled"}


class Unreadable(Watched):
    """A world in which inherited blocks cannot be read; the pool drops those that it is told of so often."""

    drops = 1

    def _outcome(self, request: AnyRequest) -> AnyOutcome:
        outcome = super()._outcome(request)
        if not isinstance(request, Train) or not isinstance(outcome, Trained) or not request.candidate.initial:
            return outcome
        sources = sorted({block.partition("=")[2].partition("/")[0] for block in request.candidate.initial})
        pooled = self.world.pool.pooled
        known = [call for call, one in pooled.items() if one.checkpoint in sources]
        if self.drops <= 0:
            return outcome
        self.drops -= 1
        for call in known:
            del pooled[call]
        return Failure(reason="corrupt_block", retryable=False, message=f"{sources[0]}/cell00 is damaged")


def test_a_block_that_cannot_be_read_is_asked_for_again() -> None:
    world = Unreadable(wanted(knowledge_pool=True, samples=8))
    result = world.run()
    assert all(one.failure is None for one in result.history)
    assert any("could not be read, and which began again: 1" in note for note in result.notes)
    assert len(world.queries) == 9
    candidates = {request.candidate.id for request in world.asked(Train)}
    assert {one.candidate for one in result.history} < candidates, "the history has what was trained in the end"


class AlwaysUnreadable(Unreadable):
    drops = 10_000

    def _outcome(self, request: AnyRequest) -> AnyOutcome:
        pooled = dict(self.world.pool.pooled)
        outcome = super()._outcome(request)
        self.world.pool.pooled = pooled
        return outcome


def test_a_network_whose_blocks_can_never_be_read_starts_at_random_in_the_end() -> None:
    world = AlwaysUnreadable(wanted(knowledge_pool=True, samples=8))
    result = world.run()
    requests = {request.candidate.id: request.candidate for request in world.asked(Train)}
    assert all(one.failure is None for one in result.history)
    assert all(requests[one.candidate].initial == () for one in result.history)
    assert any(f"began again: {8 * AGAIN}" in note for note in result.notes)
    assert len(world.world.pool.pooled) == 3 + 8, "what started at random in the end enters the pool too"


class Broken(Watched):
    """A world in which requests of one kind fail."""

    broken: type[AnyRequest] = Compute

    def _outcome(self, request: AnyRequest) -> AnyOutcome:
        if isinstance(request, self.broken):
            return Failure(reason="error", retryable=False, message="out of order")
        return super()._outcome(request)


def test_a_search_whose_agent_fails_cannot_go_on() -> None:
    with pytest.raises(RequestFailed, match="the agent's step failed: error: out of order"):
        Broken(wanted()).run()


def test_a_pool_without_the_shape_of_the_images_cannot_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Broken, "broken", Measure)
    with pytest.raises(RequestFailed, match="the measure of a network failed: error: out of order"):
        Broken(wanted(knowledge_pool=True)).run()


def test_a_later_search_starts_from_the_critic_of_an_earlier_one() -> None:
    """Its first step takes V and U out of the other's state, and the next ones go on from its own."""
    first, earlier = searched(uncertainty_critic=True, samples=16)
    assert earlier.state is not None
    shared = World(computations=first.world.computations)
    given = wanted(uncertainty_critic=True, samples=24, transfer={"critic": earlier.state})
    world = Watched(given.model_copy(update={"seed": 9}), world=shared)
    later = world.run()
    requests = world.asked(Compute)
    assert [step["carry"] for step in world.agent] == [True, False, False, False]
    assert requests[0].state == earlier.state
    assert [request.state for request in requests[1:]] == [_state(world, request) for request in requests[:-1]]
    assert later.state == _state(world, requests[-1])


def test_the_result_leaves_what_was_learnt_from_the_last_batch_too() -> None:
    world, result = searched(uncertainty_critic=True)
    last = world.asked(Compute)[-1]
    assert result.state == _state(world, last)
    assert "draw" not in world.agent[-1]
    assert len(result.curves["loss_policy"]) == 5
    assert None not in result.curves["loss_policy"]


def test_batches_are_whole() -> None:
    _, result = searched(samples=17)
    assert len(rows(result)) == 24
    assert "batches are whole: 24 samples for the 17 that were asked for" in result.notes


def test_steps_are_counted_from_the_images_where_they_are_known() -> None:
    """7 epochs of 1,000 images in batches of 384 are 7 x 3 steps; two batches a step make it 7 x 2."""
    candidate = next(iter(searched(samples=8)[0].asked(Train))).candidate
    whole = trained(0.5, epochs=7)
    known = whole.model_copy(update={"images": 1000})
    accumulated = candidate.model_copy(update={"recipe": candidate.recipe.model_copy(update={"accumulate": 2})})
    assert optimiser_steps(candidate, whole) == 7
    assert optimiser_steps(candidate, known) == 21
    assert optimiser_steps(accumulated, known) == 14


def _state(world: Watched, request: Compute) -> str | None:
    outcome = world.world.outcomes[request.key]
    return getattr(outcome, "state", None)
