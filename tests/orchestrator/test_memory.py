"""What the journal says, folded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.memory import Checkpoint, Memory
from store.records.events import (
    AnyEvent,
    CheckpointQuarantined,
    CheckpointSaved,
    Delivered,
    JobFailed,
    JobSucceeded,
    Requested,
    SearchExtended,
    SearchFailed,
    SearchFinished,
    SearchOpened,
    SearchStarted,
    StateSaved,
    WeightsMatched,
    WeightsPooled,
)
from store.records.knowledge import Contribution, Inheritance, InheritedBlock
from store.records.outcomes import Computed, Failure, Trained
from store.records.requests import Compute
from tests.orchestrator.builders import spec, train, trained


def folded(*events: AnyEvent) -> Memory:
    memory = Memory()
    for event in (SearchOpened(search="s", spec=spec()), *events):
        memory.apply(event.type, event.model_dump())
    return memory


def checkpoint(epoch: int, step: int = 0, digest: str = "") -> CheckpointSaved:
    name = digest or f"{epoch}.{step}"
    return CheckpointSaved(job="j", attempt=1, candidate="c", checkpoint=name, epoch=epoch, step=step)


def test_an_outcome_comes_back_as_it_went_in() -> None:
    request = train(1)
    outcome = trained(request)
    memory = folded(JobSucceeded(job=request.key, attempt=1, outcome=outcome, seconds=1.5))
    assert memory.outcome(request.key, "any search") == outcome
    assert isinstance(memory.outcome(request.key, "s"), Trained)
    assert memory.outcome("unknown", "s") is None


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3)), max_size=12), st.integers(1, 6))
def test_the_newest_checkpoint_is_the_furthest_that_is_not_beyond(saved: list[tuple[int, int]], epochs: int) -> None:
    memory = folded(*(checkpoint(*position) for position in saved))
    usable = [position for position in saved if position <= (epochs, 0)]
    found = memory.newest("c", epochs)
    assert (found and found[:2]) == (max(usable) if usable else None)


def test_a_quarantined_checkpoint_is_not_resumed_from() -> None:
    memory = folded(checkpoint(1), checkpoint(2), CheckpointQuarantined(checkpoint="2.0", blobs=(), message="flipped"))
    assert memory.newest("c", 9) == Checkpoint(1, 0, "1.0")


def test_a_checkpoint_that_was_retrained_after_a_quarantine_counts_again() -> None:
    memory = folded(checkpoint(2), CheckpointQuarantined(checkpoint="2.0", blobs=(), message="flipped"), checkpoint(2))
    assert memory.newest("c", 9) == Checkpoint(2, 0, "2.0")


def test_checkpoints_that_garbage_collection_took_are_forgotten_but_not_the_newest() -> None:
    memory = folded(checkpoint(1), checkpoint(2), checkpoint(3))
    memory.forget_missing({"2.0"})
    assert memory.newest("c", 1) is None
    assert memory.newest("c", 2) == Checkpoint(2, 0, "2.0")
    assert memory.newest("c", 9) == Checkpoint(3, 0, "3.0")


def test_requests_and_deliveries_are_remembered_by_their_place() -> None:
    request = train(1)
    memory = folded(
        Requested(search="s", index=0, job=request.key, request=request, answer="queued"),
        Delivered(search="s", call=1, index=0, job=request.key),
    )
    assert memory.searches["s"].requests == {0: request.key}
    assert memory.searches["s"].delivered == {(1, 0): request.key}


def test_the_last_saved_state_is_what_a_search_starts_from() -> None:
    states = [StateSaved(search="s", requests=n, calls=0, state=b"\x90", rng="{}") for n in (3, 5)]
    assert folded(*states).searches["s"].restored() == states[1]
    assert folded().searches["s"].restored() is None


def matched(call: int) -> WeightsMatched:
    block = InheritedBlock(block="stem", source=f"{call:064x}/stem", similarity=0.5)
    return WeightsMatched(search="s", call=call, inheritance=Inheritance(blocks=(block,), generation=2))


def pooled(call: int) -> WeightsPooled:
    given = {"candidate": "c", "checkpoint": f"{call:064x}", "space": "s", "choices": (2,), "shape": (1, 8, 8)}
    return WeightsPooled(search="s", call=call, contribution=Contribution(blocks=(), iterations=1, **given))


def test_what_the_pool_answered_and_took_is_remembered_by_its_call() -> None:
    search = folded(matched(3), pooled(4)).searches["s"]
    assert search.inheritance(3) == matched(3).inheritance
    assert search.inheritance(4) is None
    assert search.pooled == {4: f"{4:064x}"}


def test_what_the_pool_answered_before_the_last_saved_state_is_forgotten() -> None:
    saved = StateSaved(search="s", requests=0, calls=4, state=b"\x90", rng="{}")
    search = folded(matched(0), pooled(1), matched(4), pooled(5), saved, matched(6)).searches["s"]
    assert (set(search.matched), set(search.pooled)) == ({4, 6}, {5})


def test_a_finished_search_that_is_extended_is_open_again() -> None:
    started, done = SearchStarted(search="s", pid=1), SearchFinished(search="s", result={"best": []})
    assert folded(started).searches["s"].status == "running"
    assert folded(started, done).searches["s"].status == "finished"
    extended = folded(started, done, SearchExtended(search="s", spec=spec())).searches["s"]
    assert extended.status == "interrupted"


def test_a_finished_search_keeps_only_what_it_would_ask_for_again_with_a_higher_total() -> None:
    asked: list[AnyEvent] = []
    for index in range(6):
        request = train(index)
        asked.append(Requested(search="s", index=index, job=request.key, request=request, answer="queued"))
        asked.append(Delivered(search="s", call=index, index=0, job=request.key))
    saved = StateSaved(search="s", requests=4, calls=3, state=b"\x90", rng="{}", pending=(1,))
    running = folded(*asked, saved).searches["s"]
    assert (len(running.requests), len(running.delivered)) == (6, 6), "its turn may still look at them"
    finished = folded(*asked, saved, SearchFinished(search="s", result={})).searches["s"]
    assert (set(finished.requests), set(finished.delivered)) == ({1, 4, 5}, {(3, 0), (4, 0), (5, 0)})


def test_states_of_computations_that_are_not_there_are_known_and_so_is_what_makes_them() -> None:
    first = Compute(function="a.b:c", arguments=b"\x90", stateful=True)
    second = Compute(function="a.b:c", arguments=b"\x90", stateful=True, state="1" * 64)
    done: list[AnyEvent] = []
    for index, (asked, state) in enumerate([(first, "1" * 64), (second, "2" * 64)]):
        done.append(Requested(search="s", index=index, job=asked.key, request=asked, answer="queued"))
        outcome = Computed(value=b"", state=state)
        done.append(JobSucceeded(job=asked.key, attempt=1, outcome=outcome, seconds=1.0))
    memory = folded(*done)
    memory.forget_missing({"2" * 64})
    assert memory.states.missing == {"1" * 64}
    assert memory.states.maker("1" * 64) == first
    assert memory.states.maker("3" * 64) is None
    assert memory.knows(first.key, "s"), "its value is still known"
    lost = CheckpointQuarantined(checkpoint="2" * 64, blobs=(), message="flipped")
    memory.apply(lost.type, vars(lost))
    assert memory.states.missing == {"1" * 64, "2" * 64}
    memory.apply(done[-1].type, vars(done[-1]))
    assert memory.states.missing == {"1" * 64}


def test_a_computation_that_ended_the_search_by_a_passing_failure_is_done_again_when_it_is_taken_up() -> None:
    """Else the search would get the same answer, and end, for ever. What it went on from stays as it saw it."""
    network, step = train(1), Compute(function="a.b:c", arguments=b"\x90", stateful=True)
    crashed = Failure(reason="crashed", retryable=True, message="killed by signal 9")
    asked: list[AnyEvent] = [
        Requested(search="s", index=index, job=each.key, request=each, answer="queued")
        for index, each in enumerate([network, step])
    ]
    both = [JobFailed(job=each.key, outcome=crashed, searches=("s",)) for each in (network, step)]
    ended = SearchFailed(search="s", message="RequestFailed: the search cannot go on")
    memory = folded(*asked, *both)
    assert memory.outcome(step.key, "s") == crashed, "as long as it runs, the answer is the same"
    memory.apply(ended.type, vars(ended))
    assert not memory.knows(step.key, "s")
    assert memory.outcome(network.key, "s") == crashed
    memory.apply(ended.type, vars(ended))
    assert memory.outcome(network.key, "s") == crashed, "a failed training is the strategy's to deal with"
    final = JobFailed(job=step.key, outcome=crashed.model_copy(update={"reason": "bad_request"}), searches=("s",))
    assert folded(*asked, final, ended).knows(step.key, "s"), "what can never be done is not tried again"
