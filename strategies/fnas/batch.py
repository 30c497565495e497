"""A batch of samples: how many come from where, and what each is worth. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from store.experience import Experience
from strategies.fnas.agent import Drawn, Lesson
from strategies.fnas.options import FNASOptions

Source = Literal["trained", "trusted", "exploited"]
"""Where a reward is from: a training, the critic's prediction, or a training that is learnt from again."""


class Parts(NamedTuple):
    """What a batch is made of.

    Attributes:
        exploited: samples from the buffer.
        new: samples that are drawn by the policy.
        most_trusted: so many of the new ones may have the critic's prediction for a reward.
    """

    exploited: int
    new: int
    most_trusted: int


def parts(options: FNASOptions, held: int) -> Parts:
    """Returns the parts of a batch.

    The cap on trusted samples is one of the new part, so that with the defaults a quarter of a batch is trained, which
    fits the 2,000 activated of 8,000 samples of Table 4.

    Args:
        options: the shares, and which modules are on.
        held: samples that the buffer has; no more are taken from it.
    """
    exploited = min(int(options.batch * options.exploited_share), held) if options.experience_buffer else 0
    new = options.batch - exploited
    return Parts(exploited, new, int(new * options.trusted_share) if options.uncertainty_critic else 0)


class Sample(NamedTuple):
    """A sample of a batch.

    Attributes:
        source: where its reward is from.
        genes: its tokens as they were drawn, (T,).
        log_probabilities: of each token when it was drawn, (T,).
        reward: what the agent is told.
        weight: its importance weight.
        value: V, the critic's prediction of the reward; none of exploited ones and without a critic.
        uncertainty: U, its prediction of |V - R|; as `value`.
        individual: its architecture's number in the history, if it is there.
        accuracy: of a trained one that did not fail.
        cost: multiply-adds or milliseconds, where they are known.
        new: whether the reward is that of a training which this sample made necessary, and which did not fail.
    """

    source: Source
    genes: npt.NDArray[np.int16]
    log_probabilities: npt.NDArray[np.float32]
    reward: float = 0.0
    weight: float = 1.0
    value: float | None = None
    uncertainty: float | None = None
    individual: int | None = None
    accuracy: float | None = None
    cost: float | None = None
    new: bool = False

    @property
    def error(self) -> float | None:
        """|V - R| of a new reward, of which the critic had not learnt when it predicted it (Eq. 3)."""
        return abs(self.value - self.reward) if self.new and self.value is not None else None


def doubtful_above(excesses: Sequence[float], quantile: float) -> float | None:
    """Returns how far above the threshold U is of networks so unknown that only equal blocks are fair to them (4.3).

    The paper wants 99 % of the blocks to match. (With the threshold of trust as the bar nearly all that is trained
    would need equal keys, since it is trained for being above that.) None while there are too few to tell: the largest
    of fewer than q / (1 - q) is exceeded by more than a share of 1 - q of the next ones.

    Args:
        excesses: U less the threshold of its batch, of recent samples.
        quantile: q, e.g. 0.99.
    """
    if len(excesses) < quantile / (1 - quantile):
        return None
    return float(np.quantile(excesses, quantile))


def drawn(answer: Drawn, *, critic: bool) -> list[Sample]:
    """Returns the samples that the agent drew; the trusted ones have V for their reward, the others are to be trained.

    Args:
        answer: the agent's.
        critic: whether there is one; without, V and U say nothing.
    """
    rows = zip(answer.genes, answer.log_probabilities, answer.values, answer.uncertainties, answer.trusted, strict=True)
    return [
        Sample(
            source="trusted" if trusted else "trained",
            genes=genes,
            log_probabilities=log_probabilities,
            reward=float(value) if trusted else 0.0,
            value=float(value) if critic else None,
            uncertainty=float(uncertainty) if critic else None,
        )
        for genes, log_probabilities, value, uncertainty, trusted in rows
    ]


def exploited(draws: Iterable[tuple[Experience, float]], costs: Sequence[float | None]) -> list[Sample]:
    """Returns the samples that were drawn from the buffer, with the log-probabilities that they had when they were new.

    Args:
        draws: experiences and their importance weights.
        costs: of the history's networks.
    """
    return [
        Sample(
            source="exploited",
            genes=np.array(one.genes, dtype=np.int16),
            log_probabilities=one.log_probabilities,
            reward=one.reward,
            weight=weight,
            individual=one.individual,
            cost=costs[one.individual],
        )
        for one, weight in draws
    ]


def lesson(samples: Sequence[Sample]) -> Lesson:
    """Returns what the agent learns from a batch."""
    return Lesson(
        genes=np.array([one.genes for one in samples], dtype=np.int16),
        log_probabilities=np.array([one.log_probabilities for one in samples], dtype=np.float32),
        rewards=np.array([one.reward for one in samples], dtype=np.float32),
        weights=np.array([one.weight for one in samples], dtype=np.float32),
        trained=np.array([one.new for one in samples], dtype=np.bool_),
    )
