"""Made-up learning curves: what the `scripted` trainer plays. Pure, and the same on every machine."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from blake3 import blake3

from store.records.candidates import Architecture, Candidate
from store.records.outcomes import EpochMetrics
from strategies.spaces import registry as spaces
from strategies.spaces.base import BlockSpace
from trainers.errors import ImpossibleSetting
from trainers.options import ScriptedOptions

HEAD_START = 2.0
"""Epochs that a network is ahead whose every block starts from trained weights."""
_DIGITS = 9  # beyond these, exp and log may differ between machines


@dataclass(frozen=True, slots=True)
class Curve:
    """A validation accuracy a(e) = limit (1 - exp(-rate e)) with a small deviation at each epoch.

    The limit depends on the genes alone, and smoothly: an architecture that differs in one gene has a similar one, so
    that a search which mutates good architectures finds better ones. The deviations depend on the whole candidate.
    A candidate that inherits blocks is `ahead` by so many epochs: a(e + ahead).
    """

    candidate: str
    limit: float
    rate: float
    noise: float
    ahead: float = 0.0

    @classmethod
    def of(cls, candidate: Candidate, options: ScriptedOptions) -> Curve:
        """Returns a candidate's curve."""
        span = options.highest - options.lowest
        limit = options.lowest + span * quality(candidate.architecture)
        ahead = HEAD_START * len(candidate.initial) / max(1, len(blocks(candidate, options)))
        return cls(candidate.id, limit, options.rate, options.noise, ahead)

    def accuracy(self, epoch: int) -> float:
        """The validation accuracy in [0, 1] after so many epochs."""
        smooth = self.limit * (1 - math.exp(-self.rate * (epoch + self.ahead)))
        deviation = 2 * _uniform(f"{self.candidate}:{epoch}") - 1
        return min(1.0, max(0.0, round(smooth + self.noise * deviation, _DIGITS)))

    def metrics(self, epoch: int) -> EpochMetrics:
        """One epoch's losses and accuracies; training does a little better than validation."""
        accuracy = self.accuracy(epoch)
        trained = min(1.0, round(accuracy + 0.02, _DIGITS))
        return EpochMetrics(
            epoch=epoch,
            train_loss=loss(trained),
            train_accuracy=trained,
            validation_loss=loss(accuracy),
            validation_accuracy=accuracy,
        )


def blocks(candidate: Candidate, options: ScriptedOptions) -> list[str]:
    """Returns the names of a candidate's made-up blocks.

    Raises:
        ImpossibleSetting: if they are to be those of its space's networks, and these have none.
        InvalidArchitecture: if the genes are not of the space then.
    """
    if options.blocks:
        return [f"block{number}" for number in range(options.blocks)]
    space = spaces.create(candidate.space)
    if not isinstance(space, BlockSpace):
        raise ImpossibleSetting("trainer.blocks", 0, f"a number: the space {candidate.space.name} has no blocks")
    return [block.name for block in space.blocks(candidate.architecture, candidate.proxy)]


def loss(accuracy: float) -> float:
    """A loss that goes with an accuracy: -log of it, as if every image's class had that probability."""
    return -round(math.log(max(accuracy, 1e-3)), _DIGITS)


def quality(architecture: Architecture) -> float:
    """How good an architecture is, in (0, 1), and about uniform over random architectures.

    Every choice at every position is worth a fixed number in [0, 1); their mean, in units of its standard deviation,
    goes through a logistic function that comes close to the normal distribution's.
    """
    genes = architecture.genes
    if not genes:
        return 0.5
    worth = sum(_worth(architecture.space, position, gene) for position, gene in enumerate(genes))
    deviations = (worth / len(genes) - 0.5) * math.sqrt(12 * len(genes))
    return 1 / (1 + math.exp(-1.7 * deviations))


@lru_cache(maxsize=1 << 16)
def _worth(space: str, position: int, gene: int) -> float:
    return _uniform(f"{space}:{position}:{gene}")


def _uniform(text: str) -> float:
    return int.from_bytes(blake3(text.encode()).digest(length=6), "big") / 2**48
