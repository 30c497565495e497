"""Requests to the agent, and loops around it, for tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from trainers.agent.iteration import Answer, State, iterate

CHOICES = (3, 2, 4, 3)
Reward = Callable[[npt.NDArray[np.int16]], npt.NDArray[Any]]


def request(**changes: Any) -> dict[str, Any]:
    """A first call of a small agent that draws eight architectures."""
    given: dict[str, Any] = {"choices": list(CHOICES), "agent": {"hidden": 12}, "seed": 5}
    return given | {"draw": {"count": 8, "most_trusted": 4}} | changes


def lesson(answer: Answer, reward: Reward, **changes: Any) -> dict[str, Any]:
    """What is learnt from a batch: trusted samples have V for their reward, the others this one."""
    trained = ~answer["trusted"]
    found = {
        "genes": answer["genes"],
        "log_probabilities": answer["log_probabilities"],
        "rewards": np.where(trained, reward(answer["genes"]), answer["values"]).astype(np.float32),
        "weights": np.ones(len(trained), np.float32),
        "trained": trained,
    }
    return found | changes


def share_of_ones(genes: npt.NDArray[np.int16]) -> npt.NDArray[Any]:
    """A reward: how many tokens are 1, in [0, 1]."""
    return (genes == 1).mean(axis=1)


def search(iterations: int, reward: Reward = share_of_ones, **changes: Any) -> tuple[State, list[Answer]]:
    """Iterates from the beginning; returns the last state and all answers."""
    state, answer = iterate(None, request(**changes))
    answers = [answer]
    for number in range(1, iterations):
        learn = lesson(answers[-1], reward)
        state, answer = iterate(state, request(**changes) | {"learn": learn, "seed": 1000 + number})
        answers.append(answer)
    return state, answers


def same(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether two maps hold the same, arrays byte for byte."""
    return first.keys() == second.keys() and all(_alike(first[key], second[key]) for key in first)


def _alike(one: Any, other: Any) -> bool:
    if isinstance(one, Mapping):
        return same(one, other)
    if isinstance(one, np.ndarray):
        return (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
    return bool(one == other)
