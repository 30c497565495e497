"""The critic as it learns: it is asked for its errors first and taught afterwards, on new samples and replayed ones."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from trainers.agent.adam import Adam
from trainers.agent.critic import Critic, Prediction
from trainers.agent.flat import Arrays
from trainers.agent.history import HISTORY, Floats, Genes, History, Scale
from trainers.agent.options import CriticOptions
from trainers.agent.request import Lesson

OPTIMISER = "critic_optimiser"
"""Its block of the state, beside those of V and U and of the history."""


class Appraiser:
    """V and U with what they need to learn; their weights are zeros until `begin`, `carry` or `restore`.

    Args:
        choices: of the space.
        options: how they learn.

    Attributes:
        history: the samples whose rewards they were taught.
    """

    def __init__(self, choices: tuple[int, ...], options: CriticOptions) -> None:
        self._options, self._length = options, len(choices)
        self._critic = Critic(choices, options.hidden)
        self._adam = Adam(len(self._critic.weights), options.learning_rate)
        self._keep(History.empty(self._length))

    def begin(self, rng: np.random.Generator) -> None:
        """Starts with random weights."""
        self._critic.initialise(rng)

    def carry(self, state: Mapping[str, Arrays]) -> None:
        """Starts with V and U of another search (FNAS section 3.1); raises as `restore`.

        All else begins anew: what they say is in units of this task's rewards as soon as there are some.
        """
        self._critic.join(state)

    def restore(self, state: Mapping[str, Arrays]) -> None:
        """Goes on from a state; raises `InvalidAgentRequest` if it is not of such a critic."""
        self._critic.join(state)
        self._adam.restore(state.get(OPTIMISER, {}), OPTIMISER)
        self._keep(History.read(state.get(HISTORY, {}), self._length))

    def arrays(self) -> dict[str, Arrays]:
        """Returns all that must survive, by block and name."""
        return self._critic.split() | {OPTIMISER: self._adam.arrays()} | self.history.arrays()

    def predict(self, genes: Genes) -> Prediction:
        """Returns V and U in units of the reward; of a standard reward as long as no reward is known."""
        return self._predict(genes, self._scale)

    def predict_uncertainties(self, genes: Genes) -> Floats:
        """Returns U alone, as `predict`."""
        return self._critic.predict_uncertainties(genes) * np.float32(self._scale.deviation)

    def learn(self, lesson: Lesson, rng: np.random.Generator) -> dict[str, float]:
        """Learns from the trained samples of a batch, if there are any; returns the losses by name.

        First their errors are taken, V being as it was when they were drawn. Then V and U take steps, each on the new
        samples and on as many replayed ones as the options say. The losses are those of the new samples at the first
        step, in units of the reward.
        """
        if not lesson.trained.any():
            return {}
        genes, rewards = lesson.genes[lesson.trained], lesson.rewards[lesson.trained]
        values, uncertainties = self._predict(genes, self._scale if len(self.history.rewards) else Scale.of(rewards))
        errors = np.abs(values - rewards)
        self._keep(self.history.with_more(genes, rewards, errors, self._options.history))
        for _ in range(self._options.steps):
            self._step(self._replay(len(rewards), rng))
        return {"value": float(errors.mean()), "uncertainty": float(np.abs(uncertainties - errors).mean())}

    def _keep(self, history: History) -> None:
        self.history, self._scale = history, Scale.of(history.rewards)

    def _predict(self, genes: Genes, scale: Scale) -> Prediction:
        values, uncertainties = self._critic.predict(genes)
        mean, deviation = np.float32(scale.mean), np.float32(scale.deviation)
        return Prediction(values * deviation + mean, uncertainties * deviation)

    def _replay(self, fresh: int, rng: np.random.Generator) -> History:
        """Returns the latest `fresh` samples and earlier ones, drawn without replacement."""
        total = len(self.history.rewards)
        earlier = max(total - fresh, 0)
        replayed = rng.choice(earlier, min(self._options.batch, earlier), replace=False)
        return self.history.take(np.concatenate([replayed, np.arange(earlier, total)]))

    def _step(self, samples: History) -> None:
        mean, deviation = self._scale
        rewards = torch.from_numpy((samples.rewards - np.float32(mean)) / np.float32(deviation))
        errors = torch.from_numpy(samples.errors / np.float32(deviation))
        self._critic.teach(samples.genes, rewards, errors)
        self._adam.step(self._critic.weights, self._critic.gradient)
