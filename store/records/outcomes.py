"""What a strategy gets back. Outcomes hold no clock readings: the same request has the same outcome, killed or not."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from store.records.base import Record

Reason = Literal[
    "out_of_memory",
    "host_memory",
    "diverged",
    "crashed",
    "hung",
    "corrupt_checkpoint",
    "corrupt_block",
    "bad_request",
    "disk_full",
    "device",
    "error",
]


_FRAMES = re.compile(r"^\s+File \".*(?:\n[ \t]+.*)*\n", re.MULTILINE)


def brief(message: str) -> str:
    """Returns a failure's message on one line, for notes and tables; the whole stays in the journal and the log.

    Of a traceback that is the line which names the exception, the first below its last frame; of other text the last.
    """
    frames = list(_FRAMES.finditer(message))
    lines = [line for line in message.splitlines() if line.strip()]
    below = message[frames[-1].end() :].splitlines() if frames else lines[-1:]
    return next((line.strip() for line in below if line.strip()), "")


class EpochMetrics(Record):
    """One epoch of training: mean losses and accuracies in [0, 1]; the validation images are never trained on.

    Where no image is held out there is no validation loss or accuracy.
    """

    epoch: int = Field(description="epochs done, counted from 1")
    train_loss: float
    train_accuracy: float
    validation_loss: float | None = None
    validation_accuracy: float | None = None


def best_accuracy(history: Iterable[EpochMetrics]) -> float | None:
    """Returns the best validation accuracy of all epochs (facts B0), or None where no image was held out."""
    accuracies = [each.validation_accuracy for each in history if each.validation_accuracy is not None]
    return max(accuracies, default=None)


class Trained(Record):
    """A candidate trained to `epochs`."""

    kind: Literal["trained"] = "trained"
    candidate: str
    epochs: int
    accuracy: float | None = Field(
        default=None, description="best validation accuracy over the epochs so far, in [0, 1]; none without such images"
    )
    history: tuple[EpochMetrics, ...]
    checkpoint: str = Field(description="digest of the final manifest")
    parameters: int
    multiply_adds: int
    images: int | None = Field(default=None, description="training images of one epoch, where the trainer says")


class Evaluated(Record):
    """Accuracy in [0, 1] and mean loss over a split."""

    kind: Literal["evaluated"] = "evaluated"
    accuracy: float
    loss: float
    images: int


class Measured(Record):
    """What a network costs; multiply-adds of one image, batch of 1, convolutions and linear layers."""

    kind: Literal["measured"] = "measured"
    parameters: int
    multiply_adds: int
    latency_ms: float | None = None
    image_shape: tuple[int, ...] | None = Field(
        default=None, description="images as the network reads them: (channels, height, width), where the trainer says"
    )


class Computed(Record):
    """What a function returned, as canonical msgpack."""

    kind: Literal["computed"] = "computed"
    value: bytes
    state: str | None = Field(default=None, description="digest of the manifest that holds the arrays it left behind")


class Failure(Record):
    """A request that will not be answered: the reason, and the story of its attempts."""

    kind: Literal["failed"] = "failed"
    reason: Reason
    retryable: bool = Field(description="whether another try could end otherwise; never true for a diverged loss")
    message: str
    story: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """The reason and its message on one line."""
        return f"{self.reason}: {brief(self.message)}"


Outcome = Annotated[Trained | Evaluated | Measured | Computed | Failure, Field(discriminator="kind")]
AnyOutcome = Trained | Evaluated | Measured | Computed | Failure
OUTCOME: TypeAdapter[AnyOutcome] = TypeAdapter(Outcome)
