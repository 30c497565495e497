"""Asynchronous EcoNAS, regularised evolution and successive halving under the conformance class that we ship."""

from __future__ import annotations

from typing import ClassVar

from store.records.candidates import Candidate
from store.records.spec import SearchSpec
from strategies import registry
from strategies.run import Strategy
from strategies.testing import StrategyConformance
from tests.strategies.builders import separable_share, small_econas

TINY = {"name": "cell", "nodes": 1, "operations": ["none", "sep_conv_3x3"]}


class Registered(StrategyConformance):
    sample = 12

    def strategy(self, spec: SearchSpec) -> Strategy:
        return registry.create(spec)

    def score(self, candidate: Candidate, epochs: int) -> float:
        return separable_share(candidate, epochs)


class AsynchronousEcoNAS(Registered):
    totals: ClassVar[dict[str, int]] = {"cycles": 5}
    preset = "default"
    order_matters = True

    def spec(self) -> SearchSpec:
        return small_econas(preset=self.preset, barrier=False, in_flight=3)


class TestAsynchronousEcoNAS(AsynchronousEcoNAS):
    sample = 100  # every moment


class TestAsynchronousEcoNASReleased(AsynchronousEcoNAS):
    preset = "released"


class TestAsynchronousEcoNASAlgorithm1(AsynchronousEcoNAS):
    preset = "algorithm-1"


class TestAsynchronousEcoNASWhereDuplicatesAreCommon(AsynchronousEcoNAS):
    def spec(self) -> SearchSpec:
        return small_econas(space=TINY, barrier=False, in_flight=4, parents="softmax", dead="union", capacity=8)
