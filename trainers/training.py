"""A training that can be left and entered again between any two steps.

What it goes on from is a checkpoint's weights, momentum and running sums, and the position (epoch, step). Nothing else
decides the next step, so that a training that was stopped or killed ends with the bits that it would have had.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from typing import cast

from torch import Tensor

from store.records.outcomes import EpochMetrics, Trained, best_accuracy
from store.records.requests import Train
from trainers import inheritance, state
from trainers.capture import WINDOW, Captured, CudaGraphs
from trainers.data import DeviceData
from trainers.errors import CheckpointMismatch, Diverged
from trainers.job import Job, Stopping
from trainers.plan import Plan
from trainers.sgd import SGD
from trainers.step import Sums
from trainers.stepper import Eager, Stepper

_CHECK_STEPS = {"cpu": 1, "cuda": WINDOW}
"""Steps between looks at the loss; on a GPU each look waits. Never by the clock: no outcome may depend on that."""


class Training:
    """A training under way: network, momentum, running sums, and the position (epochs done, steps of the next).

    A step is one of the optimiser: where gradients are accumulated it takes several batches, and is left only whole.
    """

    def __init__(self, job: Job, plan: Plan, data: DeviceData) -> None:
        self.epoch = self.step = 0
        self._job, self._plan, self._data = job, plan, data
        self._recipe = plan.candidate.recipe
        self._network = plan.network()
        self._optimizer = SGD(self._network, self._recipe)
        self._stepper = _stepper(job, Eager(self._network, self._optimizer, data, self._recipe, plan.candidate.seed))
        self._history: list[EpochMetrics] = []
        self._saved = (0, 0, "")
        self._started, self._images_done = time.monotonic(), 0

    def inherit(self) -> None:
        """Gives the network what its candidate says that it starts from; the rest, and all momentum, is as it was.

        Raises:
            ImpossibleSetting: if the candidate names what cannot be inherited.
            InheritedBlockLost: if a block cannot be read.
        """
        if initial := self._plan.candidate.initial:
            origins = inheritance.origins(initial, self._network.blocks())
            state.inherit(self._network, inheritance.read(self._job.checkpoints, origins))

    def restore(self, digest: str) -> None:
        """Takes over a checkpoint: the next step is the one after its last."""
        manifest, tensors = self._job.checkpoints.load(digest)
        if manifest.candidate != self._plan.candidate.id:
            raise CheckpointMismatch(digest, manifest.candidate[:8], "it is of another candidate,")
        if manifest.position != self._position():
            raise CheckpointMismatch(digest, manifest.position, f"its data are not {self._position()} but")
        epochs = cast(Train, self._job.request).epochs
        if (manifest.epoch, manifest.step) > (epochs, 0):
            raise CheckpointMismatch(digest, f"the {epochs} epochs asked for", f"its epoch {manifest.epoch} is past")
        state.restore(digest, tensors, self._network, self._optimizer)
        self.epoch, self.step = manifest.epoch, manifest.step
        self._history = list(manifest.history)
        if manifest.sums:
            self._sums.set(manifest.sums)
        self._saved = (self.epoch, self.step, digest)

    def run_epoch(self) -> None:
        """Goes from where it is to the epoch's end, validates, and saves."""
        self._stepper.begin(self.epoch + 1)
        while self.step < self._stepper.steps:
            self._hear()
            self._images_done += self._stepper.step(self.step, self._tell)
            self.step += 1
            self._check()
            if self._job.checkpoint_due and self.step < self._stepper.steps and self._sums.finite:
                self._save()
        self._end_epoch()

    def close(self) -> None:
        """Gives back what the steps held on the device."""
        self._stepper.close()

    def outcome(self) -> Trained:
        """The answer: the best validation accuracy of all epochs (facts B0), and the last checkpoint."""
        parameters, multiply_adds = self._plan.cost()
        return Trained(
            candidate=self._plan.candidate.id,
            epochs=self.epoch,
            accuracy=best_accuracy(self._history),
            history=tuple(self._history),
            checkpoint=self._saved[2],
            parameters=parameters,
            multiply_adds=multiply_adds,
            images=self._data.steps * self._data.batch_size,
        )

    def _end_epoch(self) -> None:
        validated = self._stepper.evaluate(heard(self._data.validation(), self._hear))
        if not validated.finite:
            raise Diverged(self.epoch + 1, self.step, "the validation loss")
        train_loss, train_accuracy = self._sums.means()
        loss, accuracy = validated.means() if validated.images else (None, None)
        self.epoch, self.step = self.epoch + 1, 0
        self._sums.clear()
        metrics = EpochMetrics(
            epoch=self.epoch,
            train_loss=train_loss,
            train_accuracy=train_accuracy,
            validation_loss=loss,
            validation_accuracy=accuracy,
        )
        self._history.append(metrics)
        if self._recipe.reset_momentum_epochs and self.epoch % self._recipe.reset_momentum_epochs == 0:
            self._optimizer.forget()
        self._job.strike(self.epoch)
        self._save(metrics)

    @property
    def _sums(self) -> Sums:
        return self._stepper.sums

    def _tell(self) -> None:
        rate = self._images_done / max(time.monotonic() - self._started, 1e-9)
        steps = self._stepper.steps
        self._job.alive(self.epoch, self.step, steps, images_per_second=rate if self._images_done else None)

    def _hear(self) -> None:
        """Says that it lives; leaves if asked to, after saving what is not saved yet."""
        self._tell()
        if not self._job.stop_requested:
            return
        if (self.epoch, self.step) != self._saved[:2] and self._sums.finite:
            self._save()
        raise Stopping

    def _check(self) -> None:
        due = self.step % _CHECK_STEPS[self._plan.device.type] == 0 or self.step == self._stepper.steps
        if due and not self._sums.finite:
            raise Diverged(self.epoch + 1, self.step)

    def _save(self, metrics: EpochMetrics | None = None) -> None:
        digest = self._job.checkpoints.save(
            candidate=self._plan.candidate.id,
            epoch=self.epoch,
            step=self.step,
            history=self._history,
            sums=self._sums.numbers() if self.step else {},
            position=self._position(),
            tensors=state.tensors_of(self._network, self._optimizer),
        )
        self._saved = (self.epoch, self.step, digest)
        self._job.saved(digest, self.epoch, self.step, metrics)

    def _position(self) -> str:
        """What the order of the data depends on beside (epoch, step): no generator outlives an epoch's start."""
        data = self._data
        return json.dumps({"batch_size": data.batch_size, "images": data.images, "seed": self._plan.candidate.seed})


def heard(batches: Iterable[tuple[Tensor, Tensor]], hear: Callable[[], None]) -> Iterator[tuple[Tensor, Tensor]]:
    """Passes batches on, and before each says that the job is alive."""
    for batch in batches:
        hear()
        yield batch


def _stepper(job: Job, eager: Eager) -> Stepper:
    """Steps are captured on a GPU, unless the search's resources say otherwise: no result depends on it."""
    if eager.data.device.type == "cuda" and job.settings.cuda_graphs:
        return Captured(eager, CudaGraphs())
    return eager
