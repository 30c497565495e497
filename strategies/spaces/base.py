"""What every search space is: positions with a number of choices each, and a way to read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from store.records.candidates import Architecture, Named, Proxy
from store.records.knowledge import BlockKey


class Space(Protocol):
    """A set of architectures as tuples of small integers. Instances are immutable and hold no state."""

    @property
    def spec(self) -> Named:
        """The registered name and all options, defaults filled in: enough to make the same space again."""
        ...

    @property
    def choices(self) -> tuple[int, ...]:
        """The number of choices at each position."""
        ...

    def random(self, rng: np.random.Generator) -> Architecture:
        """Returns an architecture drawn uniformly over the encoding."""
        ...

    def canonical(self, architecture: Architecture) -> Architecture:
        """Returns the one encoding that stands for all that are equivalent to this one.

        Raises:
            InvalidArchitecture: if the genes are not of this space.
        """
        ...

    def decode(self, architecture: Architecture) -> Any:
        """Returns the structured genotype that a trainer builds; `InvalidArchitecture` as for `canonical`."""
        ...

    def describe(self, architecture: Architecture) -> dict[str, Any]:
        """Returns the genotype as a JSON-ready map, in the field's usual notation."""
        ...


@runtime_checkable
class WeighedSpace(Space, Protocol):
    """A space that knows how much work its networks are without building them."""

    def work(self, architecture: Architecture) -> float:
        """Returns the time that a step of training takes, relative to other architectures of the space.

        Raises:
            InvalidArchitecture: if the genes are not of this space.
        """
        ...


@runtime_checkable
class BlockSpace(Space, Protocol):
    """A space whose networks are made of blocks that trained weights can be inherited by (FNAS section 4.3)."""

    @property
    def block_choices(self) -> tuple[int, ...]:
        """The number of values of each token of a block's key."""
        ...

    def blocks(self, architecture: Architecture, proxy: Proxy) -> tuple[BlockKey, ...]:
        """Returns the blocks of an architecture's network in order, all but the classifier, which is never inherited.

        Equal tokens mean tensors of the same names and shapes, in whichever network of the space (with one shape of
        images). A key holds the block's place, its sizes and its choices.

        Raises:
            InvalidArchitecture: if the genes are not of this space.
        """
        ...


def expand(tokens: Sequence[int], choices: Sequence[int]) -> npt.NDArray[np.float32]:
    """Returns the expanded embedding of tokens: their one-hot vectors, one after the other (FNAS section 3.1).

    For keys with as many tokens the cosine of two embeddings is the share of tokens that are equal.
    """
    embedding = np.zeros(sum(choices), dtype=np.float32)
    embedding[np.cumsum([0, *choices[:-1]]) + np.asarray(tokens, dtype=np.int64)] = 1.0
    return embedding


@runtime_checkable
class MutableSpace(Space, Protocol):
    """A space whose architectures can be changed by one small step."""

    def mutate(
        self, architecture: Architecture, rng: np.random.Generator, weights: Mapping[str, float] | None = None
    ) -> tuple[Architecture, str]:
        """Returns a neighbour, never the same architecture, and the mutation in words.

        `weights` gives the relative weights of the kinds of mutation by name, e.g. `hidden_state` and `operation` for
        cells; kinds that a space does not have are passed over, and all are equal if none is given.
        """
        ...
