"""The report: a folder that opens by itself, says what the views say, and shows it legibly."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.report import layout, plots, write
from orchestrator.report.layout import Layout
from orchestrator.report.page import page
from orchestrator.views import Segment, WorkerTimeline, search_view
from strategies.spaces.published import PUBLISHED
from strategies.spaces.registry import create
from tests.orchestrator.telling import SPACE, Teller, accuracy, small_search

PICTURES = {"accuracy.png", "births.png", "progress.png", "workers.png", "cells-1.png", "cells-2.png", "cells-3.png"}
TABLES = {"candidates.csv", "curves.csv", "cycles.csv", "progress.csv", "attempts.csv", "best.json"}


class Reader(HTMLParser):
    """Collects what a page refers to, its pictures' texts, and whether its tags are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.references: list[str] = []
        self.alternatives: list[str] = []
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.references += [value or "" for name, value in attrs if name in {"src", "href", "data", "action"}]
        if tag == "img":
            self.alternatives.append(values.get("alt") or "")
        if tag not in {"meta", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(file: Path) -> Reader:
    reader = Reader()
    reader.feed(file.read_text())
    return reader


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    teller = small_search()
    folder = tmp_path_factory.mktemp("report") / "new" / "folder"
    files = write(teller.history, teller.search, folder)
    assert files[0].name == "report.html"
    assert {file.name for file in files} == {file.name for file in folder.iterdir()}
    return folder


def test_the_folder_holds_the_page_the_plots_and_the_tables(report: Path) -> None:
    assert {file.name for file in report.iterdir()} == {"report.html"} | PICTURES | TABLES
    assert all((report / name).read_bytes().startswith(b"\x89PNG") for name in PICTURES)


def test_the_page_refers_to_nothing_outside_itself(report: Path) -> None:
    reader = read(report / "report.html")
    assert reader.open == [], "every tag is closed"
    assert len(reader.references) == len(PICTURES)
    assert all(reference.startswith("data:image/svg+xml;base64,") for reference in reader.references)
    assert not re.search(r"https?://|url\(|@import|<script", (report / "report.html").read_text())


def test_every_picture_says_in_words_what_it_shows(report: Path) -> None:
    alternatives = read(report / "report.html").alternatives
    assert len(alternatives) == len(PICTURES)
    assert all(len(text) > 20 for text in alternatives)


def test_the_page_has_the_numbers_the_failures_and_the_users_text_escaped(report: Path) -> None:
    page, reader = (report / "report.html").read_text(), read(report / "report.html")
    assert "<title>digits &lt;&amp;&gt; cells: coldframe report</title>" in page
    for name, value in (("epochs trained", 8), ("epochs saved by resuming", 2), ("attempts", 7), ("resumed jobs", 1)):
        assert f"<dt>{name}</dt><dd>{value}</dd>" in page
    assert f"{100 * accuracy(3, 4):.2f} %" in reader.text
    assert "killed by signal 9 <SIGKILL>" in reader.text
    assert "loss is not finite at epoch 1, step 3" in reader.text
    assert "given up" in reader.text


def test_tables_say_the_same_as_the_views(report: Path) -> None:
    candidates = list(csv.DictReader(io.StringIO((report / "candidates.csv").read_text())))
    assert [row["accuracy"] for row in candidates] == [
        str(accuracy(1, 2)),
        str(accuracy(2, 2)),
        str(accuracy(3, 4)),
        "",
    ]
    assert len(candidates[0]["genes"].split()) == 32
    attempts = list(csv.DictReader(io.StringIO((report / "attempts.csv").read_text())))
    assert sum(int(row["epochs_trained"]) for row in attempts) == 8
    assert [row["outcome"] for row in attempts].count("lost") == 1
    cycles = list(csv.DictReader(io.StringIO((report / "cycles.csv").read_text())))
    assert cycles[0] == {"mean_accuracy_E": "0.3", "mean_accuracy_2E": "", "epochs": "8"}
    best = json.loads((report / "best.json").read_text())
    assert best["totals"]["epochs_trained"] == 8
    assert [one["accuracy"] for one in best["best"]] == [accuracy(3, 4), accuracy(2, 2), accuracy(1, 2)]
    assert {"normal", "reduce", "normal_concat", "reduce_concat"} <= set(best["best"][0]["genotype"])


def test_the_page_has_the_rungs_and_when_the_best_was_found(report: Path) -> None:
    text = read(report / "report.html").text
    assert f"{100 * accuracy(3, 4):.2f} % after 8 of 8 epochs" in text
    assert "candidates that were trained that far" in text
    steps = list(csv.DictReader(io.StringIO((report / "progress.csv").read_text())))
    assert [row["epochs_spent"] for row in steps] == ["2", "4", "6", "8"]


def test_a_failure_stands_on_the_page_with_its_last_line(tmp_path: Path) -> None:
    teller = Teller()
    teller.open()
    job = teller.ask(1, 1)
    message = 'Traceback (most recent call last):\n  File "/a/worker.py", line 3, in train\nValueError: by design'
    teller.start(job)
    teller.fail(job, "error", message)
    teller.give_up(job, "error", message)
    view = search_view(teller.history, teller.search)
    text = page(view, [], [])
    assert "ValueError: by design" in text
    assert "worker.py" not in text
    assert text.count("The only network failed, first: ValueError: by design.") == 2, "best candidates and accuracy"


def test_text_in_a_table_is_never_a_formula(tmp_path: Path) -> None:
    teller = Teller()
    teller.open()
    teller.train(1, 1)
    teller.finish([teller.individual(0, 1, 1, origin='=HYPERLINK("elsewhere")')])
    write(teller.history, teller.search, tmp_path)
    (row,) = csv.DictReader(io.StringIO((tmp_path / "candidates.csv").read_text()))
    assert row["origin"].startswith("'=")


def test_an_unfinished_search_and_one_that_has_not_trained_have_reports_too(tmp_path: Path) -> None:
    teller = Teller()
    teller.open()
    write(teller.history, teller.search, tmp_path / "empty", alive=False)
    empty = read(tmp_path / "empty" / "report.html")
    assert "No candidate has been trained yet." in empty.text
    assert empty.references == []
    job = teller.ask(1, 4)
    teller.start(job)
    teller.save(job, 1, 1)
    teller.train(2, 2, worker="worker-2")
    write(teller.history, teller.search, tmp_path / "half", alive=False)
    half = read(tmp_path / "half" / "report.html")
    assert "interrupted" in half.text
    assert len(half.references) == 3, "births, workers and the one cell so far"


def genotypes() -> list[dict[str, Any]]:
    space = create(SPACE)
    found = [space.describe(space.random(np.random.default_rng(seed))) for seed in range(12)]
    return found + [genotype.to_json() for genotype in PUBLISHED.values()]


def boxes(cell: Layout) -> list[tuple[str, float, float, float, float]]:
    heights = {"state": 2 * layout.RADIUS, "operation": 0.3, "waypoint": 0.0}
    return [
        (vertex, x - cell.half[vertex], x + cell.half[vertex], y - heights[kind] / 2, y + heights[kind] / 2)
        for vertex, kind in cell.kind.items()
        for x, y in [cell.place[vertex]]
    ]


@pytest.mark.parametrize("genotype", genotypes(), ids=lambda genotype: str(len(genotype["normal"])))
def test_in_a_drawn_cell_nothing_overlaps_and_no_line_runs_through_a_box(
    genotype: dict[str, Any],
) -> None:
    for kind in ("normal", "reduce"):
        cell = layout.layout(genotype[kind], genotype[f"{kind}_concat"])
        for first, second in itertools.combinations(boxes(cell), 2):
            apart = first[2] <= second[1] or second[2] <= first[1] or first[4] <= second[3] or second[4] <= first[3]
            assert apart, (first, second)
        operations = [cell.label[vertex] for vertex, what in cell.kind.items() if what == "operation"]
        assert operations == [str(operation).replace("_", " ") for operation, _ in genotype[kind]]
        for line in cell.lines:
            xs = [cell.place[vertex][0] for vertex in line]
            assert xs == sorted(xs), "lines run from left to right"


def test_a_gantt_chart_of_thousands_of_jobs_stays_small() -> None:
    segments = [Segment(n, n + 0.9, "j", "train", "train", "succeeded", "", 1) for n in range(3000)]
    figure = plots.gantt([WorkerTimeline("worker-1", "cpu", segments)], [])
    assert figure is not None
    drawn = io.BytesIO()
    figure.savefig(drawn, format="svg")
    assert len(drawn.getvalue()) < 500_000


def test_a_file_in_the_folders_place_is_refused(tmp_path: Path) -> None:
    teller = small_search()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileExistsError):
        write(teller.history, teller.search, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
