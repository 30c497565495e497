"""Benchmark tables: what each architecture's training came to, from an `.npz` or a `.parquet` file. Free of torch.

docs/tables.md has the schema. A table is known by the digest of its file's bytes, wherever it lies.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from trainers.errors import TableChanged, TableMalformed, TableMissing

Array = npt.NDArray[Any]
Numbers = npt.NDArray[np.float64]
Key = str | tuple[int, ...]
"""What an architecture is found by: its string, or its genes."""

ARCH, GENES = "arch", "genes"
SECONDS, PARAMETERS, MULTIPLY_ADDS = "seconds", "parameters", "multiply_adds"
RESERVED = frozenset({ARCH, GENES, SECONDS, PARAMETERS, MULTIPLY_ADDS})
SUFFIXES = (".npz", ".parquet")
_DAMAGED = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Table:
    """A table as it was read; a column is checked when it is asked for.

    Attributes:
        path: its file.
        columns: arrays by name, each with a row for every architecture.
        keys: each row's architecture: its string, or its genes.
    """

    path: str
    columns: Mapping[str, Array]
    keys: Sequence[Key]

    def accuracies(self, name: str) -> Numbers:
        """Returns a column of accuracies in [0, 1]: one for each row, (rows,), or curves, (rows, epochs).

        A column in which a value is more than 1 is in percent, any other a share: nobody's networks are all below 1 %.

        Raises:
            TableMalformed: if there is no such column, or it is not of such numbers.
        """
        if name in RESERVED or name not in self.columns:
            known = ", ".join(sorted(set(self.columns) - RESERVED)) or "none"
            raise TableMalformed(self.path, name, "there is no such column of accuracies", f"one of {known}")
        values = self._numbers(name, (1, 2))
        lowest, highest = float(values.min()), float(values.max())
        if lowest < 0 or highest > 100:
            raise TableMalformed(
                self.path, name, f"it has values from {lowest:g} to {highest:g}", "0 to 100 %, or 0 to 1"
            )
        return np.round(values / 100, 12) if highest > 1 else values

    def positive(self, name: str) -> Numbers | None:
        """Returns one of the columns `seconds`, `parameters` and `multiply_adds`, (rows,), or None if it is not there.

        Raises:
            TableMalformed: if it is not of positive numbers.
        """
        if name not in self.columns:
            return None
        found = self._numbers(name, (1,))
        if found.min() <= 0:
            raise TableMalformed(self.path, name, f"its smallest value is {found.min():g}", "positive numbers")
        return found

    def _numbers(self, name: str, dimensions: tuple[int, ...]) -> Numbers:
        """Returns a column as numbers, if it is of finite ones and of a shape with so many dimensions."""
        column, rows = self.columns[name], len(self.keys)
        wanted = " or ".join(f"({rows}{', epochs' * (count - 1)})" for count in dimensions)
        if column.ndim not in dimensions or column.shape[0] != rows or 0 in column.shape:
            raise TableMalformed(self.path, name, f"its shape is {column.shape}", f"the shape {wanted}")
        if column.dtype.kind not in "iuf":
            raise TableMalformed(self.path, name, f"its values are of type {column.dtype}", "numbers")
        if not (finite := np.isfinite(column)).all():
            row = int(np.argwhere(~finite)[0][0])
            raise TableMalformed(self.path, name, f"row {row}, {self.keys[row]}, is {column[row]}", "finite numbers")
        return _exact(column)


def fingerprint(path: Path) -> str:
    """Returns the digest of a table's file, 64 hexadecimal digits; raises `TableMissing` if it cannot be read."""
    if path.suffix not in SUFFIXES or not path.is_file():
        raise TableMissing(str(path))
    try:
        return blake3(path.read_bytes()).hexdigest()
    except OSError as error:
        raise TableMissing(str(path), error.strerror) from error


@lru_cache(maxsize=8)
def load(path: str, digest: str) -> Table:
    """Returns a table by content; it stays in memory for whoever asks next.

    Raises:
        TableMissing: if it is not there or cannot be read.
        TableChanged: if the file has another digest.
        TableMalformed: if it is not a table.
    """
    found = fingerprint(Path(path))
    if found != digest:
        raise TableChanged(path, digest, found)
    return read(Path(path))


def read(path: Path) -> Table:
    """Reads a table.

    Raises:
        TableMissing: if it is a parquet file and pyarrow is not installed.
        TableMalformed: if it has neither `arch` nor `genes`, or both, or an architecture twice; the error names what
            is wrong and what was expected.
    """
    columns = (_read_parquet if path.suffix == ".parquet" else _read_npz)(path)
    named = sorted({ARCH, GENES} & set(columns))
    if len(named) != 1:
        found = (
            f"both {ARCH} and {GENES} are there" if named else f"there are the columns {', '.join(columns) or 'none'}"
        )
        raise TableMalformed(str(path), ARCH, found, f"either {ARCH} (strings) or {GENES} (rows, positions)")
    keys = _strings(path, columns[ARCH]) if named == [ARCH] else _genes(path, columns[GENES])
    _check_different(path, named[0], keys)
    return Table(str(path), columns, keys)


def _read_npz(path: Path) -> dict[str, Array]:
    try:
        with path.open("rb") as file, zipfile.ZipFile(file):  # a single array is no archive
            file.seek(0)
            with np.load(file) as archive:
                return {name: archive[name] for name in archive.files}
    except _DAMAGED as error:
        raise TableMalformed(
            str(path), "file", f"it cannot be read ({error})", "an .npz file of plain arrays"
        ) from error


def _read_parquet(path: Path) -> dict[str, Array]:
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError as error:
        raise TableMissing(str(path), "pyarrow is not installed: pip install 'coldframe[parquet]'") from error
    try:
        found = parquet.read_table(path)
    except (arrow.ArrowException, OSError) as error:
        raise TableMalformed(str(path), "file", f"it cannot be read ({error})", "a parquet file") from error
    return {name: _column(path, name, found.column(name).to_pylist()) for name in found.column_names}


def _column(path: Path, name: str, values: list[Any]) -> Array:
    if None in values:
        raise TableMalformed(str(path), name, f"row {values.index(None)} has no value", "a value in every row")
    try:
        return np.array(values)
    except ValueError as error:  # lists of unequal length
        raise TableMalformed(
            str(path), name, f"its rows have no common shape ({error})", "lists of one length"
        ) from error


def _strings(path: Path, column: Array) -> list[Key]:
    if column.ndim != 1 or column.dtype.kind != "U" or not len(column):
        found = f"an array of {column.dtype} of shape {column.shape}"
        raise TableMalformed(str(path), ARCH, found, "one string for each architecture")
    return list(column.tolist())


def _genes(path: Path, column: Array) -> list[Key]:
    if column.ndim != 2 or column.dtype.kind not in "iu" or 0 in column.shape:
        found = f"an array of {column.dtype} of shape {column.shape}"
        raise TableMalformed(str(path), GENES, found, "integers, (rows, positions)")
    return [tuple(row) for row in column.tolist()]


def _check_different(path: Path, name: str, keys: Sequence[Key]) -> None:
    seen: dict[Key, int] = {}
    for row, key in enumerate(keys):
        if key in seen:
            found = f"rows {seen[key]} and {row} are both {key}"
            raise TableMalformed(str(path), name, found, "each architecture once")
        seen[key] = row


def _exact(column: Array) -> Numbers:
    """Returns numbers as they were written: 82.188 does not become 82.18800354 because it was kept as a float32."""
    short = column.dtype.kind == "f" and column.dtype.itemsize < 8
    return column.astype(np.str_).astype(np.float64) if short else column.astype(np.float64)
