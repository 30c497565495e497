"""Draws of a batch: from the policy alone, or with the critic's word on which of them may be trusted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from trainers.agent.appraiser import Appraiser
from trainers.agent.critic import Prediction
from trainers.agent.flat import Arrays
from trainers.agent.options import CriticOptions
from trainers.agent.policy import Policy, Sampled
from trainers.agent.request import Draw
from trainers.agent.trust import choose, median
from trainers.errors import InvalidAgentRequest

Genes = npt.NDArray[np.int16]

WINDOW = "window"
"""Its block of the state."""
_ROUNDING = 1e-5  # U of an architecture differs in its last bits with the number of those that it is computed among


class Drawn(NamedTuple):
    """A batch: architectures, V and U of them in units of the reward, and whether each is trusted, (count,)."""

    sampled: Sampled
    predicted: Prediction
    trusted: npt.NDArray[np.bool_]
    threshold: float | None = None
    discarded: int = 0


def draw(policy: Policy, count: int, rng: np.random.Generator) -> Drawn:
    """Draws a batch of which none is trusted, without a critic: V and U are zeros."""
    zeros = np.zeros(count, dtype=np.float32)
    return Drawn(policy.sample(count, rng), Prediction(zeros, zeros), np.zeros(count, dtype=np.bool_))


class Window:
    """The architectures that were sampled last; the threshold is the median of what U says of them now.

    So about half of all samples are trusted: the paper's "2 times speedup" (section 4.2). U as it was when they were
    sampled would not do: as V learns, U moves as a whole, and all new samples would lie on one side of such a median.

    Args:
        length: T.
        options: how many it holds, a fixed threshold if there is one, and how many draws a batch may take.
    """

    def __init__(self, length: int, options: CriticOptions) -> None:
        self._options = options
        self._genes: Genes = np.zeros((0, length), dtype=np.int16)

    def restore(self, state: Mapping[str, Arrays]) -> None:
        """Goes on from a state; raises `InvalidAgentRequest` if it is not of a window."""
        found = state.get(WINDOW, {}).get("genes")
        if found is None:
            return
        length = self._genes.shape[1]
        if found.ndim != 2 or found.shape[1] != length or found.dtype != np.int16:
            what = f"{found.dtype} of shape {found.shape}"
            raise InvalidAgentRequest(f"arrays.{WINDOW}.genes", what, f"int16 of shape (n, {length})")
        self._genes = found

    def arrays(self) -> dict[str, Arrays]:
        """Returns its block of the state; none if nothing was sampled yet."""
        return {WINDOW: {"genes": self._genes}} if len(self._genes) else {}

    def draw(self, policy: Policy, critic: Appraiser, asked: Draw, rng: np.random.Generator) -> Drawn:
        """Draws a batch by the rule of `trust.choose`.

        Nothing is trusted before the critic has learned from a first batch. The threshold holds for the whole batch;
        the first `asked.count` draws count for it already.
        """
        stream = _Stream(policy, critic, asked.count, rng)
        threshold = self._threshold(stream, critic) if len(critic.history.rewards) else None
        chosen = choose(
            stream.uncertainties(),
            threshold,
            count=asked.count,
            most_trusted=asked.most_trusted,
            most_draws=self._options.draws * asked.count,
        )
        self._genes = self._latest(stream.genes(chosen.drawn))
        rows = np.array(chosen.numbers)
        return Drawn(*stream.take(rows), np.array(chosen.trusted), threshold, chosen.discarded)

    def _threshold(self, stream: _Stream, critic: Appraiser) -> float:
        if self._options.threshold is not None:
            return self._options.threshold
        middle = median(critic.predict_uncertainties(self._latest(stream.genes(stream.size))).tolist())
        return middle + _ROUNDING * abs(middle)

    def _latest(self, genes: Genes) -> Genes:
        return np.concatenate([self._genes, genes])[-self._options.window :]


class _Stream:
    """Draws of a policy with the critic's word on them, made in rounds of one size when they are asked for."""

    def __init__(self, policy: Policy, critic: Appraiser, size: int, rng: np.random.Generator) -> None:
        self.size = size
        self._policy, self._critic, self._rng = policy, critic, rng
        self._rounds: list[tuple[Sampled, Prediction]] = []

    def uncertainties(self) -> Iterator[float]:
        """Gives U of one draw after the other, without end."""
        number = 0
        while True:
            yield float(self._round(number // self.size)[1].uncertainties[number % self.size])
            number += 1

    def genes(self, count: int) -> Genes:
        """Returns the first draws, (count, T)."""
        rounds = [self._round(index)[0].genes for index in range(-(-count // self.size))]
        return np.concatenate(rounds)[:count]

    def take(self, rows: npt.NDArray[np.int64]) -> tuple[Sampled, Prediction]:
        """Returns some of the draws."""
        sampled, predicted = zip(*self._rounds, strict=True)
        return (
            Sampled(*(np.concatenate(column)[rows] for column in zip(*sampled, strict=True))),
            Prediction(*(np.concatenate(column)[rows] for column in zip(*predicted, strict=True))),
        )

    def _round(self, index: int) -> tuple[Sampled, Prediction]:
        while len(self._rounds) <= index:
            sampled = self._policy.sample(self.size, self._rng)
            self._rounds.append((sampled, self._critic.predict(sampled.genes)))
        return self._rounds[index]
