"""The policy as it learns: its optimiser, the moving average of rewards, and a step on a batch of samples."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from trainers.agent import losses
from trainers.agent.adam import Adam
from trainers.agent.flat import Arrays, take
from trainers.agent.lstm import Recurrence
from trainers.agent.options import AgentOptions
from trainers.agent.policy import Policy
from trainers.agent.request import Lesson

POLICY, OPTIMISER, BASELINE = "policy", "policy_optimiser", "baseline"
"""Its blocks of the state."""


class Learner:
    """A policy with what it needs to learn; the parameters are zeros until `begin` or `restore`.

    Args:
        choices: of the space.
        options: how it learns.

    Attributes:
        policy: the policy.
    """

    def __init__(self, choices: tuple[int, ...], options: AgentOptions) -> None:
        self._options = options
        self.policy = Policy(choices, options.hidden)
        self._adam = Adam(len(self.policy.weights), options.learning_rate)
        self._baseline = np.zeros(1)
        self._batches = np.zeros(1, dtype=np.int64)

    def begin(self, rng: np.random.Generator) -> None:
        """Starts with random weights."""
        self.policy.initialise(rng)

    def restore(self, state: Mapping[str, Arrays]) -> None:
        """Goes on from a state; raises `InvalidAgentRequest` if it is not of such a learner."""
        self.policy.fill(state.get(POLICY, {}), POLICY)
        self._adam.restore(state.get(OPTIMISER, {}), OPTIMISER)
        take(state.get(BASELINE, {}), BASELINE, self._average())

    def arrays(self) -> dict[str, Arrays]:
        """Returns all that must survive, by block and name."""
        return {POLICY: self.policy.arrays(), OPTIMISER: self._adam.arrays(), BASELINE: self._average()}

    def learn(self, lesson: Lesson) -> dict[str, float]:
        """Moves the policy towards samples whose rewards are above the baseline; returns the losses by name.

        The baseline is a moving average of the batches' mean rewards, each sample counting by its weight (NASNet,
        appendix A.2), as it was before this batch; for the first batch, its own mean. So also for samples whose reward
        is the critic's: with the critic's own value as the baseline they would teach nothing.
        """
        baseline = self._follow(lesson)
        tokens = torch.from_numpy(lesson.genes.astype(np.int64)).t().contiguous()
        batch = losses.Batch(
            old=torch.from_numpy(lesson.log_probabilities).t().contiguous(),
            advantages=torch.from_numpy(lesson.rewards - np.float32(baseline)),
            weights=torch.from_numpy(lesson.weights),
        )
        memory = self.policy.memory(len(lesson.rewards))
        epochs = range(self._options.epochs if self._options.kind == "ppo" else 1)
        told = [self._step(tokens, batch, memory) for _ in epochs]
        # What is reported is of the first step: the policy as it was when it had drawn the samples.
        return {"policy": told[0][0], "entropy": told[0][1], "baseline": baseline}

    def _step(self, tokens: Tensor, batch: losses.Batch, memory: Recurrence) -> tuple[float, float]:
        """Takes a step; returns the loss and the entropy before it."""
        possible = self.policy.log_probabilities(tokens, memory)
        new = possible.gather(2, tokens.unsqueeze(2)).squeeze(2)
        ppo = self._options.kind == "ppo"
        loss, gradient = losses.clipped(new, batch, self._options.clip) if ppo else losses.reinforce(new, batch)
        spread, of_spread = losses.entropy(possible)
        of_logits = losses.by_logits(possible, tokens, gradient).sub_(of_spread, alpha=self._options.entropy)
        self.policy.back(of_logits, tokens, memory)
        self._adam.step(self.policy.weights, self.policy.gradient)
        return loss, spread

    def _follow(self, lesson: Lesson) -> float:
        """Returns the baseline for a batch, and takes the batch into it."""
        weights = lesson.weights.astype(np.float64)
        total = weights.sum()
        mean = float(weights @ lesson.rewards / total) if total > 0 else float(self._baseline[0])
        baseline = float(self._baseline[0]) if self._batches[0] else mean
        decay = self._options.baseline_decay
        self._baseline[0] = decay * baseline + (1 - decay) * mean
        self._batches[0] += 1
        return baseline

    def _average(self) -> Arrays:
        return {"value": self._baseline, "batches": self._batches}
