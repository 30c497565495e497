"""The `cell` trainer: trains, scores and measures networks of cells (EcoNAS sections 3 and 4, appendix A5)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import cast

from torch import Tensor

from store.records.outcomes import Evaluated, Measured, Trained
from store.records.requests import Evaluate, Measure, Train
from trainers import datasets, latency, state
from trainers.data import DeviceData
from trainers.errors import ImpossibleSetting
from trainers.job import Job
from trainers.plan import Plan
from trainers.step import evaluate
from trainers.training import Training, heard


class CellTrainer:
    """Trains, scores and measures candidates of the cell space; keeps the data set between the jobs of a worker."""

    def __init__(self) -> None:
        self._data: tuple[object, DeviceData] | None = None

    def train(self, job: Job) -> Trained:
        """Trains the candidate of a `Train` request to its epochs, from `job.resume` if that is given.

        Else it starts from random weights, but for the blocks that the candidate inherits.

        Raises:
            Stopping: when the job was asked to stop, after a save.
            Diverged: if a loss is not finite.
            BadRequest: if the data, the setting, the checkpoint or what is to be inherited cannot be used.
            InheritedBlockLost: if a block to inherit cannot be read.
            StoreError: if a checkpoint cannot be read or written.
        """
        request = cast(Train, job.request)
        job.alive(0, 0, 0, note="loading the data set")
        plan = Plan.of(job, request.candidate)
        plan.check_recipe()
        training = Training(job, plan, self._device_data(job, plan))
        try:
            if job.resume is None:
                training.inherit()
            else:
                training.restore(job.resume)
            while training.epoch < request.epochs:
                training.run_epoch()
            return training.outcome()
        finally:
            training.close()

    def evaluate(self, job: Job) -> Evaluated:
        """Scores the candidate of an `Evaluate` request with the weights of its checkpoint, without augmentation.

        Raises:
            BadRequest: if the data, the setting or the checkpoint cannot be used, or there are no such images.
            StoreError: if the checkpoint cannot be read.
        """
        request = cast(Evaluate, job.request)
        job.alive(0, 0, 0, note="loading the data set")
        plan = Plan.of(job, request.candidate)
        data = self._device_data(job, plan)
        network = plan.network()
        state.restore(request.checkpoint, job.checkpoints.load(request.checkpoint).tensors, network)
        batches = _batches(job, plan, data, request.split)
        alive = partial(job.alive, 0, 0, 0, note=f"scoring {request.split} images")
        sums = evaluate(network, heard(batches, alive), plan.device, plan.recipe)
        loss, accuracy = sums.means()
        return Evaluated(accuracy=accuracy, loss=loss, images=sums.images)

    def measure(self, job: Job) -> Measured:
        """Counts parameters and multiply-adds, and says how it reads images; times one where a device is named.

        Raises:
            BadRequest: if the data or the setting cannot be used, or this worker does not have that device.
        """
        request = cast(Measure, job.request)
        plan = Plan.of(job, request.candidate)
        milliseconds = None
        if request.device is not None:
            kind = request.device.partition(":")[0]
            if kind != job.device:
                raise ImpossibleSetting("measure.device", request.device, f"the worker's device, {job.device}")
            milliseconds = latency.milliseconds(job, plan)
        parameters, multiply_adds = plan.cost()
        return Measured(
            parameters=parameters,
            multiply_adds=multiply_adds,
            latency_ms=milliseconds,
            image_shape=(plan.shape.input_channels, plan.resolution, plan.resolution),
        )

    def _device_data(self, job: Job, plan: Plan) -> DeviceData:
        candidate = plan.candidate
        key = (candidate.data, candidate.recipe, plan.resolution, candidate.proxy.sample_ratio, plan.device)
        if self._data is None or self._data[0] != key:
            self._data = None
            split = datasets.split(plan.images, candidate.data)
            seed = candidate.data.split_seed
            data = DeviceData(plan.images, split, candidate.proxy, candidate.recipe, seed, plan.device)
            self._data = (key, data)
        return self._data[1]


def _batches(job: Job, plan: Plan, data: DeviceData, split: str) -> Iterator[tuple[Tensor, Tensor]]:
    """Returns the images of a split. Those of the test split are refused to whoever holds out images to choose by."""
    asked = plan.candidate.data
    if split == "test" and asked.validation_fraction:
        expected = "validation or train; test is for what is trained on all other images (data.validation_fraction = 0)"
        raise ImpossibleSetting("evaluate.split", split, expected)
    if split == "validation" and not asked.validation_fraction:
        raise ImpossibleSetting("evaluate.split", split, "train or test: data.validation_fraction is 0")
    if split == "test":
        return data.others(datasets.load_test(asked, job.settings.data_path, job.settings.cache, job.preparing))
    return data.training() if split == "train" else data.validation()
