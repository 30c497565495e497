"""What a search waits for, and what would end the wait, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.lifecycle import Job, JobState
from orchestrator.memory import Memory, SearchMemory
from orchestrator.scheduler import Scheduler
from orchestrator.serving.orders import standing
from orchestrator.serving.service import DeviceState, Wait
from orchestrator.wording import duration, plural

GO_ON = "`coldframe resume {}`"
SHOWN = 3


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the daemon knows when it is asked.

    Attributes:
        scheduler: of the jobs.
        reading: how many files of its data are read, and of how many; None if the search is past that.
        trouble: why the journal takes nothing; None if it does.
        draining: whether the daemon leaves.
        out: devices out of service.
        retries: when each failed job may be tried again, in seconds from now.
        unread: why its data could not be read, and in how many seconds it is tried again; None if they could.
    """

    scheduler: Scheduler
    reading: tuple[int, int] | None
    trouble: Exception | None
    draining: bool
    out: Sequence[DeviceState]
    retries: Mapping[str, float]
    unread: tuple[str, float] | None = None


def stored(known: SearchMemory) -> list[Wait]:
    """What a search of a store waits for that no daemon holds; nothing after its end."""
    found = _held_back(known)
    if found is not None or standing(known) == "finished":
        return [] if found is None else [found]
    if known.submitted is not None:
        return [Wait("nobody runs it: no daemon holds the store", "`coldframe serve` takes it up")]
    return [
        Wait("nobody runs it", "`coldframe run` with its spec goes on, or `coldframe submit` and `coldframe serve`")
    ]


def served(search: str, memory: Memory, now: Circumstances) -> list[Wait]:
    """What a search of a daemon waits for; nothing while it gets on, and after its end."""
    known = memory.searches[search]
    if standing(known) == "finished":
        return []
    if now.draining:
        return [Wait("the daemon is leaving", "the next `coldframe serve` takes it up")]
    if (held := _held_back(known)) is not None:
        return [held]
    if known.submitted is None:
        return stored(known)
    if now.trouble is not None or now.scheduler.paused is not None:
        why = str(now.trouble or now.scheduler.paused)
        return [Wait(f"the store's disk takes nothing: {why}", "room on the disk; then it goes on by itself")]
    if now.reading is not None:
        return [_preparing(*now.reading) if now.unread is None else _unread(*now.unread)]
    return list(_under_way(search, memory, now))


def _held_back(known: SearchMemory) -> Wait | None:
    """What keeps a search from going on by its own state."""
    name, status = str(known.spec["name"]), standing(known)
    if status == "failed":
        return Wait("it has failed", f"{GO_ON.format(name)}, once the cause is mended, tries again")
    if status == "stopped":
        return Wait("it was stopped", f"{GO_ON.format(name)} lets it go on")
    if status == "paused":
        return Wait(f"it was paused by {known.paused or 'somebody'}", f"{GO_ON.format(name)} lets it go on")
    return None


def _preparing(done: int, total: int) -> Wait:
    far = f": {done:,} of {total:,} files" if total else ""
    return Wait(f"its data are being read{far}", "nothing to do: it starts when they are")


def _unread(why: str, seconds: float) -> Wait:
    return Wait(f"it cannot be read: {why}", f"it is there again; the next look is in {duration(max(0.0, seconds))}")


def _under_way(search: str, memory: Memory, now: Circumstances) -> Iterator[Wait]:
    scheduler = now.scheduler
    jobs = [job for job in scheduler.jobs.values() if search in job.searches]
    if any(job.state in {JobState.STARTING, JobState.RUNNING} for job in jobs):
        return
    if not jobs:
        yield Wait("its strategy is deciding what to ask for", "nothing to do: it computes, no request is under way")
        return
    yield from _retried([job for job in jobs if job.held], now)
    waiting = [job for job in jobs if job.state is JobState.QUEUED and not job.held]
    if not waiting:
        return
    if not scheduler.workers:
        out = "".join(f"; {left.device} is out of service: {left.why}" for left in now.out)
        until = "`coldframe devices` and its `return`" if now.out else "its process says hello, in seconds"
        yield Wait(f"no worker is ready{out}", until)
    elif all(job.alone for job in waiting):
        what = f"{plural(len(waiting), 'job')} that ran out of memory wait for a device of their own"
        yield Wait(what, "the jobs on the quietest device end")
    else:
        yield _busy(search, memory, scheduler, len(waiting))


def _retried(held: Sequence[Job], now: Circumstances) -> Iterator[Wait]:
    due = [now.retries[job.id] for job in held if job.id in now.retries]
    if due:
        what = f"{plural(len(due), 'failed job')} will be tried again"
        yield Wait(what, f"the first in {duration(max(0.0, min(due)))}")
    if len(held) > len(due):
        what = f"{plural(len(held) - len(due), 'job')} need states of computations that are gone"
        yield Wait(what, "they are made again, which takes a worker too")


def _busy(search: str, memory: Memory, scheduler: Scheduler, waiting: int) -> Wait:
    """All workers have jobs, of whom?"""
    share, counts = scheduler.shares[search], scheduler.placement.on_workers
    others = [
        (name, count) for name, count in counts.most_common() if count and name != search and name in memory.searches
    ]
    higher = [name for name, _ in others if scheduler.shares[name].priority > share.priority]
    words = ", ".join(f"{memory.searches[name].spec['name']} ({count})" for name, count in others[:SHOWN])
    whose = words or "its own that are stopping"
    what = f"{plural(waiting, 'job')} could start, but all workers are busy with jobs of {whose}"
    if higher:
        names = ", ".join(str(memory.searches[name].spec["name"]) for name in higher[:SHOWN])
        return Wait(
            what, f"{names}, of higher priority, needs fewer workers, or `coldframe priority` changes who goes first"
        )
    return Wait(what, "one of these jobs ends: the searches share by weight")
