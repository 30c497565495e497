"""A training whose images do not fit: the checkpoints of one whose images do, stopped and resumed or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from store.records.candidates import DataSpec, Proxy
from store.records.requests import Evaluate, Train
from tests.trainers import desk
from tests.trainers.desk import Desk, candidate
from tests.trainers.pictures import folder
from trainers import datasets, pixels
from trainers.fingerprint import identity
from trainers.job import Job, Stopping


def _fits(monkeypatch: pytest.MonkeyPatch, answer: bool) -> None:
    """Says whether images fit, to a worker that keeps none from an earlier job."""
    monkeypatch.setattr(pixels, "fits", lambda needed, device: answer)
    monkeypatch.setattr(desk.TRAINER, "_data", None)
    datasets._loaded.clear()


def _stop_at(monkeypatch: pytest.MonkeyPatch, place: Desk, position: tuple[int, int, str]) -> None:
    """Has the daemon ask for a stop at (epoch, step, note)."""
    alive = Job.alive

    def asked(job: Job, epoch: int, step: int, steps: int, **more: Any) -> None:
        if (epoch, step, more.get("note", "")) == position:
            place.stop()
        alive(job, epoch, step, steps, **more)

    monkeypatch.setattr(Job, "alive", asked)


@pytest.mark.parametrize("crop", ["padded", "resized"])
def test_streamed_images_train_to_the_same_checkpoint_stopped_or_not(
    crop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = folder(tmp_path / "images", each=20, sizes=((12, 12), (20, 14)))
    data = identity(DataSpec(name="image_folder", path=str(root), image_size=10))
    recipe = {"batch_size": 6, "crop": crop, "colour_jitter": 0.4}
    made = candidate(data=data, proxy=Proxy(channels=4, cells=3, resolution=8), recipe=recipe)
    request, settings = Train(candidate=made, epochs=2), {"data_path": str(root), "cache": str(tmp_path / "cache")}
    with Desk(tmp_path) as place:
        _fits(monkeypatch, True)
        resident = place.do(request, **settings)
        _fits(monkeypatch, False)
        assert place.do(request, **settings) == resident
        assert desk.TRAINER._data is not None
        assert desk.TRAINER._data[1].streamed
        with monkeypatch.context() as stopping:
            _stop_at(stopping, place, (1, 3, ""))
            with pytest.raises(Stopping):
                place.do(request, **settings)
        (left,) = [each for each in place.saved if (each.epoch, each.step) == (1, 3)]
        assert place.do(request, resume=left.checkpoint, attempt=2, **settings) == resident
        scored = place.do(Evaluate(candidate=made, checkpoint=resident.checkpoint), **settings)
        assert scored.accuracy == resident.history[-1].validation_accuracy


def test_a_job_that_is_stopped_while_images_are_decoded_leaves_what_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainers.cache.CHUNK_IMAGES", 8)
    root = folder(tmp_path / "images", each=20)
    data = identity(DataSpec(name="image_folder", path=str(root), image_size=10))
    made = candidate(data=data, proxy=Proxy(channels=4, cells=3, resolution=8), recipe={"batch_size": 6})
    request, settings = Train(candidate=made, epochs=1), {"data_path": str(root), "cache": str(tmp_path / "cache")}
    _fits(monkeypatch, True)
    with Desk(tmp_path) as place:
        with monkeypatch.context() as stopping:
            _stop_at(stopping, place, (0, 20, "decoding images: 20 of 40"))
            with pytest.raises(Stopping):
                place.do(request, **settings)
        (kept,) = (tmp_path / "cache").iterdir()
        assert (kept / "pixels").stat().st_size == 16 * 300
        assert place.do(request, **settings).epochs == 1
        assert (kept / "pixels").stat().st_size == 40 * 300
