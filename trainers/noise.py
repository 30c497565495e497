"""Learning curves for tables that have final accuracies only: a documented model, the same on every machine. Pure.

With a(E) the table's accuracy after its E epochs, and r(e) = (exp(-rate e / E) - exp(-rate)) / (1 - exp(-rate)) what
is left of the way after e epochs, 1 at the beginning and 0 at the end,

    a(e) = min(a(E), a(E) (1 - gap r(e)) + sigma r(e) (sqrt(lasting) b + sqrt(1 - lasting) z(e)))

but never less than 0. `b` is standard normal and the architecture's own, the same for every seed: some networks start
slowly. `z(e)` is standard normal and depends on architecture and seed; z(e) and z(e + d) have the correlation
`correlation`^d. What is left of the noise shrinks with r(e), so ranks come ever closer to the final ones, and at e = E
the table has the word.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from blake3 import blake3

Numbers = npt.NDArray[np.float64]

_DIGITS = 9  # beyond these, exp, log and cos may differ between machines


@dataclass(frozen=True)
class Noise:
    """The model's parameters.

    Attributes:
        gap: share of the final accuracy that is missing before the first epoch, in [0, 1].
        rate: how quickly it is made up for: after E / rate epochs 63 % of it.
        sigma: standard deviation, in accuracy, that the noise would have before the first epoch.
        lasting: share of the noise's variance that is the architecture's own, in [0, 1].
        correlation: between the rest of it in one epoch and in the next, in [0, 1].
    """

    gap: float
    rate: float
    sigma: float
    lasting: float
    correlation: float

    def curve(self, final: float, epochs: int, *, architecture: str, seed: int) -> Numbers:
        """Returns the accuracies after 1, 2, ..., `epochs` epochs, of which the last is `final`; shape (epochs,).

        Args:
            final: accuracy after all epochs, in [0, 1].
            epochs: E.
            architecture: what the architecture is known by.
            seed: of the training.
        """
        left = self.left(epochs)
        own, drawn = normals(architecture, 1)[0], normals(f"{architecture}:{seed}", epochs)
        noise = self.lasting**0.5 * own + (1 - self.lasting) ** 0.5 * (_chain(epochs, self.correlation) @ drawn)
        curve = final * (1 - self.gap * left) + self.sigma * left * noise
        made: Numbers = np.clip(np.round(curve, _DIGITS), 0.0, final)
        made[-1] = final
        return made

    def left(self, epochs: int) -> Numbers:
        """Returns r(1), ..., r(E): the part of the way that is left after each epoch; shape (epochs,)."""
        return _left(self.rate, epochs)


def normals(name: str, count: int) -> Numbers:
    """Returns standard normal numbers that belong to a name, always the same; shape (count,).

    The bits are counter-based (BLAKE3's output of any length under the name), the numbers are made of pairs of them by
    Box and Muller. So no generator has a state, and no version of NumPy has another stream.
    """
    raw = np.frombuffer(blake3(name.encode()).digest(length=16 * count), dtype="<u8")
    uniform = ((raw >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    radius, angle = np.sqrt(-2.0 * np.log(uniform[:count])), 2.0 * np.pi * uniform[count:]
    return radius * np.cos(angle)


@lru_cache(maxsize=64)
def _left(rate: float, epochs: int) -> Numbers:
    decayed = np.exp(-rate * np.arange(1, epochs + 1) / epochs)
    return (decayed - np.exp(-rate)) / (1 - np.exp(-rate))  # type: ignore[no-any-return]


@lru_cache(maxsize=64)
def _chain(epochs: int, correlation: float) -> Numbers:
    """Returns the matrix that makes independent numbers a stationary chain: z(1) = n(1), z(e) = c z(e-1) + s n(e)."""
    place = np.arange(epochs)
    powers = correlation ** np.maximum(place[:, None] - place, 0) * (place[:, None] >= place)
    fresh = np.where(place == 0, 1.0, (1 - correlation**2) ** 0.5)
    return powers * fresh  # type: ignore[no-any-return]
