"""The knowledge pool of simulated worlds: nearest blocks, the bar, and what may not be compared."""

from __future__ import annotations

from typing import Any

import pytest

from store.records.knowledge import BlockKey, Contribution, PoolQuery
from strategies.knowledge import SimulatedPool

CHOICES = (4, 4, 4, 4)


def contribution(*keys: tuple[int, ...], checkpoint: str = "a", **fields: Any) -> Contribution:
    blocks = tuple(BlockKey(name=f"cell{place}", tokens=key) for place, key in enumerate(keys))
    given: dict[str, Any] = {"space": "s", "choices": CHOICES, "shape": (3, 8, 8), "iterations": 100} | fields
    return Contribution(candidate="c", checkpoint=checkpoint * 64, blocks=blocks, **given)


def query(*keys: tuple[int, ...], bar: float = 0.5, **fields: Any) -> PoolQuery:
    blocks = tuple(BlockKey(name=f"b{place}", tokens=key) for place, key in enumerate(keys))
    return PoolQuery(**{"space": "s", "choices": CHOICES, "shape": (3, 8, 8), "blocks": blocks, "bar": bar} | fields)


def pool(*contributions: Contribution) -> SimulatedPool:
    return SimulatedPool(pooled=dict(enumerate(contributions)))


def test_each_block_starts_from_the_one_with_most_equal_tokens() -> None:
    found = pool(contribution((0, 0, 0, 0), (1, 2, 3, 0))).look_up(query((1, 2, 3, 3), (0, 0, 0, 0)))
    assert [(one.source, one.similarity) for one in found.blocks] == [
        (f"{'a' * 64}/cell1", 0.75),
        (f"{'a' * 64}/cell0", 1.0),
    ]
    assert (found.hits, found.matches, found.generation, found.iterations) == (2, 2, 1, 100)


def test_a_block_below_the_bar_starts_at_random_and_its_similarity_is_told() -> None:
    found = pool(contribution((0, 0, 0, 0))).look_up(query((0, 0, 3, 3), (1, 1, 1, 1), bar=0.75))
    assert [(one.source, one.similarity) for one in found.blocks] == [("", 0.5), ("", 0.0)]
    assert (found.hits, found.matches, found.generation, found.iterations, found.initial) == (1, 0, 0, None, ())


def test_the_earlier_of_two_alike_is_taken() -> None:
    found = pool(contribution((0, 0, 0, 0)), contribution((0, 0, 0, 0), checkpoint="b")).look_up(query((0, 0, 0, 0)))
    assert found.initial == (f"b0={'a' * 64}/cell0",)


def test_blocks_of_other_spaces_and_images_are_refused_with_the_reason() -> None:
    others = contribution((0, 0, 0, 0), space="t"), contribution((0, 0, 0, 0), (1, 1, 1, 1), shape=(1, 8, 8))
    found = pool(*others).look_up(query((0, 0, 0, 0)))
    assert found.refused == {"another space": 1, "another shape of images": 2}
    assert found.hits == 0


@pytest.mark.parametrize(("wanted", "source"), [(None, "b"), (100, "a")])
def test_only_blocks_of_one_count_of_steps_are_compared(wanted: int | None, source: str) -> None:
    entries = contribution((0, 0, 0, 0)), contribution((0, 0, 0, 1), checkpoint="b", iterations=200, generation=3)
    found = pool(*entries).look_up(query((0, 0, 0, 0), iterations=wanted))
    assert found.blocks[0].source == f"{source * 64}/cell0"
    assert found.generation == (4 if source == "b" else 1)
