"""Training candidates whose blocks start from other networks' weights: what they end with, and what stops them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from store.checkpoints import CheckpointStore
from store.records.candidates import Candidate, Named, Proxy
from store.records.messages import Failed, Finished
from store.records.outcomes import Trained
from store.records.requests import Evaluate, Measure, Train
from strategies.spaces import registry as spaces
from strategies.spaces.nasbench201 import OPERATIONS
from tests.store.builders import flip
from tests.trainers import harness
from tests.trainers.desk import Desk, candidate
from tests.trainers.harness import Daemon, assign
from trainers.errors import ImpossibleSetting, InheritedBlockLost

BENCH = Named(name="nasbench201")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Desk(tmp_path) as opened:
        yield opened


def bench(seed: int, **changes: Any) -> Candidate:
    """A very small network of NAS-Bench-201, its genes drawn with `seed`, a 3 x 3 convolution from input to output."""
    architecture = spaces.create(BENCH).random(np.random.default_rng(seed))
    genes = (*architecture.genes[:3], OPERATIONS.index("nor_conv_3x3"), *architecture.genes[4:])
    architecture = architecture.model_copy(update={"genes": genes})
    proxy = Proxy(channels=4, cells=5, sample_ratio=0.25)
    return candidate(**({"space": BENCH, "architecture": architecture, "proxy": proxy} | changes))


def heir(of: Candidate, checkpoint: str, *blocks: str) -> Candidate:
    return of.inheriting(tuple(f"{block}={checkpoint}/{block}" for block in blocks))


def model(checkpoints: CheckpointStore, digest: str) -> dict[str, dict[str, Any]]:
    return checkpoints.load(digest).tensors["model"]


def damage(checkpoints: CheckpointStore, digest: str, block: str) -> str:
    """Flips a bit of a block's weights; returns the digest of its blob."""
    place = next(one for one in checkpoints.manifest(digest).blocks if (one.role, one.block) == ("model", block))
    data = checkpoints.blobs.get([place.blob])[place.blob].tobytes()
    for pack in checkpoints.blobs.names():
        chunk = checkpoints.blobs.packs / pack[:2] / pack / "c.0"
        if (at := chunk.read_bytes().find(data)) >= 0:
            flip(chunk, at + len(data) // 2)
    return place.blob


@pytest.mark.parametrize(
    ("mine", "theirs"), [(candidate(genes=1), candidate(genes=2)), (bench(1), bench(2))], ids=["cell", "nasbench201"]
)
def test_going_on_from_e_gives_the_bits_of_2e_at_once_though_the_source_is_gone_by_then(
    desk: Desk, mine: Candidate, theirs: Candidate
) -> None:
    source = desk.do(Train(candidate=theirs, epochs=1))
    inheriting = heir(mine, source.checkpoint, "stem", "cell01", "cell02")
    at_once = desk.do(Train(candidate=inheriting, epochs=2))
    assert desk.do(Train(candidate=inheriting, epochs=2)) == at_once
    first = desk.do(Train(candidate=inheriting, epochs=1))
    desk.checkpoints.path(source.checkpoint).unlink()
    assert desk.do(Train(candidate=inheriting, epochs=2), resume=first.checkpoint) == at_once
    assert first.candidate == inheriting.id != mine.id
    random = desk.do(Train(candidate=mine, epochs=1))
    assert random.history != first.history


def test_what_it_starts_from_is_the_sources_weights_without_its_momentum(desk: Desk) -> None:
    """At a learning rate of next to nothing one epoch changes next to nothing."""
    source = desk.do(Train(candidate=bench(3), epochs=2))
    frozen = {"learning_rate": 1e-12, "minimum_learning_rate": 0.0, "weight_decay": 0.0}
    still = heir(bench(3, recipe=frozen), source.checkpoint, "stem", "cell00", "cell01")
    plain = bench(3, recipe=frozen)
    ends = {one.id: desk.do(Train(candidate=one, epochs=1)).checkpoint for one in (still, plain)}
    given, taken, random = (model(desk.checkpoints, one) for one in (source.checkpoint, ends[still.id], ends[plain.id]))
    for block, expected in (
        ("stem", given),
        ("cell00", given),
        ("cell01", given),
        ("cell02", random),
        ("head", random),
    ):
        for name, array in taken[block].items():
            if "running" not in name:
                np.testing.assert_allclose(array, expected[block][name], atol=1e-6)
    assert any((given["cell02"][name] != taken["cell02"][name]).any() for name in taken["cell02"])


def test_no_more_of_a_checkpoint_is_needed_than_the_blocks_that_are_inherited(desk: Desk) -> None:
    source = desk.do(Train(candidate=bench(4), epochs=1))
    inheriting = heir(bench(5), source.checkpoint, "cell01")
    whole = desk.do(Train(candidate=inheriting, epochs=1))
    manifest = desk.checkpoints.manifest(source.checkpoint)
    kept = {one.blob for one in manifest.blocks if (one.role, one.block) == ("model", "cell01")}
    gone = {one.blob for one in manifest.blocks} - kept
    for pack in list(desk.checkpoints.blobs.names()):
        held = set(desk.checkpoints.blobs.index.entries(pack))
        if {entry.digest for entry in held} & gone:
            keep = [entry.digest for entry in held if entry.digest in kept]
            assert desk.checkpoints.blobs.rewrite(pack, keep, newer_than=float("inf"))
    assert desk.do(Train(candidate=inheriting, epochs=1)) == whole


def test_an_inheriting_network_is_scored_and_measured_without_its_source(desk: Desk) -> None:
    source = desk.do(Train(candidate=bench(6), epochs=1))
    inheriting = heir(bench(7), source.checkpoint, "stem", "norm")
    trained = desk.do(Train(candidate=inheriting, epochs=1))
    desk.checkpoints.path(source.checkpoint).unlink()
    scored = desk.do(Evaluate(candidate=inheriting, checkpoint=trained.checkpoint))
    assert scored.accuracy == trained.history[-1].validation_accuracy
    measured = desk.do(Measure(candidate=inheriting))
    assert measured == desk.do(Measure(candidate=bench(7)))
    assert measured.image_shape == (1, 8, 8)


def test_a_wider_network_learns_from_a_narrower_ones_blocks(desk: Desk) -> None:
    source = desk.do(Train(candidate=bench(8), epochs=1))
    wide = bench(8, proxy=Proxy(channels=8, cells=5, sample_ratio=0.25))
    inheriting = heir(wide, source.checkpoint, "stem", "cell00", "cell01", "cell02", "cell03", "cell04", "norm")
    trained = desk.do(Train(candidate=inheriting, epochs=1))
    assert trained.accuracy > 0.1
    assert trained.history != desk.do(Train(candidate=wide, epochs=1)).history


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("head={}/head", "any block but the classifier"),
        ("cell09={}/cell00", "a block of the network"),
        ("stem={}/cell09", "a block that this checkpoint has weights of"),
        ("stem", "BLOCK=MANIFEST/BLOCK"),
    ],
)
def test_what_cannot_be_inherited_is_named(desk: Desk, entry: str, expected: str) -> None:
    source = desk.do(Train(candidate=bench(9), epochs=1))
    wrong = bench(9).inheriting((entry.format(source.checkpoint),))
    with pytest.raises(ImpossibleSetting, match=r"candidate\.initial is") as error:
        desk.do(Train(candidate=wrong, epochs=1))
    assert expected in str(error.value)


def test_a_damaged_source_is_a_failure_that_names_it_and_never_a_random_start(tmp_path: Path) -> None:
    with Desk(tmp_path) as desk:
        source = desk.do(Train(candidate=bench(10), epochs=1))
        inheriting = heir(bench(11), source.checkpoint, "stem", "cell01")
        first = desk.do(Train(candidate=inheriting, epochs=1))
        blob = damage(desk.checkpoints, source.checkpoint, "cell01")
        with pytest.raises(InheritedBlockLost, match=source.checkpoint[:8]):
            desk.do(Train(candidate=inheriting, epochs=1))
        assert not desk.saved
    with Daemon(tmp_path) as daemon:
        failed = daemon.do(assign(Train(candidate=inheriting, epochs=1)))
        sound = daemon.do(assign(Train(candidate=heir(bench(11), source.checkpoint, "stem"), epochs=1)))
        resumed = daemon.do(assign(Train(candidate=inheriting, epochs=2), resume=first.checkpoint))
        desk.checkpoints.path(source.checkpoint).unlink()
        gone = daemon.do(assign(Train(candidate=inheriting, epochs=1), attempt=2))
    assert isinstance(failed, Failed)
    assert (failed.reason, failed.checkpoint, failed.blobs) == ("corrupt_block", source.checkpoint, (blob,))
    assert isinstance(sound, Finished)
    assert isinstance(resumed, Finished)
    assert isinstance(gone, Failed)
    assert (gone.reason, gone.checkpoint, gone.blobs) == ("corrupt_block", source.checkpoint, ())


def test_the_scripted_trainer_reads_what_it_starts_from_and_is_ahead_of_its_curve(tmp_path: Path) -> None:
    def played(daemon: Daemon, of: Candidate) -> Trained:
        report = daemon.do(assign(Train(candidate=of, epochs=2)))
        assert isinstance(report, Finished)
        assert isinstance(report.outcome, Trained)
        return report.outcome

    genes = (1, 2, 3, 4, 0, 1)
    plain = harness.candidate(genes=genes, blocks=0, noise=0.0).model_copy(
        update={"space": BENCH, "architecture": bench(0).architecture.model_copy(update={"genes": genes})}
    )
    with Daemon(tmp_path) as daemon:
        source = played(daemon, plain)
        inheriting = heir(plain, source.checkpoint, "stem", "cell00", "cell01")
        ahead = played(daemon, inheriting)
        lost = daemon.do(assign(Train(candidate=heir(plain, "ab" * 32, "stem"), epochs=1)))
        wrong = daemon.do(assign(Train(candidate=heir(plain, source.checkpoint, "head"), epochs=1)))
    assert [one.validation_accuracy for one in ahead.history] > [one.validation_accuracy for one in source.history]
    blocks = CheckpointStore(tmp_path).manifest(source.checkpoint).blocks
    assert {one.block for one in blocks} >= {"stem", "cell00", "norm"}
    assert isinstance(lost, Failed)
    assert (lost.reason, lost.checkpoint) == ("corrupt_block", "ab" * 32)
    assert isinstance(wrong, Failed)
    assert wrong.reason == "bad_request"
