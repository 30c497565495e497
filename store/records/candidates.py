"""What is trained: architecture, proxy, recipe, data and seed, and the candidate that they make together."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from store.records.base import Config, Record, digest


class Architecture(Record):
    """A space's name and one small integer for each position of its encoding."""

    space: str
    genes: tuple[int, ...]


class Named(Config):
    """A registered name and its options, written side by side: `name = "econas"`, `cycles = 4`, ...

    The options are checked by what the name stands for (`orchestrator.spec`), so that their errors come with the rest.
    """

    name: str
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, value: Any) -> Any:
        if not isinstance(value, dict) or set(value) <= {"name", "options"}:
            return value
        return {"name": value.get("name"), "options": {key: item for key, item in value.items() if key != "name"}}


class Proxy(Config):
    """A reduced setting (c, r, s) of EcoNAS Table 1, and the depth of the network; epochs are asked for separately."""

    channels: int = Field(default=8, ge=1, description="initial channels of the first cell (c)")
    resolution: int | None = Field(default=None, ge=4, description="input pixels after resizing (r); native if absent")
    sample_ratio: float = Field(default=1.0, gt=0, le=1, description="share of the training images that is used (s)")
    cells: int = Field(default=20, ge=3, description="cells in the network, 3N + 2 for N normal cells a stage")


class Recipe(Config):
    """How a candidate is trained.

    Defaults are EcoNAS's reduced setting (A5.2) in all but cutout: its 16 pixels would erase a whole image of the
    digits, so it is asked for where it is wanted. The authors' released search code differs from the paper in two of
    these: its learning rate falls from 0.1 to 0, and it has no cutout. A strategy's preset sets neither.
    """

    batch_size: int = Field(default=384, ge=1)
    learning_rate: float = Field(default=0.025, gt=0, description="of the first epoch (A5.2; released code: 0.1)")
    minimum_learning_rate: float = Field(
        default=0.001, ge=0, description="where a cosine ends (A5.2; released code: 0)"
    )
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=3e-4, ge=0)
    gradient_clip: float = Field(default=5.0, gt=0, description="largest norm of the gradient")
    schedule: Literal["cosine", "cosine_restarts"] = Field(
        default="cosine",
        description="one cosine over schedule_epochs, or a new one every schedule_epochs (EcoNAS A5.2 (1))",
    )
    schedule_epochs: int | None = Field(
        default=None, ge=1, description="length of one cosine in epochs; the strategy sets it where absent"
    )
    reset_momentum_epochs: int | None = Field(
        default=None, ge=1, description="forget the momentum each time so many epochs are done"
    )
    padding: int = Field(default=4, ge=0, description="zero pixels around an image before the random crop")
    flip: bool = Field(default=True, description="mirror half of the training images")
    cutout: int = Field(default=0, ge=0, description="side of the erased square at native resolution; scaled with r")


class Data(Record):
    """A data set by content, wherever it lies: the identity that a candidate carries."""

    name: str
    fingerprint: str = Field(description="digest of the content; a name and version for data sets that never change")
    validation_fraction: float = 0.1
    split_seed: int = 0


class Candidate(Record):
    """Everything that decides a training's result; its digest is the same on any machine."""

    trainer: Named
    space: Named
    architecture: Architecture
    proxy: Proxy
    recipe: Recipe
    data: Data
    seed: int
    initial: tuple[str, ...] = Field(default=(), description="digests of the blocks that initialised it")

    @cached_property
    def setting(self) -> str:
        """The digest of all but the architecture: what the candidates of one search have in common."""
        return _setting(self.model_dump())

    @cached_property
    def id(self) -> str:
        """The candidate's digest."""
        return digest([self.setting, {"space": self.architecture.space, "genes": self.architecture.genes}])

    def of(self, architecture: Architecture) -> Candidate:
        """Returns the candidate with another architecture in the same setting, which is digested only once."""
        other = Candidate.model_construct(**{name: getattr(self, name) for name in Candidate.model_fields})
        vars(other).update(architecture=architecture, setting=self.setting)
        return other


def candidate_id(payload: Mapping[str, Any]) -> str:
    """Returns the digest of a candidate that is given as a map, as it lies in the journal."""
    return digest([_setting(payload), payload["architecture"]])


def _setting(payload: Mapping[str, Any]) -> str:
    return digest({key: value for key, value in payload.items() if key != "architecture"})


class DataSpec(Config):
    """A data set as a person names it."""

    name: str = Field(description="digits, npz, image_folder, cifar10, cifar100, fashion_mnist, or a registered one")
    path: str | None = Field(default=None, description="file or folder; `$NAME` and `~` are expanded")
    validation_fraction: float = Field(default=0.1, gt=0, lt=1, description="share of the training split held out")
    split_seed: int = 0

    @field_validator("name")
    @classmethod
    def _not_empty(cls, name: str) -> str:
        if not name:
            raise ValueError("expected the name of a data set")
        return name


class Fault(Config):
    """A failure that a worker commits on purpose, for tests: at an epoch of the matching jobs' first `attempts`."""

    kind: Literal[
        "exit", "segfault", "hang", "nan", "out_of_memory", "error", "disk_full", "exit_after_save", "cuda_error"
    ]
    epoch: int = Field(default=0, ge=0, description="epoch at whose end (0: before training) it happens")
    attempts: int = Field(default=1, ge=1, description="how many attempts of a job fail")
    every: int = Field(default=1, ge=1, description="only candidates whose digest is 0 modulo this")
    remainder: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _in_range(self) -> Fault:
        if self.remainder >= self.every:
            raise ValueError(f"remainder must be less than every ({self.every})")
        return self

    def matches(self, candidate: str, attempt: int) -> bool:
        """Whether the fault strikes this attempt at this candidate."""
        return attempt <= self.attempts and int(candidate[:8], 16) % self.every == self.remainder
