"""Asynchronous EcoNAS, regularised evolution and successive halving under the conformance class that we ship."""

from __future__ import annotations

from typing import Any, ClassVar

from store.records.candidates import Candidate
from store.records.spec import SearchSpec
from strategies import registry
from strategies.run import Strategy
from strategies.testing import StrategyConformance
from tests.strategies.builders import small_econas, spec

TINY = {"name": "cell", "nodes": 1, "operations": ["none", "sep_conv_3x3"]}


class Registered(StrategyConformance):
    sample = 5

    def strategy(self, spec: SearchSpec) -> Strategy:
        return registry.create(spec)

    def score(self, candidate: Candidate, epochs: int) -> float:
        """Cheap to compute, with many ties, and better for longer training."""
        genes = candidate.architecture.genes
        return round(0.8 * genes.count(1) / len(genes) + 0.1 * epochs / (epochs + 1), 6)


class AsynchronousEcoNAS(Registered):
    totals: ClassVar[dict[str, int]] = {"cycles": 5}
    preset = "default"
    order_matters = True

    def spec(self) -> SearchSpec:
        return small_econas(preset=self.preset, barrier=False, in_flight=3)


class TestAsynchronousEcoNAS(AsynchronousEcoNAS):
    sample = 24


class TestAsynchronousEcoNASReleased(AsynchronousEcoNAS):
    preset = "released"


class TestAsynchronousEcoNASAlgorithm1(AsynchronousEcoNAS):
    preset = "algorithm-1"


class TestAsynchronousEcoNASWhereDuplicatesAreCommon(AsynchronousEcoNAS):
    def spec(self) -> SearchSpec:
        return small_econas(space=TINY, barrier=False, in_flight=4, parents="softmax", dead="union", capacity=8)


class RegularisedEvolution(Registered):
    totals: ClassVar[dict[str, int]] = {"models": 31}

    def options(self) -> dict[str, Any]:
        return {}

    def spec(self) -> SearchSpec:
        small = {"models": 22, "population": 6, "sample": 3, "children": 5, "epochs": 2}
        hierarchical = {"promoted_to_2e": 3, "promoted_to_3e": 2}
        return spec("regularised-evolution", **small | hierarchical | self.options())


class TestSerialEvolution(RegularisedEvolution):
    sample = 24


class TestSerialEvolutionWithRungs(RegularisedEvolution):
    def options(self) -> dict[str, Any]:
        return {"hierarchical": True}


class TestEvolutionWithManyUnderWay(RegularisedEvolution):
    order_matters = True

    def options(self) -> dict[str, Any]:
        return {"in_flight": 4}


class TestEvolutionWithManyUnderWayAndRungs(RegularisedEvolution):
    order_matters = True
    sample = 24

    def options(self) -> dict[str, Any]:
        return {"in_flight": 4, "hierarchical": True}


class TestEvolutionWhoseTotalIsLessThanItsPopulation(RegularisedEvolution):
    def options(self) -> dict[str, Any]:
        return {"models": 4, "hierarchical": True}


class TestEvolutionWhereDuplicatesAreCommon(RegularisedEvolution):
    order_matters = True

    def options(self) -> dict[str, Any]:
        return {"in_flight": 3, "hierarchical": True, "space": TINY, "identity_probability": 0.5}


class Halving(Registered):
    totals: ClassVar[dict[str, int]] = {"candidates": 25}

    def options(self) -> dict[str, Any]:
        return {}

    def spec(self) -> SearchSpec:
        small = {"candidates": 14, "minimum_epochs": 1, "reduction": 2, "rungs": 3, "in_flight": 3}
        return spec("asha", **small | self.options())


class TestASHA(Halving):
    order_matters = True
    sample = 24


class TestASHAWhoseTopRungIsReachedSoon(Halving):
    order_matters = True

    def options(self) -> dict[str, Any]:
        return {"reduction": 3, "rungs": 2, "in_flight": 1}


class TestSynchronousHalving(Halving):
    def options(self) -> dict[str, Any]:
        return {"synchronous": True}
