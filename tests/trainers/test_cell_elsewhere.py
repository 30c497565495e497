"""The `cell` trainer on what not every machine has: the real CIFAR-10, and a CUDA device."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest
import torch

from store.records.candidates import DataSpec, Proxy
from store.records.messages import Finished
from store.records.outcomes import Trained
from store.records.requests import Evaluate, Train
from tests.trainers.desk import Desk, candidate
from tests.trainers.harness import Daemon, assign
from trainers.fingerprint import identity

VARIABLE = "COLDFRAME_CIFAR10"


def _cifar10() -> str:
    """Returns the path of CIFAR-10 as an `.npz` file, or skips the test."""
    path = os.environ.get(VARIABLE, "")
    if not path.endswith(".npz"):
        pytest.skip(f"needs {VARIABLE}=<CIFAR-10 as an .npz file with x_train (50000, 32, 32, 3) and y_train>")
    return path


def test_a_small_network_learns_something_of_the_real_cifar10(tmp_path: Path) -> None:
    path = _cifar10()
    learner = candidate(
        proxy=Proxy(channels=4, cells=5, resolution=8, sample_ratio=0.02),
        data=identity(DataSpec(name="npz", path=path)),
        recipe={"batch_size": 16, "padding": 4, "flip": True},
    )
    with Desk(tmp_path) as desk:
        trained = desk.do(Train(candidate=learner, epochs=1), data_path=path)
        found = desk.do(Evaluate(candidate=learner, checkpoint=trained.checkpoint), data_path=path)
        seen = desk.do(Evaluate(candidate=learner, checkpoint=trained.checkpoint, split="train"), data_path=path)
    (metrics,) = trained.history
    assert (found.images, seen.images) == (5_000, 900)
    assert (found.accuracy, found.loss) == (metrics.validation_accuracy, metrics.validation_loss)
    assert all(map(math.isfinite, (metrics.train_loss, metrics.validation_loss)))
    assert trained.accuracy > 0.12  # of ten classes, by 5,000 images: almost five standard deviations above chance


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device: torch.cuda.is_available() is false")
def test_a_training_on_cuda_goes_on_from_its_checkpoint_which_a_cpu_reads_too(tmp_path: Path) -> None:
    """Bits are promised on the CPU only, so the second epoch is not compared with that of a training at once."""
    outcomes: list[Trained] = []
    for epochs in (1, 2):
        order = assign(
            Train(candidate=candidate(), epochs=epochs), resume=outcomes[-1].checkpoint if outcomes else None
        )
        with Daemon(tmp_path, "--device", "cuda") as daemon:
            assert daemon.hello is not None
            assert daemon.hello.device == "cuda"
            report = daemon.do(order)
        assert isinstance(report, Finished), report
        assert isinstance(report.outcome, Trained)
        outcomes.append(report.outcome)
    first, second = outcomes
    assert (second.epochs, len(second.history)) == (2, 2)
    assert second.history[:1] == first.history
    assert second.checkpoint != first.checkpoint
    with Desk(tmp_path) as desk:
        found = desk.do(Evaluate(candidate=candidate(), checkpoint=second.checkpoint))
    assert found.images == 150
    assert found.loss == pytest.approx(second.history[-1].validation_loss, abs=0.05)  # CUDA may convolve in TF32
