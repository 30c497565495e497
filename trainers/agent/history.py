"""What the critic has been taught: architectures, their rewards, and how wrong V was before it learned from each."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from trainers.agent.flat import Arrays, Named
from trainers.errors import InvalidAgentRequest

Floats = npt.NDArray[np.float32]
Genes = npt.NDArray[np.int16]

HISTORY = "history"
"""Its block of the state."""


class Scale(NamedTuple):
    """Mean and standard deviation of a task's rewards: V and U work in these units, so one network fits many tasks."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, rewards: Floats) -> Scale:
        """Returns the scale of rewards, (n,); (0, 1) if there are none, and a deviation of 1 if all are alike."""
        if not len(rewards):
            return cls(0.0, 1.0)
        exact = rewards.astype(np.float64)
        return cls(float(exact.mean()), float(exact.std()) if np.ptp(exact) > 0 else 1.0)


class History(NamedTuple):
    """Samples in the order in which their rewards came.

    Attributes:
        genes: int16, (n, T).
        rewards: float32, (n,).
        errors: |V - R| before V learned from the sample, in units of the reward, float32, (n,).
    """

    genes: Genes
    rewards: Floats
    errors: Floats

    @classmethod
    def empty(cls, length: int) -> History:
        """Returns one without samples, of architectures of so many tokens."""
        return cls(np.zeros((0, length), np.int16), np.zeros(0, np.float32), np.zeros(0, np.float32))

    @classmethod
    def read(cls, block: Named, length: int) -> History:
        """Reads what `arrays` gave; nothing at all is an empty history.

        Raises:
            InvalidAgentRequest: if it is not of such architectures.
        """
        empty = cls.empty(length)
        if not block:
            return empty
        found = {name: np.asarray(block.get(name)) for name in cls._fields}
        for name, expected in empty._asdict().items():
            shape = (len(found["rewards"]) if found["rewards"].ndim else 0, *expected.shape[1:])
            if (found[name].shape, found[name].dtype) != (shape, expected.dtype):
                raise InvalidAgentRequest(
                    f"arrays.{HISTORY}.{name}",
                    f"{found[name].dtype} of shape {found[name].shape}",
                    f"{expected.dtype} of shape {shape}",
                )
        return cls(**found)

    def with_more(self, genes: Genes, rewards: Floats, errors: Floats, most: int) -> History:
        """Returns the history with further samples, at most the `most` latest of all."""
        return History(
            np.concatenate([self.genes, genes])[-most:],
            np.concatenate([self.rewards, rewards])[-most:],
            np.concatenate([self.errors, errors])[-most:],
        )

    def take(self, rows: npt.NDArray[np.int64]) -> History:
        """Returns some of the samples."""
        return History(self.genes[rows], self.rewards[rows], self.errors[rows])

    def arrays(self) -> dict[str, Arrays]:
        """Returns its block of the state; none if it is empty."""
        return {HISTORY: dict(self._asdict())} if len(self.rewards) else {}
