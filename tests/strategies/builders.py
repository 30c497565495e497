"""Specs, scores and networks for the tests of strategies."""

from __future__ import annotations

from typing import Any

from store.records.candidates import Architecture, Candidate
from store.records.outcomes import Failure, Trained
from store.records.results import Individual
from store.records.spec import SearchSpec
from strategies.spaces import registry as spaces


def spec(strategy: str = "econas", *, seed: int = 1, space: dict[str, Any] | None = None, **options: Any) -> SearchSpec:
    return SearchSpec.model_validate(
        {
            "name": "test",
            "seed": seed,
            "strategy": {"name": strategy, **options},
            "space": space or {"name": "cell"},
            "data": {"name": "digits"},
        }
    )


def small_econas(**options: Any) -> SearchSpec:
    small = {"initial": 6, "cycles": 3, "children": 4, "promoted_to_2e": 2, "promoted_to_3e": 1, "epochs": 2}
    return spec(**(small | options))


def study_spec(
    *,
    seed: int = 1,
    space: dict[str, Any] | None = None,
    workers: int = 2,
    reference: dict[str, Any] | None = None,
    recipe: dict[str, Any] | None = None,
    **options: Any,
) -> SearchSpec:
    """A small proxy study: by default two numbers of channels and of epochs, against 36 channels and 6 epochs."""
    small = {"networks": 6, "channels": [16, 8], "epochs": [1, 2], "bootstrap": 100}
    made = spec("proxy-study", seed=seed, space=space, **(small | options)).model_dump()
    made |= {"reference": reference or {"proxy": {"channels": 36, "resolution": 8}, "epochs": 6}}
    made |= {"proxy": {"resolution": 8}, "recipe": recipe or {}, "resources": {"workers": workers}}
    return SearchSpec.model_validate(made)


def separable_share(candidate: Candidate, epochs: int) -> float:
    """The share of 3x3 separable convolutions among the operations, and a little for every epoch."""
    genotype = spaces.create(candidate.space).describe(candidate.architecture)
    operations = [operation for cell in ("normal", "reduce") for operation, _ in genotype[cell]]
    return round(0.9 * operations.count("sep_conv_3x3") / len(operations) + 0.1 * epochs / (epochs + 1), 6)


def architecture(*genes: int) -> Architecture:
    return Architecture(space="cell", genes=genes)


def individual(index: int, accuracy: float | None = None, **fields: Any) -> Individual:
    defaults: dict[str, Any] = {"architecture": architecture(index), "candidate": f"{index:064x}"}
    return Individual(index=index, accuracy=accuracy, **(defaults | fields))


def trained(accuracy: float, epochs: int = 20) -> Trained:
    return Trained(
        candidate="0" * 64,
        epochs=epochs,
        accuracy=accuracy,
        history=(),
        checkpoint=f"{epochs:064x}",
        parameters=10,
        multiply_adds=100,
    )


def failure(message: str = "loss is NaN") -> Failure:
    return Failure(reason="diverged", retryable=False, message=message)
