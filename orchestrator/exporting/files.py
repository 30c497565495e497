"""Writes rows as a parquet or a CSV file, whole or not at all."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.errors import ExtraMissing
from orchestrator.exporting.rows import Row

if TYPE_CHECKING:
    import pyarrow

_WHOLE = frozenset(
    {"index", "parent", "cycle", "epochs", "epoch", "reached", "parameters", "multiply_adds", "attempts", "attempt"}
)
_REAL = frozenset(
    {"accuracy", "test_accuracy", "proxy_accuracy", "train_accuracy", "loss", "train_loss", "seconds", "reward"}
)
_TIMES = frozenset({"time", "started"})


def parquet(rows: Sequence[Row], columns: Sequence[str], path: Path) -> None:
    """Writes a parquet file that pandas, polars and pyarrow read with types: times are UTC, genes lists of integers.

    Args:
        rows: maps with the same keys.
        columns: these keys, also where there are no rows.
        path: of the file; it is replaced.

    Raises:
        ExtraMissing: if pyarrow is not installed.
        OSError: if it cannot be written.
    """
    try:
        import pyarrow
        from pyarrow import parquet as files
    except ModuleNotFoundError as error:
        raise ExtraMissing("pyarrow", "parquet") from error
    schema = pyarrow.schema([(name, _type(pyarrow, name)) for name in columns])
    values = {name: [_value(name, row[name]) for row in rows] for name in columns}
    buffer = io.BytesIO()
    files.write_table(pyarrow.Table.from_pydict(values, schema=schema), buffer, compression="zstd")
    _write(path, buffer.getvalue())


def comma_separated(rows: Sequence[Row], columns: Sequence[str], path: Path) -> None:
    """Writes a CSV file: genes as JSON, times in seconds since 1970.

    Raises:
        OSError: if it cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        cells = (row[name] for name in columns)
        writer.writerow([json.dumps(cell) if isinstance(cell, list) else _harmless(cell) for cell in cells])
    _write(path, text.getvalue().encode())


def _type(arrow: Any, name: str) -> pyarrow.DataType:
    if name in _WHOLE:
        return arrow.int64()
    if name in _REAL:
        return arrow.float64()
    if name in _TIMES:
        return arrow.timestamp("us", tz="UTC")
    return arrow.list_(arrow.int32()) if name == "genes" else arrow.string()


def _value(name: str, value: Any) -> Any:
    return round(value * 1e6) if name in _TIMES else value


def _harmless(cell: Any) -> Any:
    """Text that a spreadsheet would take for a formula, preceded by an apostrophe."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in {"=", "+", "-", "@", "\t", "\r"} else cell


def _write(path: Path, data: bytes) -> None:
    fresh = path.with_name(f".{path.name}.new")
    try:
        fresh.write_bytes(data)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
