"""Benchmark tables for tests: a small space of which a table has everything."""

from __future__ import annotations

import itertools
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from store.records.candidates import Architecture, Candidate, Data, Named, Proxy, Recipe
from strategies.spaces import registry as spaces
from trainers import table
from trainers.benchmark import Benchmark
from trainers.options import TabularOptions

SPACE = Named(name="cell", options={"nodes": 1, "operations": ["skip_connect", "sep_conv_3x3"]})
EPOCHS = 6


def architectures() -> list[Architecture]:
    """Every architecture of the space in its canonical encoding, each once."""
    space = spaces.create(SPACE)
    every = itertools.product(*(range(count) for count in space.choices))
    found = {space.canonical(Architecture(space="cell", genes=genes)).genes for genes in every}
    return [Architecture(space="cell", genes=genes) for genes in sorted(found)]


def columns(**changes: Any) -> dict[str, Any]:
    """The arrays of a sound table; a change to None takes a column out."""
    genes = np.array([one.genes for one in architectures()])
    rows = len(genes)
    share = np.array([zlib.crc32(bytes(row)) % 1000 for row in genes.astype(np.uint8)]) / 1000
    made: dict[str, Any] = {
        "genes": genes,
        "valid": 30 + 60 * share,
        "test": 31 + 60 * share,
        "parameters": 1000 + np.arange(rows),
        "multiply_adds": 10_000 + 100 * np.arange(rows),
    }
    return {name: value for name, value in (made | changes).items() if value is not None}


def write(folder: Path, **changes: Any) -> Path:
    """Writes a table, and returns its path."""
    path = folder / "table.npz"
    np.savez(path, **columns(**changes))
    return path


def benchmark(path: Path, **options: Any) -> Benchmark:
    """What the tabular trainer makes of a table."""
    given = {"table": table.fingerprint(path), "column": "valid", "epochs": EPOCHS} | options
    chosen = TabularOptions(**{name: value for name, value in given.items() if value is not None})
    return Benchmark(table.read(path), chosen, spaces.create(SPACE))


def candidate(path: Path, number: int = 0, *, seed: int = 0, held_out: float = 0.1, **options: Any) -> Candidate:
    """A candidate of the tabular trainer."""
    given = {"table": table.fingerprint(path), "column": "valid", "epochs": EPOCHS} | options
    return Candidate(
        trainer=Named(name="tabular", options=given),
        space=SPACE,
        architecture=architectures()[number],
        proxy=Proxy(),
        recipe=Recipe(),
        data=Data(name="table", fingerprint="table", validation_fraction=held_out),
        seed=seed,
    )
