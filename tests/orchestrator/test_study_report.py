"""What people see of a proxy study: the figures of EcoNAS section 3 for its data, the tables, and the words."""

from __future__ import annotations

import csv
import io
import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from scipy.stats import spearmanr

from orchestrator import proxies
from orchestrator.conclusion import conclusion
from orchestrator.report import write
from orchestrator.report.shown import LeftOut, Shown
from orchestrator.report.study import captions, grid, numbers, planes, scatters
from orchestrator.report.study.figures import figures
from orchestrator.report.study.section import sections
from orchestrator.views import search_view
from store.records.studies import Study
from tests.orchestrator.command import coldframe, stored
from tests.orchestrator.studies import full_study, setting, sparse_study, study, told
from tests.orchestrator.test_report import read

NAMES = ["figure-3", "figure-4", "figure-5", "figure-6", "figure-7", "figure-8", "figure-9", "figure-a3", "settled"]


@pytest.fixture(scope="module")
def full() -> Study:
    return full_study()


@pytest.fixture(scope="module")
def sparse() -> Study:
    return sparse_study()


@pytest.fixture(scope="module")
def report(sparse: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    teller = told(sparse)
    folder = tmp_path_factory.mktemp("study")
    write(teller.history, teller.search, folder)
    return folder


def rows(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(file.read_text())))


def shown(found: Study, name: str) -> Shown:
    (figure,) = [one for one in figures(found, {}) if isinstance(one, Shown) and one.name == name]
    return figure


def test_every_figure_has_a_picture_a_caption_and_its_numbers(report: Path) -> None:
    page = read(report / "report.html")
    for name in NAMES:
        assert (report / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert rows(report / f"{name}.csv")
        assert f"Numbers: {name}.csv." in page.text
    assert page.open == []
    assert all(len(text) > 20 for text in page.alternatives)


def test_the_page_begins_with_the_recommendation_then_all_settings_then_the_figures(
    report: Path, sparse: Study
) -> None:
    text = read(report / "report.html").text
    marks = ["Recommended: c4r3s0e60", "It is the best of its group.", "More in settings.csv", "Fig. 3", "Fig. A3"]
    places = [text.index(mark) for mark in marks]
    assert places == sorted(places)
    assert all(one.name in text for one in sparse.settings)
    assert (report / "report.html").read_text().count('class="marked"') == 1
    assert "channels = 8\nresolution = 12\n" in text, "ready to be copied into a spec"


def test_the_files_have_every_setting_network_and_entropy(report: Path, sparse: Study) -> None:
    settings = rows(report / "settings.csv")
    assert [row["setting"] for row in settings] == [one.name for one in sparse.settings]
    assert [float(row["rho"]) for row in settings] == [one.rho for one in sparse.settings]
    assert [row["setting"] for row in settings if row["recommended"] == "True"] == [sparse.recommended]
    assert [row["served_by"] for row in settings[-2:]] == ["c4r3s0e60", ""]
    networks = rows(report / "networks.csv")
    assert [float(row["c0r0s0e600"]) for row in networks] == list(sparse.reference)
    assert [float(row["c4r3s0e60"]) for row in networks] == list(
        next(one.accuracies for one in sparse.settings if one.name == "c4r3s0e60")
    )
    assert len(rows(report / "entropies.csv")) == len(sparse.entropies)
    assert Study.model_validate(json.loads((report / "study.json").read_text())) == sparse


def test_ranks_are_those_that_rho_is_made_of(full: Study) -> None:
    found = numbers.extremes(full)
    assert found is not None
    low, high = found
    assert low.setting.rho == min(one.rho for one in full.settings if one.rho is not None)
    for one in found:
        assert one.setting.rho == pytest.approx(spearmanr(one.original, one.reduced).statistic)
    assert low.moved > high.moved


def test_a_network_that_failed_is_in_no_rank(sparse: Study) -> None:
    first, *others = sparse.settings
    broken = first.model_copy(update={"accuracies": (None, *first.accuracies[1:]), "rho": -1.0})
    found = numbers.extremes(sparse.model_copy(update={"settings": (broken, *others)}))
    assert found is not None
    assert found[0].networks == tuple(range(1, 24))
    assert max(found[0].original) <= 23
    assert sum(found[0].original) == sum(range(1, 24)), "ranks among those that are left"


def test_means_are_over_the_same_settings_along_a_line(sparse: Study) -> None:
    group, others = grid.comparable(sparse)
    assert others == 2, "one was cut off and has another cosine, one has another depth"
    found = numbers.means(group)
    assert found is not None
    by = {one.name: one.rho or 0.0 for one in group}
    for epochs in (30, 60):
        expected = np.mean([by[f"{size}s0e{epochs}"] for size in ("c0r1", "c2r1", "c2r3", "c4r3")])
        (mean,) = [one.mean for one in found.line(1.0) if one.epochs == epochs]
        assert mean == pytest.approx(expected), "c4r1 has no e30, so it does not count at e60 either"
    assert sorted(found.same_iterations) == sorted(
        [(by["c4r3s0e30"], by["c4r3s1e60"]), (by["c4r3s0e60"], by["c4r3s1e120"])]
    )


def test_planes_are_the_fullest_and_have_the_recorded_entropies(full: Study) -> None:
    group, _ = grid.comparable(full)
    fifth = grid.plane(full, group, "c", "r", recommended=True)
    assert fifth is not None
    assert fifth.fixed == (("s", 1.0), ("e", 60.0)), "where the recommended setting is"
    assert (fifth.columns, fifth.rows) == ((36, 24, 18, 12, 8), (32, 24, 16, 12, 8))
    assert len(fifth.settings) == 25
    entropy = next(one.value for one in full.entropies if (one.factor, one.fixed) == ("c", "r3s0e60"))
    assert fifth.along_x[12.0] == entropy
    sixth = grid.plane(full, group, "r", "e")
    assert sixth is not None
    assert sixth.fixed == (("c", 36.0), ("s", 1.0)), "as in the paper, next to the original setting"
    assert sixth.rows == (30, 60, 90, 120)


def test_a_map_prints_every_rho_and_a_hole_where_there_is_none(sparse: Study) -> None:
    group, _ = grid.comparable(sparse)
    found = grid.plane(sparse, group, "c", "r", recommended=True)
    assert found is not None
    assert len(found.settings) == 5, "of the 6 cells"
    _, heat = planes.drawn([found]).axes
    printed = [text.get_text() for text in heat.texts if not isinstance(text, Annotation)]
    assert sorted(printed) == sorted(f"{one.rho:.2f}" for one in found.settings)
    assert len(heat.patches) == 6


def boxes(figure: Figure) -> list[tuple[float, float, float, float]]:
    figure.canvas.draw()
    notes = [text for text in figure.axes[0].texts if isinstance(text, Annotation)]
    extents = [Text.get_window_extent(note).extents for note in notes]
    return [(float(left), float(low), float(right), float(high)) for left, low, right, high in extents]


@pytest.mark.parametrize("kind", ["full", "sparse"])
def test_names_in_the_scatter_overlap_neither_each_other_nor_the_edge(
    kind: str, request: pytest.FixtureRequest
) -> None:
    found: Study = request.getfixturevalue(kind)
    figure = scatters.consistency(found, numbers.points(found, tolerant=False), tolerant=False)
    placed = boxes(figure)
    assert len(placed) >= len(found.groups)
    for one, other in combinations(placed, 2):
        apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
        assert apart, (one, other)
    left, low, right, high = figure.axes[0].get_window_extent().extents
    assert all(left <= box[0] and box[2] <= right and low <= box[1] and box[3] <= high for box in placed)


def test_a_setting_beside_the_grid_is_named_and_no_part_of_the_grids_figures(sparse: Study) -> None:
    scatter = shown(sparse, "figure-8")
    assert "Beside the grid (diamonds): c0r0s0e20-NASNet" in scatter.caption
    assert "c0r0s0e20-NASNet" in [row[0] for row in scatter.rows]
    for name in ("figure-5", "figure-6"):
        assert "c0r0s0e20-NASNet" not in [row[0] for row in shown(sparse, name).rows]
        assert "Left out: 2 settings of another depth, recipe or cosine." in shown(sparse, name).caption


def test_words_follow_the_data(full: Study) -> None:
    """The made-up noise grows with channels and shrinks with epochs; turned round, the words turn round too."""
    group, _ = grid.comparable(full)
    rising = grid.plane(full, group, "c", "e")
    assert rising is not None
    assert "With fewer channels rho rises in 4 and falls in 0 of 4 lines" in captions.plane(rising)
    turned = grid.Plane(
        **{name: getattr(rising, name) for name in ("x", "y", "fixed", "columns", "rows", "cells", "along_y")},
        along_x={row: -(value or 0.0) for row, value in rising.along_x.items()},
    )
    assert "With fewer channels rho rises in 0 and falls in 4 of 4 lines" in captions.plane(turned)
    gaps = numbers.gaps(full)
    assert "settings that overfit more keep the ranks worse" in captions.gaps(gaps)
    opposite = [gap._replace(rho=-gap.rho) for gap in gaps]
    assert "settings that overfit more keep the ranks better" in captions.gaps(opposite)


def test_figures_of_factors_that_were_not_varied_are_left_out_and_it_is_said_why() -> None:
    narrow = study([(c, 1, 0, 60) for c in (0, 2, 4)], networks=12, recommended="c4r1s0e60")
    left_out = {one.title: one.why for one in figures(narrow, {}) if isinstance(one, LeftOut)}
    assert [title.partition(":")[0] for title in left_out] == ["Fig. 4", "Fig. 5", "Fig. 6"]
    assert left_out["Fig. 4: sample ratio and epochs"] == (
        "the grid did not vary the epochs (all settings have e = 60)"
    )
    assert "did not vary the resolution (all settings have r = 24)" in left_out["Fig. 5: channels and resolution"]
    assert "both" not in left_out["Fig. 5: channels and resolution"]


def test_a_study_of_which_nothing_is_known_has_its_sections_and_says_that_all_failed() -> None:
    empty = setting((0, 0, 0, 30), 5).model_copy(
        update={
            "accuracies": (None,) * 5, "gaps": (None,) * 5, "rho": None, "rho_equation": None, "tolerant": None,
            "interval": None, "acceleration": None, "nominal": None, "retained": {}, "images": None,
        }
    )  # fmt: skip
    bare = study([], networks=5, recommended="").model_copy(
        update={"settings": (empty,), "recommended": None, "why": ("No setting is recommended.",), "bins": ()}
    )
    found = figures(bare, {})
    assert all(isinstance(one, LeftOut) for one in found)
    text = "".join(sections(bare, found, []))
    assert "No setting is recommended: every network failed in every setting." in text
    assert "Fig. 5: channels and resolution: no setting of a grid has a rho." in text
    assert "Fig. 7: overfitting: there are not two settings with a rho." in text
    assert "Fig. 8: rho against acceleration: no setting has a rho." in text
    assert "Fig. A3: tolerant rho against acceleration: no setting has a tolerant rho." in text
    nothing = bare.model_copy(update={"reference": (None,) * 5})
    assert proxies.recommendation(nothing).endswith("failed in every setting, and in the original one")
    reduced = bare.model_copy(
        update={"reference": (None,) * 5, "settings": (empty.model_copy(update={"accuracies": (0.5,) * 5}),)}
    )
    assert proxies.recommendation(reduced).endswith("every network failed in the original setting (c0r0s0e600)")
    assert [proxies.row(empty)[at] for at in (6, 9)] == ["-", "-"], "neither a rho nor networks that were retained"


def test_a_figure_is_left_out_for_the_reason_that_holds(sparse: Study) -> None:
    settings = [one.model_copy(update={"acceleration": None, "gaps": (None,) * 24}) for one in sparse.settings]
    unknown = sparse.model_copy(update={"settings": tuple(settings)})
    why = {one.title: one.why for one in figures(unknown, {}) if isinstance(one, LeftOut)}
    assert "do not say how far" in why["Fig. 7: overfitting"]
    assert (
        "the cost of the original setting or of the reduced ones is unknown" in why["Fig. 8: rho against acceleration"]
    )


def test_captions_tell_of_marks_only_that_are_drawn(sparse: Study) -> None:
    assert "Star (green): c4r3s0e60, the recommended setting" in shown(sparse, "figure-8").caption
    assert "Squares (orange)" in shown(sparse, "figure-8").caption
    unsure = sparse.model_copy(update={"recommended": None, "groups": ()})
    assert "Star" not in shown(unsure, "figure-8").caption
    assert "Squares" not in shown(unsure, "figure-8").caption


def test_a_study_whose_settings_have_a_tolerant_rho_only_has_that_figure(sparse: Study) -> None:
    """Equally good networks everywhere: Spearman's coefficient is not defined, the tolerant one is 1."""
    alike = [one.model_copy(update={"rho": None, "tolerant": 1.0}) for one in sparse.settings]
    equal = sparse.model_copy(
        update={"settings": tuple(alike), "groups": (), "bins": (), "recommended": None, "tolerant_agreement": None}
    )
    assert "The largest tolerant rho is 1.00" in shown(equal, "figure-a3").caption
    assert "figure-8" not in [one.name for one in figures(equal, {}) if isinstance(one, Shown)]


def test_the_end_of_a_run_says_the_recommendation_and_the_best_settings(full: Study) -> None:
    teller = told(full)
    lines = list(conclusion(search_view(teller.history, teller.search)))
    at = lines.index("recommended: c4r4s0e60 (channels 8, resolution 8, sample ratio 1, cells 20, 60 epochs)")
    assert lines[at + 1] == "  Use c4r4s0e60: made up for a test."
    names = [line.split()[0] for line in lines[at + 5 : at + 15]]
    assert names == [one.name for one in proxies.ranked(full)[:10]]
    assert lines[at + 15].startswith("c4r4s0e60 "), "the recommended one, though it is not among the ten best"
    assert lines[at + 16].startswith("... 200 settings in all")


def test_show_prints_the_recommendation_and_every_setting(sparse: Study, tmp_path: Path) -> None:
    store = stored(told(sparse), tmp_path / "store")
    out = coldframe("show", "proxies", "--store", store).out
    assert out.isascii()
    after = out[out.index("recommended: c4r3s0e60") :].splitlines()
    table = after[after.index("") + 1 :]
    assert table[0].split()[:3] == ["setting", "c", "r"]
    assert [line.split()[0] for line in table[1:]] == [one.name for one in proxies.ranked(sparse)]
    chosen = next(line for line in table if line.startswith("c4r3s0e60 "))
    (record,) = [one for one in sparse.settings if one.name == "c4r3s0e60"]
    assert record.interval is not None
    assert f"{record.rho:.2f}" in chosen
    assert "{:.2f} to {:.2f}".format(*record.interval) in chosen
    assert f"{record.acceleration:,.0f}x" in chosen
    found = coldframe("show", "proxies", "--store", store, "--json").json
    assert Study.model_validate(found["study"]) == sparse
