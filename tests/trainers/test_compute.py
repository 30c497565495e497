"""Computations: what may be called, and what comes back."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from store.checkpoints import CheckpointStore
from store.errors import NotCanonical
from store.records import arrays
from store.records.messages import Failed, Finished, Progress
from store.records.outcomes import Computed
from store.records.requests import Compute
from tests.store.builders import flip, save
from tests.trainers.harness import Daemon, assign
from trainers import compute as module
from trainers.compute import compute, resolve
from trainers.errors import UnknownComputation

DIGEST = "store.records.base:digest"


def ask(function: str, *arguments: Any) -> Compute:
    return Compute(function=function, arguments=arrays.pack(list(arguments)))


FUNCTIONS = """
import time
import numpy as np

def grow(blocks, amount):
    blocks = blocks or {"body": {"weight": np.zeros((2, 3), np.float32), "step": np.array(0)}}
    blocks["body"]["weight"] += amount
    blocks["body"]["step"] += 1
    return blocks, float(blocks["body"]["weight"].sum())

def fill(blocks, elements):
    return {"body": {"weight": np.arange(elements, dtype=np.float64)}}, [elements, blocks is None]

def total(blocks):
    return blocks, float(blocks["body"]["weight"].sum())

def nothing(blocks):
    return {}, sorted(blocks or {})

def text(blocks):
    return {"body": {"name": "text"}}, 1

def fails(blocks):
    raise ArithmeticError("no such sum")

def busy(seconds):
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass
    return seconds
"""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A worker in whose environment a package with functions of its own is installed."""
    folder = tmp_path_factory.mktemp("packages")
    (folder / "growing.py").write_text(FUNCTIONS)
    (folder / "growing-1.0.dist-info").mkdir()
    (folder / "growing-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: growing\nVersion: 1.0\n")
    names = ("grow", "fill", "total", "nothing", "text", "fails", "busy")
    points = "\n".join(f"{name} = growing:{name}" for name in names)
    (folder / "growing-1.0.dist-info" / "entry_points.txt").write_text(f"[coldframe.computations]\n{points}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder))
        daemon = Daemon(tmp_path_factory.mktemp("store"))
    with daemon:
        yield daemon


@pytest.fixture
def checkpoints(daemon: Daemon) -> Iterator[CheckpointStore]:
    store = CheckpointStore(daemon.store)
    yield store
    store.close()


def ask_from(state: str | None, function: str, *arguments: Any) -> Compute:
    packed = arrays.pack(list(arguments))
    return Compute(function=f"growing:{function}", arguments=packed, stateful=True, state=state)


def computed(daemon: Daemon, request: Compute) -> Computed:
    finished = daemon.do(assign(request))
    assert isinstance(finished, Finished), finished
    assert isinstance(finished.outcome, Computed)
    return finished.outcome


def failed(daemon: Daemon, request: Compute) -> Failed:
    report = daemon.do(assign(request))
    assert isinstance(report, Failed), report
    return report


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """A package of somebody else's, with one registered function."""
    (tmp_path / "elsewhere_fit.py").write_text(
        "def double(a):\n    return {'twice': 2 * a}\n\ndef other():\n    return 1\n\ndef bad():\n    return object()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    points = EntryPoints(
        EntryPoint(name, f"elsewhere_fit:{name}", "coldframe.computations") for name in ("double", "bad")
    )
    monkeypatch.setattr(module, "entry_points", lambda *, group: points.select(group=group))
    yield "elsewhere_fit"
    sys.modules.pop("elsewhere_fit", None)


def test_calls_a_function_of_ours_with_the_arguments() -> None:
    outcome = compute(ask(DIGEST, {"a": 1}))
    assert arrays.unpack(outcome.value) == resolve(DIGEST)({"a": 1})


def test_arrays_go_in_and_come_out(plugin: str) -> None:
    outcome = compute(ask(f"{plugin}:double", np.arange(3, dtype=np.float32)))
    value = arrays.unpack(outcome.value)["twice"]
    assert value.dtype == np.float32
    assert value.tolist() == [0, 2, 4]


def test_a_registered_function_does_not_open_the_rest_of_its_module(plugin: str) -> None:
    with pytest.raises(UnknownComputation, match=r"coldframe\.computations"):
        resolve(f"{plugin}:other")


def test_a_value_that_cannot_be_kept_is_an_error(plugin: str) -> None:
    with pytest.raises(NotCanonical):
        compute(ask(f"{plugin}:bad"))


@pytest.mark.parametrize(
    "name",
    [
        "os:system",
        "subprocess:run",
        "builtins:eval",
        "storefront:x",
        "trainers.compute:importlib",
        "trainers.compute:entry_points",
        "trainers.compute:_find",
        "trainers.compute:compute.__globals__",
        "trainers.compute:UnknownComputation",
        "trainers.compute:nothing",
        "trainers.nowhere:f",
        "trainers..compute:compute",
        "trainers.compute",
        "trainers:",
        ":f",
        "",
        "../trainers:f",
    ],
)
def test_nothing_else_can_be_called(name: str) -> None:
    with pytest.raises(UnknownComputation, match=r"compute\.function is"):
        resolve(name)


def test_a_worker_computes(daemon: Daemon) -> None:
    finished = daemon.do(assign(ask(DIGEST, [1, 2])))
    assert isinstance(finished, Finished)
    assert isinstance(finished.outcome, Computed)
    assert arrays.unpack(finished.outcome.value) == resolve(DIGEST)([1, 2])
    refused = daemon.do(assign(ask("os:system", "true")))
    assert isinstance(refused, Failed)
    assert refused.reason == "bad_request"


def test_a_value_too_large_for_a_frame_fails_the_job_and_not_the_worker(daemon: Daemon) -> None:
    """`json_safe` doubles what it is given: the question fits in a frame, the answer does not."""
    fits = daemon.do(assign(ask("store.records.requests:json_safe", b"\xff" * 400_000)))
    assert isinstance(fits, Finished)
    failed = daemon.do(assign(ask("store.records.requests:json_safe", b"\xff" * 600_000)))
    assert isinstance(failed, Failed)
    assert failed.reason == "bad_request"
    assert "at most 1048576 are allowed" in failed.message
    assert isinstance(daemon.do(assign()), Finished)


def test_each_computation_goes_on_from_the_state_before(daemon: Daemon, checkpoints: CheckpointStore) -> None:
    first = computed(daemon, ask_from(None, "grow", 1.0))
    second = computed(daemon, ask_from(first.state, "grow", 2.0))
    assert [arrays.unpack(one.value) for one in (first, second)] == [6.0, 18.0]
    assert second.state is not None
    loaded = checkpoints.load(second.state)
    assert loaded.tensors["state"]["body"]["step"].item() == 2
    assert loaded.manifest.candidate == ask_from(first.state, "grow", 2.0).key
    assert (loaded.manifest.epoch, loaded.manifest.step, loaded.manifest.history) == (0, 0, ())


def test_the_same_request_leaves_the_same_state_and_another_one_another(daemon: Daemon) -> None:
    once, again = (computed(daemon, ask_from(None, "grow", 3.0)) for _ in range(2))
    assert once == again
    assert (
        computed(
            daemon,
            ask_from(
                None,
                "grow",
                np.float64(3.0),
            ),
        ).state
        == once.state
    )
    first = computed(daemon, ask_from(None, "nothing")).state
    assert first not in (None, computed(daemon, ask_from(once.state, "nothing")).state)


def test_arrays_larger_than_a_frame_stay_in_the_store(daemon: Daemon) -> None:
    filled = computed(daemon, ask_from(None, "fill", 1_000_000))
    assert arrays.unpack(filled.value) == [1_000_000, True]
    assert arrays.unpack(computed(daemon, ask_from(filled.state, "total")).value) == 1_000_000 * 999_999 / 2


def test_a_state_may_be_empty(daemon: Daemon) -> None:
    emptied = computed(daemon, ask_from(computed(daemon, ask_from(None, "grow", 1.0)).state, "nothing"))
    assert arrays.unpack(emptied.value) == ["body"]
    assert arrays.unpack(computed(daemon, ask_from(emptied.state, "nothing")).value) == []


def test_a_state_that_is_damaged_or_missing_is_named(daemon: Daemon, checkpoints: CheckpointStore) -> None:
    state = computed(daemon, ask_from(None, "fill", 77)).state
    assert state is not None
    (block,) = checkpoints.manifest(state).blocks
    pack = next(
        path for path in (daemon.store / "blobs" / "packs").rglob("zarr.json") if block.blob in path.read_text()
    )
    flip(pack.with_name("c.0"), 5)
    damaged = failed(daemon, ask_from(state, "total"))
    assert (damaged.reason, damaged.checkpoint, damaged.blobs) == ("corrupt_checkpoint", state, (block.blob,))
    missing = failed(daemon, ask_from("f" * 64, "total"))
    assert (missing.reason, missing.checkpoint, missing.blobs) == ("corrupt_checkpoint", "f" * 64, ())


def test_what_is_no_state_is_refused(daemon: Daemon, checkpoints: CheckpointStore) -> None:
    """A training's checkpoint to start from, text where arrays should be, a name that is no digest."""
    training = failed(daemon, ask_from(save(checkpoints), "total"))
    assert training.reason == "bad_request"
    assert "it is not a state of the computation" in training.message
    text = failed(daemon, ask_from(None, "text"))
    assert text.reason == "error"
    assert "expected numeric arrays as {block: {name: array}}" in text.message
    assert failed(daemon, ask_from("../x", "total")).reason == "bad_request"


def test_a_function_that_raises_is_an_error_with_its_traceback(daemon: Daemon) -> None:
    report = failed(daemon, ask_from(None, "fails"))
    assert report.reason == "error"
    assert "ArithmeticError: no such sum" in report.message


def test_a_worker_that_computes_for_long_says_that_it_is_alive(daemon: Daemon) -> None:
    order = assign(Compute(function="growing:busy", arguments=arrays.pack([0.7])))
    daemon.send(order)
    *progress, last = daemon.until_last()
    assert isinstance(last, Finished)
    assert progress
    assert all(isinstance(one, Progress) and one.job == order.job for one in progress)
