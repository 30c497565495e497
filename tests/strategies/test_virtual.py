"""Searches in virtual time: when jobs run, what it says about that, and that a kill changes nothing."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.records.base import canonical, digest
from store.records.candidates import Candidate
from store.records.outcomes import AnyOutcome, Failure, Trained
from store.records.requests import AnyRequest, Train
from store.records.results import Individual, Result
from store.records.spec import SearchSpec
from strategies import registry
from strategies.errors import ReplayDiverged
from strategies.individuals import best, learnt
from strategies.life import Killed, Moment
from strategies.random_search import RandomSearch, RandomSearchOptions
from strategies.run import Handle, Run, Strategy
from strategies.simulation import by_digest
from strategies.virtual import Order, VirtualTime, VirtualWorld
from tests.strategies.builders import small_econas, spec

MOMENTS = ("request", "requested", "await", "saving", "saved", "delivering", "delivered", "ending", "ended")


def answer(request: AnyRequest) -> AnyOutcome:
    assert isinstance(request, Train)
    return Trained(
        candidate=request.candidate.id,
        epochs=request.epochs,
        accuracy=by_digest(request.candidate, request.epochs),
        history=(),
        checkpoint=digest([request.candidate.id, request.epochs]),
        parameters=1,
        multiply_adds=1,
    )


def by_candidate(request: AnyRequest, epoch: int) -> float:
    """One to two seconds an epoch."""
    assert isinstance(request, Train)
    return (request.epochs - epoch) * (1 + int(request.candidate.id[:4], 16) / 16**4)


class Ordered:
    """Trains architectures one after another or at once for the epochs that are given, in that order."""

    def __init__(self, *epochs: int, same: bool = False, one_by_one: bool = False) -> None:
        self.epochs, self.same, self.one_by_one = epochs, same, one_by_one

    async def search(self, run: Run) -> Result:
        first = run.candidate(run.space.random(run.rng))
        others = [run.candidate(run.space.random(run.rng)) for _ in self.epochs]
        handles = []
        for candidate, epochs in zip(others, self.epochs, strict=True):
            handles.append(run.train(first if self.same else candidate, epochs=epochs))
            if self.one_by_one:
                await handles[-1]
        for handle in handles:
            await handle
        return Result(best=(), history=())


class Steady:
    """Asynchronous: keeps `width` trainings under way, each a change of the best so far, and saves as it goes.

    As `Run.save` wants it, what is under way at a save is asked for again after it, also if there was no kill.
    """

    def __init__(self, total: int = 14, width: int = 3) -> None:
        self.total, self.width = total, width

    async def search(self, run: Run) -> Result:
        state: dict[str, Any] = run.restored or {"history": [], "open": [], "born": 0}
        history = [Individual.model_validate(one) for one in state["history"]]
        opened = [Individual.model_validate(one) for one in state["open"]]
        handles = {one.index: self._ask(run, one) for one in opened}
        born = state["born"]
        while len(history) < self.total:
            while len(opened) < self.width and born < self.total:
                opened.append(self._next(run, history, born))
                handles[born] = self._ask(run, opened[-1])
                born += 1
            ended = await self._first(run, list(handles.values()))
            one = next(one for one in opened if handles[one.index] is ended)
            opened.remove(one)
            del handles[one.index]
            history.append(learnt(one, await ended))
            if len(history) % 4 == 0:
                dumped = {
                    "history": [one.model_dump() for one in history],
                    "open": [one.model_dump() for one in opened],
                }
                await run.save(dumped | {"born": born})
                handles = {one.index: self._ask(run, one) for one in opened}
        return Result(best=best(history, 1), history=tuple(history))

    def _next(self, run: Run, history: list[Individual], index: int) -> Individual:
        ranked = best(history, 1)
        drawn = run.space.random(run.rng)
        if ranked:
            drawn, _ = run.space.mutate(ranked[0].architecture, run.rng)  # type: ignore[attr-defined]
        candidate = run.candidate(drawn)
        return Individual(index=index, architecture=candidate.architecture, candidate=candidate.id)

    def _ask(self, run: Run, one: Individual) -> Handle:
        return run.train(run.candidate(one.architecture), epochs=2 + one.index % 3)

    async def _first(self, run: Run, handles: list[Handle]) -> Handle:
        async for handle in run.as_completed(handles):
            return handle
        raise AssertionError("nothing is under way")


def virtual(searched: SearchSpec | None = None, world: VirtualWorld | None = None, **options: Any) -> VirtualTime:
    given: dict[str, Any] = {"seconds": by_candidate} | options
    return VirtualTime(
        searched or spec("random"), given.pop("answer", answer), given.pop("seconds"), world=world, **given
    )


def check_kills(wanted: SearchSpec, what: str) -> None:
    """Kills a search on three devices at some moments of one kind: result and timeline are the uninterrupted one's."""
    whole = virtual(wanted, VirtualWorld(devices=3))
    expected = whole.search(registry.create(wanted))
    count = whole.moments[what]
    for nth in range(0, count, max(1, count // 5)):
        world = VirtualWorld(devices=3)
        with pytest.raises(Killed):
            virtual(wanted, world, until=Moment(what, nth)).search(registry.create(wanted))
        again = virtual(wanted, world)
        assert canonical(again.search(registry.create(wanted))) == canonical(expected), f"a kill at {what} {nth}"
        assert again.timeline == whole.timeline


def lengths(request: AnyRequest, epoch: int) -> float:
    assert isinstance(request, Train)
    return float(request.epochs - epoch)


def starts(strategy: Strategy, *, devices: int = 2, order: Order = "fifo") -> list[tuple[int, float, float]]:
    """Epochs, start and end of each job by its start."""
    life = virtual(world=VirtualWorld(devices=devices), seconds=lengths, order=order)
    life.search(strategy)
    jobs = sorted(life.timeline.jobs, key=lambda job: (job.start, job.device))
    return [(job.epochs, job.start, job.end) for job in jobs]


def test_jobs_run_side_by_side_in_the_order_in_which_they_were_asked_for() -> None:
    assert starts(Ordered(3, 1, 1, 2)) == [(3, 0, 3), (1, 0, 1), (1, 1, 2), (2, 2, 4)]


def test_the_longest_can_be_first() -> None:
    assert starts(Ordered(1, 1, 2, 3), order="longest_first") == [(3, 0, 3), (2, 0, 2), (1, 2, 3), (1, 3, 4)]


def test_the_daemons_queue_takes_what_goes_on_from_a_checkpoint_first() -> None:
    class Promotes:
        async def search(self, run: Run) -> Result:
            one, two, three = (run.candidate(run.space.random(run.rng)) for _ in range(3))
            await run.train(one, epochs=1)
            handles = [run.train(two, epochs=5), run.train(three, epochs=6), run.train(one, epochs=3)]
            for handle in handles:
                await handle
            return Result(best=(), history=())

    assert starts(Promotes(), devices=1, order="daemon") == [(1, 0, 1), (2, 1, 3), (6, 3, 9), (5, 9, 14)]


def test_a_training_goes_on_from_what_its_candidate_has_reached() -> None:
    assert starts(Ordered(2, 4, 3, same=True, one_by_one=True)) == [(2, 0, 2), (2, 2, 4), (0, 4, 4)]


def test_equal_requests_are_one_job_and_the_memo_takes_no_time() -> None:
    assert starts(Ordered(2, 2, 2, same=True)) == [(2, 0, 2)]
    assert starts(Ordered(2, 2, 2, same=True, one_by_one=True)) == [(2, 0, 2)]


def test_completions_come_in_the_order_of_their_ends() -> None:
    class Listens:
        order: list[int]

        async def search(self, run: Run) -> Result:
            handles = [run.train(run.candidate(run.space.random(run.rng)), epochs=epochs) for epochs in (4, 1, 3, 2)]
            outcomes = [await handle async for handle in run.as_completed(handles)]
            self.order = [outcome.epochs for outcome in outcomes if isinstance(outcome, Trained)]
            return Result(best=(), history=())

    listens = Listens()
    virtual(seconds=lengths).search(listens)
    assert listens.order == [1, 2, 3, 4]


def test_the_timeline_adds_up() -> None:
    life = virtual(world=VirtualWorld(devices=2), seconds=lengths, order="fifo")
    life.search(Ordered(3, 1, 1, 2))
    timeline = life.timeline
    assert timeline.seconds == 4
    assert timeline.busy == (3 / 4, 4 / 4)
    assert timeline.idle_share == pytest.approx(1 / 8)
    assert timeline.epochs == 7
    assert list(timeline.spent()) == [(1, 1), (2, 2), (3, 5), (4, 7)]


def test_what_is_under_way_when_the_search_ends_counts_until_then() -> None:
    class Leaves:
        async def search(self, run: Run) -> Result:
            short, _ = [run.train(run.candidate(run.space.random(run.rng)), epochs=epochs) for epochs in (2, 9)]
            await short
            return Result(best=(), history=())

    life = virtual(world=VirtualWorld(devices=2), seconds=lengths)
    life.search(Leaves())
    assert (life.timeline.seconds, life.timeline.epochs, life.timeline.busy) == (2, 2, (1, 1))


def test_a_pick_is_the_best_of_those_that_were_trained_the_longest() -> None:
    scores = {1: 0.9, 2: 0.5, 3: 0.4}

    def scored(request: AnyRequest) -> AnyOutcome:
        found = answer(request)
        assert isinstance(found, Trained)
        return found.model_copy(update={"accuracy": scores[found.epochs]})

    life = virtual(world=VirtualWorld(devices=1), seconds=lengths, answer=scored, order="fifo")
    life.search(Ordered(1, 2, 2, 3, 1))
    assert [(pick.spent, pick.epochs, pick.accuracy) for pick in life.timeline.picks()] == [
        (1, 1, 0.9),
        (3, 2, 0.5),
        (8, 3, 0.4),
    ]


def test_failures_spend_time_and_no_epochs_and_are_never_picked() -> None:
    def fails(request: AnyRequest) -> AnyOutcome:
        return Failure(reason="diverged", retryable=False, message="no")

    life = virtual(seconds=lengths, answer=fails)
    life.search(RandomSearch(RandomSearchOptions(candidates=4, epochs=2)))
    assert (life.timeline.epochs, list(life.timeline.picks())) == (0, [])
    assert life.timeline.seconds == 2


STRATEGIES: dict[str, tuple[SearchSpec, Callable[[SearchSpec], Strategy]]] = {
    "econas": (small_econas(), registry.create),
    "asynchronous econas": (small_econas(barrier=False, in_flight=6, cycles=5), registry.create),
    "steady": (spec("random"), lambda _: Steady()),
}


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("what", MOMENTS)
def test_a_kill_changes_neither_the_result_nor_a_single_job(name: str, what: str) -> None:
    searched, make = STRATEGIES[name]
    whole = virtual(searched)
    expected = whole.search(make(searched))
    count = whole.moments.get(what, 0)
    if count == 0:
        pytest.skip(f"{name} has no moment of the kind {what!r}")
    for nth in range(0, count, max(1, count // 20)):
        world = VirtualWorld()
        with pytest.raises(Killed):
            virtual(searched, world, until=Moment(what, nth)).search(make(searched))
        again = virtual(searched, world)
        assert canonical(again.search(make(searched))) == canonical(expected), f"after a kill at {what} {nth}"
        assert again.timeline == whole.timeline, f"other jobs after a kill at {what} {nth}"
        assert world.requests == whole.world.requests, f"other requests after a kill at {what} {nth}"


@pytest.mark.parametrize("name", ["asynchronous econas", "steady"])
@settings(max_examples=20, deadline=None)
@given(steps=st.lists(st.tuples(st.sampled_from(MOMENTS), st.integers(0, 12)), max_size=12))
def test_any_sequence_of_kills_changes_nothing(name: str, steps: list[tuple[str, int]]) -> None:
    searched, make = STRATEGIES[name]
    whole, world = virtual(searched), VirtualWorld()
    expected = whole.search(make(searched))
    for what, nth in steps:
        try:
            virtual(searched, world, until=Moment(what, nth)).search(make(searched))
        except Killed:
            continue
        break
    again = virtual(searched, world)
    assert canonical(again.search(make(searched))) == canonical(expected)
    assert again.timeline == whole.timeline


def test_states_need_not_be_kept() -> None:
    searched = small_econas()
    kept, forgotten = virtual(searched), virtual(searched, durable=False)
    assert kept.search(registry.create(searched)) == forgotten.search(registry.create(searched))
    assert kept.world.saved is not None
    assert forgotten.world.saved is None


def test_a_search_that_asks_for_something_else_is_told_so() -> None:
    life = virtual()
    life.search(Ordered(1, 2))
    with pytest.raises(ReplayDiverged):
        virtual(world=life.world).search(Ordered(2, 1))


def test_a_recorded_completion_that_nobody_waits_for_is_told() -> None:
    searched, make = STRATEGIES["steady"]
    life = virtual(searched)
    life.search(make(searched))
    world = copy.deepcopy(life.world)
    world.saved, world.delivered[0, 0] = None, "f" * 64
    with pytest.raises(ReplayDiverged):
        virtual(searched, world).search(make(searched))


def test_only_what_a_run_gives_may_be_awaited() -> None:
    class Sleeps:
        async def search(self, run: Run) -> Result:
            await _Other()
            return Result(best=(), history=())

    with pytest.raises(TypeError, match="may await only what its Run gives"):
        virtual().search(Sleeps())


class _Other:
    def __await__(self) -> Any:
        yield "something"


def test_candidates_carry_the_data_that_is_given() -> None:
    seen: list[Candidate] = []

    def watched(request: AnyRequest) -> AnyOutcome:
        assert request.candidate is not None
        seen.append(request.candidate)
        return answer(request)

    virtual(answer=watched).search(Ordered(1))
    assert seen[0].data.fingerprint == "simulated"
