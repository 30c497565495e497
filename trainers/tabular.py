"""The `tabular` trainer: answers from a benchmark table, at once. Free of torch.

There are no weights. A training's checkpoint is a real manifest without blocks: it says which epoch of which candidate
it is, so that epochs are counted, resumed and evaluated as for any other trainer; 1.4 kilobytes for 12 epochs, written
once. What a candidate starts from plays no part either: the networks of a table were trained from random weights.
"""

from __future__ import annotations

from functools import lru_cache
from typing import cast

from store.records.candidates import Candidate, Named
from store.records.outcomes import Evaluated, Measured, Trained
from store.records.requests import Evaluate, Measure, Train
from strategies.spaces import registry as spaces
from trainers import table
from trainers.benchmark import Benchmark
from trainers.errors import CheckpointMismatch, TableMissing
from trainers.job import Job
from trainers.options import TabularOptions


class TabularTrainer:
    """Answers as the table says that its candidate's options name; proxy, recipe and data play no part."""

    def train(self, job: Job) -> Trained:
        """Looks a training up.

        Raises:
            TableError: if the table cannot be used, or lacks the architecture.
            ImpossibleSetting: if the table does not go so far.
            CheckpointMismatch: if the checkpoint to go on from is of another candidate, or past the epochs asked for.
        """
        request = cast(Train, job.request)
        candidate, epochs = request.candidate, request.epochs
        start = 0 if job.resume is None else _epoch(job, candidate, job.resume)
        if job.resume is not None and start > epochs:
            raise CheckpointMismatch(job.resume, f"epoch {epochs}", "it is past")
        found = _benchmark(job, candidate).train(candidate, epochs)
        for epoch in range(start + 1, epochs + 1):
            job.strike(epoch)
        checkpoint = job.checkpoints.save(
            candidate=candidate.id, epoch=epochs, step=0, history=found.history, sums={}, position="{}", tensors={}
        )
        job.saved(checkpoint, epochs, 0, found.history[-1])
        return found.model_copy(update={"checkpoint": checkpoint})

    def evaluate(self, job: Job) -> Evaluated:
        """Gives the table's accuracy after the checkpoint's epochs, or that of its test column.

        Raises:
            ImpossibleSetting: as `Benchmark.evaluate`.
        """
        request = cast(Evaluate, job.request)
        epoch = _epoch(job, request.candidate, request.checkpoint)
        return _benchmark(job, request.candidate).evaluate(request.candidate, epoch, request.split)

    def measure(self, job: Job) -> Measured:
        """Gives what the table, or the formula of its space, says; raises `ImpossibleSetting` for a latency."""
        request = cast(Measure, job.request)
        return _benchmark(job, request.candidate).measure(request)


def benchmark(trainer: Named, space: Named, path: str) -> Benchmark:
    """Returns what a trainer's options name for a space; it stays in memory for the next candidate.

    Args:
        trainer: the checked trainer, with the table's digest for its path.
        space: whose architectures are looked up.
        path: where the table lies.

    Raises:
        TableError: if the table cannot be used.
        ImpossibleSetting: if the options do not fit it.
    """
    return _cached(trainer.model_dump_json(), space.model_dump_json(), path)


@lru_cache(maxsize=8)
def _cached(trainer: str, space: str, path: str) -> Benchmark:
    options = TabularOptions.model_validate(Named.model_validate_json(trainer).options)
    made = spaces.create(Named.model_validate_json(space))
    return Benchmark(table.load(path, options.table), options, made)


def _benchmark(job: Job, candidate: Candidate) -> Benchmark:
    digest = cast(TabularOptions, job.options).table
    if digest not in job.settings.tables:
        raise TableMissing(f"{digest:.16}", "nobody has said where it lies on this machine")
    return benchmark(candidate.trainer, candidate.space, job.settings.tables[digest])


def _epoch(job: Job, candidate: Candidate, checkpoint: str) -> int:
    """Returns the epoch of a checkpoint of this candidate."""
    manifest = job.checkpoints.manifest(checkpoint)
    if manifest.candidate != candidate.id:
        raise CheckpointMismatch(checkpoint, f"candidate {manifest.candidate}", "it is of")
    return manifest.epoch
