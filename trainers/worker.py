"""The worker process: `python -m trainers.worker`, started by the daemon, one for each slot.

It says hello, and then does one job after another until it is told to leave or the daemon is gone. Trainers are
imported when the first job needs them, or at once with `--preload`; a worker that only ever plays `scripted` jobs
never loads torch.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import sys
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from store.errors import BadFrame
from store.records.messages import PROTOCOL, READY, Assign, Failed, Finished, Hello, Progress, Stopped
from store.records.outcomes import Computed, Evaluated, Measured, Trained
from store.records.requests import Compute, Evaluate, Measure, Train, describe
from trainers import failures, peak, process, registry
from trainers.channel import Channel, Inbox
from trainers.errors import ChannelClosed, TrainerError
from trainers.job import Job, Stopping
from trainers.output import Output
from trainers.registry import Trainer

if TYPE_CHECKING:
    from store.checkpoints import CheckpointStore

_VERSIONS = ("coldframe", "torch", "numpy", "zarr")


class Worker:
    """Does the jobs that come through a channel.

    Args:
        channel: to the daemon.
        folder: the store.
        device: `cpu` or `cuda`.
        output: where what jobs print goes; none: where this process prints.
    """

    def __init__(self, channel: Channel, folder: Path, device: str, output: Output | None = None) -> None:
        self._channel = channel
        self._inbox = Inbox(channel)
        self._folder = folder
        self._device = device
        self._output = output
        self._trainers: dict[str, Trainer] = {}
        self._checkpoints = cache(self._open_checkpoints)

    def hello(self) -> None:
        """Sends the first message. It comes before any import that takes long: the daemon waits for it."""
        versions = {"python": platform.python_version()} | {name: version(name) for name in _VERSIONS}
        self._channel.send(Hello(protocol=PROTOCOL, pid=os.getpid(), device=self._device, versions=versions))

    def preload(self, name: str) -> None:
        """Imports a trainer before there is a job, and opens the device; says so, since that can take seconds."""
        self._channel.send(Progress(job="", attempt=0, note=f"importing the trainer {name}"))
        self._trainer(name)
        if self._device == "cuda":
            _open_device()
        self._channel.send(Progress(job="", attempt=0, note=READY))

    def serve(self) -> None:
        """Does jobs until `Exit`.

        Raises:
            ChannelClosed: if the daemon is gone.
            BadFrame: if what came is not of the protocol.
        """
        while (assign := self._inbox.next()) is not None:
            if self._output is not None:
                self._output.begin(assign)
            report = self._run(assign)
            if self._output is not None:
                self._output.end(failed=isinstance(report, Failed))
            self._send(report)
            if isinstance(report, Failed):
                _after_failure(report)
            peak.release(self._device)

    def _run(self, assign: Assign) -> Finished | Failed | Stopped:
        looked = self._output.look if self._output is not None else lambda: None
        job = Job(assign, self._channel, self._inbox, self._checkpoints, device=self._device, looked=looked)
        try:
            peak.begin(self._device)
            outcome = self._answer(job)
            failures.check_finite(outcome)
            taken = peak.taken(self._device) if job.peak_bytes is None else job.peak_bytes
            return Finished(job=assign.job, attempt=assign.attempt, outcome=outcome, peak_bytes=taken)
        except Stopping:
            return _stopped(job, assign)
        except (Exception, SystemExit) as error:  # whatever a trainer does wrong is a report, not the worker's end
            # Logged, not printed: logging passes over a log that cannot be written. It lies on the store's disk, and
            # if that is full, the report of it must still be sent.
            process.log.error("%s failed, attempt %d", describe(assign.request), assign.attempt, exc_info=error)
            return failures.classify(error, assign)

    def _answer(self, job: Job) -> Trained | Evaluated | Measured | Computed:
        request = job.request
        if isinstance(request, Compute):
            from trainers.compute import compute_job  # brings numpy

            return compute_job(job)
        trainer = self._trainer(request.candidate.trainer.name)
        match request:
            case Train():
                job.strike(0)
                return trainer.train(job)
            case Evaluate():
                return trainer.evaluate(job)
            case Measure():
                return trainer.measure(job)

    def _send(self, report: Finished | Failed | Stopped) -> None:
        try:
            self._channel.send(report)
        except BadFrame as error:
            self._channel.send(
                Failed(job=report.job, attempt=report.attempt, reason="bad_request", message=f"the outcome: {error}")
            )

    def _trainer(self, name: str) -> Trainer:
        if name not in self._trainers:
            self._trainers[name] = registry.load(name)
        return self._trainers[name]

    def _open_checkpoints(self) -> CheckpointStore:
        from store.checkpoints import CheckpointStore  # brings numpy

        return CheckpointStore(self._folder)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a worker; returns its exit status."""
    given = _parse(arguments)
    try:
        process.settle(given.worker, given.parent, given.threads)
        channel = Channel(process.adopt(given.fd))
    except TrainerError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    worker = Worker(channel, given.store, given.device, Output(given.store, given.worker, given.device))
    try:
        worker.hello()
        if given.preload:
            worker.preload(given.preload)
        worker.serve()
    except ChannelClosed as error:
        process.leave(process.ORPHANED, str(error))
    except BadFrame as error:
        process.leave(process.BAD_PROTOCOL, str(error))
    process.leave(0, "told to")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m trainers.worker", description="Started by the daemon only.")
    parser.add_argument("--store", type=Path, required=True, help="folder of the store")
    parser.add_argument("--fd", type=int, required=True, help="inherited end of a socketpair")
    parser.add_argument("--parent", type=int, required=True, help="pid of the daemon; the worker dies with it")
    parser.add_argument("--worker", required=True, help="name, for the log")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--preload", help="trainer to import before the first job")
    return parser.parse_args(arguments)


def _open_device() -> None:
    import torch

    try:
        torch.zeros(1, device="cuda")
    except (RuntimeError, AssertionError) as error:
        process.leave(process.BROKEN_DEVICE, f"no CUDA device can be opened: {error}")


def _stopped(job: Job, assign: Assign) -> Stopped | Failed:
    if job.stop_requested:
        return Stopped(job=assign.job, attempt=assign.attempt)
    message = "the trainer raised Stopping though nobody had asked it to stop"
    return Failed(job=assign.job, attempt=assign.attempt, reason="error", message=message)


def _after_failure(report: Failed) -> None:
    """Lets go of what the failed job had, or ends the process if its device can no longer be trusted."""
    if report.reason == "device":
        process.leave(process.BROKEN_DEVICE, report.message)
    gc.collect()


if __name__ == "__main__":
    sys.exit(main())
