"""FNAS as a whole, in simulated worlds: what is trained, what the agent is told, what the result says."""

from __future__ import annotations

import math

import numpy as np
import pytest

from store.experience import annealed
from store.records.candidates import Candidate
from store.records.outcomes import AnyOutcome, Failure, Measured
from store.records.requests import AnyRequest, Compute, Measure, Train
from strategies.errors import RequestFailed
from strategies.simulation import World
from tests.strategies.fnas_world import Watched, rows, score, searched, wanted

FEW = {"name": "cell", "nodes": 1, "operations": ["none", "sep_conv_3x3"]}
"""A space of 256 encodings of 100 architectures, so that many are drawn again."""


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


def _state(world: Watched, request: Compute) -> str | None:
    outcome = world.world.outcomes[request.key]
    return getattr(outcome, "state", None)
