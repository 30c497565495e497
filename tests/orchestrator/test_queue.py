"""The order in which waiting jobs get slots."""

from __future__ import annotations

from collections import Counter

from orchestrator.queue import JobQueue


def drain(queue: JobQueue) -> list[str]:
    taken = []
    while (job := queue.pop(Counter())) is not None:
        taken.append(job)
    return taken


def test_resumes_come_first_then_the_longest_then_the_oldest() -> None:
    queue = JobQueue()
    queue.push("short", "s", resumes=False, epochs=1)
    queue.push("long", "s", resumes=False, epochs=9)
    queue.push("also-long", "s", resumes=False, epochs=9)
    queue.push("resume", "s", resumes=True, epochs=1)
    assert drain(queue) == ["resume", "long", "also-long", "short"]


def test_the_search_with_fewest_jobs_on_workers_is_served_first() -> None:
    queue = JobQueue()
    queue.push("a1", "a", resumes=True, epochs=9)
    queue.push("b1", "b", resumes=False, epochs=1)
    assert queue.pop(Counter({"a": 1})) == "b1"
    assert queue.pop(Counter({"a": 1, "b": 1})) == "a1"


def test_a_look_at_the_next_job_leaves_it_there() -> None:
    queue = JobQueue()
    queue.push("only", "s", resumes=False, epochs=1)
    assert queue.peek(Counter()) == "only"
    assert "only" in queue
    assert drain(queue) == ["only"]
    assert queue.peek(Counter()) is None
