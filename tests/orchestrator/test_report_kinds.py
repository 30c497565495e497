"""The report and the end of a run for searches of other kinds: rungs, retrained networks, NAS-Bench-201, no epochs."""

from __future__ import annotations

import csv
import io
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.patches import FancyArrowPatch

from orchestrator import recipes
from orchestrator.conclusion import conclusion
from orchestrator.report import benchcell, cells, write
from orchestrator.views import progress, rungs, search_view
from store.records.candidates import Proxy, Recipe
from strategies.spaces.registry import create
from tests.orchestrator.command import coldframe, stored
from tests.orchestrator.telling import SPACE, Teller, accuracy
from tests.orchestrator.test_report import read
from trainers.recipe import named

ARCH = "|nor_conv_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|avg_pool_3x3~0|none~1|nor_conv_3x3~2|"


def retraining(*, finished: bool = True) -> Teller:
    """Two networks that were trained on all images; one has been tested, or both and the search is over."""
    teller = Teller(held_out=0.0)
    teller.open("winners")
    for seed in (1, 2):
        teller.train(seed, 2)
    teller.test(1, 2)
    if finished:
        teller.test(2, 2)
        found = [
            teller.individual(seed - 1, seed, 2, test_accuracy=0.9 + 0.01 * seed, proxy_accuracy=0.8, origin="given")
            for seed in (1, 2)
        ]
        teller.finish(found)
    return teller


def test_progress_counts_each_epoch_of_a_candidate_once_in_the_order_of_the_ends() -> None:
    teller = Teller()
    teller.open()
    late = teller.ask(5, 2)
    teller.start(late, "worker-2")
    teller.train(1, 2)
    teller.save(late, 5, 2)
    teller.succeed(late, 5, 2)
    teller.train(1, 4, start=2)
    teller.ask(1, 2, answer="memo")
    steps = progress(teller.history, teller.search)
    assert [(step.spent, step.epochs, step.accuracy) for step in steps] == [
        (2, 2, accuracy(1, 2)),
        (4, 2, accuracy(5, 2)),
        (6, 4, accuracy(1, 4)),
    ]
    assert [step.best for step in steps] == list(itertools.accumulate((s.accuracy for s in steps), max))
    found = rungs(steps)
    assert [(rung.epochs, rung.candidates, rung.best) for rung in found] == [
        (2, 2, accuracy(5, 2)),
        (4, 1, accuracy(1, 4)),
    ]
    assert found[0].mean == pytest.approx((accuracy(1, 2) + accuracy(5, 2)) / 2)
    assert rungs(steps[:2]) == [], "all ended alike: these are no rungs"


def test_what_another_search_paid_for_counts_when_the_store_answers() -> None:
    teller = Teller()
    teller.open("first", "a" * 64)
    teller.train(1, 2)
    teller.interrupt()
    teller.open("second", "b" * 64, pid=200)
    teller.search = "b" * 64
    teller.ask(1, 2, answer="memo")
    teller.train(2, 2)
    assert [step.spent for step in progress(teller.history, "b" * 64)] == [2, 4]


def test_candidates_that_are_trained_in_several_settings_are_not_compared() -> None:
    teller = Teller()
    teller.open()
    teller.train(1, 2)
    teller.held_out = 0.2
    teller.train(2, 2)
    assert progress(teller.history, teller.search) == []


def test_the_report_of_a_retraining_has_test_accuracies_and_the_curves_of_training(tmp_path: Path) -> None:
    teller = retraining()
    write(teller.history, teller.search, tmp_path)
    page = read(tmp_path / "report.html")
    assert "Retrained networks" in page.text
    assert "best test accuracy92.00 %" in page.text
    table = page.text[page.text.index("Retrained networks") :]
    assert table.index("92.00 %") < table.index("91.00 %"), "the best first"
    assert "80.00 %" in table
    assert {file.name for file in tmp_path.glob("*.png")} == {
        "training.png",
        "workers.png",
        "cells-1.png",
        "cells-2.png",
    }
    rows = list(csv.DictReader(io.StringIO((tmp_path / "candidates.csv").read_text())))
    assert [(row["accuracy"], row["test_accuracy"], row["proxy_accuracy"]) for row in rows] == [
        ("", "0.91", "0.8"),
        ("", "0.92", "0.8"),
    ]
    curve = list(csv.DictReader(io.StringIO((tmp_path / "curves.csv").read_text())))
    assert [(row["validation_accuracy"], row["train_accuracy"]) for row in curve[:2]] == [
        ("", str(accuracy(1, 1))),
        ("", str(accuracy(1, 2))),
    ]


def test_the_end_of_a_retraining_has_a_table_of_test_and_proxy_accuracies(tmp_path: Path) -> None:
    teller = retraining()
    lines = list(conclusion(search_view(teller.history, teller.search)))
    at = next(index for index, line in enumerate(lines) if line.startswith("best"))
    assert lines[at].split()[:4] == ["best", "test", "in", "search"]
    assert lines[at + 1].split()[:5] == ["1", "92.00", "%", "80.00", "%"]
    assert lines[at + 1].endswith(teller.candidate(2).id[:12])
    assert lines[at + 3].startswith("recipe: ")
    store = stored(teller, tmp_path / "store")
    assert lines[at + 1] in coldframe("show", "winners", "--store", store).out.splitlines()
    assert coldframe("list", "--store", store, "--json").json[0]["best_test_accuracy"] == pytest.approx(0.92)
    assert "92.00 % (test)" in coldframe("list", "--store", store).out


def test_an_unfinished_retraining_shows_what_is_tested_so_far() -> None:
    teller = retraining(finished=False)
    view = search_view(teller.history, teller.search)
    (line,) = [line for line in conclusion(view) if line.endswith(teller.candidate(1).id[:12])]
    assert line.split()[:3] == ["1", f"{100 * accuracy(1, 2) - 1:.2f}", "%"]
    untested = Teller(held_out=0.0)
    untested.open()
    untested.train(1, 2)
    words = list(conclusion(search_view(untested.history, untested.search)))
    assert "1 network trained, none tested yet" in words


def spec(recipe: Recipe, proxy: Proxy) -> dict[str, Any]:
    return {"recipe": recipe.model_dump(), "proxy": proxy.model_dump()}


def test_a_recipe_is_called_by_the_published_name_that_it_follows() -> None:
    known = named("nasbench201-12")
    assert recipes.called(spec(known.recipe, known.proxy)) == "nasbench201-12"
    shorter = known.recipe.model_copy(update={"schedule_epochs": 5})
    assert recipes.called(spec(shorter, known.proxy)).startswith("nasbench201"), "a length is no change"
    smaller = known.recipe.model_copy(update={"batch_size": 64})
    assert recipes.called(spec(smaller, known.proxy)) == "nasbench201-12, but recipe.batch_size 64"
    other = Recipe(batch_size=1, learning_rate=3, momentum=0, weight_decay=0, gradient_clip=1, padding=0, flip=False)
    assert recipes.called(spec(other, Proxy(channels=1, cells=3))) == recipes.OWN


def test_a_bench_cell_is_drawn_with_all_edges_and_none_is_dotted() -> None:
    figure = cells.drawn({"arch": ARCH})
    assert figure is not None
    (axes,) = figure.axes
    arcs = [patch for patch in axes.patches if isinstance(patch, FancyArrowPatch)]
    assert sorted(arc.get_linestyle() for arc in arcs) == ["-"] * 5 + [":"]
    labels = [text.get_text() for text in axes.texts]
    assert sorted(labels) == sorted(
        ["conv 3x3", "conv 1x1", "skip", "avg pool 3x3", "none", "conv 3x3", "0", "1", "2", "3"]
    )


def test_nothing_in_a_drawn_bench_cell_overlaps_or_is_cut_off() -> None:
    figure = benchcell.drawn(ARCH)
    figure.draw_without_rendering()
    extents = [text.get_window_extent().extents for text in figure.axes[0].texts]
    for one, other in itertools.combinations(extents, 2):
        assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
    width, height = figure.bbox.size
    assert all(box[0] >= 0 and box[1] >= 0 and box[2] <= width and box[3] <= height for box in extents)


def test_cells_are_told_in_words_for_those_who_cannot_see_them() -> None:
    assert cells.told({"arch": ARCH}) == (
        "Node 0 is the input, node 3 the output; node 1 adds conv 3x3 of node 0; node 2 adds conv 1x1 of node 0 and "
        "skip of node 1; node 3 adds avg pool 3x3 of node 0 and conv 3x3 of node 2."
    )
    space = create(SPACE)
    genotype = space.describe(space.random(np.random.default_rng(0)))
    words = cells.told(genotype)
    for operation, _ in genotype["normal"] + genotype["reduce"]:
        assert str(operation).replace("_", " ") in words
    assert words.startswith("Normal cell: node 0 adds ")
