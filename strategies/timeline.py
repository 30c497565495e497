"""What a search in virtual time took: who was busy when, epochs spent, and what it would have picked so far. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from store.records.candidates import Candidate
from store.records.outcomes import AnyOutcome, Trained
from store.records.requests import AnyRequest, Train


class Job(NamedTuple):
    """One job on a device.

    Attributes:
        request: what was asked for.
        outcome: what it came to; none if the search ended first.
        device: number of its device, from 0.
        start: virtual seconds since the search began.
        end: the same; the search's end for a job that was still under way.
        epoch: epochs that it went on from.
    """

    request: AnyRequest
    outcome: AnyOutcome | None
    device: int
    start: float
    end: float
    epoch: int

    @property
    def epochs(self) -> int:
        """Epochs that it trained; 0 for what is no training, failed or was cut off."""
        if isinstance(self.request, Train) and isinstance(self.outcome, Trained):
            return self.request.epochs - self.epoch
        return 0


class Pick(NamedTuple):
    """What a search would have named as its best at some point.

    Attributes:
        spent: epochs trained by then, by all jobs that had ended.
        seconds: virtual seconds by then.
        candidate: the network.
        epochs: to how many it was trained.
        accuracy: its validation accuracy, as the search knows it.
    """

    spent: int
    seconds: float
    candidate: Candidate
    epochs: int
    accuracy: float


@dataclass(frozen=True)
class Timeline:
    """A search from its begin to its end.

    Attributes:
        devices: how many there were.
        seconds: the makespan: virtual seconds until the search returned.
        jobs: all that were given to devices, in the order of their ends.
    """

    devices: int
    seconds: float
    jobs: Sequence[Job]

    @cached_property
    def busy(self) -> tuple[float, ...]:
        """Share of the makespan in which each device had a job."""
        spent = [0.0] * self.devices
        for job in self.jobs:
            spent[job.device] += job.end - job.start
        return tuple(one / self.seconds if self.seconds else 0.0 for one in spent)

    @property
    def idle_share(self) -> float:
        """Share of all devices' time without a job."""
        return 1.0 - sum(self.busy) / self.devices if self.seconds else 0.0

    @cached_property
    def epochs(self) -> int:
        """Epochs that were trained."""
        return sum(job.epochs for job in self.jobs)

    def spent(self) -> Iterator[tuple[float, int]]:
        """Yields virtual seconds and the epochs trained by then, at the end of each training."""
        total = 0
        for job in self.jobs:
            if job.epochs:
                total += job.epochs
                yield job.end, total

    def picks(self) -> Iterator[Pick]:
        """Yields what the search would have picked, each time that this changed.

        That is the most accurate of the networks that were trained the longest, the earlier one in a tie: what a
        search over hierarchical proxies names (EcoNAS, A5.1), and where all are trained alike simply the best.
        """
        best, total = (0, float("-inf")), 0
        for job in self.jobs:
            total += job.epochs
            request, outcome = job.request, job.outcome
            if not isinstance(request, Train) or not isinstance(outcome, Trained) or outcome.accuracy is None:
                continue
            if (outcome.epochs, outcome.accuracy) > best:
                best = outcome.epochs, outcome.accuracy
                yield Pick(total, job.end, request.candidate, *best)
