"""What searches have put into the knowledge pool, as the journal tells it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import msgpack

from orchestrator.views import History
from store.journal import Journal


@dataclass(slots=True)
class Contributed:
    """The networks that one search has put in.

    Attributes:
        search: its id.
        name: its name.
        space: the name of its space.
        shapes: networks by the shape of images as they read them, (channels, height, width).
        iterations: networks by the optimiser steps that they were trained for.
        generations: networks by generation; 0: trained from random weights.
    """

    search: str
    name: str
    space: str
    shapes: Counter[tuple[int, ...]] = field(default_factory=Counter)
    iterations: Counter[int] = field(default_factory=Counter)
    generations: Counter[int] = field(default_factory=Counter)

    @property
    def networks(self) -> int:
        """How many there are."""
        return self.generations.total()

    def as_json(self) -> dict[str, Any]:
        """Returns it as plain values."""
        return {
            "search": self.search,
            "name": self.name,
            "space": self.space,
            "networks": self.networks,
            "shapes": [list(shape) for shape in sorted(self.shapes)],
            "iterations": {str(steps): count for steps, count in sorted(self.iterations.items())},
            "generations": {str(generation): count for generation, count in sorted(self.generations.items())},
        }


def contributed(history: History, journal: Journal) -> list[Contributed]:
    """Returns what every search has put in, in the order of their first networks.

    Args:
        history: the folded journal, for the searches' names.
        journal: the same journal.
    """
    found: dict[str, Contributed] = {}
    for row in journal.raw(types=("weights_pooled",)):
        payload = msgpack.unpackb(row.payload, raw=False)
        search, given = payload["search"], payload["contribution"]
        entry = history.searches[search]
        one = found.setdefault(search, Contributed(search, entry.name, entry.spec["space"]["name"]))
        one.shapes[tuple(given["shape"])] += 1
        one.iterations[given["iterations"]] += 1
        one.generations[given["generation"]] += 1
    return list(found.values())
