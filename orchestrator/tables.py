"""Benchmark tables in a spec: a trainer that names a table by its path is known by the table's content instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import trainers.registry
from store.records.candidates import Data, DataSpec, Named
from strategies.spaces.base import Space
from trainers import table
from trainers.errors import DataVariableUnset, TableMissing
from trainers.fingerprint import Told, expand, identity
from trainers.tabular import benchmark

TABULAR = "tabular"
DATA = "table"
"""The data set of a search whose trainer reads a table: there are no images. It need not be written."""


class Tables:
    """The tables that a spec names.

    Attributes:
        paths: where each lies, by its digest.
    """

    def __init__(self) -> None:
        self.paths: dict[str, str] = {}

    def trainer(self, named: Named, space: Space | None) -> Named:
        """Returns a trainer with its defaults written out, and a table's digest in the place of its path.

        Args:
            named: as it stands in the spec.
            space: whose architectures the table must have; None if the spec's cannot be used.

        Raises:
            UnknownTrainer: if there is no such trainer.
            ValidationError: if its options are wrong.
            TableError: if its table cannot be used.
            ImpossibleSetting: if its options do not fit the table.
        """
        options = (
            trainers.registry.entry(named.name)
            .options.model_validate(named.options)
            .model_dump(mode="json", exclude_none=True)
        )
        if named.name == TABULAR:
            path = _path(options["table"])
            options["table"] = table.fingerprint(path)
            self.paths[options["table"]] = str(path)
            if space is not None:
                benchmark(Named(name=TABULAR, options=options), space.spec, str(path)).check_complete()
        return Named(name=named.name, options=options)


def with_data(raw: dict[str, Any]) -> dict[str, Any]:
    """Returns a spec with the data set `table` where it names a tabular trainer and no data."""
    return raw | {"data": {"name": DATA}} if "data" not in raw and _is_tabular(raw) else raw


def data(spec: DataSpec, raw: dict[str, Any], told: Told | None = None) -> Data:
    """Returns the identity of a spec's data; that of `table` is its name, and only a tabular trainer can have it.

    Raises:
        DataError: as `trainers.fingerprint.identity`.
    """
    if spec.name != DATA or not _is_tabular(raw):
        return identity(spec, told)
    return Data(name=DATA, fingerprint=DATA, validation_fraction=spec.validation_fraction, split_seed=spec.split_seed)


def _is_tabular(raw: dict[str, Any]) -> bool:
    trainer = raw.get("trainer")
    return isinstance(trainer, dict) and trainer.get("name") == TABULAR


def _path(written: str) -> Path:
    try:
        return expand(DATA, written)
    except DataVariableUnset as error:
        why = f"trainer.table names ${error.variable}, which is not set: set it, or write the path out"
        raise TableMissing(written, why) from error
