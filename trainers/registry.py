"""The trainers by name. Loading one is left to the worker: this module and the options are free of torch."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pydantic import ValidationError

from store.records.base import Config
from store.records.candidates import Named
from store.records.outcomes import Evaluated, Measured, Trained
from strategies.spaces import plugins
from trainers.errors import ImpossibleSetting, UnknownTrainer
from trainers.options import CellOptions, ScriptedOptions, TabularOptions

if TYPE_CHECKING:
    from trainers.job import Job


class Trainer(Protocol):
    """What does a worker's jobs. One instance serves all jobs of a worker, so it may keep data sets between them.

    A class is made without arguments; the options of a job's candidate are `job.options`, its device `job.device`.
    While it works it calls `job.alive` at every step, saves when `job.checkpoint_due` or an epoch ends, and after a
    save raises `Stopping` if `job.stop_requested`.
    """

    def train(self, job: Job) -> Trained:
        """Trains the candidate of a `Train` request from `job.resume`, or from the beginning, to its epochs."""
        ...

    def evaluate(self, job: Job) -> Evaluated:
        """Scores the candidate of an `Evaluate` request with the weights of the checkpoint that it names."""
        ...

    def measure(self, job: Job) -> Measured:
        """Counts what the network of a `Measure` request costs."""
        ...


class Entry(NamedTuple):
    """A trainer that can be named: what may be set, and the class as `module:Class`."""

    options: type[Config]
    target: str


TRAINERS: Mapping[str, Entry] = {
    "cell": Entry(CellOptions, "trainers.cell:CellTrainer"),
    "scripted": Entry(ScriptedOptions, "trainers.scripted:ScriptedTrainer"),
    "tabular": Entry(TabularOptions, "trainers.tabular:TabularTrainer"),
}


def entry(name: str) -> Entry:
    """Returns what is known of a trainer.

    Raises:
        UnknownTrainer: if no trainer goes by the name; the message lists those that there are.
        PluginBroken: if it is a distribution's, and cannot be used.
    """
    if name in TRAINERS:
        return TRAINERS[name]
    if (own := plugins.load(plugins.TRAINERS, name, Entry)) is not None:
        return own
    raise UnknownTrainer(name, [*TRAINERS, *plugins.names(plugins.TRAINERS)])


def options(named: Named) -> Config:
    """Returns the checked options of a trainer, defaults filled in.

    Raises:
        UnknownTrainer: if there is no such trainer.
        ImpossibleSetting: if an option is unknown or its value is not allowed; names the first one.
    """
    model = entry(named.name).options
    try:
        return model.model_validate(named.options)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(["trainer", *map(str, first["loc"])])
        raise ImpossibleSetting(key, first["input"], first["msg"]) from error


def load(name: str) -> Trainer:
    """Imports a trainer and makes an instance; this is where torch comes in, if the trainer needs it.

    Raises:
        UnknownTrainer: if there is no such trainer.
    """
    module, _, attribute = entry(name).target.partition(":")
    trainer: Trainer = getattr(importlib.import_module(module), attribute)()
    return trainer
