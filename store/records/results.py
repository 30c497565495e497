"""What a search found."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from store.records.base import Record
from store.records.candidates import Architecture
from store.records.studies import Study


class Individual(Record):
    """One network of a search's history."""

    index: int = Field(description="order of birth, from 0")
    architecture: Architecture
    candidate: str
    epochs: int = Field(default=0, description="epochs it was trained to")
    accuracy: float | None = Field(default=None, description="best validation accuracy so far; none if it failed")
    checkpoint: str | None = None
    parameters: int | None = None
    multiply_adds: int | None = None
    parent: int | None = Field(default=None, description="index of the network that it was mutated from")
    origin: str = Field(default="random", description="how it came to be, e.g. `random` or the mutation's words")
    cycle: int = Field(default=0, description="cycle of its birth; 0 is the initial population")
    failure: str | None = Field(default=None, description="why it has no accuracy")
    test_accuracy: float | None = Field(default=None, description="on the test split; of retrained networks only")
    proxy_accuracy: float | None = Field(
        default=None, description="validation accuracy in the search that found it; of retrained networks only"
    )


class Result(Record):
    """What a strategy returns: its best networks, all that it tried, and curves for the report."""

    best: tuple[Individual, ...]
    history: tuple[Individual, ...]
    notes: tuple[str, ...] = Field(default=(), description="what a reader of the result should know")
    curves: dict[str, Any] = Field(
        default_factory=dict, description="lists of numbers by name, e.g. `mean_accuracy_2E` over cycles"
    )
    study: Study | None = Field(default=None, description="what a proxy study measured")
    state: str | None = Field(
        default=None, description="digest of what the strategy has learnt, for a later search to start from"
    )
