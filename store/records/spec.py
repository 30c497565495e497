"""A search as a person writes it (TOML)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from store.records.base import Config, digest
from store.records.candidates import DataSpec, Fault, Named, Proxy, Recipe


class Resources(Config):
    """How a search is run. It may change while a search is the same, and is no part of anything's identity.

    Two of these can change the last bits of a training all the same, since sums are then added up in another order:
    `device` and `threads`. Bit-identical results need both to stay as they were. An outcome that the store has is the
    answer, whichever way it was made.
    """

    workers: int = Field(default=2, ge=1, le=256, description="worker processes")
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="auto: GPUs if there are any, else CPU; may change last bits"
    )
    threads: int = Field(default=1, ge=1, description="CPU threads of each worker; may change last bits")
    cuda_graphs: bool = Field(
        default=True, description="on a GPU, record a training step once and replay it; false makes single calls"
    )
    checkpoint_seconds: float = Field(default=30.0, gt=0, description="a checkpoint at least so often")
    retries: int = Field(default=3, ge=0, description="further attempts after a failed one")
    hang_seconds: float = Field(default=120.0, gt=0, description="a worker silent for so long is killed")
    stop_seconds: float = Field(default=20.0, gt=0, description="a worker that does not stop within this is killed")
    pool_bytes: int | None = Field(
        default=None, ge=1, description="the most that the knowledge pool's blocks may take; no limit if absent"
    )


class Reference(Config):
    """The original setting, whose accuracies count as the truth in a proxy study; trained, or read from a table."""

    trainer: Named | None = Field(default=None, description="the search's own if absent; `tabular` reads a table")
    proxy: Proxy = Field(default=Proxy(channels=36), description="original setting: c0 r0 s0")
    recipe: Recipe = Recipe(batch_size=96, cutout=16, path_dropout=0.2)
    epochs: int = Field(default=600, ge=1)


class SearchSpec(Config):
    """One search: what is searched, how candidates are trained, what decides, and for how long."""

    name: str = Field(min_length=1, max_length=100)
    seed: int = Field(default=0, ge=0, lt=2**63)
    strategy: Named
    space: Named
    trainer: Named = Named(name="cell")
    data: DataSpec
    proxy: Proxy = Proxy()
    recipe: Recipe = Recipe()
    reference: Reference | None = Field(default=None, description="what a proxy study compares with")
    resources: Resources = Resources()
    faults: tuple[Fault, ...] = Field(default=(), description="failures on purpose, for tests")

    @field_validator("name")
    @classmethod
    def _printable(cls, name: str) -> str:
        if not name.isprintable():
            raise ValueError("expected printable characters")
        return name

    def identity(self, totals: frozenset[str], fingerprint: str) -> str:
        """The search's id: the digest of all that decides its course, without the totals that may be raised.

        Args:
            totals: names of the strategy's options that are budgets.
            fingerprint: the data set's content digest, which stands for its path.
        """
        fixed = self.model_dump(exclude={"resources", "faults"})
        fixed["strategy"]["options"] = {k: v for k, v in self.strategy.options.items() if k not in totals}
        fixed["data"] = fixed["data"] | {"path": None, "fingerprint": fingerprint}
        return digest(fixed)
