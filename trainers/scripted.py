"""The `scripted` trainer: plays a learning curve, with checkpoints that are real. Free of torch.

The whole daemon is tested with it, so it is strict where a real training is: its made-up weights depend on every step
that was made, once and in order, so that a checkpoint which was resumed wrongly has another digest at the end. Blocks
that a candidate inherits are really read, and the curve is `curve.HEAD_START` epochs ahead if all are inherited.
"""

from __future__ import annotations

import time
from typing import cast

import numpy as np
import numpy.typing as npt

from store.records.base import digest
from store.records.candidates import Candidate
from store.records.outcomes import EpochMetrics, Evaluated, Measured, Trained, best_accuracy
from store.records.requests import Evaluate, Measure, Train
from trainers import inheritance
from trainers.curve import Curve, loss
from trainers.curve import blocks as blocks_of
from trainers.errors import CheckpointMismatch
from trainers.job import Job, Stopping
from trainers.options import ScriptedOptions

SLICE_SECONDS = 0.02
EVALUATED_IMAGES = 1000
TRAINING_IMAGES = 10_000
IMAGE_CHANNELS, IMAGE_SIDE = 3, 32
_TENSOR = "weight"

Weights = npt.NDArray[np.float32]


class ScriptedTrainer:
    """Answers as its `ScriptedOptions` and the candidate's digest decide."""

    def train(self, job: Job) -> Trained:
        """Plays the candidate's curve up to the request's epochs.

        Raises:
            Stopping: after a save, when the job was asked to stop.
            CheckpointMismatch: if the checkpoint to go on from is of another candidate, or past the epochs asked for.
            ImpossibleSetting, InheritedBlockLost: if what the candidate starts from cannot be used.
        """
        request = cast(Train, job.request)
        play = _Play(job, request.candidate)
        job.peak_bytes = play.options.device_bytes
        if job.resume is None:
            play.inherit()
        else:
            play.restore(job.resume)
        if (play.epoch, play.step) > (request.epochs, 0):
            raise CheckpointMismatch(play.checkpoint or "", f"epoch {request.epochs}", "it is past")
        while play.epoch < request.epochs:
            play.run_epoch()
        parameters, multiply_adds = _cost(request.candidate, play.options)
        return Trained(
            candidate=request.candidate.id,
            epochs=request.epochs,
            accuracy=best_accuracy(play.history),
            history=tuple(play.history),
            checkpoint=play.checkpoint or digest(f"{request.candidate.id} at {request.epochs}"),
            parameters=parameters,
            multiply_adds=multiply_adds,
            images=round(TRAINING_IMAGES * request.candidate.proxy.sample_ratio),
        )

    def evaluate(self, job: Job) -> Evaluated:
        """Gives the curve's accuracy at the checkpoint's epoch; where the options save none, the curve's limit."""
        request = cast(Evaluate, job.request)
        options = cast(ScriptedOptions, job.options)
        curve = Curve.of(request.candidate, options)
        accuracy = curve.limit
        if options.checkpoint:
            manifest, _ = job.checkpoints.load(request.checkpoint)
            accuracy = curve.accuracy(manifest.epoch)
        return Evaluated(accuracy=accuracy, loss=loss(accuracy), images=EVALUATED_IMAGES)

    def measure(self, job: Job) -> Measured:
        """Gives made-up costs, the same for the same architecture; a latency only where a device was named."""
        request = cast(Measure, job.request)
        parameters, multiply_adds = _cost(request.candidate, cast(ScriptedOptions, job.options))
        side = request.candidate.proxy.resolution or IMAGE_SIDE
        return Measured(
            parameters=parameters,
            multiply_adds=multiply_adds,
            latency_ms=multiply_adds / 1e6 if request.device is not None else None,
            image_shape=(IMAGE_CHANNELS, side, side),
        )


class _Play:
    """A training in its course: how far it is, its weights, and what was saved last."""

    def __init__(self, job: Job, candidate: Candidate) -> None:
        self.options = cast(ScriptedOptions, job.options)
        self.curve = Curve.of(candidate, self.options)
        self.epoch = self.step = 0
        self.checkpoint: str | None = None
        self.history: list[EpochMetrics] = []
        self._saved_at: tuple[int, int] = (0, 0)
        self._job = job
        self._candidate = candidate.id
        self._blocks = blocks_of(candidate, self.options)
        self._initial = candidate.initial
        blocks = self._blocks if self.options.checkpoint else []
        self._model = {block: np.ones(self.options.floats, np.float32) for block in blocks}
        self._momentum = {block: np.zeros(self.options.floats, np.float32) for block in blocks}

    def run_epoch(self) -> None:
        """Goes from where it is to the epoch's end, and saves there."""
        while self.step < self.options.steps:
            self._pass_time()
            self._advance()
            self.step += 1
            if self._job.checkpoint_due and self.step < self.options.steps:
                self._save(None)
        self.epoch, self.step = self.epoch + 1, 0
        self._job.strike(self.epoch)
        self.history.append(self.curve.metrics(self.epoch))
        self._save(self.history[-1])

    def inherit(self) -> None:
        """Takes over the blocks that the candidate starts from."""
        if not self._initial:
            return
        inherited = inheritance.read(self._job.checkpoints, inheritance.origins(self._initial, self._blocks))
        for block, weights in self._model.items():
            for array in inheritance.fitted({_TENSOR: weights}, inherited.get(block, {}), {}).values():
                weights[:] = array

    def restore(self, checkpoint: str) -> None:
        """Takes over a checkpoint's weights and position.

        Raises:
            CheckpointMismatch: if it is of another candidate, or lacks what the options make.
        """
        manifest, tensors = self._job.checkpoints.load(checkpoint)
        if manifest.candidate != self._candidate:
            raise CheckpointMismatch(checkpoint, f"candidate {manifest.candidate}", "it is of")
        for role, mine in self._roles().items():
            for block, weights in mine.items():
                stored = tensors.get(role, {}).get(block, {}).get(_TENSOR)
                if stored is None or (stored.shape, stored.dtype) != (weights.shape, weights.dtype):
                    raise CheckpointMismatch(checkpoint, f"{role}/{block}/{_TENSOR}", "it lacks")
                weights[:] = stored
        self.epoch, self.step, self.checkpoint = manifest.epoch, manifest.step, checkpoint
        self.history = list(manifest.history)
        self._saved_at = manifest.epoch, manifest.step

    def _pass_time(self) -> None:
        """Spends the step's time in slices; between them it says that it lives and heeds a stop."""
        until = time.monotonic() + self.options.epoch_seconds / self.options.steps
        while True:
            self._job.alive(self.epoch, self.step, self.options.steps)
            if self._job.stop_requested:
                self._leave()
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, SLICE_SECONDS))

    def _leave(self) -> None:
        if (self.epoch, self.step) != self._saved_at:
            self._save(None)
        raise Stopping

    def _advance(self) -> None:
        for number, (block, momentum) in enumerate(self._momentum.items()):
            momentum *= np.float32(0.9)
            momentum += self._gradient(number)
            self._model[block] += momentum

    def _gradient(self, block: int) -> Weights:
        """What the step's images teach: counter-based, so any step's numbers are had without those before it."""
        counter = (self.epoch << 192) | (self.step << 128) | (block << 64)
        generator = np.random.Generator(np.random.Philox(key=int(self._candidate[:32], 16), counter=counter))
        return generator.random(self.options.floats, dtype=np.float32) - np.float32(0.5)

    def _save(self, metrics: EpochMetrics | None) -> None:
        """Saves and reports, unless the options say that nothing is to be saved."""
        if not self.options.checkpoint:
            return
        self.checkpoint = self._job.checkpoints.save(
            candidate=self._candidate,
            epoch=self.epoch,
            step=self.step,
            history=self.history,
            sums={},
            position="{}",  # the made-up gradients are counted by epoch and step: no generator has a state to keep
            tensors={
                role: {name: {_TENSOR: w} for name, w in blocks.items()} for role, blocks in self._roles().items()
            },
        )
        self._saved_at = self.epoch, self.step
        self._job.saved(self.checkpoint, self.epoch, self.step, metrics)

    def _roles(self) -> dict[str, dict[str, Weights]]:
        return {"model": self._model, "optimizer": self._momentum}


def _cost(candidate: Candidate, options: ScriptedOptions) -> tuple[int, int]:
    parameters = len(blocks_of(candidate, options)) * options.floats
    return parameters, parameters * (10 + sum(candidate.architecture.genes))
