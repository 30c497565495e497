"""What people see of a search by reinforcement learning: figures, tables and words, with every set of modules."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from orchestrator import sampling
from orchestrator.conclusion import conclusion
from orchestrator.report import write
from orchestrator.report.agent import critic, rewards
from orchestrator.report.agent.figures import figures
from orchestrator.report.shown import LeftOut, Shown
from orchestrator.views import PoolUse, search_view
from orchestrator.views.samples import Samples, samples
from store.records import arrays
from store.records.events import StateSaved
from strategies.fnas.batch import Sample
from strategies.fnas.ledger import Iteration, Ledger
from tests.orchestrator import agents
from tests.orchestrator.command import coldframe, stored
from tests.orchestrator.test_report import read

ALL = {"rewards", "sources", "calibration", "trust", "pool", "similarity", "costs", "learning"}
SWITCHES = [
    dict(zip(("critic", "pool", "buffer"), on, strict=True)) for on in itertools.product((True, False), repeat=3)
]
USE = PoolUse(networks=2, inheriting=1, blocks=8, hits=6, matches=4, pooled=2)


def known(curves: Mapping[str, Any]) -> Samples:
    found = samples(curves)
    assert found is not None
    return found


def shown(curves: Mapping[str, Any], use: PoolUse = USE, **options: Any) -> dict[str, Shown]:
    found = itertools.chain.from_iterable(figures(known(curves), use, agents.options(**options)).values())
    return {one.name: one for one in found if isinstance(one, Shown)}


def rows(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(file.read_text())))


@pytest.fixture(scope="module")
def curves() -> dict[str, Any]:
    return agents.curves()


@pytest.fixture(scope="module")
def report(curves: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    teller, folder = agents.searched(curves, networks=1), tmp_path_factory.mktemp("agent")
    write(teller.history, teller.search, folder)
    return folder


def test_every_figure_has_a_picture_a_caption_and_its_numbers(report: Path) -> None:
    page = read(report / "report.html")
    for name in ALL:
        assert (report / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert rows(report / f"{name}.csv")
        assert f"Numbers: {name}.csv." in page.text
    assert page.open == []
    assert all(len(text) > 20 for text in page.alternatives)
    assert "Left out" not in page.text


def test_the_files_have_every_sample_and_iteration_as_the_strategy_gave_them(
    report: Path, curves: dict[str, Any]
) -> None:
    found = rows(report / "samples.csv")
    for name in agents.SAMPLE:
        assert [row[name] for row in found] == [
            "" if value is None else str(value) for value in curves[f"sample_{name}"]
        ], name
    assert [row["sample"] for row in found] == [str(number) for number in range(1, 97)]
    iterations = rows(report / "iterations.csv")
    for name in (*(f"iteration_{one}" for one in agents.ITERATION), "loss_policy", "loss_value"):
        column = name.removeprefix("iteration_")
        assert [row[column] for row in iterations] == ["" if value is None else str(value) for value in curves[name]], (
            name
        )
    assert (report / "cycles.csv").read_text().strip() == "", "samples are no cycles"
    candidates = rows(report / "candidates.csv")
    trained = [row for row in found if row["source"] == "trained"]
    assert [row["candidate"] for row in trained[:1]] == [row["candidate"] for row in candidates]


def test_the_page_has_the_samples_by_source_with_their_shares(report: Path, curves: dict[str, Any]) -> None:
    text, page = read(report / "report.html").text, (report / "report.html").read_text()
    sources = curves["sample_source"]
    for row in rows(report / "sources.csv"):
        places = [place for place, one in enumerate(sources) if one == row["source"]]
        assert int(row["samples"]) == len(places)
        assert float(row["share"]) == pytest.approx(len(places) / 96)
        assert float(row["best_reward"]) == max(curves["sample_reward"][place] for place in places)
        mean = fmean(curves["sample_reward"][place] for place in places)
        assert float(row["mean_reward"]) == pytest.approx(mean)
        assert f'<td class="number">{len(places)}</td><td class="number">{100 * len(places) / 96:.1f} %</td>' in page
        assert f"{mean:.4f}" in text
    trained = sources.count("trained")
    assert f"<dt>samples that were trained</dt><dd>{trained} of 96</dd>" in page
    best = max(r for r, s in zip(curves["sample_reward"], sources, strict=True) if s == "trained")
    assert f"<dt>best reward</dt><dd>{best:.4f}</dd>" in page


def test_the_running_mean_is_of_new_samples_and_the_best_of_trained_ones(curves: dict[str, Any]) -> None:
    found = rewards.traces(known(curves))
    rewarded = list(zip(curves["sample_source"], curves["sample_reward"], strict=True))
    assert found[0].mean is None, "of ten or none"
    for place in (20, 50, 95):
        new = [reward for source, reward in rewarded[: place + 1] if source != "exploited"]
        assert found[place].mean == pytest.approx(fmean(new[-10:]))
        assert found[place].best == max(reward for source, reward in rewarded[: place + 1] if source == "trained")


def test_calibration_is_of_the_errors_that_were_made_before_learning(curves: dict[str, Any]) -> None:
    found = critic.predictions(known(curves))
    trusting = [curves["iteration_threshold"][number - 1] is not None for number in curves["sample_iteration"]]
    for name, values in (
        ("error", [one.error for one in found]),
        ("uncertainty", [one.uncertainty for one in found]),
        ("value", [one.value for one in found]),
    ):
        rows_of = zip(curves[f"sample_{name}"], curves["sample_error"], trusting, strict=True)
        assert values == [value for value, error, after in rows_of if error is not None and after], name
    groups = critic.bins(found)
    assert sum(group.samples for group in groups) == len(found)
    assert all(one.high <= other.low for one, other in itertools.pairwise(groups))
    caption = shown(curves)["calibration"].caption
    rho = spearmanr([one.uncertainty for one in found], [one.error for one in found]).statistic
    assert f"Spearman's coefficient of the two is {rho:.2f}." in caption
    assert f"the mean of |V - R| is {fmean(one.error for one in found):.4f}" in caption


def test_trust_has_the_threshold_and_the_sources_of_each_iteration(curves: dict[str, Any]) -> None:
    found = critic.trusts(known(curves))
    assert [one.threshold for one in found] == curves["iteration_threshold"]
    assert [one.counts["trained"] for one in found] == curves["iteration_trained"]
    assert {sum(one.counts.values()) for one in found} == {8}
    caption = shown(curves)["trust"].caption
    assert f"{sum(curves['iteration_discarded'])} further trusted draws thrown away" in caption


def test_pool_ratios_and_similarities_are_those_of_the_curves(curves: dict[str, Any]) -> None:
    found = shown(curves)
    assert [row[1:] for row in found["pool"].rows] == [
        list(pair) for pair in zip(curves["iteration_hit_ratio"], curves["iteration_match_ratio"], strict=True)
    ]
    assert [row[2] for row in found["similarity"].rows] == curves["similarity_histogram"]
    assert "in all 75.0 % and 50.0 % of 8 blocks" in found["pool"].caption
    assert "From the bar at 0.5 on" in found["similarity"].caption


def test_costs_are_of_trained_samples_and_tell_of_the_target(curves: dict[str, Any]) -> None:
    found = shown(curves)["costs"]
    costs = [c for c, s in zip(curves["sample_cost"], curves["sample_source"], strict=True) if s == "trained"]
    assert [row[1] for row in found.rows] == costs
    kept = sum(cost <= agents.TARGET for cost in costs)
    assert f"the target, 2.00 M multiply-adds, which {kept} of them keep" in found.caption
    assert "the target" not in shown(curves, target=None)["costs"].caption
    latency = shown(curves, cost="latency", target=1.5e6)["costs"]
    assert latency.headings[1] == "latency"
    assert " ms" in latency.caption


@pytest.mark.parametrize("switches", SWITCHES, ids=lambda on: "+".join(name for name in on if on[name]) or "plain")
def test_figures_of_modules_that_are_off_are_left_out_with_the_reason(switches: dict[str, bool]) -> None:
    found = agents.curves(**switches)
    use = USE if switches["pool"] else PoolUse()
    wanted = {"rewards", "costs", "learning"}
    wanted |= {"calibration", "trust"} if switches["critic"] else set()
    wanted |= {"pool", "similarity"} if switches["pool"] else set()
    wanted |= {"sources"} if switches["critic"] or switches["buffer"] else set()
    assert set(shown(found, use)) == wanted
    everything = itertools.chain.from_iterable(figures(known(found), use, agents.options()).values())
    assert all(one.why for one in everything if isinstance(one, LeftOut))
    for figure in shown(found, use).values():
        assert isinstance(figure.draw(), Figure)
        assert len({len(row) for row in figure.rows} | {len(figure.headings)}) == 1


def test_plain_ppo_has_a_page_without_what_it_did_not_have(tmp_path: Path) -> None:
    off = agents.curves(critic=False, pool=False, buffer=False)
    off |= {name: [None] * 96 for name in ("sample_value", "sample_uncertainty", "sample_error")}
    teller = agents.searched(off, pool=False, networks=0, similarity=None)
    write(teller.history, teller.search, tmp_path)
    text = read(tmp_path / "report.html").text
    assert "the search has no critic" in text
    assert "the search asked no knowledge pool" in text
    assert "every sample was trained" in text
    assert {path.stem for path in tmp_path.glob("*.png")} >= {"rewards", "costs", "learning"}
    assert not {path.stem for path in tmp_path.glob("*.png")} & {"calibration", "trust", "pool", "sources"}


@pytest.mark.parametrize("length", [0, 3])
def test_curves_of_a_search_that_has_hardly_begun_make_a_page(tmp_path: Path, length: int) -> None:
    cut = {name: column[:length] for name, column in agents.curves().items()}
    teller = agents.searched(cut | {"sample_reward": [float("nan")] * length}, networks=0)
    write(teller.history, teller.search, tmp_path)
    assert read(tmp_path / "report.html").open == []
    assert (tmp_path / "samples.csv").exists() == (length > 0)
    assert not (tmp_path / "rewards.png").exists(), "no reward is known"


def test_columns_that_are_missing_or_shorter_are_passed_over(curves: dict[str, Any]) -> None:
    whole = shown(curves)
    for name in curves:
        for column in (curves[name][:0], curves[name][:2]):
            found = samples(curves | {name: column})
            assert (found is None) == (name == "sample_source" and not column)
            for figure in shown(curves | {name: column}).values() if found is not None else ():
                same = figure.rows == whole[figure.name].rows and figure.caption == whole[figure.name].caption
                assert same or name == "sample_source" or isinstance(figure.draw(), Figure)


def test_only_searches_with_samples_have_sections_of_them() -> None:
    assert samples({}) is None
    assert samples({"mean_accuracy_E": [0.5], "cycle": [0]}) is None


def test_a_search_under_way_says_where_rewards_came_from_and_what_the_pool_gave(
    curves: dict[str, Any], tmp_path: Path
) -> None:
    teller = agents.under_way(curves)
    counts = {source: curves["sample_source"].count(source) for source in ("trained", "trusted", "exploited")}
    share = 100 * counts["trained"] / 96
    wanted = {
        f'samples: 96, of which {counts["trained"]} ({share:.1f} %) trained ("activated"), {counts["trusted"]} trusted '
        f"to the critic, {counts['exploited']} exploited again from the experience buffer",
        "knowledge pool: 3 networks put in; 12 blocks of 3 networks asked for, hit ratio 66.7 %, match ratio 33.3 %; "
        "entries not compared: 3 another space",
    }
    assert wanted <= set(conclusion(search_view(teller.history, teller.search)))
    store = stored(teller, tmp_path / "store")
    assert wanted <= set(coldframe("show", "agent", "--store", store).out.splitlines())
    assert wanted <= set(coldframe("status", "--store", store).out.splitlines())


def test_the_end_of_a_run_has_the_rewards_of_the_best_and_the_same_counts_as_json(
    curves: dict[str, Any], tmp_path: Path
) -> None:
    teller = agents.searched(curves)
    best = known(curves).best
    assert best is not None
    lines = list(conclusion(search_view(teller.history, teller.search)))
    assert f"best reward: {best.reward:.4f}, sample {best.number}, with {100 * (best.accuracy or 0):.2f} %" in lines
    head = next(place for place, line in enumerate(lines) if line.startswith("best "))
    assert lines[head].split()[-1] == "reward"
    shown_rewards = {float(line.split()[-1]) for line in lines[head + 1 : head + 4]}
    assert shown_rewards == set(curves["sample_reward"][:3]), "the first three samples are the three networks"
    assert not any(line.startswith(("samples:", "knowledge pool:")) for line in lines), "the notes say that"
    told = coldframe("show", "agent", "--store", stored(teller, tmp_path / "store"), "--json").json
    assert told["samples"] == {
        "all": 96,
        **{source: curves["sample_source"].count(source) for source in ("trained", "trusted", "exploited")},
        "networks": curves["sample_source"].count("trained"),
        "best_reward": best.reward,
    }
    assert told["pool"] == {
        "networks": 3,
        "inheriting": 2,
        "blocks": 12,
        "hits": 8,
        "matches": 4,
        "pooled": 3,
        "refused": {"another space": 3},
    }


def test_a_network_that_is_drawn_again_is_one_network(curves: dict[str, Any]) -> None:
    again = curves | {"sample_individual": [None if one is None else one % 3 for one in curves["sample_individual"]]}
    teller = agents.under_way(again)
    (line,) = [one for one in sampling.lines(search_view(teller.history, teller.search)) if one.startswith("samples")]
    assert '("activated", 3 different networks)' in line


def test_a_search_under_way_shows_the_samples_of_its_last_saved_state() -> None:
    genes, zeros = np.zeros(2, dtype=np.int16), np.zeros(2, dtype=np.float32)
    ledger = Ledger()
    ledger.add(
        1,
        [
            Sample("trained", genes, zeros, reward=0.5, individual=0, accuracy=0.6, cost=2.0),
            Sample("trusted", genes, zeros, reward=0.4, value=0.4, uncertainty=0.01),
        ],
        Iteration(threshold=0.02, discarded=0, hit_ratio=1.0, match_ratio=0.5),
    )
    state = arrays.pack({"ledger": ledger.state(), "pool": {"histogram": np.array([0, 0, 4])}})
    teller = agents.opened()
    teller.tell(StateSaved(search=teller.search, requests=0, calls=0, state=state, rng="{}"))
    found = search_view(teller.history, teller.search).samples
    assert found is not None
    assert [(one.source, one.reward) for one in found.all] == [("trained", 0.5), ("trusted", 0.4)]
    assert found.similarities == (0, 0, 4)
    assert found.iterations[0].match_ratio == 0.5
    assert "1 (50.0 %) trained" in next(sampling.lines(search_view(teller.history, teller.search)))
