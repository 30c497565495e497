"""From a search to a network in hand: winners retrained on the digits, killed in the middle, tested, and exported."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper
from onnx.reference import ReferenceEvaluator
from safetensors.torch import load_file

from store.records.candidates import Data
from store.records.events import CheckpointSaved, JobStarted, JobSucceeded
from store.records.outcomes import Evaluated, Trained
from tests.orchestrator.command import coldframe
from tests.system import harness
from tests.system.test_kill import assert_same_search, assert_sound
from trainers import datasets
from trainers.export import definition, formats
from trainers.fingerprint import DIGITS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
SEARCH = """
name = "winners"
[strategy]
name = "random"
candidates = 4
epochs = 1
[space]
name = "cell"
nodes = 1
[trainer]
name = "scripted"
[data]
name = "digits"
[resources]
workers = 1
checkpoint_seconds = 0.05
"""
# The search is a scripted one, so that only the retraining costs time; it must be told what to train on then. That is
# the digits in a file: each process would import scikit-learn for them, which costs more than to train these networks.
RETRAIN = (
    "retrain winners --recipe digits --data-name npz --top 2 --epochs 2 --set proxy.channels=4 --set proxy.cells=3"
).split()
NAME = "winners retrained (digits)"
LIMIT = 1e-4


class Searched(NamedTuple):
    """A store with a finished search, and what its winners are trained on."""

    store: Path
    data: Path
    test: datasets.Images

    def retrain(self, store: Path) -> list[str]:
        """The command that retrains them in a copy of the store."""
        return [*RETRAIN, "--data", str(self.data), "--store", str(store), "--json"]


class Retrained:
    """A store in which the two best networks were retrained by a process that nobody disturbed, and an export."""

    def __init__(self, searched: Searched, folder: Path) -> None:
        self.store, self.out = folder / "store", folder / "out"
        shutil.copytree(searched.store, self.store)
        self.ended = coldframe(*searched.retrain(self.store)).json
        self.card = self.export("safetensors", self.out)
        weights = load_file(self.out / "weights.safetensors")
        self.network = definition.load(self.out / "network.py").eval()
        self.network.load_state_dict(weights)

    def tests(self) -> list[Evaluated]:
        found = [event.outcome for event in harness.events(self.store) if isinstance(event, JobSucceeded)]
        return [outcome for outcome in found if isinstance(outcome, Evaluated)]

    def export(self, form: str, out: Path) -> dict[str, Any]:
        """Exports the best network, and returns its card."""
        ended = coldframe("export", NAME, "--store", self.store, "--format", form, "--out", out, "--json")
        assert ended.code == 0, ended.err
        card: dict[str, Any] = ended.json["card"]
        return card


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Searched:
    folder = tmp_path_factory.mktemp("searched")
    digits = Data(name="digits", fingerprint=DIGITS, validation_fraction=0)
    train, test = datasets.load(digits, None), datasets.load_test(digits, None)
    np.savez(
        folder / "digits.npz",
        x_train=train.pixels[:, 0],
        y_train=train.labels,
        x_test=test.pixels[:, 0],
        y_test=test.labels,
    )
    (folder / "winners.toml").write_text(SEARCH)
    ended = coldframe("run", folder / "winners.toml", "--store", folder / "store", "--json")
    assert ended.json["status"] == "finished"
    return Searched(folder / "store", folder / "digits.npz", test)


@pytest.fixture(scope="module")
def retrained(searched: Searched, tmp_path_factory: pytest.TempPathFactory) -> Retrained:
    return Retrained(searched, tmp_path_factory.mktemp("retrained"))


def test_retraining_takes_all_training_images_and_reads_the_test_split_once_for_each_network(
    retrained: Retrained,
) -> None:
    result = harness.result(retrained.store)
    trainings = [event for event in harness.events(retrained.store) if isinstance(event, JobSucceeded)]
    outcomes = [event.outcome for event in trainings if isinstance(event.outcome, Trained)]
    assert [outcome.accuracy for outcome in outcomes[-2:]] == [None, None]
    assert [test.images for test in retrained.tests()] == [297, 297]
    scores = sorted((test.accuracy for test in retrained.tests()), reverse=True)
    assert [one["test_accuracy"] for one in result["best"]] == scores
    assert all(one["accuracy"] is None and one["proxy_accuracy"] is not None for one in result["history"])
    assert retrained.ended["name"] == NAME
    assert retrained.ended["best"]["test_accuracy"] == scores[0]


def start(arguments: list[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "orchestrator.cli", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)


def test_a_retraining_killed_in_the_middle_ends_with_the_same_networks(
    searched: Searched, retrained: Retrained, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    shutil.copytree(searched.store, store)
    before = len(harness.events(store))
    process = start(searched.retrain(store))
    harness.wait_for(process, store, lambda seen: any(isinstance(e, CheckpointSaved) and e.step for e in seen[before:]))
    harness.kill(process)
    harness.assert_none_left(store)
    ended = coldframe(*searched.retrain(store)).json
    assert ended["best"] == retrained.ended["best"]
    assert_same_search(store, retrained.store)
    assert any(e.step > 0 for e in harness.events(store)[before:] if isinstance(e, JobStarted)), "nothing was resumed"
    assert_sound(store)


def test_the_same_command_again_trains_nothing(searched: Searched, retrained: Retrained) -> None:
    before = len(harness.events(retrained.store))
    assert coldframe(*searched.retrain(retrained.store)).json["best"] == retrained.ended["best"]
    assert len(harness.events(retrained.store)) == before


def test_the_best_network_as_onnx_agrees_in_onnxruntime_to_1e_4(retrained: Retrained, tmp_path: Path) -> None:
    card = retrained.export("onnx", tmp_path / "out")
    model = onnx.load(tmp_path / "out" / "network.onnx")
    assert str(tmp_path).encode() not in model.SerializeToString()
    onnx.checker.check_model(model)
    assert [(each.domain, each.version) for each in model.opset_import] == [("", card["format"]["opset"])]
    assert {each.key: each.value for each in model.metadata_props}["checkpoint"] == retrained.card["lineage"][
        "checkpoint"
    ]
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for count in (1, 6):
        images = torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(count))
        expected = retrained.network(images).detach().numpy()
        for runtime in (session, ReferenceEvaluator(model)):
            np.testing.assert_allclose(runtime.run(["logits"], {"images": images.numpy()})[0], expected, atol=LIMIT)


@pytest.mark.parametrize("form", ["safetensors", "torch"])
def test_a_full_disk_is_told_and_nothing_is_left_on_it(retrained: Retrained, tmp_path: Path, form: str) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24k", "tmpfs", str(disk)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("cannot mount a small tmpfs here")
    try:
        ended = coldframe("export", NAME, "--store", retrained.store, "--format", form, "--out", disk / "out")
        assert (ended.code, ended.err) == (74, f"coldframe: [Errno 28] No space left on device: '{disk / 'out'}'\n")
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_folder_that_cannot_be_written_is_named(retrained: Retrained, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    out = tmp_path / "file" / "out"
    ended = coldframe("export", NAME, "--store", retrained.store, "--out", out)
    assert ended.code == 74
    assert str(tmp_path / "file") in ended.err


def test_without_onnxruntime_a_file_is_read_by_the_reference_evaluator(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    node = helper.make_node("Flatten", ["images"], ["logits"])
    images_in = helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, ["batch", 1, 2, 2])
    logits_out = helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["batch", 4])
    graph = helper.make_graph([node], "flat", [images_in], [logits_out])
    opset = [helper.make_opsetid("", formats.OPSET)]
    onnx.save(helper.make_model(graph, opset_imports=opset), tmp_path / "flat.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    images = torch.arange(12.0).view(3, 1, 2, 2)
    found = formats.FORMATS["onnx"].read(tmp_path / "flat.onnx", torch.nn.Identity())(images)
    assert torch.equal(found, images.flatten(1))


def test_an_export_scores_the_test_images_as_the_card_says(searched: Searched, retrained: Retrained) -> None:
    """The card's preprocessing is enough to get its test accuracy again, in plain PyTorch."""
    images = searched.test
    how = retrained.card["preprocessing"]
    values = (torch.from_numpy(images.pixels).float() / 255 - torch.tensor(how["mean"])) / torch.tensor(how["std"])
    with torch.no_grad():
        right = retrained.network(values).argmax(dim=1).numpy() == images.labels
    assert right.mean() == pytest.approx(retrained.ended["best"]["test_accuracy"])
    assert right.mean() == pytest.approx(retrained.card["accuracy"]["test"])


def test_the_example_loads_an_export_where_coldframe_is_not_installed(retrained: Retrained, tmp_path: Path) -> None:
    example = ROOT / "examples" / "load_exported.py"
    assert len(example.read_text().splitlines()) <= 20
    packages = sysconfig.get_paths()["purelib"]
    script = (
        f"import importlib.util, runpy, sys; sys.path.append({packages!r}); "
        "assert not any(map(importlib.util.find_spec, ('trainers', 'store', 'strategies', 'orchestrator'))); "
        f"sys.argv = ['', {str(retrained.out)!r}]; runpy.run_path({str(example)!r})"
    )
    # Without `site`, so that the editable installation's path is not there either.
    command = [sys.executable, "-I", "-S", "-c", script]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("tensor([[")
