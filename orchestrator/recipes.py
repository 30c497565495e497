"""What a search's recipe is called: the published one that it follows, with what it has otherwise."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.views.entries import Payload
from store.records.candidates import Proxy, Recipe

MOST_CHANGES = 4
"""A recipe with more changes than this is no published one."""
OWN = "its own, see the spec"


def called(spec: Payload) -> str:
    """Returns e.g. `nasbench201-12` or `digits, but recipe.batch_size 64`; the length in epochs is no change."""
    from trainers.recipe import RECIPES

    recipe, proxy = Recipe.model_validate(dict(spec["recipe"])), Proxy.model_validate(dict(spec["proxy"]))
    changes = {
        name: [*_changes("recipe", known.recipe, recipe), *_changes("proxy", known.proxy, proxy)]
        for name, known in RECIPES.items()
    }
    nearest = min(changes, key=lambda name: (len(changes[name]), RECIPES[name].epochs != recipe.schedule_epochs))
    if len(changes[nearest]) > MOST_CHANGES:
        return OWN
    return f"{nearest}, but {', '.join(changes[nearest])}" if changes[nearest] else nearest


def _changes(table: str, known: Recipe | Proxy, own: Recipe | Proxy) -> Iterator[str]:
    for key in type(known).model_fields:
        value = getattr(own, key)
        if key != "schedule_epochs" and value != getattr(known, key):
            yield f"{table}.{key} {'none' if value is None else value}"
