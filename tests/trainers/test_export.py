"""Exports of a network that was really trained: every format, read back as a user reads it, and what goes wrong."""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from store.checkpoints import CheckpointStore
from store.records.candidates import Candidate, Named
from store.records.requests import Train
from strategies.spaces import registry as spaces
from tests.trainers.desk import Desk, candidate
from trainers import state
from trainers.errors import DataPathMissing, ExportDiffers, ExportRefused, ExportUnavailable, ImpossibleSetting
from trainers.export import definition, exporting
from trainers.export.exporting import Order
from trainers.networks.network import build
from trainers.networks.shape import Shape

LIMIT = 1e-4


class Trained(NamedTuple):
    """A store with one network of the digits, trained for an epoch."""

    checkpoints: CheckpointStore
    candidate: Candidate
    checkpoint: str

    def order(self, name: str, **changes: Any) -> Order:
        fields: dict[str, Any] = {
            "candidate": self.candidate,
            "checkpoint": self.checkpoint,
            "data_path": None,
            "cache": None,
            "name": "digits <network>",
            "accuracy": {"proxy": 0.5, "test": 0.25},
            "lineage": {"search": "5" * 64, "ancestors": []},
            "format": name,
        }
        return Order(**(fields | changes))

    def export(self, name: str, out: Path, **options: Any) -> dict[str, Any]:
        return exporting.export(self.checkpoints, self.order(name), out, **options)

    def logits(self, images: Tensor) -> Tensor:
        """What the trained network says, built by hand from the store."""
        shape = Shape(4, 3, 10, 8, input_channels=1)
        genotype = spaces.create(self.candidate.space).decode(self.candidate.architecture)
        network = build(genotype, shape, seed=9, form="plain").eval()
        state.restore(self.checkpoint, self.checkpoints.load(self.checkpoint).tensors, network)
        with torch.no_grad():
            logits: Tensor = network(images).logits
            return logits


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("trained")
    chosen = candidate(genes=3)
    with Desk(folder) as desk:
        outcome = desk.do(Train(candidate=chosen, epochs=1))
    return Trained(CheckpointStore(folder, read_only=True), chosen, outcome.checkpoint)


@pytest.fixture
def images() -> Tensor:
    return torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(7))


def loaded(folder: Path, weights: Mapping[str, Tensor]) -> nn.Module:
    network = definition.load(folder / "network.py")
    network.load_state_dict(weights)
    return network.eval()


def test_safetensors_hold_the_weights_and_where_they_come_from(
    trained: Trained, images: Tensor, tmp_path: Path
) -> None:
    card = trained.export("safetensors", tmp_path / "out")
    file = tmp_path / "out" / "weights.safetensors"
    with torch.no_grad():
        found = loaded(tmp_path / "out", load_file(file))(images)
    torch.testing.assert_close(found, trained.logits(images), atol=LIMIT, rtol=0)
    with safe_open(file, framework="pt") as opened:
        assert opened.metadata()["checkpoint"] == trained.checkpoint
    assert card["checked"]["largest_difference"] <= LIMIT
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "weights.safetensors", "network.py", "genotype.json", "card.json", "card.md",
    }  # fmt: skip


def test_the_torch_format_is_a_plain_state_dict_that_needs_no_trust(
    trained: Trained, images: Tensor, tmp_path: Path
) -> None:
    trained.export("torch", tmp_path / "out")
    weights = torch.load(tmp_path / "out" / "weights.pt", weights_only=True)
    assert type(weights) is dict
    assert {type(value) for value in weights.values()} == {Tensor}
    with torch.no_grad():
        found = loaded(tmp_path / "out", weights)(images)
    torch.testing.assert_close(found, trained.logits(images), atol=LIMIT, rtol=0)


def test_the_card_says_what_it_is_and_how_it_came_to_be(trained: Trained, tmp_path: Path) -> None:
    trained.export("safetensors", tmp_path / "out")
    card = json.loads((tmp_path / "out" / "card.json").read_text())
    assert card["network"]["genes"] == list(trained.candidate.architecture.genes)
    assert card["network"]["genotype"] == json.loads((tmp_path / "out" / "genotype.json").read_text())
    assert card["accuracy"]["proxy"] == 0.5
    assert card["accuracy"]["test"] == 0.25
    assert card["parameters"] == sum(each.numel() for each in definition.load(tmp_path / "out/network.py").parameters())
    assert card["training"]["epochs"] == 1
    assert card["data"]["fingerprint"] == trained.candidate.data.fingerprint
    assert card["lineage"]["candidate"] == trained.candidate.id
    assert card["lineage"]["search"] == "5" * 64
    assert set(card["versions"]) == {"coldframe", "torch", "numpy", "python"}
    text = (tmp_path / "out" / "card.md").read_text()
    assert "should expect a little less" not in text
    beside = {"lineage": {"networks_tested_in_it": 3, "ancestors": []}}
    exporting.export(trained.checkpoints, trained.order("torch", **beside), tmp_path / "beside")
    assert "3 retrained networks were scored on the same test images" in (tmp_path / "beside" / "card.md").read_text()
    for said in ("25.00 %", "50.00 %", "licence", trained.checkpoint, "1,350 training images"):
        assert said in text


def test_an_export_is_replaced_only_by_force_and_other_folders_never(trained: Trained, tmp_path: Path) -> None:
    out = tmp_path / "out"
    trained.export("torch", out)
    with pytest.raises(ExportRefused, match="has an export already"):
        trained.export("safetensors", out)
    assert (out / "weights.pt").is_file()
    trained.export("safetensors", out, force=True)
    assert not (out / "weights.pt").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(ExportRefused, match="is no export"):
        trained.export("torch", tmp_path / "mine", force=True)
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years of work"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "out"]


def test_what_computes_something_else_is_not_written(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(tensors: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
        state = right(tensors, network)
        state["head.bias"] += 0.01
        return state

    right = definition.state
    monkeypatch.setattr(definition, "state", wrong)
    with pytest.raises(ExportDiffers, match=r"differ by up to 0\.01"):
        trained.export("safetensors", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing_behind_and_the_old_export_in_place(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    trained.export("torch", out)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(exporting, "_write", full)
    with pytest.raises(OSError, match=r"No space left on device: .*out"):
        trained.export("safetensors", out, force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (out / "weights.pt").is_file()


def test_what_cannot_be_exported_is_refused(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted = trained.order("torch", candidate=candidate(trainer=Named(name="scripted")))
    with pytest.raises(ImpossibleSetting, match="no other trainer has weights"):
        exporting.export(trained.checkpoints, scripted, tmp_path / "out")
    data = trained.candidate.data.model_copy(update={"name": "npz", "fingerprint": "f" * 64})
    moved = trained.candidate.model_copy(update={"data": data})
    with pytest.raises(DataPathMissing, match="gone"):
        exporting.export(
            trained.checkpoints, trained.order("torch", candidate=moved, data_path="/gone.npz"), tmp_path / "out"
        )
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ExportUnavailable, match=r"onnxscript: pip install 'coldframe\[export\]'"):
        trained.export("onnx", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
