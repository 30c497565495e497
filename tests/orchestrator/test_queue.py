"""The order in which waiting jobs get slots."""

from __future__ import annotations

from orchestrator.queue import JobQueue
from orchestrator.shares import Shares


def shares(*searches: str) -> Shares:
    made = Shares()
    for search in searches or ("s",):
        made.set(search, 1.0, 0)
    return made


def drain(queue: JobQueue, by: Shares) -> list[str]:
    taken = []
    while (found := queue.pop(by)) is not None:
        taken.append(found[0])
    return taken


def test_resumes_come_first_then_the_longest_then_the_oldest() -> None:
    queue = JobQueue()
    queue.push("short", ["s"], resumes=False, epochs=1)
    queue.push("long", ["s"], resumes=False, epochs=9)
    queue.push("also-long", ["s"], resumes=False, epochs=9)
    queue.push("resume", ["s"], resumes=True, epochs=1)
    assert drain(queue, shares()) == ["resume", "long", "also-long", "short"]


def test_the_search_that_is_furthest_behind_is_served_first() -> None:
    queue, by = JobQueue(), shares("a", "b")
    by.starts("a", "a0")
    queue.push("a1", ["a"], resumes=True, epochs=9)
    queue.push("b1", ["b"], resumes=False, epochs=1)
    assert queue.pop(by) == ("b1", "b")
    assert queue.pop(by) == ("a1", "a")


def test_a_look_at_the_next_job_leaves_it_there() -> None:
    queue = JobQueue()
    queue.push("only", ["s"], resumes=False, epochs=1)
    assert queue.peek(shares()) == "only"
    assert "only" in queue
    assert drain(queue, shares()) == ["only"]
    assert queue.peek(shares()) is None


def test_a_job_of_two_searches_is_done_once_for_the_one_of_higher_priority() -> None:
    queue, by = JobQueue(), shares("a", "b")
    by.set("b", 1.0, 5)
    queue.push("both", ["a"], resumes=False, epochs=1)
    queue.push("other", ["a"], resumes=False, epochs=9)
    queue.join("both", "b")
    assert queue.pop(by) == ("both", "b")
    assert queue.pop(by) == ("other", "a")
    assert len(queue) == 0
    assert not queue.has("a")


def test_a_paused_search_keeps_its_place_and_what_another_one_shares_goes_on() -> None:
    queue, by = JobQueue(), shares("a", "b")
    queue.push("own", ["a"], resumes=False, epochs=9)
    queue.push("both", ["a", "b"], resumes=False, epochs=1)
    by["a"].paused = True
    assert queue.pop(by) == ("both", "b")
    assert queue.pop(by) is None
    by["a"].paused = False
    assert queue.pop(by) == ("own", "a")


def test_a_job_that_every_search_has_left_is_in_no_line() -> None:
    queue = JobQueue()
    queue.push("both", ["a", "b"], resumes=False, epochs=1)
    queue.leave("both", "a")
    assert "both" in queue
    assert not queue.has("a")
    queue.leave("both", "b")
    assert "both" not in queue
    assert queue.pop(shares("a", "b")) is None
