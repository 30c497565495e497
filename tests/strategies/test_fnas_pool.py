"""FNAS and the knowledge pool: what networks start from, what enters, and what becomes of blocks that are damaged."""

from __future__ import annotations

from store.records.outcomes import AnyOutcome, Failure, Trained
from store.records.requests import AnyRequest, Train
from strategies.fnas.networks import AGAIN
from strategies.pool import optimiser_steps
from tests.strategies.builders import trained
from tests.strategies.fnas_world import Watched, searched, wanted


def test_what_is_trained_starts_from_the_pool_that_the_warm_up_filled() -> None:
    world, result = searched(knowledge_pool=True)
    warm, sampled = result.history[:3], result.history[3:]
    assert [one.origin for one in result.history] == ["warm-up"] * 3 + ["sampled"] * len(sampled)
    requests = {request.candidate.id: request.candidate for request in world.asked(Train)}
    assert all(requests[one.candidate].initial == () for one in warm)
    sources = {one.checkpoint for one in warm}
    for one in sampled:
        blocks = requests[one.candidate].initial
        assert len(blocks) == 7, "every block but the classifier has an entry that is similar enough"
        assert {block.partition("=")[2].partition("/")[0] for block in blocks} <= sources
    assert {one.candidate for one in world.world.pool.pooled.values()} == {one.candidate for one in warm}
    assert {one.generation for one in world.world.pool.pooled.values()} == {0}
    assert {(query.bar, query.shape, query.sources) for query in world.queries} == {(0.5, (3, 32, 32), ())}
    assert result.curves["iteration_hit_ratio"] == result.curves["iteration_match_ratio"] == [1.0] * 5
    assert sum(result.curves["similarity_histogram"]) == 7 * len(world.queries)
    assert all(one.origin == "sampled" for one in result.best), "random starts are not compared with the others"
    assert "3 random networks were trained first" in result.notes[1]


def test_networks_that_match_nothing_start_at_random_and_enter_the_pool() -> None:
    world, result = searched(knowledge_pool=True, similarity=1.0, pool_warmup=0, samples=16)
    assert result.curves["iteration_match_ratio"][0] == 0.0
    assert result.curves["iteration_hit_ratio"][0] == 0.0, "there is nothing in the pool to compare with"
    first = [one for one in result.history if one.cycle == 1]
    entered = {one.candidate for one in world.world.pool.pooled.values()}
    assert entered >= {one.candidate for one in first}
    assert any("below 99 %" in note for note in result.notes)


def test_later_generations_enter_the_pool_only_if_they_are_asked_for() -> None:
    world, result = searched(knowledge_pool=True, generations=1, samples=16)
    assert {one.generation for one in world.world.pool.pooled.values()} == {0, 1}
    assert any("later generations had more training" in note for note in result.notes)


def test_what_the_critic_knows_least_starts_from_equal_blocks_only() -> None:
    world, result = searched(knowledge_pool=True, uncertainty_critic=True, exact_quantile=0.5, samples=80)
    bars = [query.bar for query in world.queries]
    assert set(bars) == {0.5, 1.0}
    assert bars[:8] == [0.5] * 8, "nothing is known of the first batch's uncertainties"
    assert min(result.curves["iteration_match_ratio"]) < 1.0


def test_the_pool_is_asked_for_the_searches_that_it_takes_over_from_and_no_warm_up_is_needed() -> None:
    other = "ab" * 32
    world, result = searched(knowledge_pool=True, transfer={"pool": [other]}, samples=16)
    assert {query.sources for query in world.queries} == {(other,)}
    assert {one.origin for one in result.history} == {"sampled"}


class Unreadable(Watched):
    """A world in which inherited blocks cannot be read; the pool drops those that it is told of so often."""

    drops = 1

    def _outcome(self, request: AnyRequest) -> AnyOutcome:
        outcome = super()._outcome(request)
        if not isinstance(request, Train) or not isinstance(outcome, Trained) or not request.candidate.initial:
            return outcome
        sources = sorted({block.partition("=")[2].partition("/")[0] for block in request.candidate.initial})
        pooled = self.world.pool.pooled
        known = [call for call, one in pooled.items() if one.checkpoint in sources]
        if self.drops <= 0:
            return outcome
        self.drops -= 1
        for call in known:
            del pooled[call]
        return Failure(reason="corrupt_block", retryable=False, message=f"{sources[0]}/cell00 is damaged")


def test_a_block_that_cannot_be_read_is_asked_for_again() -> None:
    world = Unreadable(wanted(knowledge_pool=True, samples=8))
    result = world.run()
    assert all(one.failure is None for one in result.history)
    assert any("could not be read, and which began again: 1" in note for note in result.notes)
    assert len(world.queries) == 9
    candidates = {request.candidate.id for request in world.asked(Train)}
    assert {one.candidate for one in result.history} < candidates, "the history has what was trained in the end"


def test_a_sample_that_the_critic_does_not_know_is_asked_for_again_as_such() -> None:
    world = Unreadable(wanted(knowledge_pool=True, uncertainty_critic=True, exact_quantile=0.5, samples=80))
    world.drops = 10_000
    world.run()
    bars: dict[tuple[tuple[str, tuple[int, ...]], ...], set[float]] = {}
    for query in world.queries:
        bars.setdefault(tuple((block.name, block.tokens) for block in query.blocks), set()).add(query.bar)
    assert {1.0} in bars.values()
    assert {0.5} in bars.values()
    assert all(len(each) == 1 for each in bars.values()), "the bar of a network does not change"


class AlwaysUnreadable(Unreadable):
    drops = 10_000

    def _outcome(self, request: AnyRequest) -> AnyOutcome:
        pooled = dict(self.world.pool.pooled)
        outcome = super()._outcome(request)
        self.world.pool.pooled = pooled
        return outcome


def test_a_network_whose_blocks_can_never_be_read_starts_at_random_in_the_end() -> None:
    world = AlwaysUnreadable(wanted(knowledge_pool=True, samples=8))
    result = world.run()
    requests = {request.candidate.id: request.candidate for request in world.asked(Train)}
    assert all(one.failure is None for one in result.history)
    assert all(requests[one.candidate].initial == () for one in result.history)
    assert any(f"began again: {8 * AGAIN}" in note for note in result.notes)
    assert len(world.world.pool.pooled) == 3 + 8, "what started at random in the end enters the pool too"


def test_steps_are_counted_from_the_images_where_they_are_known() -> None:
    """7 epochs of 1,000 images in batches of 384 are 7 x 3 steps; two batches a step make it 7 x 2."""
    candidate = next(iter(searched(samples=8)[0].asked(Train))).candidate
    whole = trained(0.5, epochs=7)
    known = whole.model_copy(update={"images": 1000})
    accumulated = candidate.model_copy(update={"recipe": candidate.recipe.model_copy(update={"accumulate": 2})})
    assert optimiser_steps(candidate, whole) == 7
    assert optimiser_steps(candidate, known) == 21
    assert optimiser_steps(accumulated, known) == 14
