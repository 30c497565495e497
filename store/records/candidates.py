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
    stem: Literal["cifar", "imagenet"] | None = Field(
        default=None, description="cifar (as if absent): one 3 x 3 convolution; imagenet: two stems of stride 4 and 2"
    )

    @field_validator("stem")
    @classmethod
    def _neutral(cls, value: str | None) -> str | None:
        return None if value == "cifar" else value


class Recipe(Config):
    """How a candidate is trained.

    Of the fields that may be absent, absent and the value that changes nothing are one: both are kept as None, which no
    digest includes. So a candidate keeps its name when a later version adds such a field.

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
    schedule: Literal["cosine", "cosine_restarts", "exponential"] = Field(
        default="cosine",
        description="one cosine over schedule_epochs, a new one every schedule_epochs (EcoNAS A5.2 (1)), or rate_decay",
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
    nesterov: bool | None = Field(default=None, description="Nesterov's momentum")
    rate_per_step: bool | None = Field(default=None, description="the learning rate moves at every step, not epoch")
    rate_decay: float | None = Field(default=None, gt=0, le=1, description="of `exponential`: factor of every epoch")
    warmup_epochs: int | None = Field(default=None, ge=0, description="epochs in which the rate rises to its highest")
    warmup_learning_rate: float | None = Field(default=None, ge=0, description="where the warm-up starts; 0 if absent")
    label_smoothing: float | None = Field(default=None, ge=0, lt=1, description="share of the target that is uniform")
    accumulate: int | None = Field(default=None, ge=1, description="batches whose gradients make one step")
    path_dropout: float | None = Field(
        default=None, ge=0, lt=1, description="largest probability to drop an edge's output, reached linearly (DARTS)"
    )
    auxiliary_weight: float | None = Field(
        default=None, ge=0, description="of the auxiliary head's loss; 0.4 if absent"
    )
    precision: Literal["float32", "bfloat16"] | None = Field(
        default=None, description="bfloat16: convolutions and products in bfloat16 (autocast); weights stay float32"
    )
    crop: Literal["padded", "resized"] | None = Field(
        default=None, description="padded: crop out of the padded image; resized: a random box, resized (ImageNet)"
    )
    colour_jitter: float | None = Field(
        default=None, ge=0, le=1, description="strength of random brightness, contrast, saturation; of hue half (DARTS)"
    )

    @model_validator(mode="after")
    def _neutral(self) -> Recipe:
        """Writes what changes nothing as None."""
        for name, value in _NEUTRAL.items():
            if getattr(self, name) == value:
                vars(self)[name] = None
        return self


_NEUTRAL: Mapping[str, Any] = {
    "nesterov": False,
    "rate_per_step": False,
    "warmup_epochs": 0,
    "warmup_learning_rate": 0.0,
    "label_smoothing": 0.0,
    "accumulate": 1,
    "path_dropout": 0.0,
    "auxiliary_weight": 0.4,
    "precision": "float32",
    "crop": "padded",
    "colour_jitter": 0.0,
}


class Data(Record):
    """A data set by content, wherever it lies: the identity that a candidate carries."""

    name: str
    fingerprint: str = Field(description="digest of the content; a name and version for data sets that never change")
    validation_fraction: float = Field(default=0.1, description="0: all images are trained on, none is held out")
    split_seed: int = 0
    image_size: int | None = None
    skip_broken: bool | None = None


class Candidate(Record):
    """Everything that decides a training's result; its digest is the same on any machine."""

    trainer: Named
    space: Named
    architecture: Architecture
    proxy: Proxy
    recipe: Recipe
    data: Data
    seed: int
    initial: tuple[str, ...] = Field(
        default=(), description="what it starts from, `BLOCK=MANIFEST/BLOCK` for each block that is not random"
    )

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

    def inheriting(self, initial: tuple[str, ...]) -> Candidate:
        """Returns the candidate that starts from these blocks alone: another one, with a digest of its own.

        A copy would keep the digests that were computed of this one.
        """
        fields = {name: getattr(self, name) for name in Candidate.model_fields}
        return Candidate.model_construct(**fields | {"initial": initial})


def candidate_id(payload: Mapping[str, Any]) -> str:
    """Returns the digest of a candidate that is given as a map, as it lies in the journal."""
    return digest([_setting(payload), payload["architecture"]])


def _setting(payload: Mapping[str, Any]) -> str:
    return digest({key: value for key, value in payload.items() if key != "architecture"})


class DataSpec(Config):
    """A data set as a person names it."""

    name: str = Field(description="digits, npz, image_folder, cifar10, cifar100, fashion_mnist, or a registered one")
    path: str | None = Field(default=None, description="file or folder; `$NAME` and `~` are expanded")
    validation_fraction: float = Field(
        default=0.1, ge=0, lt=1, description="share of the training split held out; 0 only for retraining"
    )
    split_seed: int = 0
    image_size: int | None = Field(
        default=None, ge=4, le=2048, description="side in pixels to which images of a folder are resized and cropped"
    )
    skip_broken: bool | None = Field(default=None, description="leave out images that cannot be decoded, and say so")

    @field_validator("name")
    @classmethod
    def _not_empty(cls, name: str) -> str:
        if not name:
            raise ValueError("expected the name of a data set")
        return name

    @field_validator("skip_broken")
    @classmethod
    def _neutral(cls, value: bool | None) -> bool | None:
        return value or None


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
