"""The one JSON object that ends `coldframe run --json`, and the names that its parts have everywhere else."""

from __future__ import annotations

from typing import Any

from orchestrator import sampling
from orchestrator.views import CandidateView, SearchView, totals
from store.records.candidates import Architecture, Named
from strategies.spaces.registry import create


def summary(view: SearchView) -> dict[str, Any]:
    """Returns a search's id, status, best candidate (null before there is one) and totals.

    Of reinforcement learning also the samples by source, and of any search that used the knowledge pool how.
    """
    return {
        "search": view.id,
        "name": view.name,
        "status": view.status,
        "best": candidate(view, view.best[0]) if view.best else None,
        "totals": totals(view),
    } | sampling.summary(view)


def candidate(view: SearchView, found: CandidateView) -> dict[str, Any]:
    """Returns one candidate as JSON: architecture, genotype, what it reached and what it costs."""
    return {
        "architecture": {"space": found.architecture["space"], "genes": list(found.architecture["genes"])},
        "genotype": genotype(view, found),
        "accuracy": found.accuracy,
        "test_accuracy": found.test_accuracy,
        "proxy_accuracy": found.proxy_accuracy,
        "epochs": found.epochs,
        "parameters": found.parameters,
        "multiply_adds": found.multiply_adds,
        "checkpoint": found.checkpoint,
    }


def genotype(view: SearchView, found: CandidateView) -> dict[str, Any]:
    """Returns the structured genotype of a candidate, in the notation of its search's space."""
    space = create(Named.model_validate(dict(view.spec["space"])))
    return space.describe(Architecture.model_validate(dict(found.architecture)))
