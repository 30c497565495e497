"""Benchmark tables: both file formats, percent and share, and everything that can be wrong with one."""

from __future__ import annotations

import builtins
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as arrow
import pytest
from pyarrow import parquet

from tests.trainers.tables import architectures, benchmark, columns, write
from trainers import table
from trainers.errors import ImpossibleSetting, TableChanged, TableError, TableMalformed, TableMissing

ROWS = len(architectures())


def write_parquet(folder: Path, **changes: Any) -> Path:
    path = folder / "table.parquet"
    parquet.write_table(
        arrow.table({name: np.asarray(value).tolist() for name, value in columns(**changes).items()}), path
    )
    return path


def refusal(path: Path, *said: str, column: str = "valid", **options: Any) -> str:
    """What is said about a table that cannot be used: exit code 2, its file, and all of `said`."""
    with pytest.raises((TableError, ImpossibleSetting)) as caught:
        benchmark(path, column=column, **options).check_complete()
    assert caught.value.exit_code == 2
    message = str(caught.value)
    assert all(word in message for word in said), message
    return message


@pytest.mark.parametrize("write_table", [write, write_parquet])
def test_both_formats_hold_the_same(tmp_path: Path, write_table: Any) -> None:
    found = table.read(write_table(tmp_path, curves=np.linspace(0.1, 0.9, 4)[None].repeat(ROWS, axis=0)))
    assert found.keys == [one.genes for one in architectures()]
    assert found.accuracies("valid") == pytest.approx(columns()["valid"] / 100)
    assert found.accuracies("curves").shape == (ROWS, 4)
    assert found.positive("parameters") == pytest.approx(columns()["parameters"])
    assert found.positive("seconds") is None


@pytest.mark.parametrize("scale", [1, 0.01])
def test_a_column_is_in_percent_if_a_value_is_more_than_one(tmp_path: Path, scale: float) -> None:
    found = table.read(write(tmp_path, valid=columns()["valid"] * scale))
    assert found.accuracies("valid") == pytest.approx(columns()["valid"] / 100)


def test_numbers_are_as_they_were_written_not_as_a_float32_keeps_them(tmp_path: Path) -> None:
    valid = np.full(ROWS, 82.188, dtype=np.float32)
    assert table.read(write(tmp_path, valid=valid)).accuracies("valid")[0] == 0.82188


def test_a_table_is_known_by_its_content(tmp_path: Path) -> None:
    path = write(tmp_path)
    digest = table.fingerprint(path)
    (tmp_path / "elsewhere").mkdir()
    moved = path.rename(tmp_path / "elsewhere" / "other.npz")
    assert table.fingerprint(moved) == digest
    assert table.load(str(moved), digest).path == str(moved)
    write(tmp_path, valid=columns()["valid"] + 1)
    with pytest.raises(TableChanged, match="put the old table back"):
        table.load(str(path), digest)


@pytest.mark.parametrize("name", ["nothing.npz", "nothing.parquet", "table.csv", ""])
def test_a_table_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "table.csv").write_text("arch,valid\n")
    with pytest.raises(TableMissing) as caught:
        table.fingerprint(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_table_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.chmod(0)
    with pytest.raises(TableMissing, match="Permission denied"):
        table.fingerprint(path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"genes": None}, ("arch", "either arch (strings) or genes")),
        ({"arch": np.array(["x"] * ROWS)}, ("arch", "both arch and genes are there")),
        ({"genes": columns()["genes"] * 1.0}, ("genes", "integers, (rows, positions)")),
        ({"genes": columns()["genes"][:, 0]}, ("genes", "integers, (rows, positions)")),
        ({"genes": columns()["genes"][[0, *range(ROWS - 1)]]}, ("genes", "rows 0 and 1 are both")),
        ({"genes": columns()["genes"] + 7}, ("genes", "row 0", "genes of the space")),
        ({"genes": np.pad(columns()["genes"], ((0, 0), (0, 1)))}, ("genes", "row 0", "8 genes, got 9")),
        ({"genes": None, "arch": np.arange(ROWS)}, ("arch", "one string for each architecture")),
        ({"genes": None, "arch": np.array([f"cell {row}" for row in range(ROWS)])}, ("have no strings", "genes")),
        ({"valid": columns()["valid"][1:]}, ("valid", f"({ROWS - 1},)", f"({ROWS}) or ({ROWS}, epochs)")),
        ({"valid": columns()["valid"][None, None]}, ("valid", "its shape is (1, 1, ")),
        ({"valid": np.array(["good"] * ROWS)}, ("valid", "numbers")),
        ({"valid": np.where(np.arange(ROWS) == 3, np.nan, 50.0)}, ("valid", "row 3, ", "finite numbers")),
        ({"valid": np.full(ROWS, -1.0)}, ("valid", "-1", "0 to 100")),
        ({"valid": np.full(ROWS, 101.0)}, ("valid", "101", "0 to 100")),
        ({"parameters": np.zeros(ROWS)}, ("parameters", "positive numbers")),
        ({"parameters": None}, ("parameters", "nasbench201 only")),
        ({"multiply_adds": np.full(ROWS, np.inf)}, ("multiply_adds", "row 0", "finite numbers")),
        ({"seconds": np.ones((ROWS, 2))}, ("seconds", f"the shape ({ROWS})")),
    ],
)
def test_what_is_wrong_is_named_with_file_key_and_what_was_expected(
    tmp_path: Path, changes: dict[str, Any], said: tuple[str, ...]
) -> None:
    path = write(tmp_path, **changes)
    refusal(path, str(path), *said)


def test_missing_architectures_are_counted_and_one_is_named(tmp_path: Path) -> None:
    part = {name: value[:-2] for name, value in columns().items()}
    np.savez(tmp_path / "part.npz", **part)
    missing = architectures()[-2]
    refusal(tmp_path / "part.npz", f"it lacks 2 of the {ROWS} architectures", str(missing.genes))


def test_encodings_of_one_architecture_are_one_row(tmp_path: Path) -> None:
    """Guards tables that were written in an encoding that is not the canonical one."""
    genes = columns()["genes"]
    turned = genes[:, [2, 3, 0, 1, 4, 5, 6, 7]]
    assert benchmark(write(tmp_path, genes=turned)).final(architectures()[5]) == pytest.approx(
        columns()["valid"][5] / 100
    )
    other = int(np.argmax((turned != genes).any(axis=1)))
    genes[(other + 1) % ROWS] = turned[other]
    refusal(write(tmp_path, genes=genes), f"{ROWS} rows stand for {ROWS - 1} different architectures")


def test_an_unknown_column_is_told_with_those_that_there_are(tmp_path: Path) -> None:
    refusal(write(tmp_path), "vlaid", "expected one of test, valid", column="vlaid")
    refusal(write(tmp_path), "parameters", "expected one of test, valid", column="parameters")
    refusal(write(tmp_path), "tset", "expected one of test, valid", test_column="tset")


def test_epochs_must_be_told_and_agree_with_curves(tmp_path: Path) -> None:
    refusal(write(tmp_path), "trainer.epochs", "the epochs that the column 'valid' stands for", epochs=None)
    curves = write(tmp_path, valid=np.full((ROWS, 4), 0.5))
    assert benchmark(curves, epochs=None).epochs == 4
    refusal(curves, "trainer.epochs is 6", "expected 4, or nothing")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", b"\x93NUMPY"])
@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
def test_a_damaged_file_is_no_table(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"damaged{suffix}"
    path.write_bytes(content)
    with pytest.raises(TableMalformed, match="it cannot be read") as caught:
        table.read(path)
    assert str(path) in str(caught.value)


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "objects.npz", genes=np.array([print, None], dtype=object))
    with pytest.raises(TableMalformed, match="it cannot be read"):
        table.read(tmp_path / "objects.npz")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"valid": [None, *[0.5] * (ROWS - 1)]}, "row 0 has no value"),
        ({"valid": [[0.5, 0.6], *[[0.5]] * (ROWS - 1)]}, "lists of one length"),
    ],
)
def test_gaps_in_a_parquet_file_are_named(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    path = tmp_path / "gaps.parquet"
    whole = {name: np.asarray(value).tolist() for name, value in columns().items()}
    parquet.write_table(arrow.table(whole | changes), path)
    with pytest.raises(TableMalformed, match=said):
        table.read(path)


def test_without_pyarrow_a_parquet_file_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_parquet(tmp_path)
    imports = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return imports(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.delitem(sys.modules, "pyarrow", raising=False)
    with pytest.raises(TableMissing, match=r"pip install 'coldframe\[parquet\]'"):
        table.read(path)
