"""What a search waits for, in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from orchestrator.memory import Memory
from orchestrator.reactions import Delay, Terms
from orchestrator.scheduler import Scheduler
from orchestrator.serving import orders, waits
from orchestrator.serving.failures import FailureBudget
from orchestrator.serving.waits import Circumstances
from store.errors import StoreFull
from store.records.events import SearchFailed, SearchFinished, SearchStarted
from tests.orchestrator.builders import failed, train
from tests.orchestrator.test_orders import apply, handed


def given() -> tuple[Memory, str, Scheduler, Circumstances]:
    memory, one = Memory(), handed()
    apply(memory, orders.submit(memory, one))
    scheduler = Scheduler(memory)
    scheduler.add_search(one.plan.id, Terms(retries=2))
    apply(memory, [SearchStarted(search=one.plan.id, pid=1)])
    return memory, one.plan.id, scheduler, Circumstances(scheduler, None, None, False, (), {})


def said(memory: Memory, search: str, now: Circumstances) -> str:
    found = waits.served(search, memory, now)
    return "; ".join(f"{wait.what} | {wait.until}" for wait in found)


def test_what_gets_on_waits_for_nothing() -> None:
    memory, search, scheduler, now = given()
    scheduler.worker_ready("w0", "cpu", 1)
    scheduler.request(search, 0, train(1))
    assert said(memory, search, now) == ""
    apply(memory, [SearchFinished(search=search, result={})])
    assert said(memory, search, now) == ""


def test_each_reason_is_named_with_what_ends_it() -> None:
    memory, search, scheduler, now = given()
    assert "deciding what to ask for" in said(memory, search, now)
    scheduler.request(search, 0, train(1))
    assert "no worker is ready" in said(memory, search, now)
    assert "the daemon is leaving" in said(memory, search, replace(now, draining=True))
    assert "its data are being read: 3 of 9 files" in said(memory, search, replace(now, reading=(3, 9)))
    full = StoreFull(Path("journal.sqlite"), "no space left")
    assert "room on the disk; then it goes on by itself" in said(memory, search, replace(now, trouble=full))


def test_a_failed_job_is_waited_for_as_long_as_it_takes() -> None:
    memory, search, scheduler, now = given()
    scheduler.request(search, 0, train(1))
    scheduler.worker_ready("w0", "cpu", 1)
    reaction = scheduler.report("w0", failed(train(1), 1, "error"), 1.0)
    (delay,) = [command for command in reaction.commands if isinstance(command, Delay)]
    assert "1 failed job will be tried again | the first in" in said(
        memory, search, replace(now, retries={delay.job: 42.0})
    )


def test_busy_workers_are_named_with_whose_jobs_they_have() -> None:
    memory, search, scheduler, now = given()
    other = handed(raw={"name": "tulips"})
    apply(memory, orders.submit(memory, other))
    scheduler.add_search(other.plan.id, Terms())
    scheduler.worker_ready("w0", "cpu", 1)
    scheduler.request(other.plan.id, 0, train(5))
    scheduler.request(search, 0, train(1))
    assert "1 job could start, but all workers are busy with jobs of tulips (1)" in said(memory, search, now)
    scheduler.set_share(other.plan.id, 1.0, 2)
    assert "tulips, of higher priority" in said(memory, search, now)


def test_a_search_that_is_held_back_says_by_whom_and_how_it_goes_on() -> None:
    memory, search, _, now = given()
    apply(memory, orders.pause(memory, search, "bob"))
    assert said(memory, search, now) == "it was paused by bob | `coldframe resume roses` lets it go on"
    apply(memory, orders.stop(memory, search, "bob"))
    assert "it was stopped" in said(memory, search, now)
    apply(memory, [*orders.resume(memory, search, "bob"), SearchFailed(search=search, message="it broke")])
    assert "it has failed" in said(memory, search, now)


def test_without_a_daemon_nobody_runs_it() -> None:
    memory, search, _, _ = given()
    (wait,) = waits.stored(memory.searches[search])
    assert "no daemon holds the store" in wait.what


def test_too_many_failures_within_an_hour_are_summed_up_by_reason() -> None:
    budget = FailureBudget(3, 60.0)
    assert budget.count("s", "crashed", "exit 1", 0.0) is None
    assert all(budget.count("s", "error", "no such file", now) is None for now in (61.0, 62.0, 63.0)), (
        "one is forgotten"
    )
    assert budget.count("other", "error", "no such file", 63.0) is None
    summary = budget.count("s", "crashed", "exit 1", 64.0)
    assert summary is not None
    assert "4 attempts failed within 1 minutes, 3 are borne: 3 times error: no such file; 1 times crashed" in summary
