"""The tabular trainer: what it answers, in a real worker too, and when it may look at the test split."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from store.checkpoints import CheckpointStore
from store.records.candidates import Architecture, Candidate, Fault
from store.records.messages import Failed, Finished, Saved
from store.records.outcomes import Evaluated, Measured, Trained
from store.records.requests import AnyRequest, Evaluate, Measure, Train
from strategies.spaces import registry as spaces
from strategies.spaces.nasbench201 import BenchGenotype, BenchSpace
from tests.trainers import tables
from tests.trainers.harness import Daemon, assign
from trainers import sizes, table
from trainers.benchmark import Benchmark
from trainers.cost import cost
from trainers.errors import ImpossibleSetting, TableMalformed
from trainers.networks.shape import Shape
from trainers.options import TabularOptions


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tables.write(tmp_path_factory.mktemp("table"))


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One worker for all tests: starting a process is most of what a test costs."""
    with Daemon(tmp_path_factory.mktemp("store")) as daemon:
        yield daemon


def ask(daemon: Daemon, request: AnyRequest, path: Path, **order: Any) -> Any:
    """Returns the outcome of a request, or the report of its failure."""
    digest = request.candidate.trainer.options["table"] if request.candidate else ""
    report = daemon.do(assign(request, tables={digest: str(path)}, **order))
    return report.outcome if isinstance(report, Finished) else report


def trained(daemon: Daemon, candidate: Candidate, epochs: int, path: Path, **order: Any) -> Trained:
    found = ask(daemon, Train(candidate=candidate, epochs=epochs), path, **order)
    assert isinstance(found, Trained), found
    return found


def test_a_training_to_the_end_has_the_tables_accuracy(daemon: Daemon, path: Path) -> None:
    found = trained(daemon, tables.candidate(path, 3), tables.EPOCHS, path)
    assert found.accuracy == pytest.approx(tables.columns()["valid"][3] / 100)
    assert (found.parameters, found.multiply_adds) == (1003, 10_300)
    assert [metrics.epoch for metrics in found.history] == [1, 2, 3, 4, 5, 6]
    assert max(metrics.validation_accuracy or 0 for metrics in found.history) == found.accuracy


def test_earlier_epochs_are_of_one_curve_that_depends_on_the_seed(daemon: Daemon, path: Path) -> None:
    whole, half = (trained(daemon, tables.candidate(path, noise=0.05), epochs, path) for epochs in (6, 3))
    assert half.history == whole.history[:3]
    assert half.accuracy is not None
    assert half.accuracy < (whole.accuracy or 0)
    other = trained(daemon, tables.candidate(path, seed=1, noise=0.05), 6, path)
    assert (other.accuracy, other.history[2] == whole.history[2]) == (whole.accuracy, False)


def test_curves_of_the_table_are_given_as_they_are(daemon: Daemon, tmp_path: Path) -> None:
    curves = np.random.default_rng(0).uniform(0.2, 0.9, (len(tables.architectures()), 5)).round(3)
    path = tables.write(tmp_path, valid=curves)
    found = trained(daemon, tables.candidate(path, 2, epochs=None), 4, path)
    assert [metrics.validation_accuracy for metrics in found.history] == curves[2, :4].tolist()
    assert found.accuracy == curves[2, :4].max()
    assert tables.benchmark(path, epochs=None).final(tables.architectures()[2]) == curves[2].max()


def test_a_training_leaves_a_checkpoint_without_weights_that_it_goes_on_from(daemon: Daemon, path: Path) -> None:
    candidate = tables.candidate(path, 5)
    request = Train(candidate=candidate, epochs=2)
    daemon.send(assign(request, tables={candidate.trainer.options["table"]: str(path)}))
    saved, finished = daemon.until_last()
    assert isinstance(saved, Saved)
    assert isinstance(finished, Finished)
    assert isinstance(finished.outcome, Trained)
    assert (saved.epoch, saved.step, saved.metrics) == (2, 0, finished.outcome.history[-1])
    assert saved.checkpoint == finished.outcome.checkpoint
    store = CheckpointStore(daemon.store, read_only=True)
    manifest = store.manifest(saved.checkpoint)
    store.close()
    assert (manifest.candidate, manifest.epoch, manifest.blocks) == (candidate.id, 2, ())
    on = trained(daemon, candidate, 6, path, resume=saved.checkpoint)
    assert on == trained(daemon, candidate, 6, path)


def test_a_checkpoint_of_another_candidate_or_past_the_end_is_refused(daemon: Daemon, path: Path) -> None:
    one, other = tables.candidate(path, 1), tables.candidate(path, 2)
    checkpoint = trained(daemon, one, 4, path).checkpoint
    for request in (Train(candidate=other, epochs=6), Train(candidate=one, epochs=2)):
        failed = ask(daemon, request, path, resume=checkpoint)
        assert isinstance(failed, Failed)
        assert failed.reason == "bad_request"
        assert "does not fit" in failed.message


def test_an_evaluation_gives_the_accuracy_of_its_checkpoint(daemon: Daemon, path: Path) -> None:
    candidate = tables.candidate(path, 4)
    half = trained(daemon, candidate, 3, path)
    found = ask(daemon, Evaluate(candidate=candidate, checkpoint=half.checkpoint), path)
    assert isinstance(found, Evaluated)
    assert (found.accuracy, found.images) == (half.history[-1].validation_accuracy, 0)


def test_the_test_column_is_for_what_was_trained_on_all_images(daemon: Daemon, path: Path) -> None:
    chosen = tables.candidate(path, 4, held_out=0.0, test_column="test")
    full = trained(daemon, chosen, 6, path)
    assert full.accuracy is None
    assert {metrics.validation_accuracy for metrics in full.history} == {None}
    found = ask(daemon, Evaluate(candidate=chosen, checkpoint=full.checkpoint, split="test"), path)
    assert found.accuracy == pytest.approx(tables.columns()["test"][4] / 100)

    still_to_choose = tables.candidate(path, 4, test_column="test")
    weights = trained(daemon, still_to_choose, 6, path).checkpoint
    refused = ask(daemon, Evaluate(candidate=still_to_choose, checkpoint=weights, split="test"), path)
    assert (refused.reason, "retrained networks" in refused.message) == ("bad_request", True)

    unnamed = tables.candidate(path, 4, held_out=0.0)
    weights = trained(daemon, unnamed, 6, path).checkpoint
    refused = ask(daemon, Evaluate(candidate=unnamed, checkpoint=weights, split="test"), path)
    assert "trainer.test_column" in refused.message


def test_a_measurement_gives_sizes_and_no_latency(daemon: Daemon, path: Path) -> None:
    candidate = tables.candidate(path, 7)
    found = ask(daemon, Measure(candidate=candidate), path)
    assert found == Measured(parameters=1007, multiply_adds=10_700)
    refused = ask(daemon, Measure(candidate=candidate, device="cpu"), path)
    assert "a table has no latencies" in refused.message


def test_what_the_table_cannot_answer_is_a_bad_request(daemon: Daemon, path: Path) -> None:
    too_far = ask(daemon, Train(candidate=tables.candidate(path), epochs=7), path)
    assert (too_far.reason, "at most 6" in too_far.message) == ("bad_request", True)
    unknown = tables.candidate(path, column="vlaid")
    assert "expected one of test, valid" in ask(daemon, Train(candidate=unknown, epochs=2), path).message


def test_a_table_that_is_gone_or_changed_is_tried_again_later(daemon: Daemon, path: Path, tmp_path: Path) -> None:
    """A mount may come back, and the candidate is none the worse."""
    request = Train(candidate=tables.candidate(path, seed=9, gap=0.25), epochs=2)
    nowhere = daemon.do(assign(request, tables={}))
    gone = ask(daemon, request, tmp_path / "gone.npz")
    changed = ask(daemon, request, tables.write(tmp_path, test=None))
    assert [failed.reason for failed in (nowhere, gone, changed)] == ["error"] * 3
    assert "put the old table back" in changed.message


def test_faults_strike_at_their_epochs(daemon: Daemon, path: Path) -> None:
    candidate = tables.candidate(path, 6)
    failed = ask(daemon, Train(candidate=candidate, epochs=4), path, faults=(Fault(kind="nan", epoch=2),))
    assert (failed.reason, isinstance(failed, Failed)) == ("diverged", True)


def test_an_architecture_that_a_table_lacks_is_named(tmp_path: Path) -> None:
    part = {name: value[:-1] for name, value in tables.columns().items()}
    np.savez(tmp_path / "part.npz", **part)
    with pytest.raises(TableMalformed, match="a row for every architecture"):
        tables.benchmark(tmp_path / "part.npz").final(tables.architectures()[-1])


def test_time_grows_with_the_work_unless_the_table_tells_it(path: Path, tmp_path: Path) -> None:
    every = tables.architectures()
    made = [tables.benchmark(path, seconds=10, spread=3).seconds(one) for one in every]
    assert [made[0], made[-1]] == pytest.approx([10, 30])
    assert made == sorted(made)
    told = tables.write(tmp_path, seconds=np.arange(1, len(every) + 1))
    assert tables.benchmark(told).seconds(every[4]) == 5


def bench_table(folder: Path, architectures: list[Architecture], **columns: Any) -> Path:
    names = [BenchSpace().decode(one).to_string() for one in architectures]
    np.savez(folder / "bench.npz", arch=np.array(names), valid=np.linspace(50, 90, len(names)), **columns)
    return folder / "bench.npz"


def test_nasbench201_is_found_by_its_strings_and_counted_by_formula(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    drawn = [BenchSpace().random(rng) for _ in range(12)]
    path = bench_table(tmp_path, drawn)
    options = TabularOptions(table=table.fingerprint(path), column="valid", epochs=12)
    found = Benchmark(table.read(path), options, BenchSpace())
    shape = Shape(channels=16, cells=17, classes=10, resolution=32)
    for one in drawn[:2]:
        assert tuple(found.size(one)) == tuple(cost(BenchSpace().decode(one), shape))
    assert found.final(drawn[-1]) == 0.9
    with pytest.raises(TableMalformed, match=r"it lacks 15613 of the 15625 architectures .* nasbench201, e\.g\. \|"):
        found.check_complete()


@pytest.mark.parametrize(
    ("operation", "parameters", "multiply_adds"),
    [
        ("nor_conv_3x3", 1_531_546, 220_119_680),
        ("nor_conv_1x1", 241_306, 31_376_000),
        ("skip_connect", 73_306, 7_783_040),
        ("avg_pool_3x3", 73_306, 7_783_040),
        ("none", 73_306, 7_783_040),
    ],
)
def test_the_formula_gives_the_published_counts(operation: str, parameters: int, multiply_adds: int) -> None:
    """Reference facts, section C."""
    assert sizes.nasbench201(BenchGenotype((operation,) * 6).operations) == (parameters, multiply_adds)


def test_a_column_without_epochs_is_refused_by_name() -> None:
    made = spaces.create(tables.SPACE)
    sound = table.Table("t.npz", tables.columns(), [one.genes for one in tables.architectures()])
    with pytest.raises(ImpossibleSetting, match=r"trainer\.epochs"):
        Benchmark(sound, TabularOptions(table="t", column="valid"), made)
