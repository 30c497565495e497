"""Simulated searches: the same answers as the engine's, statistics, files, and the command."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from orchestrator.errors import SimulationCrashed, SimulationFailed, SpecError
from orchestrator.simulate import compare, folder, many
from orchestrator.simulate.search import Pick, Simulated, Simulator
from orchestrator.spec import Plan, load
from store.records.outcomes import Evaluated, Failure, Measured, Trained
from store.records.requests import Compute, Evaluate, Measure, Train
from store.records.results import Result
from strategies import registry
from strategies.options import StrategyOptions
from strategies.run import Run
from tests.orchestrator.command import coldframe, process
from tests.orchestrator.test_tables import SPEC, write
from tests.trainers import tables

RANDOM = SPEC.replace(
    '"econas"\ninitial = 6\ncycles = 2\nchildren = 3\npromoted_to_2e = 2\npromoted_to_3e = 1',
    '"random"\ncandidates = 4',
)
RANDOM = RANDOM.replace('name = "tabular"\nseed', 'name = "by-chance"\nseed').replace("epochs = 2", "epochs = 6")
FNAS = RANDOM.replace(
    '"random"\ncandidates = 4', '"fnas"\nsamples = 96\nbatch = 8\nknowledge_pool = false\nhidden = 8\ncritic_hidden = 8'
)


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return load(write(tmp_path, tables.write(tmp_path)))


def simulated(seed: int = 0, *picks: tuple[int, float], epochs: int = 100, **changes: Any) -> Simulated:
    found: dict[str, Any] = {
        "seed": seed, "accuracy": 0.8, "true_accuracy": 0.7, "regret": 0.2, "epochs": epochs, "seconds": 3600.0,
        "idle_share": 0.1, "picks": tuple(Pick(*pick) for pick in picks), "genes": (1, 2),
    }  # fmt: skip
    return Simulated(**(found | changes))


def test_a_simulated_search_finds_what_the_engine_finds(tmp_path: Path, plan: Plan) -> None:
    """The same candidates, accuracies, epochs: only the time is virtual."""
    ended = process("run", tmp_path / "spec.toml", "--store", tmp_path / "store", "--json").json
    found = Simulator(plan).run(plan.spec.seed)
    assert list(found.genes or ()) == ended["best"]["architecture"]["genes"]
    assert (found.accuracy, found.epochs) == (ended["best"]["accuracy"], ended["totals"]["epochs_trained"])


def test_regret_is_the_tables_truth_and_not_what_the_search_saw(plan: Plan) -> None:
    simulator = Simulator(plan)
    found = simulator.run(5)
    valid = tables.columns()["valid"] / 100
    row = [one.genes for one in tables.architectures()].index(found.genes or ())
    assert found.true_accuracy == pytest.approx(valid[row])
    assert found.regret == pytest.approx(valid.max() - valid[row])
    assert found.picks[-1].accuracy == found.true_accuracy


def test_a_search_is_the_same_whenever_and_wherever_it_is_simulated(plan: Plan) -> None:
    alone = [Simulator(plan).run(seed) for seed in range(2, 7)]
    assert many.simulate([plan], 5) == [alone]
    assert many.simulate([plan, plan], 5, processes=2) == [alone, alone]
    assert len({run.genes for run in alone}) > 1, "seeds differ"


def test_devices_and_order_change_the_time_and_not_what_is_found(plan: Plan) -> None:
    one, four = (many.simulate([plan], 1, devices=devices)[0][0] for devices in (1, 4))
    assert (one.genes, one.epochs) == (four.genes, four.epochs)
    assert one.seconds > four.seconds
    assert one.idle_share == pytest.approx(0)
    assert four.idle_share > 0


def test_of_the_samples_of_reinforcement_learning_only_what_is_trained_takes_time(tmp_path: Path) -> None:
    """Samples that are trusted, exploited, or trained before, and the agent's own steps, cost nothing."""
    simulator = Simulator(load(write(tmp_path, tables.write(tmp_path), FNAS)), devices=1)
    time = simulator.time(3)
    result = time.search(registry.create(time.spec))
    sources = result.curves["sample_source"]
    assert len(sources) == 96  # of 100 architectures, so that some are drawn again
    assert {"trained", "trusted", "exploited"} == set(sources)
    assert time.timeline.epochs == 6 * len(result.history) < 6 * sources.count("trained")
    spent = [6 * simulator.benchmark.seconds(one.architecture) for one in result.history]
    assert time.timeline.seconds == pytest.approx(sum(spent))
    assert simulator.run(3).genes == result.best[0].architecture.genes


def test_answers_are_those_of_the_trainer(plan: Plan) -> None:
    simulator, candidates = Simulator(plan), []

    class Asks:
        async def search(self, run: Run) -> Result:
            candidates.append(run.candidate(run.space.random(run.rng)))
            return Result(best=(), history=())

    simulator.time(1).search(Asks())
    (candidate,) = candidates
    half = simulator.answer(Train(candidate=candidate, epochs=3))
    assert isinstance(half, Trained)
    scored = simulator.answer(Evaluate(candidate=candidate, checkpoint=half.checkpoint))
    assert isinstance(scored, Evaluated)
    assert scored.accuracy == half.history[-1].validation_accuracy
    measured = simulator.answer(Measure(candidate=candidate))
    assert isinstance(measured, Measured)
    assert (measured.parameters, measured.multiply_adds) == (half.parameters, half.multiply_adds)
    assert simulator.seconds(Train(candidate=candidate, epochs=3), 1) == 2 * simulator.benchmark.seconds(
        candidate.architecture
    )
    assert simulator.seconds(Measure(candidate=candidate), 0) == 0
    other = candidate.model_copy(update={"trainer": candidate.trainer.model_copy(update={"name": "cell"})})
    for request, said in (
        (Train(candidate=candidate, epochs=7), "at most 6"),
        (Evaluate(candidate=candidate, checkpoint="0" * 64), "does not fit"),
        (Measure(candidate=candidate, device="cpu"), "no latencies"),
        (Compute(function="os:getcwd", arguments=b""), "expected a function of coldframe"),
        (Train(candidate=other, epochs=2), "a table that the spec names"),
    ):
        failed = simulator.answer(request)
        assert isinstance(failed, Failure)
        assert (failed.reason, said in failed.message) == ("bad_request", True), failed.message


def test_another_trainer_cannot_be_simulated(tmp_path: Path) -> None:
    text = SPEC.replace('name = "tabular"\ntable = "{table}"\ncolumn = "valid"\nepochs = 6', 'name = "scripted"')
    scripted = load(write(tmp_path, "", text + '[data]\nname = "digits"\n'))
    with pytest.raises(SpecError, match=r"trainer\.name is 'scripted': expected 'tabular'"):
        Simulator(scripted)


class _Options(StrategyOptions):
    pass


class _Breaks:
    async def search(self, run: Run) -> Result:
        raise ZeroDivisionError("by design")


def test_a_strategy_that_raises_is_told_with_its_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_STRATEGIES", dict(registry._STRATEGIES))
    registry.register("breaks", _Options, lambda options, spec: _Breaks())
    text = RANDOM.replace('"random"\ncandidates = 4\nepochs = 6', '"breaks"')
    with pytest.raises(SimulationCrashed, match=r"seed 9.*ZeroDivisionError: by design"):
        Simulator(load(write(tmp_path, tables.write(tmp_path), text))).run(9)


def test_a_process_that_fails_ends_the_simulation(tmp_path: Path, plan: Plan) -> None:
    (tmp_path / "spec.toml").unlink()
    with pytest.raises(SimulationFailed, match=r"spec\.toml") as raised:
        many.simulate([plan], 4, processes=2)
    assert "Traceback" not in str(raised.value), "the error's own words"


def test_an_estimate_is_the_mean_and_students_interval() -> None:
    values = [0.3, 0.5, 0.4, 0.9]
    found = compare.estimate(values)
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    assert (found.mean, found.low, found.high) == pytest.approx((0.525, low, high))
    assert compare.estimate([0.5]) == (0.5, None, None)
    assert compare.estimate([]) == (None, None, None)


def test_searches_that_named_nothing_count_in_no_mean() -> None:
    nothing = simulated(1, accuracy=None, true_accuracy=None, regret=None, genes=None)
    found = compare.summary([simulated(0, regret=0.2), nothing])
    assert (found.searches, found.named, found.regret.mean, found.epochs.mean) == (2, 1, 0.2, 100)


def test_a_curve_is_the_mean_regret_of_what_would_have_been_named_so_far() -> None:
    runs = [simulated(0, (10, 0.5), (30, 0.8), epochs=50), simulated(1, (20, 0.6), (40, 0.9), epochs=60)]
    found = compare.regret_curve(runs, 0.9)
    assert found is not None
    assert (found.epochs[0], found.epochs[-1]) == (20, 50), "where all have named something and none is over"
    at = {int(epochs): mean for epochs, mean in zip(found.epochs, found.mean, strict=True)}
    expected = {20: (0.4 + 0.3) / 2, 29: (0.4 + 0.3) / 2, 30: (0.1 + 0.3) / 2, 39: 0.2, 40: 0.05, 50: 0.05}
    assert {epochs: at[epochs] for epochs in expected} == pytest.approx(expected)
    half = stats.t.ppf(0.975, 1) * abs(0.4 - 0.3) / 2
    assert found.high[0] - found.mean[0] == pytest.approx(half)
    assert found.mean[0] - found.low[0] == pytest.approx(half)


@pytest.mark.parametrize(
    "runs",
    [
        [],
        [simulated(0)],
        [simulated(0, (10, 0.5)), simulated(1)],
        [simulated(0, (10, 0.5), epochs=20), simulated(1, (30, 0.5))],
    ],
)  # fmt: skip
def test_without_a_common_stretch_there_is_no_curve(runs: list[Simulated]) -> None:
    assert compare.regret_curve(runs, 0.9) is None


def test_the_folder_has_every_search_and_every_curve(tmp_path: Path, plan: Plan) -> None:
    simulators = [Simulator(plan), Simulator(load(write(tmp_path, tables.write(tmp_path), RANDOM, "random.toml")))]
    runs = many.simulate([one.plan for one in simulators], 4)
    assert folder.write(tmp_path / "out", simulators, runs) == ["searches.csv", "regret.csv", "regret.png"]
    with (tmp_path / "out" / "searches.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["spec"], int(row["seed"])) for row in rows] == [
        (name, seed) for name in ("tabular", "by-chance") for seed in range(2, 6)
    ]
    assert [float(row["regret"]) for row in rows] == [run.regret for some in runs for run in some]
    assert [row["genes"] for row in rows] == [" ".join(map(str, run.genes or ())) for some in runs for run in some]
    with (tmp_path / "out" / "regret.csv").open(newline="") as file:
        points = list(csv.DictReader(file))
    assert {point["spec"] for point in points} == {"tabular", "by-chance"}
    assert all(float(point["low"]) <= float(point["mean_regret"]) <= float(point["high"]) for point in points)
    assert (tmp_path / "out" / "regret.png").read_bytes()[:4] == b"\x89PNG"


def test_a_single_search_has_a_line_and_no_band(plan: Plan) -> None:
    curve = compare.regret_curve([Simulator(plan).run(1)], 0.9)
    assert curve is not None
    assert (curve.low == curve.high).all()
    assert folder.plot(["tabular"], [curve], [1]) is not None
    assert folder.plot(["tabular"], [None], [1]) is None


def test_the_command_compares_specs(tmp_path: Path) -> None:
    path = tables.write(tmp_path)
    specs = [write(tmp_path, path), write(tmp_path, path, RANDOM, "random.toml")]
    found = coldframe("simulate", *specs, "--seeds", "5", "--json").json
    assert [(one["name"], one["searches"], one["named"]) for one in found] == [("tabular", 5, 5), ("by-chance", 5, 5)]
    assert set(found[0]["regret"]) == {"mean", "low", "high"}
    assert found[1]["epochs"]["mean"] <= 24
    assert all(math.isfinite(one["idle_share"]["mean"]) for one in found)

    told = coldframe("simulate", *specs, "--seeds", "5", "--out", tmp_path / "out")
    assert told.code == 0
    lines = told.out.splitlines()
    assert lines[0].split()[:2] == ["search", "searches"]
    assert lines[1].startswith("tabular")
    assert f"{100 * found[0]['regret']['mean']:.2f} [" in lines[1]
    assert f"the best architecture of the table has {tables.columns()['valid'].max():.2f} %" in told.out
    assert str(tmp_path / "out" / "regret.png") in told.out


def test_searches_in_which_every_network_failed_are_told(tmp_path: Path) -> None:
    spec = write(
        tmp_path, tables.write(tmp_path), RANDOM.replace("candidates = 4\nepochs = 6", "candidates = 4\nepochs = 7")
    )
    told = coldframe("simulate", spec, "--seeds", "2", "--out", tmp_path / "out").out
    assert "by-chance: 2 of 2 searches named no network, and count in no accuracy or regret; first failure: " in told
    assert "bad_request: epochs is 7" in told
    (found,) = coldframe("simulate", spec, "--seeds", "2", "--json").json
    assert (found["named"], found["regret"]["mean"]) == (0, None)
    with (tmp_path / "out" / "searches.csv").open(newline="") as file:
        assert all("epochs is 7" in row["failure"] for row in csv.DictReader(file))


def test_the_command_refuses_what_cannot_be_simulated(tmp_path: Path) -> None:
    ended = coldframe("simulate", write(tmp_path, tmp_path / "gone.npz"), "--json")
    assert (ended.code, ended.json["error"]["kind"]) == (2, "SpecError")
    assert "gone.npz" in ended.err
    assert coldframe("simulate", tmp_path / "spec.toml", "--seeds", "0").code == 2
