"""The knowledge pool answers as a naive one does, refuses what may not be compared, and keeps to its quota."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.blocks import NOT_A_KEY, KnowledgePool
from store.errors import NotAKey
from store.pool_value import HALF_LIFE
from store.records.knowledge import Contribution, Inheritance, InheritedBlock, PoolQuery
from tests.store.builders import asking, contribution, drawn

KEY = [[0, 1, 2, 3]]
"""A network of one block."""


def empty(folder: Path) -> KnowledgePool:
    """A pool without a store around it."""
    folder.mkdir(exist_ok=True)
    return KnowledgePool.open(folder)


def source(number: int, block: int = 0) -> str:
    """Where a block of `contribution(number)` lies."""
    return f"{number:064x}/cells.{block}"


def sources(found: Inheritance) -> list[str]:
    """Where the blocks of an answer come from."""
    return [block.source for block in found.blocks]


class Naive:
    """The pool's rules as they are written down, over a list."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, Contribution, tuple[int, ...], str]] = []

    def add(self, search: str, made: Contribution) -> None:
        """Keeps the first block of each key, search and kind."""
        for block in made.blocks:
            known = [(one, other.space, other.shape, other.iterations, key) for one, other, key, _ in self.entries]
            if (search, made.space, made.shape, made.iterations, block.tokens) not in known:
                self.entries.append((search, made, block.tokens, block.name))

    def match(self, query: PoolQuery, searches: Collection[str]) -> Inheritance:
        """Compares each block with every visible entry by the cosine of their embeddings."""
        seen = [entry for entry in self.entries if entry[0] in searches]
        alike = [entry for entry in seen if (entry[1].space, entry[1].shape) == (query.space, query.shape)]
        counts = Counter(made.iterations for _, made, _, _ in alike)
        iterations = query.iterations
        if iterations is None and counts:
            iterations = min(counts, key=lambda each: (-counts[each], each))
        fair = [entry for entry in alike if entry[1].iterations == iterations]
        blocks, generations = [], []
        for block in query.blocks:
            cosines = [cosine(key, block.tokens) for _, _, key, _ in fair]
            similarity = max(cosines, default=0.0)
            origin = ""
            if similarity and similarity >= query.bar - 1e-9:
                near = [entry for entry, value in zip(fair, cosines, strict=True) if value > similarity - 1e-9]
                _, made, _, name = min(near, key=lambda entry: entry[1].generation)
                origin = f"{made.checkpoint}/{name}"
                generations.append(made.generation)
            blocks.append(InheritedBlock(block=block.name, source=origin, similarity=similarity))
        return Inheritance(blocks=tuple(blocks), generation=1 + max(generations, default=-1))


def cosine(left: tuple[int, ...], right: tuple[int, ...]) -> float:
    """The cosine of two expanded embeddings of four choices a token."""
    one, other = (np.eye(4)[list(tokens)].ravel() for tokens in (left, right))
    return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))


made = st.builds(
    lambda seed, space, shape, iterations, generation: (seed, space, shape, iterations, generation),
    st.integers(0, 40),
    st.sampled_from(["5" * 64, "6" * 64]),
    st.sampled_from([(3, 32, 32), (1, 8, 8)]),
    st.sampled_from([100, 400]),
    st.integers(0, 2),
)


@settings(max_examples=40, deadline=None)
@given(
    networks=st.lists(st.tuples(st.sampled_from("abc"), made), max_size=12),
    asked=st.lists(st.tuples(st.sets(st.sampled_from("abcd")), made, st.sampled_from([0.3, 0.5, 1.0])), max_size=4),
    iterations=st.sampled_from([None, 100, 400]),
)
def test_the_pool_answers_as_comparing_every_cosine_does(
    tmp_path_factory: pytest.TempPathFactory,
    networks: list[tuple[str, tuple[int, str, tuple[int, ...], int, int]]],
    asked: list[tuple[set[str], tuple[int, str, tuple[int, ...], int, int], float]],
    iterations: int | None,
) -> None:
    pool, naive = empty(tmp_path_factory.mktemp("pool")), Naive()
    for number, (search, (seed, space, shape, steps, generation)) in enumerate(networks, start=1):
        one = contribution(number, drawn(seed), space=space, shape=shape, iterations=steps, generation=generation)
        pool.add(number, search, one)
        naive.add(search, one)
    assert len(pool) == len(naive.entries)
    reopened = KnowledgePool.open(pool.path.parents[1], read_only=True)
    for searches, (seed, space, shape, _, _), bar in asked:
        query = asking(drawn(seed), space=space, shape=shape, bar=bar, iterations=iterations)
        found, expected = pool.match(query, searches=searches), naive.match(query, searches)
        assert sources(found) == sources(expected)
        assert [block.similarity for block in found.blocks] == pytest.approx(
            [block.similarity for block in expected.blocks]
        )
        assert found.generation == expected.generation
        assert reopened.match(query, searches=searches) == found
    pool.close()


def test_of_equally_near_entries_the_lowest_generation_counts_then_the_first(tmp_path: Path) -> None:
    pool = empty(tmp_path)
    for number, (generation, key) in enumerate([(1, [0, 0, 0, 1]), (0, [0, 0, 0, 2]), (0, [0, 0, 0, 3])], start=1):
        pool.add(number, "a", contribution(number, [key], generation=generation))
    query = asking([[0, 0, 0, 0]])
    assert sources(pool.match(query, searches=["a"])) == [source(2)]
    assert pool.match(query, searches=["a"]).generation == 1
    pool.add(4, "a", contribution(4, [[0, 0, 1, 0]]))
    assert sources(pool.match(query, searches=["a"])) == [source(2)], "a later entry that is no nearer changes nothing"


def test_a_search_keeps_the_first_entry_of_a_key(tmp_path: Path) -> None:
    pool = empty(tmp_path)
    assert pool.add(1, "a", contribution(1, [*KEY, *KEY])) == 1
    assert pool.add(2, "a", contribution(2, KEY)) == 0
    assert pool.add(3, "b", contribution(3, KEY)) == 1, "another search has its own"
    assert pool.add(4, "a", contribution(4, KEY, iterations=100)) == 1, "as do other counts of steps"
    assert sources(pool.match(asking(KEY, iterations=400), searches=["a"])) == [source(1)]
    assert sources(pool.match(asking(KEY), searches=["b"])) == [source(3)]


def test_a_row_is_added_once(tmp_path: Path) -> None:
    pool = empty(tmp_path)
    assert pool.add(7, "a", contribution(1, drawn(1))) == 4
    assert pool.sequence == 7
    assert pool.add(7, "a", contribution(2, drawn(2))) == 0
    assert pool.add(6, "a", contribution(2, drawn(2))) == 0
    assert len(pool) == 4


def test_only_the_named_searches_are_visible(tmp_path: Path) -> None:
    pool = empty(tmp_path)
    pool.add(1, "a", contribution(1, KEY))
    query = asking(KEY)
    assert pool.match(query, searches=["b"]) == Inheritance(
        blocks=(InheritedBlock(block="cells.0", source="", similarity=0.0),)
    )
    assert sources(pool.match(query, searches=["b", "a"])) == [source(1)]


def test_entries_that_may_not_be_compared_are_refused_one_by_one_with_the_reason(tmp_path: Path) -> None:
    pool = empty(tmp_path)
    pool.add(1, "a", contribution(1, drawn(1), space="6" * 64))
    pool.add(2, "a", contribution(2, drawn(2), shape=(1, 8, 8)))
    pool.add(3, "a", contribution(3, drawn(3, blocks=2), iterations=100))
    pool.add(4, "a", contribution(4, drawn(4, tokens=7)))
    pool.add(5, "b", contribution(5, drawn(5), space="7" * 64))
    found = pool.match(asking(drawn(1), iterations=400), searches=["a"])
    assert found.refused == {
        "another space": 4,
        "images of another shape: (1, 8, 8) instead of (3, 32, 32)": 4,
        "keys of another make": 4,
        "trained for 100 steps instead of 400": 2,
    }
    assert (found.hits, found.matches, found.iterations) == (0, 0, None)
    assert pool.statistics().refused == {
        "another space": 4,
        "images of another shape": 4,
        "keys of another make": 4,
        "trained for another number of steps": 2,
    }


def test_without_a_count_of_steps_the_most_common_one_is_compared(tmp_path: Path) -> None:
    pool = empty(tmp_path)
    pool.add(1, "a", contribution(1, drawn(1), iterations=400))
    pool.add(2, "a", contribution(2, drawn(2), iterations=100))
    query = asking(drawn(1), bar=0.1)
    assert pool.match(query, searches=["a"]).iterations == 100, "the lower one of two that equally many have"
    pool.add(3, "a", contribution(3, drawn(3, blocks=1), iterations=400))
    found = pool.match(query, searches=["a"])
    assert found.iterations == 400
    assert found.refused == {"trained for 100 steps instead of 400": 4}


def test_a_hit_below_the_bar_is_no_match(tmp_path: Path) -> None:
    pool = empty(tmp_path)
    pool.add(1, "a", contribution(1, [[0, 0, 0, 0], [3, 3, 3, 3]]))
    found = pool.match(asking([[0, 0, 0, 1], [0, 0, 1, 1], [1, 1, 1, 1]], bar=0.75), searches=["a"])
    assert [block.similarity for block in found.blocks] == [0.75, 0.5, 0.0]
    assert found.initial == (f"cells.0={source(1)}",)
    assert (found.hits, found.matches) == (2, 1)
    assert (pool.statistics().asked, pool.statistics().hits, pool.statistics().matches) == (3, 2, 1)


def test_tokens_that_are_no_key_are_refused_when_asked_and_left_out_when_contributed(tmp_path: Path) -> None:
    pool = empty(tmp_path)
    assert pool.add(1, "a", contribution(1, [[0, 0, 0, 0], [0, 0, 0, 4], [0, 0, 0, -1]])) == 1
    assert pool.statistics().refused == {NOT_A_KEY: 2}
    with pytest.raises(NotAKey, match=r"cells.0.*\[4, 0, 0, 0\].*4 of them"):
        pool.match(asking([[4, 0, 0, 0]]), searches=["a"])


def test_a_contribution_without_blocks_and_a_question_without_blocks_are_no_matter(tmp_path: Path) -> None:
    pool = empty(tmp_path)
    assert pool.add(1, "a", contribution(1, [])) == 0
    assert pool.sequence == 1
    assert pool.match(asking([]), searches=["a"]).blocks == ()


def test_the_entries_of_lost_checkpoints_are_forgotten_and_may_come_again(tmp_path: Path) -> None:
    pool = empty(tmp_path)
    for number in (1, 2, 3):
        pool.add(number, "a", contribution(number, drawn(number)))
    query = asking(drawn(2), bar=1.0)
    assert pool.match(query, searches=["a"]).matches == 4
    assert pool.forget([f"{2:064x}", f"{9:064x}"]) == 4
    assert pool.match(query, searches=["a"]).matches == 0
    assert sources(pool.match(asking(drawn(3)), searches=["a"])) == [source(3, block) for block in range(4)]
    assert pool.statistics().forgotten == 4
    assert pool.add(4, "a", contribution(4, drawn(2))) == 4
    assert sources(pool.match(query, searches=["a"])) == [source(4, block) for block in range(4)]


def test_the_pool_names_the_blocks_that_it_needs_of_each_checkpoint(tmp_path: Path) -> None:
    pool = empty(tmp_path)
    assert pool.manifests() == {}
    pool.add(1, "a", contribution(1, [[0, 0, 0, 0], [0, 0, 0, 1]]))
    pool.add(2, "a", contribution(2, [[0, 0, 0, 1], [0, 0, 0, 2]]))
    pool.add(3, "b", contribution(1, [[0, 0, 0, 0]]))
    assert pool.manifests() == {f"{1:064x}": {"cells.0", "cells.1"}, f"{2:064x}": {"cells.1"}}


SIZES = {f"cells.{block}": 100 for block in range(4)}


def filled(folder: Path, networks: int = 6) -> KnowledgePool:
    """A pool of networks of four blocks of 100 bytes each."""
    pool = empty(folder)
    for number in range(1, networks + 1):
        pool.add(number, "a", contribution(number, drawn(number)), SIZES)
    return pool


def left(pool: KnowledgePool) -> list[int]:
    """The numbers of the networks that still have entries."""
    return sorted(int(manifest, 16) for manifest in pool.manifests())


def test_a_quota_takes_the_oldest_of_what_nobody_has_matched(tmp_path: Path) -> None:
    pool = filled(tmp_path)
    assert pool.evict(2400, ()).entries == 0
    assert pool.statistics().bytes == 2400
    done = pool.evict(1700, ())
    assert (done.entries, done.bytes) == (8, 800), "down to 95 % of the quota"
    assert left(pool) == [3, 4, 5, 6]
    assert (pool.statistics().bytes, pool.statistics().evicted) == (1600, 8)


def test_a_quota_leaves_what_was_matched_lately_and_what_is_more_accurate(tmp_path: Path) -> None:
    pool = filled(tmp_path, networks=4)
    pool.add(5, "a", contribution(5, drawn(5), accuracy=0.9), SIZES)
    pool.match(asking(drawn(1), bar=1.0), searches=["a"])
    pool.evict(900, ())
    assert left(pool) == [1, 5]


def test_a_match_of_long_ago_counts_less_than_one_of_now(tmp_path: Path) -> None:
    pool = filled(tmp_path, networks=2)
    first, second, nothing = (asking(drawn(number), bar=1.0) for number in (1, 2, 99))
    for query in (first, first, *[nothing] * int(2 * HALF_LIFE), second):
        pool.match(query, searches=["a"])
    pool.evict(400, ())
    assert left(pool) == [2]


@pytest.mark.parametrize("closed", [True, False], ids=["closed", "killed"])
def test_a_match_before_a_contribution_counts_after_a_restart(tmp_path: Path, closed: bool) -> None:
    pool = filled(tmp_path, networks=3)
    pool.match(asking(drawn(1), bar=1.0), searches=["a"])
    pool.add(4, "a", contribution(4, drawn(4)), SIZES)
    if closed:
        pool.close()
    again = KnowledgePool.open(tmp_path)
    again.evict(450, ())
    assert left(again) == [1]


def test_entries_that_were_matched_before_others_went_do_no_harm(tmp_path: Path) -> None:
    pool = filled(tmp_path, networks=3)
    pool.match(asking(drawn(3), bar=1.0), searches=["a"])
    pool.add(4, "a", contribution(4, drawn(3)))
    assert pool.forget([f"{1:064x}"]) == 4
    pool.match(asking(drawn(3), bar=1.0), searches=["a"])
    assert pool.forget([f"{2:064x}"]) == 4
    pool.close()
    again = KnowledgePool.open(tmp_path)
    assert (again.damage, left(again)) == ("", [3])


def test_a_quota_neither_counts_nor_takes_what_a_live_checkpoint_needs(tmp_path: Path) -> None:
    pool = filled(tmp_path)
    live = {f"{number:064x}" for number in (1, 2, 3)}
    assert pool.evict(1200, live).entries == 0
    pool.evict(500, live)
    assert left(pool) == [1, 2, 3, 6]
    pool.evict(0, live)
    assert left(pool) == [1, 2, 3]
    assert sources(pool.match(asking(drawn(2), bar=1.0), searches=["a"])) == [source(2, block) for block in range(4)]


def test_a_block_that_two_searches_contributed_counts_once_and_goes_from_both(tmp_path: Path) -> None:
    pool = filled(tmp_path, networks=2)
    pool.add(3, "b", contribution(1, drawn(1)), SIZES)
    assert pool.statistics().bytes == 800
    assert pool.statistics().searches == {"a": 8, "b": 4}
    assert pool.evict(800, ()).entries == 0
    assert (pool.evict(450, ()).entries, left(pool)) == (4, [1]), "it came last, so it is the more useful one"
    assert pool.evict(0, ()).entries == 8
    assert len(pool) == 0


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 1000), min_size=1, max_size=12),
    asked=st.lists(st.integers(0, 11), max_size=8),
    quota=st.integers(0, 6000),
    live=st.sets(st.integers(0, 11)),
)
def test_after_an_eviction_the_quota_is_kept_and_what_went_was_no_more_useful_than_what_stays(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], asked: list[int], quota: int, live: set[int]
) -> None:
    pools = []
    for _ in range(2):
        pool = empty(tmp_path_factory.mktemp("pool"))
        for number, size in enumerate(sizes):
            pool.add(number + 1, "a", contribution(number, [[number // 4, number % 4, 0, 0]]), {"cells.0": size})
        for number in asked:
            pool.match(asking([[number // 4, number % 4, 0, 0]], bar=1.0), searches=["a"])
        pool.evict(quota, {f"{number:064x}" for number in live})
        pools.append(pool)
    stays = set(left(pools[0]))
    assert stays == set(left(pools[1])), "the same happens again"
    ours = [number for number in stays if number not in live]
    assert sum(sizes[number] for number in ours) <= quota
    assert {number for number in live if number < len(sizes)} <= stays
    use = {
        number: 2 ** ((number + 1) / HALF_LIFE)
        + sum(2 ** ((len(sizes) + time + 1) / HALF_LIFE) for time, each in enumerate(asked) if each == number)
        for number in range(len(sizes))
    }
    gone = set(range(len(sizes))) - stays
    assert all(use[one] <= use[other] * (1 + 1e-9) for one in gone for other in ours)
