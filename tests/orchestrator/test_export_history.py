"""`coldframe export-history`: read back with what reads it in a notebook."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import pytest
from pyarrow import parquet
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.orchestrator.command import coldframe, stored
from tests.orchestrator.telling import accuracy, small_search

NAME = "digits <&> cells"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return stored(small_search(), tmp_path / "store")


def rows(store: Path, path: Path, *options: str) -> list[dict[str, object]]:
    ended = coldframe("export-history", NAME, "--store", store, "--output", path, "--json", *options)
    assert ended.code == 0
    found: list[dict[str, object]] = parquet.read_table(path).to_pylist()
    assert ended.json == {"output": str(path), "rows": len(found), "columns": len(found[0])}
    return found


def test_a_row_for_each_candidate_and_epoch(store: Path, tmp_path: Path) -> None:
    found = rows(store, tmp_path / "deep" / "epochs.parquet")
    keys = [(row["index"], row["epoch"]) for row in found]
    assert keys == sorted(set(keys))
    first = found[0]
    assert first["search"] == NAME
    assert isinstance(first["genes"], list)
    assert set(json.loads(str(first["genotype"]))) >= {"normal", "reduce"}
    assert first["worker"] in {"worker-0", "worker-1", "worker-2"}
    assert first["accuracy"] is not None
    assert {row["epoch"] for row in found} >= {1, 2}


def test_candidates_and_attempts(store: Path, tmp_path: Path) -> None:
    candidates = rows(store, tmp_path / "candidates.parquet", "--what", "candidates")
    shown = coldframe("show", NAME, "--store", store, "--json").json
    best = max((row for row in candidates if row["accuracy"]), key=lambda row: float(str(row["accuracy"])))
    assert best["accuracy"] == pytest.approx(shown["best"][0]["accuracy"])
    assert best["checkpoint"] == shown["best"][0]["checkpoint"]
    attempts = rows(store, tmp_path / "attempts.parquet", "--what", "attempts")
    assert len(attempts) == shown["totals"]["attempts"]
    assert {row["outcome"] for row in attempts} >= {"succeeded", "failed"}


def test_csv_has_the_same(store: Path, tmp_path: Path) -> None:
    path = tmp_path / "epochs.csv"
    assert coldframe("export-history", NAME, "--store", store, "-o", path, "--format", "csv").code == 0
    with path.open(newline="") as file:
        found = list(csv.DictReader(file))
    same = rows(store, tmp_path / "epochs.parquet")
    assert [float(row["accuracy"]) for row in found] == [row["accuracy"] for row in same]
    assert json.loads(found[0]["genes"]) == same[0]["genes"]


def test_tensorboard_has_a_run_for_the_search_and_on_request_for_each_candidate(store: Path, tmp_path: Path) -> None:
    options = ("--format", "tensorboard", "--curves", "--json")
    for _ in range(2):  # the second time replaces the first
        ended = coldframe("export-history", NAME, "--store", store, "--output", tmp_path / "runs", *options)
        assert ended.code == 0
    run = tmp_path / "runs" / "digits ___ cells"
    assert len(list(run.glob("events.*"))) == 1
    read = EventAccumulator(str(run))
    read.Reload()
    assert "accuracy/best" in read.Tags()["scalars"]
    best = [scalar.value for scalar in read.Scalars("accuracy/best")]
    assert best == sorted(best)
    assert best[-1] == pytest.approx(accuracy(3, 4))
    curves = [folder for folder in run.iterdir() if folder.is_dir()]
    assert ended.json["runs"] == 1 + len(curves)


@pytest.mark.parametrize(
    ("package", "options", "extra"),
    [("pyarrow", (), "coldframe[parquet]"), ("tensorboard", ("--format", "tensorboard"), "coldframe[tensorboard]")],
)
def test_an_extra_that_is_not_installed_is_named(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, options: tuple[str, ...], extra: str
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    ended = coldframe("export-history", NAME, "--store", store, "--output", tmp_path / "out", *options)
    assert ended.code == 2
    assert extra in ended.err


def test_a_search_without_candidates_has_a_table_without_rows(tmp_path: Path) -> None:
    from tests.orchestrator.telling import Teller

    teller = Teller()
    teller.open("empty")
    store = stored(teller, tmp_path / "store")
    path = tmp_path / "empty.parquet"
    assert coldframe("export-history", "empty", "--store", store, "--output", path).code == 0
    table = parquet.read_table(path)
    assert (table.num_rows, "accuracy" in table.column_names) == (0, True)
