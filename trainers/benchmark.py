"""A benchmark table as a trainer has it: a space's architectures, their accuracies at any epoch, and what they cost.

Free of torch: searches are simulated with it in the process that decides (`orchestrator.simulation`).
"""

from __future__ import annotations

import itertools
import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from store.records.candidates import Architecture, Candidate
from store.records.outcomes import EpochMetrics, Evaluated, Measured, Trained
from store.records.requests import Measure
from strategies.errors import InvalidArchitecture
from strategies.spaces.base import Space
from strategies.spaces.nasbench201 import NAME as NASBENCH201
from strategies.spaces.nasbench201 import OPERATIONS
from trainers.curve import loss
from trainers.errors import ImpossibleSetting, TableMalformed
from trainers.noise import Noise
from trainers.options import TabularOptions
from trainers.sizes import Size, nasbench201
from trainers.table import ARCH, GENES, MULTIPLY_ADDS, PARAMETERS, SECONDS, Key, Table

Numbers = npt.NDArray[np.float64]

ENUMERABLE = 200_000
"""Spaces up to this size must be in the table as a whole; of larger ones no table has all."""
_CURVES = 4096


class Benchmark:
    """A table's column for the architectures of one space.

    Args:
        table: the table.
        options: which column, and how its curves are made.
        space: whose architectures are looked up.

    Attributes:
        epochs: those that the column stands for; no training goes further.

    Raises:
        TableMalformed: if the table lacks the column, or something else that is needed, or has it in a wrong form.
        ImpossibleSetting: if the options do not fit the table.
    """

    def __init__(self, table: Table, options: TabularOptions, space: Space) -> None:
        self._table, self._options, self._space = table, options, space
        self._noise = Noise(options.gap, options.rate, options.noise, options.lasting, options.correlation)
        self._column = table.accuracies(options.column)
        self._test = None if options.test_column is None else _finals(table.accuracies(options.test_column))
        self.epochs = _epochs(self._column, options)
        self._final = _finals(self._column)
        self._rows = self._keyed()
        self._known: dict[tuple[int, ...], int] = {}
        self._complete = False
        self._sizes = self._read_sizes()
        self._seconds = self._read_seconds()
        self._curve = lru_cache(maxsize=_CURVES)(self._make_curve)
        self._history = lru_cache(maxsize=_CURVES)(self._make_history)

    @property
    def best(self) -> float:
        """The highest accuracy that any architecture of the table has in the end."""
        return float(self._final.max())

    def final(self, architecture: Architecture) -> float:
        """Returns the accuracy that the table has for an architecture in the end: the truth, without noise.

        Raises:
            TableMalformed: if the table lacks it, here and in all that follows.
        """
        return float(self._final[self._row(architecture)])

    def test(self, architecture: Architecture) -> float:
        """Returns its test accuracy; raises `ImpossibleSetting` if the options name no column of them."""
        if self._test is None:
            raise ImpossibleSetting("trainer.test_column", None, "the column of the table's test accuracies")
        return float(self._test[self._row(architecture)])

    def curve(self, architecture: Architecture, seed: int) -> tuple[float, ...]:
        """Returns the accuracies after 1, 2, ..., `epochs` epochs of a training with this seed."""
        return self._curve(self._row(architecture), seed)

    def size(self, architecture: Architecture) -> Size:
        """Returns what an architecture's network costs: from the table, or by NAS-Bench-201's formula."""
        return self._sizes[self._row(architecture)]

    def seconds(self, architecture: Architecture) -> float:
        """Returns how long an epoch takes: from the table, or by the options `seconds` and `spread`.

        These two make the time grow with the multiply-adds, from `seconds` for the smallest network of the table to
        `spread` times as much for the largest.
        """
        return self._seconds[self._row(architecture)]

    def train(self, candidate: Candidate, epochs: int, checkpoint: str = "") -> Trained:
        """Returns what a candidate's training comes to, as if it had been trained; `checkpoint` is its manifest.

        Training accuracies and all losses are made up: the validation accuracy, and its negative logarithm. Where the
        candidate holds no images out, there is no validation accuracy.

        Raises:
            ImpossibleSetting: if the table does not go so far.
            TableMalformed: if it lacks the architecture.
        """
        if epochs > self.epochs:
            expected = f"at most {self.epochs}, for which the column {self._options.column!r} stands"
            raise ImpossibleSetting("epochs", epochs, expected)
        curve = self.curve(candidate.architecture, candidate.seed)[:epochs]
        held_out = candidate.data.validation_fraction > 0
        parameters, multiply_adds = self.size(candidate.architecture)
        return Trained(
            candidate=candidate.id,
            epochs=epochs,
            accuracy=max(curve) if held_out else None,
            history=self._history(self._row(candidate.architecture), candidate.seed, held_out)[:epochs],
            checkpoint=checkpoint,
            parameters=parameters,
            multiply_adds=multiply_adds,
        )

    def evaluate(self, candidate: Candidate, epoch: int, split: str) -> Evaluated:
        """Returns the score of a candidate's weights after so many epochs; no image is looked at.

        Raises:
            ImpossibleSetting: if the test split is asked for and there is no column of it, or the candidate holds
                images out, and so may still be chosen by what it scores.
        """
        accuracy = self.curve(candidate.architecture, candidate.seed)[epoch - 1]
        if split == "test":
            if candidate.data.validation_fraction > 0:
                raise ImpossibleSetting("split", split, "validation: the test split is for retrained networks")
            accuracy = self.test(candidate.architecture)
        return Evaluated(accuracy=accuracy, loss=loss(accuracy), images=0)

    def measure(self, request: Measure) -> Measured:
        """Returns what a candidate's network costs; raises `ImpossibleSetting` for a latency, which no table has."""
        if request.device is not None:
            raise ImpossibleSetting("measure.device", request.device, "nothing: a table has no latencies")
        parameters, multiply_adds = self.size(request.candidate.architecture)
        return Measured(parameters=parameters, multiply_adds=multiply_adds)

    def check_complete(self) -> None:
        """Checks that every architecture of the space is in the table, where they can be counted out.

        Raises:
            TableMalformed: saying how many are missing, and one of them.
        """
        if self._complete or math.prod(self._space.choices) > ENUMERABLE:
            return
        every = itertools.product(*(range(count) for count in self._space.choices))
        name = self._space.spec.name
        keys = {self._key(self._space.canonical(Architecture.model_construct(space=name, genes=g))) for g in every}
        if missing := sorted(keys - self._rows.keys(), key=str):
            found = f"it lacks {len(missing)} of the {len(keys)} architectures of the space {name}, e.g. {missing[0]}"
            raise TableMalformed(self._table.path, self._kind, found, "all of them")
        self._complete = True

    @property
    def _kind(self) -> str:
        return ARCH if ARCH in self._table.columns else GENES

    def _keyed(self) -> dict[Key, int]:
        """Returns each row by its architecture, genes in their canonical encoding."""
        if self._kind == ARCH:
            return {key: row for row, key in enumerate(self._table.keys)}
        rows = {self._canonical(row, key): row for row, key in enumerate(self._table.keys)}
        if len(rows) < len(self._table.keys):
            found = f"{len(self._table.keys)} rows stand for {len(rows)} different architectures"
            raise TableMalformed(self._table.path, GENES, found, "each architecture once")
        return rows

    def _canonical(self, row: int, key: Key) -> Key:
        genes = key if isinstance(key, tuple) else ()
        try:
            return self._space.canonical(Architecture(space=self._space.spec.name, genes=genes)).genes
        except InvalidArchitecture as error:
            raise TableMalformed(self._table.path, GENES, f"row {row}: {error}", "genes of the space") from error

    def _key(self, architecture: Architecture) -> Key:
        if self._kind == GENES:
            return self._space.canonical(architecture).genes
        write = getattr(self._space.decode(architecture), "to_string", None)
        if write is None:
            found = f"the architectures of the space {self._space.spec.name} have no strings"
            raise TableMalformed(self._table.path, ARCH, found, f"the column {GENES}")
        return str(write())

    def _row(self, architecture: Architecture) -> int:
        row = self._known.get(architecture.genes)
        if row is None:
            key = self._key(architecture)
            if key not in self._rows:
                found = f"the architecture {key} is not there"
                raise TableMalformed(self._table.path, self._kind, found, "a row for every architecture")
            row = self._known[architecture.genes] = self._rows[key]
        return row

    def _make_curve(self, row: int, seed: int) -> tuple[float, ...]:
        if self._column.ndim == 2:
            return tuple(self._column[row].tolist())
        name = str(self._table.keys[row])
        return tuple(self._noise.curve(self._final[row], self.epochs, architecture=name, seed=seed).tolist())

    def _make_history(self, row: int, seed: int, held_out: bool) -> tuple[EpochMetrics, ...]:
        curve = enumerate(self._curve(row, seed), 1)
        return tuple(_metrics(epoch, accuracy, held_out) for epoch, accuracy in curve)

    def _read_sizes(self) -> list[Size]:
        parameters, multiply_adds = self._table.positive(PARAMETERS), self._table.positive(MULTIPLY_ADDS)
        if parameters is not None and multiply_adds is not None:
            return [Size(int(p), int(m)) for p, m in zip(parameters, multiply_adds, strict=True)]
        if self._space.spec.name != NASBENCH201:
            missing = PARAMETERS if parameters is None else MULTIPLY_ADDS
            expected = f"a column of them, for there is a formula for {NASBENCH201} only"
            raise TableMalformed(self._table.path, missing, "it is not there", expected)
        return [nasbench201(_operations(key)) for key in self._table.keys]

    def _read_seconds(self) -> list[float]:
        told = self._table.positive(SECONDS)
        if told is None:
            work = np.array([size.multiply_adds for size in self._sizes], dtype=np.float64)
            share = (work - work.min()) / max(float(np.ptp(work)), 1.0)
            told = self._options.seconds * (1 + (self._options.spread - 1) * share)
        return list(told.tolist())


def _epochs(column: Numbers, options: TabularOptions) -> int:
    """Returns the epochs that a column stands for: as many as its curves have, else as many as the options say."""
    curves = column.shape[1] if column.ndim == 2 else None
    if curves is None and options.epochs is None:
        raise ImpossibleSetting("trainer.epochs", None, f"the epochs that the column {options.column!r} stands for")
    if None not in (curves, options.epochs) and curves != options.epochs:
        expected = f"{curves}, or nothing, for the column {options.column!r} has a curve of {curves} epochs"
        raise ImpossibleSetting("trainer.epochs", options.epochs, expected)
    return int(curves or options.epochs or 0)


def _finals(column: Numbers) -> Numbers:
    """Returns the best accuracy of each row's epochs, as a training's accuracy is the best so far (facts B0)."""
    return column.max(axis=1) if column.ndim == 2 else column


def _operations(key: Key) -> list[str]:
    """Returns the operations of a cell of NAS-Bench-201, from its string or its genes."""
    if isinstance(key, tuple):
        return [OPERATIONS[gene] for gene in key]
    return [edge.partition("~")[0] for edge in key.replace("+", "").split("|") if edge]


def _metrics(epoch: int, accuracy: float, held_out: bool) -> EpochMetrics:
    lost = loss(accuracy)
    return EpochMetrics(
        epoch=epoch,
        train_loss=lost,
        train_accuracy=accuracy,
        validation_loss=lost if held_out else None,
        validation_accuracy=accuracy if held_out else None,
    )
