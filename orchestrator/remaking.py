"""States of computations that are gone, and how they come back: by the request that made them. Pure.

What a computation leaves behind is only a saving: garbage collection takes it when nothing is likely to need it, and
damage may. The function is pure and its request is in the journal, so whoever needs the state waits until it is made
again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from typing import Any

from orchestrator.lifecycle import Job
from store.records.outcomes import AnyOutcome, Computed
from store.records.requests import AnyRequest, Compute


class ComputedStates:
    """Which computation made which state, and which states are gone.

    Attributes:
        missing: states that were made, and cannot be read any more.
        fresh: how many were made since the older ones were last removed.
    """

    def __init__(self) -> None:
        self.missing: set[str] = set()
        self.fresh = 0
        self._requests: dict[str, Any] = {}
        self._makers: dict[str, str] = {}

    def __contains__(self, job: str) -> bool:
        """Whether a job is a computation with state."""
        return job in self._requests

    def requested(self, event: Mapping[str, Any]) -> None:
        """Takes note of a request; only computations with state matter. It is a map, or a record."""
        request = event["request"]
        stateful = request.get("stateful") if isinstance(request, dict) else getattr(request, "stateful", None)
        if stateful:
            self._requests[event["job"]] = request

    def made(self, job: str, state: str) -> None:
        """A computation has left a state behind."""
        self._makers[state] = job
        self.missing.discard(state)
        self.fresh += 1

    def lost(self, checkpoint: str) -> None:
        """A checkpoint cannot be read; it may be a state."""
        if checkpoint in self._makers:
            self.missing.add(checkpoint)

    def forget_missing(self, there: Collection[str]) -> None:
        """Takes note of which states are not there, of all that were made."""
        self.missing |= {state for state in self._makers if state not in there}
        self.fresh = 0

    def removed(self, checkpoints: Collection[str]) -> None:
        """Takes note of which states are not there any more, of some checkpoints."""
        self.missing |= self._makers.keys() & set(checkpoints)

    def maker(self, state: str | None) -> Compute | None:
        """Returns the request that makes a state, or None if it is not known."""
        request = self._requests.get(self._makers.get(state or "", ""))
        return None if request is None else Compute.model_validate(request)


class Remaking:
    """The states that are being made again, and the jobs that wait for them.

    Args:
        states: what is known of states.
    """

    def __init__(self, states: ComputedStates) -> None:
        self._states = states
        self._waiting: dict[str, list[str]] = {}
        self._freed: deque[str] = deque()
        self._tried: set[str] = set()

    def __contains__(self, job: str) -> bool:
        """Whether a job makes a state again."""
        return job in self._waiting

    def is_ready(self, request: AnyRequest) -> bool:
        """Whether what a request starts from is there, as far as is known."""
        return not isinstance(request, Compute) or request.state not in self._states.missing

    def can(self, request: AnyRequest) -> bool:
        """Whether the state that a request starts from could be made again; it is tried once."""
        return (
            isinstance(request, Compute)
            and request.state not in self._tried
            and self._states.maker(request.state) is not None
        )

    def has_made(self, outcome: AnyOutcome) -> bool:
        """Whether an outcome brings back a state that is gone."""
        return isinstance(outcome, Computed) and outcome.state in self._states.missing

    def first_of(self, job: Job, jobs: dict[str, Job]) -> Job | None:
        """Returns the job to begin with, so that a job can be done: itself, or the first that makes a state again.

        Args:
            job: what is wanted. It is held, if its state is gone, until that is there.
            jobs: all that are under way; those that make states again are added.

        Returns:
            None if what the job needs is being made already.
        """
        while (maker := self._maker(job.request)) is not None:
            job.held = True
            self._waiting.setdefault(maker.key, []).append(job.id)
            if maker.key in jobs:
                return None
            again = jobs[maker.key] = Job(maker.key, maker, job.retries, searches=list(job.searches))
            again.tell(f"its state is gone, and job {job.id[:12]} starts from it: it is made again")
            job = again
        return job

    def ended(self, job: str) -> None:
        """A job that was to make a state again is over: those that waited for it are free."""
        self._freed.extend(self._waiting.pop(job))

    def makers(self, job: str) -> list[str]:
        """Returns the jobs that make again what a job waits for."""
        return [maker for maker, waiting in self._waiting.items() if job in waiting]

    def drop(self, job: str) -> None:
        """A job is not wanted any more: it waits for nothing, and what it was to make is made again another time."""
        for waiting in self._waiting.values():
            if job in waiting:
                waiting.remove(job)
        self._waiting.pop(job, None)
        if job in self._freed:
            self._freed.remove(job)

    def next_freed(self) -> str | None:
        """Returns a job that waits no longer, each once."""
        return self._freed.popleft() if self._freed else None

    def _maker(self, request: AnyRequest) -> Compute | None:
        """Returns what has to be computed before a request can be; a state of unknown origin is left to the worker."""
        if self.is_ready(request) or not isinstance(request, Compute) or request.state is None:
            return None
        self._tried.add(request.state)
        return self._states.maker(request.state)
