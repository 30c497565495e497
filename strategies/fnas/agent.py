"""The agent as the strategy sees it: one computation an iteration, which learns from a batch and draws the next.

The networks themselves stay in the store (`Run.compute_from`); here is only the digest that names them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from store.records import arrays
from store.records.outcomes import Computed, Failure
from strategies.errors import RequestFailed
from strategies.fnas.options import FNASOptions
from strategies.run import Run

ITERATE = "trainers.agent.iteration:iterate"
"""The one function that learns and draws; torch is loaded where it runs, in a worker."""
_SEEDS = 1 << 62


@dataclass(frozen=True)
class Lesson:
    """What the agent learns from: n samples of T tokens.

    Attributes:
        genes: tokens as they were drawn, int16, (n, T).
        log_probabilities: of each token when it was drawn, float32, (n, T).
        rewards: float32, (n,).
        weights: importance weights, float32, (n,); 1 for samples that are no replay.
        trained: whether the reward is real and new, and so teaches the critic too, bool, (n,).
    """

    genes: npt.NDArray[np.int16]
    log_probabilities: npt.NDArray[np.float32]
    rewards: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]
    trained: npt.NDArray[np.bool_]


class Drawn(NamedTuple):
    """What the agent answers: m new architectures, and how it learnt.

    Attributes:
        genes: int16, (m, T).
        log_probabilities: of each token, float32, (m, T).
        values: V of each, float32, (m,); 0 without a critic.
        uncertainties: U of each, float32, (m,); 0 without a critic.
        trusted: whether V is to be its reward, bool, (m,).
        threshold: U up to which a sample is trusted; None while none can be.
        discarded: trusted draws that were thrown away, as too many were.
        losses: of what it learnt from, by name, with the `baseline` that its advantages were taken from; empty where
            it learnt nothing.
    """

    genes: npt.NDArray[np.int16]
    log_probabilities: npt.NDArray[np.float32]
    values: npt.NDArray[np.float32]
    uncertainties: npt.NDArray[np.float32]
    trusted: npt.NDArray[np.bool_]
    threshold: float | None
    discarded: int
    losses: Mapping[str, float]


class Agent:
    """The policy, and the critic if there is one, by the digest of their state."""

    def __init__(self, run: Run, options: FNASOptions) -> None:
        self._run, self._choices = run, list(run.space.choices)
        self._policy, self._critic = _policy(options), _critic(options) if options.uncertainty_critic else None
        self.state = options.transfer.critic
        self._carry = self.state is not None

    def restore(self, state: str) -> None:
        """Goes on with a state of this very search."""
        self.state, self._carry = state, False

    async def step(self, learn: Lesson | None, *, draw: int = 0, most_trusted: int = 0) -> Drawn:
        """Learns from a batch and draws new architectures.

        Args:
            learn: the last batch; None for the first step.
            draw: how many to draw; none after the last batch.
            most_trusted: how many of them may be trusted at most.

        Raises:
            RequestFailed: if the computation fails.
        """
        request = {
            "choices": self._choices,
            "agent": self._policy,
            "critic": self._critic,
            "seed": int(self._run.rng.integers(_SEEDS)),
            "carry": self._carry,
            "learn": None if learn is None else vars(learn),
            "draw": {"count": draw, "most_trusted": most_trusted} if draw else None,
        }
        outcome = await self._run.compute_from(ITERATE, self.state, request)
        if not isinstance(outcome, Computed) or outcome.state is None:
            raise RequestFailed("the agent's step", outcome.words if isinstance(outcome, Failure) else "no state came")
        self.restore(outcome.state)
        return _drawn(arrays.unpack(outcome.value))


def _drawn(answer: Mapping[str, Any]) -> Drawn:
    found: dict[str, Any] = {name: answer.get(name) for name in Drawn._fields}  # what is None was left out
    return Drawn(**found)


def _policy(options: FNASOptions) -> dict[str, Any]:
    return {
        "kind": options.agent,
        "learning_rate": options.learning_rate,
        "clip": options.clip,
        "epochs": options.updates,
        "entropy": options.entropy,
        "baseline_decay": options.baseline_decay,
        "hidden": options.hidden,
    }


def _critic(options: FNASOptions) -> dict[str, Any]:
    return {
        "hidden": options.critic_hidden,
        "learning_rate": options.critic_learning_rate,
        "steps": options.critic_steps,
        "batch": options.critic_replay,
        "window": options.trust_window,
        "threshold": options.trust_threshold,
        "draws": options.trust_draws,
    }
