"""Iterations of the agent: pure, exact, and they learn."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from store.records import arrays as plain
from tests.trainers.agents import CHOICES, lesson, request, same, search, share_of_ones
from trainers.agent.iteration import Answer, State, iterate
from trainers.errors import InvalidAgentRequest

CRITIC = {"hidden": 10, "steps": 3, "batch": 4}


@pytest.fixture(scope="module")
def begun() -> tuple[State, Answer]:
    """A search with a critic, three batches old."""
    state, answers = search(3, critic=CRITIC)
    return state, answers[-1]


def on(answer: Answer, **changes: Any) -> dict[str, Any]:
    """The call that follows an answer."""
    return request(critic=CRITIC, learn=lesson(answer, share_of_ones), seed=77) | changes


def test_a_first_call_draws_what_is_asked_for() -> None:
    state, answer = iterate(None, request())
    assert answer["genes"].dtype == np.int16
    assert answer["genes"].shape == answer["log_probabilities"].shape == (8, len(CHOICES))
    for name, dtype in (("values", np.float32), ("uncertainties", np.float32), ("trusted", np.bool_)):
        assert answer[name].dtype == dtype
        assert answer[name].tolist() == [0] * 8
    assert (answer["threshold"], answer["discarded"], answer["losses"]) == (None, 0, {})
    assert sorted(state) == ["baseline", "policy", "policy_optimiser"]


@pytest.mark.parametrize("critic", [None, CRITIC])
def test_the_same_arrays_and_request_give_the_same_bytes(critic: dict[str, Any] | None) -> None:
    (first, answers), (second, others) = search(4, critic=critic), search(4, critic=critic)
    assert same(first, second)
    assert all(same(one, other) for one, other in zip(answers, others, strict=True))


def test_another_seed_draws_others(begun: tuple[State, Answer]) -> None:
    state, answer = begun
    one, other = (iterate(state, on(answer, seed=seed))[1] for seed in (1, 2))
    assert not np.array_equal(one["genes"], other["genes"])


def test_neither_the_arrays_nor_the_request_are_changed(begun: tuple[State, Answer]) -> None:
    state, answer = begun
    for named in state.values():
        for array in named.values():
            array.setflags(write=False)
    asked = on(answer)
    before = copy.deepcopy((state, asked))
    iterate(state, asked)
    assert same(before[0], state)
    assert same(before[1], asked)


def test_all_that_survives_is_in_the_arrays(begun: tuple[State, Answer]) -> None:
    """As plain bytes they have been in the store and come back."""
    state, answer = begun
    kept = plain.unpack(plain.pack(state))
    asked = plain.unpack(plain.pack([on(answer)]))[0]  # the journal's encoding leaves out what is None
    first, second = iterate(state, on(answer)), iterate(kept, asked)
    assert same(first[0], second[0])
    assert same(first[1], second[1])
    assert all(array.size for named in first[0].values() for array in named.values())


def test_the_number_of_threads_plays_no_part(begun: tuple[State, Answer]) -> None:
    state, answer = begun
    results = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(iterate(state, on(answer)))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert same(results[0][0], results[1][0])
    assert same(results[0][1], results[1][1])


@pytest.mark.parametrize("kind", ["ppo", "reinforce"])
def test_a_bandit_over_tokens_converges(kind: str) -> None:
    agent = {"hidden": 20, "kind": kind, "learning_rate": 0.01}
    _, answers = search(60, agent=agent)
    rewards = [share_of_ones(answer["genes"]).mean() for answer in answers]
    assert rewards[0] < 0.5
    assert np.mean(rewards[-5:]) > 0.95


def test_a_bandit_converges_with_the_critic_s_word_for_half_of_the_rewards() -> None:
    agent = {"hidden": 20, "learning_rate": 0.01}
    _, answers = search(60, agent=agent, critic=CRITIC | {"learning_rate": 0.01, "steps": 10})
    assert np.mean([share_of_ones(answer["genes"]).mean() for answer in answers[-5:]]) > 0.95
    trusted = sum(int(answer["trusted"].sum()) for answer in answers)
    assert trusted > 0.3 * 8 * len(answers)


def test_the_baseline_is_a_moving_average_of_mean_rewards() -> None:
    _, answer = iterate(None, request())
    state, baselines = _, []
    for mean in (0.2, 0.6, 1.0):
        learn = lesson(answer, share_of_ones, rewards=np.full(8, mean, dtype=np.float32))
        state, after = iterate(state, request(learn=learn))
        baselines.append(after["losses"]["baseline"])
    assert baselines == pytest.approx([0.2, 0.2, 0.95 * 0.2 + 0.05 * 0.6])


def test_the_baseline_counts_samples_by_their_weights() -> None:
    state, answer = iterate(None, request())
    rewards, weights = np.arange(8, dtype=np.float32), np.arange(8, dtype=np.float32)
    _, after = iterate(state, request(learn=lesson(answer, share_of_ones, rewards=rewards, weights=weights)))
    assert after["losses"]["baseline"] == pytest.approx((rewards @ weights) / weights.sum())


def test_a_sample_without_weight_teaches_nothing() -> None:
    state, answer = iterate(None, request())
    weights = np.ones(8, dtype=np.float32)
    weights[3] = 0
    learnt = []
    for reward in (0.0, 1.0):
        rewards = np.linspace(0, 1, 8, dtype=np.float32)
        rewards[3] = reward
        learn = lesson(answer, share_of_ones, weights=weights, rewards=rewards)
        learnt.append(iterate(state, request(learn=learn))[0])
    assert same(learnt[0], learnt[1])


def test_the_last_call_learns_and_draws_nothing(begun: tuple[State, Answer]) -> None:
    state, answer = begun
    after, nothing = iterate(state, on(answer, draw=None))
    assert nothing["genes"].shape == (0, len(CHOICES))
    assert nothing["losses"].keys() >= {"policy", "entropy", "baseline"}
    assert not same(after["policy"], state["policy"])


def test_nothing_is_trusted_before_the_first_rewards_and_about_half_later() -> None:
    _, answers = search(20, critic=CRITIC, agent={"hidden": 12, "learning_rate": 1e-6})
    assert answers[0]["threshold"] is None
    assert not answers[0]["trusted"].any()
    assert all(answer["threshold"] is not None for answer in answers[1:])
    for answer in answers[1:]:
        assert answer["trusted"].sum() <= 4
        assert (answer["uncertainties"][answer["trusted"]] <= answer["threshold"]).all()
    assert 0.3 <= np.mean([answer["trusted"].mean() for answer in answers[1:]]) <= 0.5


def test_the_window_and_the_history_hold_what_they_should() -> None:
    state, answers = search(3, critic=CRITIC | {"window": 10})
    assert state["window"]["genes"].shape == (10, len(CHOICES))
    trained = sum(int((~answer["trusted"]).sum()) for answer in answers[:2])
    assert state["history"]["rewards"].shape == (trained,)


def test_a_fixed_threshold_stays(begun: tuple[State, Answer]) -> None:
    state, answer = begun
    _, after = iterate(state, on(answer, critic=CRITIC | {"threshold": 1e-6}))
    assert after["threshold"] == 1e-6
    _, after = iterate(state, on(answer, critic=CRITIC | {"threshold": 1e6, "draws": 3}))
    assert after["trusted"].sum() == 4
    assert after["discarded"] == 3 * 8 - 8


def test_carry_keeps_v_and_u_of_another_search_and_begins_all_else_anew(begun: tuple[State, Answer]) -> None:
    state, _ = begun
    carried, answer = iterate(state, request(critic=CRITIC, carry=True))
    fresh, other = iterate(None, request(critic=CRITIC))
    for block in ("value", "uncertainty"):
        assert same(carried[block], state[block])
    for block in ("policy", "policy_optimiser", "baseline", "critic_optimiser"):
        assert same(carried[block], fresh[block])
    assert sorted(carried) == sorted(fresh)  # neither history nor window
    assert answer["genes"].tobytes() == other["genes"].tobytes()
    assert not answer["trusted"].any()


def test_carried_networks_know_the_task_sooner() -> None:
    critic = CRITIC | {"steps": 20, "learning_rate": 0.005}
    source, _ = search(25, critic=critic, agent={"hidden": 12, "learning_rate": 1e-6})

    def error(carried: bool) -> float:
        """Mean |V - R| of a second batch, after one batch of the other task: twice the reward, and 3 more."""
        state, answer = iterate(source if carried else None, request(critic=critic, carry=carried, seed=123))
        draw = {"count": 200, "most_trusted": 0}
        _, after = iterate(state, request(critic=critic, learn=lesson(answer, other_task), draw=draw))
        return float(np.abs(after["values"] - other_task(after["genes"])).mean())

    assert error(carried=True) < 0.6 * error(carried=False)


def other_task(genes: npt.NDArray[np.int16]) -> npt.NDArray[Any]:
    return 3 + 2 * share_of_ones(genes)


def refused(asked: dict[str, Any], key: str, state: State | None = None) -> str:
    with pytest.raises(InvalidAgentRequest) as caught:
        iterate(state, asked)
    assert caught.value.key == key
    assert caught.value.exit_code == 2
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"choices": []}, "choices"),
        ({"choices": [3, 0]}, "choices"),
        ({"choices": [3, 2.5]}, "choices"),
        ({"agent": {"kind": "dqn"}}, "agent.kind"),
        ({"agent": {"lr": 1}}, "agent.lr"),
        ({"agent": {"learning_rate": float("nan")}}, "agent.learning_rate"),
        ({"critic": {"steps": 0}}, "critic.steps"),
        ({"seed": -1}, "seed"),
        ({"seed": None}, "seed"),
        ({"draw": {"count": 0, "most_trusted": 0}}, "draw.count"),
        ({"draw": {"count": 3}}, "draw.most_trusted"),
        ({"carry": True}, "carry"),
        ({"carry": True, "critic": CRITIC}, "carry"),
        ({"temperature": 1}, "temperature"),
        ({"choices": [True, 2]}, "choices"),
        ({"seed": 1 << 64}, "seed"),
        ({"carry": "no"}, "carry"),
        ({"agent": "ppo"}, "agent"),
        ({"critic": True}, "critic"),
        ({"learn": []}, "learn"),
        ({"learn": {"reward": 1.0}}, "learn.reward"),
        ({"draw": 3}, "draw"),
        ({"draw": {"count": 3, "most_trusted": 1, "cap": 2}}, "draw.cap"),
    ],
)
def test_a_request_that_cannot_be_is_refused(changes: dict[str, Any], key: str) -> None:
    assert "expected" in refused(request(**changes), key)


@pytest.mark.parametrize(
    ("name", "index", "value", "key"),
    [
        ("rewards", 3, np.nan, "learn.rewards[3]"),
        ("rewards", 5, np.inf, "learn.rewards[5]"),
        ("weights", 2, -1.0, "learn.weights[2]"),
        ("weights", 2, np.nan, "learn.weights[2]"),
        ("log_probabilities", (1, 2), -np.inf, "learn.log_probabilities[1, 2]"),
        ("log_probabilities", (1, 2), 0.5, "learn.log_probabilities[1, 2]"),
        ("genes", (6, 1), 2, "learn.genes[6, 1]"),
        ("genes", (6, 1), -1, "learn.genes[6, 1]"),
    ],
)
def test_a_sample_that_cannot_be_is_named(name: str, index: Any, value: float, key: str) -> None:
    state, answer = iterate(None, request())
    learn = lesson(answer, share_of_ones)
    learn[name] = learn[name].copy()
    learn[name][index] = value
    message = refused(request(learn=learn), key, state)
    assert f"sample {np.atleast_1d(index)[0]} has" in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rewards", None),
        ("rewards", np.zeros((8, 1), np.float32)),
        ("rewards", [[1.0], [1.0, 2.0]]),
        ("weights", np.zeros(7, np.float32)),
        ("genes", np.zeros((8, 5), np.int16)),
        ("genes", np.zeros((8, 4), np.float32)),
        ("trained", np.zeros(8, np.float32)),
        ("log_probabilities", np.zeros(8, np.float32)),
    ],
)
def test_arrays_of_another_shape_or_type_are_refused(name: str, value: Any) -> None:
    _, answer = iterate(None, request())
    refused(request(learn=lesson(answer, share_of_ones, **{name: value})), f"learn.{name}")


def test_no_samples_are_refused() -> None:
    _, answer = iterate(None, request())
    learn = {name: values[:0] for name, values in lesson(answer, share_of_ones).items()}
    refused(request(learn=learn), "learn.rewards")


def test_a_state_of_another_agent_is_refused(begun: tuple[State, Answer]) -> None:
    state, answer = begun
    refused(on(answer, agent={"hidden": 13}), "arrays.policy.embedding", state)
    refused(on(answer, critic=CRITIC | {"hidden": 11}), "arrays.value.weight0", state)
    without = {block: named for block, named in state.items() if block != "uncertainty"}
    assert "nothing" in refused(on(answer), "arrays.uncertainty.weight0", without)
    plain_ppo, _ = iterate(None, request())
    refused(request(critic=CRITIC, carry=True), "arrays.value.weight0", plain_ppo)
    for genes in (np.zeros((2, 2), np.int16), np.array(3, np.int16)):
        refused(on(answer), "arrays.window.genes", state | {"window": {"genes": genes}})
