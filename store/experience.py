"""The architecture experience buffer (AEB): few trained samples that a policy may learn from again (FNAS section 5).

It keeps what an off-policy correction needs of each sample: the log-probabilities that its tokens had when it was
drawn, which are the denominator of the ratio of PPO.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]


class Experience(NamedTuple):
    """A trained sample.

    Attributes:
        genes: its tokens as they were drawn, T of them; two encodings can be one architecture.
        log_probabilities: of each token when it was drawn, float32, (T,).
        reward: its real reward; finite.
        individual: its architecture's number in the search's history.
    """

    genes: tuple[int, ...]
    log_probabilities: npt.NDArray[np.float32]
    reward: float
    individual: int


class ExperienceBuffer:
    """A queue of the newest trained samples, one for each architecture; the oldest leaves when it is full.

    Args:
        capacity: N, how many it holds; 10 in the paper.

    Raises:
        ValueError: if the capacity is less than 1.
    """

    def __init__(self, capacity: int = 10) -> None:
        if capacity < 1:
            raise ValueError(f"a buffer holds at least one sample, not {capacity}")
        self.capacity = capacity
        self._held: dict[int, Experience] = {}

    def __len__(self) -> int:
        return len(self._held)

    @property
    def held(self) -> tuple[Experience, ...]:
        """The samples, oldest first."""
        return tuple(self._held.values())

    @property
    def priorities(self) -> Numbers:
        """P_i of each sample, (N,): the softmax of the rewards (Eq. 5). Rewards in [0, 1] make it nearly uniform."""
        rewards = self._rewards
        powers = np.exp(rewards - rewards.max(initial=-np.inf))
        return powers / powers.sum()  # type: ignore[no-any-return]

    @property
    def _rewards(self) -> Numbers:
        return np.array([one.reward for one in self._held.values()], dtype=np.float64)

    def add(self, sample: Experience) -> None:
        """Adds a sample as the newest, in the place of an older one of the same architecture.

        Raises:
            ValueError: if its reward or a log-probability is not finite.
        """
        if not (math.isfinite(sample.reward) and np.isfinite(sample.log_probabilities).all()):
            raise ValueError(f"only finite numbers can be learnt from again: {sample!r:.200}")
        self._held.pop(sample.individual, None)
        self._held[sample.individual] = sample
        if len(self._held) > self.capacity:
            del self._held[next(iter(self._held))]

    def weights(self, beta: float) -> Numbers:
        """Returns the importance weights S_i = (N P_i)^-beta, (N,), divided by their maximum (Schaul et al. 2015, 3.4).

        The least likely sample has weight 1 and the others less. N and the softmax's denominator cancel, so this is
        exp(-beta (r_i - min r)), which cannot overflow.

        Args:
            beta: 0 weighs all alike; 1 undoes the priorities in the expectation.
        """
        rewards = self._rewards
        return np.exp(beta * (rewards.min(initial=np.inf) - rewards))  # type: ignore[no-any-return]

    def draw(self, count: int, beta: float, rng: np.random.Generator) -> list[tuple[Experience, float]]:
        """Returns samples, each drawn with probability P_i whatever else was drawn, with their weights.

        Args:
            count: draws; there are none from an empty buffer.
            beta: as for `weights`.
            rng: source of randomness.
        """
        if not self._held or not count:
            return []
        held, weights = self.held, self.weights(beta)
        places = rng.choice(len(held), size=count, p=self.priorities)
        return [(held[place], float(weights[place])) for place in places.tolist()]

    def state(self) -> dict[str, Any]:
        """Returns plain values and arrays from which `restore` makes the same buffer, to the bit."""
        held = self.held
        return {
            "genes": np.array([one.genes for one in held], dtype=np.int16),
            "log_probabilities": np.array([one.log_probabilities for one in held], dtype=np.float32),
            "rewards": np.array([one.reward for one in held], dtype=np.float64),
            "individuals": np.array([one.individual for one in held], dtype=np.int64),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Becomes the buffer that `state` described."""
        rows = zip(state["genes"], state["log_probabilities"], state["rewards"], state["individuals"], strict=True)
        self._held.clear()
        for genes, log_probabilities, reward, individual in rows:
            self.add(Experience(tuple(genes.tolist()), log_probabilities, float(reward), int(individual)))


def annealed(samples: int, over: int) -> float:
    """Returns beta after so many samples: from 0 it rises in a straight line, and is 1 from `over` samples on."""
    return min(1.0, samples / over)
