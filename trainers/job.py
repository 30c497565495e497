"""What a trainer sees of the daemon: the job at hand."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from store.errors import BadFrame
from store.records.base import Config
from store.records.messages import Assign, JobSettings, Progress, Saved
from store.records.outcomes import EpochMetrics
from store.records.requests import AnyRequest, Compute
from trainers import faults, process, registry
from trainers.channel import Channel, Inbox
from trainers.errors import BadRequest, ChannelClosed

if TYPE_CHECKING:
    from store.checkpoints import CheckpointStore

PROGRESS_SECONDS = 0.5
FIRST_PROGRESS_SECONDS = 0.1


class Stopping(BaseException):
    """Raised by a trainer that has saved and leaves its job because `stop_requested`.

    It is no `Exception`, so that a trainer's own `except Exception` cannot hold it up.
    """


class Job:
    """One attempt at a request.

    Args:
        assign: the order.
        channel: where reports go.
        inbox: where a `Stop` comes from.
        checkpoints: opens the checkpoint store; called once, when a trainer first wants it.
        device: `cpu` or `cuda`; which GPU that is, `CUDA_VISIBLE_DEVICES` says.
        clock: monotonic seconds.
        looked: called about as often as the job says that it goes on.

    If the daemon goes away, or sends what is no order, the process ends inside the call that notices it. That loses
    nothing: all that a worker writes is written once, under a name that only a finished file gets.
    """

    def __init__(
        self,
        assign: Assign,
        channel: Channel,
        inbox: Inbox,
        checkpoints: Callable[[], CheckpointStore],
        *,
        device: str = "cpu",
        clock: Callable[[], float] = time.monotonic,
        looked: Callable[[], None] = lambda: None,
    ) -> None:
        self._assign = assign
        self._channel = channel
        self._inbox = inbox
        self._open = checkpoints
        self._clock = clock
        self._looked = looked
        # A job that ends sooner says nothing but its outcome: that halves the messages of short jobs.
        self._told = clock() + FIRST_PROGRESS_SECONDS - PROGRESS_SECONDS
        self._saved = clock()
        self.device = device
        self.stop_requested = False
        self.peak_bytes: int | None = None  # what a trainer says that it took, where the device is not asked

    @property
    def request(self) -> AnyRequest:
        """What is asked for."""
        return self._assign.request

    @property
    def attempt(self) -> int:
        """Which attempt this is, counted from 1; nothing that is stored may depend on it."""
        return self._assign.attempt

    @property
    def resume(self) -> str | None:
        """Digest of the manifest to go on from, or `None` for a start from the beginning."""
        return self._assign.resume

    @property
    def settings(self) -> JobSettings:
        """How to run the job."""
        return self._assign.settings

    @cached_property
    def options(self) -> Config:
        """The checked options of the candidate's trainer, e.g. a `trainers.options.CellOptions`.

        Raises:
            ImpossibleSetting: if an option is unknown or not allowed.
            BadRequest: if the request is about no candidate.
        """
        if isinstance(self.request, Compute):
            raise BadRequest("a computation has no trainer")
        return registry.options(self.request.candidate.trainer)

    @cached_property
    def checkpoints(self) -> CheckpointStore:
        """The store's checkpoints."""
        return self._open()

    @property
    def checkpoint_due(self) -> bool:
        """Whether `checkpoint_seconds` have gone by since the last save, or since the job began."""
        return self._clock() - self._saved >= self.settings.checkpoint_seconds

    def alive(self, epoch: int, step: int, steps: int, images_per_second: float | None = None, note: str = "") -> None:
        """Says that the job goes on, and looks for orders. Call it at every step; it costs microseconds.

        Args:
            epoch: epochs done.
            step: steps done of the epoch under way.
            steps: steps of an epoch.
            images_per_second: training images, if it is known by now.
            note: what is going on, where it is not training, e.g. `loading the data set`.
        """
        now = self._clock()
        if now - self._told >= PROGRESS_SECONDS:
            self._told = now
            self._looked()
            self._tell(
                Progress(
                    job=self._assign.job,
                    attempt=self.attempt,
                    epoch=epoch,
                    step=step,
                    steps=steps,
                    images_per_second=images_per_second,
                    note=note,
                )
            )
        self._listen()

    def preparing(self, what: str, done: int = 0, total: int = 0) -> None:
        """Says what goes on before there is anything to save, as `alive` does.

        Args:
            what: e.g. `decoding images`.
            done: how much of it is done.
            total: how much there is; 0 if that is not known.

        Raises:
            Stopping: if the job is asked to stop. What is prepared so far has to be kept already.
        """
        self.alive(0, done, total, note=f"{what}: {done:,} of {total:,}" if total else what)
        if self.stop_requested:
            raise Stopping

    def saved(self, digest: str, epoch: int, step: int, metrics: EpochMetrics | None = None) -> None:
        """Reports a checkpoint that is durable.

        Args:
            digest: its manifest.
            epoch: epochs done.
            step: steps done of the epoch under way; 0 at an epoch's end.
            metrics: of the epoch that just ended; `None` in the middle of one.
        """
        if step == 0:
            self._strike(epoch, saved=True)
        self._saved = self._clock()
        self._tell(
            Saved(
                job=self._assign.job,
                attempt=self.attempt,
                candidate=self._candidate,
                checkpoint=digest,
                epoch=epoch,
                step=step,
                metrics=metrics,
            )
        )

    def strike(self, epoch: int) -> None:
        """Commits the scripted fault for the end of an epoch, if there is one. Call it before the epoch is saved.

        The worker itself calls it for epoch 0, before training. Raises what `trainers.faults.strike` raises.
        """
        self._strike(epoch, saved=False)

    def _strike(self, epoch: int, *, saved: bool) -> None:
        if self.settings.faults:
            faults.strike(self.settings.faults, self._candidate, self.attempt, epoch, saved=saved)

    @cached_property
    def _candidate(self) -> str:
        candidate = self.request.candidate
        return "" if candidate is None else candidate.id

    def _tell(self, report: Progress | Saved) -> None:
        try:
            self._channel.send(report)
        except ChannelClosed as error:
            process.leave(process.ORPHANED, str(error))

    def _listen(self) -> None:
        try:
            self.stop_requested = self._inbox.poll()
        except ChannelClosed as error:
            process.leave(process.ORPHANED, str(error))
        except BadFrame as error:
            process.leave(process.BAD_PROTOCOL, str(error))
