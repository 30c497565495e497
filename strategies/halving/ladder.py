"""The rungs of successive halving: who was trained on which, how well, and who may go on. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Ladder:
    """Networks by index. Whoever was trained on a rung counts there for good, promoted or not.

    Args:
        rungs: how many rungs there are.
        reduction: eta, one in so many is promoted.
    """

    def __init__(self, rungs: int, reduction: int) -> None:
        self._reduction = reduction
        self._rungs: list[dict[int, float | None]] = [{} for _ in range(rungs)]
        self._promoted: list[set[int]] = [set() for _ in range(rungs)]

    def __len__(self) -> int:
        """The number of trainings that have ended."""
        return sum(len(rung) for rung in self._rungs)

    def settle(self, index: int, rung: int, accuracy: float | None) -> None:
        """Takes note of a training on a rung; None if it failed, which counts as the worst of all."""
        self._rungs[rung][index] = accuracy

    def promote(self, index: int, rung: int) -> None:
        """Takes note that a network goes on from a rung, so that it does not again."""
        self._promoted[rung].add(index)

    def best(self, rung: int) -> list[int]:
        """Returns the best 1/eta of a rung, rounded down, best first; the older wins a tie, and failures are not of it.

        Li et al. (2020), Algorithms 1 and 2: `top_k(rung, |rung| / eta)`.
        """
        sound = [(-accuracy, index) for index, accuracy in self._rungs[rung].items() if accuracy is not None]
        return [index for _, index in sorted(sound)[: len(self._rungs[rung]) // self._reduction]]

    def promotable(self) -> tuple[int, int] | None:
        """Returns the network that ASHA promotes next and the rung that it stands on; None if a new one is due.

        Algorithm 2, `get_job`: from the highest rung down, the best of the best 1/eta that was not promoted.
        """
        for rung in reversed(range(len(self._rungs) - 1)):
            for index in self.best(rung):
                if index not in self._promoted[rung]:
                    return index, rung
        return None

    def rows(self) -> tuple[list[int], list[int], list[float | None]]:
        """Returns for each rung how many were trained on it, how many of these failed, and the best accuracy."""
        trained, failed, best = list[int](), list[int](), list[float | None]()
        for rung in self._rungs:
            known = [accuracy for accuracy in rung.values() if accuracy is not None]
            trained.append(len(rung))
            failed.append(len(rung) - len(known))
            best.append(max(known, default=None))
        return trained, failed, best

    def state(self) -> dict[str, Any]:
        """Returns plain values from which `restore` makes the same ladder."""
        return {
            "networks": [list(rung) for rung in self._rungs],
            "accuracies": [list(rung.values()) for rung in self._rungs],
            "promoted": [sorted(rung) for rung in self._promoted],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Becomes the ladder that `state` described."""
        pairs = zip(state["networks"], state["accuracies"], strict=True)
        self._rungs = [dict(zip(networks, accuracies, strict=True)) for networks, accuracies in pairs]
        self._promoted = [set(rung) for rung in state["promoted"]]
