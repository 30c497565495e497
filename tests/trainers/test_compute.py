"""Computations: what may be called, and what comes back."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from store.errors import NotCanonical
from store.records import arrays
from store.records.messages import Failed, Finished
from store.records.outcomes import Computed
from store.records.requests import Compute
from tests.trainers.harness import Daemon, assign
from trainers import compute as module
from trainers.compute import compute, resolve
from trainers.errors import UnknownComputation

DIGEST = "store.records.base:digest"


def ask(function: str, *arguments: Any) -> Compute:
    return Compute(function=function, arguments=arrays.pack(list(arguments)))


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with Daemon(tmp_path_factory.mktemp("store")) as daemon:
        yield daemon


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
