"""Places jobs on workers: what happened goes in, events to journal and commands to perform come out.

Pure: no clock, no loop, no I/O. The runtime commits a reaction's events before it performs its commands. What the
events say is folded into `Memory` at once, so that the next stimulus of the same batch already sees it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from orchestrator.capacity import Capacity
from orchestrator.lifecycle import Job, JobState, move, pause
from orchestrator.memory import Checkpoint, Memory
from orchestrator.peaks import kind_of
from orchestrator.placement import Placement, sort_of
from orchestrator.reactions import Answer, Assign, AwaitSpace, Delay, Quarantine, Reaction, SendStop, Slot, Terms
from orchestrator.remaking import Remaking
from store.records import messages
from store.records.events import (
    AnyEvent,
    AttemptFailed,
    CheckpointQuarantined,
    CheckpointSaved,
    JobFailed,
    JobStarted,
    JobStopped,
    JobSucceeded,
    Requested,
    StaleReport,
    WorkerEnded,
    WorkerStarted,
)
from store.records.framing import LARGEST
from store.records.messages import AnyReport
from store.records.outcomes import Failure, Reason
from store.records.requests import AnyRequest, Compute, Train, describe

FINAL: frozenset[Reason] = frozenset({"diverged", "bad_request", "corrupt_block"})
UNCOUNTED: frozenset[Reason] = frozenset({"disk_full", "corrupt_checkpoint"})
QUICK_SECONDS = 0.05
LARGEST_ARGUMENTS = LARGEST // 2


class Scheduler:
    """All jobs that are under way, and the workers that they are on.

    Args:
        memory: what the journal says.
        process: what the process that has the workers is called in the journal.
    """

    def __init__(self, memory: Memory, process: str = "") -> None:
        self.memory = memory
        self._process = process
        self.jobs: dict[str, Job] = {}
        self.placement = Placement(self.jobs, Capacity(memory.peaks))
        self.workers = self.placement.workers
        self.shares = self.placement.shares
        self.draining = False
        self.paused: str | None = None
        self._terms: dict[str, Terms] = {}
        self._remaking = Remaking(memory.states)
        self._reaction = Reaction()

    # What can happen.

    def add_search(self, search: str, terms: Terms) -> None:
        """Makes a search's terms known, before its first request."""
        self._terms[search] = terms
        self.shares.add(search)

    def remove_search(self, search: str) -> Reaction:
        """A search asks for nothing any more: jobs that no other one asks for are dropped, or stop."""
        self.shares.remove(search)
        self._terms.pop(search, None)
        for job in [job for job in self.jobs.values() if search in job.searches]:
            job.searches.remove(search)
            self.placement.leave(job, search)
            if not job.searches and job.state is JobState.QUEUED:
                self._drop(job)
        self._stop_idle("no search asks for it any more")
        return self._react()

    def set_share(self, search: str, weight: float, priority: int) -> Reaction:
        """Changes how much of the workers a search gets."""
        self.shares.set(search, weight, priority)
        return self._react()

    def pause(self, search: str) -> Reaction:
        """Starts nothing of a search, and stops its jobs at a checkpoint, but those that others wait for too."""
        self.shares[search].paused = True
        self._stop_idle("the search is paused")
        return self._react()

    def resume(self, search: str) -> Reaction:
        """Lets a paused search go on: its jobs go on from their checkpoints."""
        self.shares[search].paused = False
        return self._react()

    def request(self, search: str, index: int, request: AnyRequest) -> Reaction:
        """A search asks for something."""
        known = self.memory.knows(request.key, search)
        job = self.jobs.get(request.key)
        if index not in self.memory.searches[search].requests:
            answer = "memo" if known else "joined" if job else "queued"
            self._emit(Requested(search=search, index=index, job=request.key, request=request, answer=answer))
        if known:
            self._reaction.commands.append(Answer(search, request.key))
            return self._react()
        if job is None:
            job = Job(request.key, request, self._terms[search].retries)
            job.tell(f"asked for by search {search[:12]}: {describe(request)}")
            self.jobs[job.id] = job
            job.searches.append(search)
            if isinstance(request, Compute) and len(request.arguments) > LARGEST_ARGUMENTS:
                self._fail(job, "bad_request", f"arguments of {len(request.arguments)} bytes: {LARGEST_ARGUMENTS} fit")
            else:
                self._enqueue(job)
        elif search not in job.searches:
            self._join(job, search)
        return self._react()

    def worker_ready(self, worker: str, device: str, pid: int) -> Reaction:
        """A worker said hello and has nothing to do."""
        self.workers[worker] = Slot(device, pid)
        self._emit(WorkerStarted(worker=worker, pid=pid, device=device, process=self._process))
        return self._react()

    def worker_lost(self, worker: str, reason: Reason, message: str, sent: Collection[str]) -> Reaction:
        """A worker's process is gone; `sent` are the jobs that had reached it and not ended."""
        slot = self.workers[worker]
        told = (self.draining or slot.leaving == "retired") and not slot.jobs
        why: Reason | None = None if told else "device" if slot.leaving == "broken" else reason
        self._emit(WorkerEnded(worker=worker, pid=slot.pid, cause=message, reason=why))
        for number, name in enumerate(tuple(slot.jobs)):
            job = self.placement.take_off(worker, name)
            if number == 0 and name in sent and slot.leaving != "broken":
                self._attempt_failed(job, reason, message, counted=False if slot.leaving else None)
            else:
                self._attempt_failed(job, reason, "its worker ended before it began", counted=False)
        del self.workers[worker]
        return self._react()

    def report(self, worker: str, message: AnyReport, seconds: float) -> Reaction:
        """A worker's message about a job, `seconds` after the job was given to it."""
        match message:
            case messages.Hello():
                return self._react()
            case messages.Progress() if self._is_stale(worker, message):
                return self._react()
            case _ if self._is_stale(worker, message):
                current = self.memory.attempts.get(message.job, 0)
                text = f"{message.type} from {worker}"
                self._emit(StaleReport(job=message.job, attempt=message.attempt, current=current, message=text))
                return self._react()
        job = self.jobs[message.job]
        if job.state is JobState.STARTING and isinstance(message, messages.Progress | messages.Saved):
            move(job, JobState.RUNNING, f"{message.type} at epoch {message.epoch}")
        match message:
            case messages.Saved():
                self._saved(message)
            case messages.Finished():
                self.placement.take_off(worker, job.id, seconds)
                self.workers[worker].quick = sort_of(job) if seconds < QUICK_SECONDS else None
                self._finished(job, message, seconds)
            case messages.Failed():
                self.placement.take_off(worker, job.id, seconds)
                if message.reason == "device":
                    self.workers[worker].leaving = "broken"
                self._failed(job, message)
            case messages.Stopped():
                self.placement.take_off(worker, job.id, seconds)
                self._stopped(job, "stopped at a checkpoint")
        return self._react()

    def delay_over(self, job: str) -> Reaction:
        """A failed job may be tried again."""
        found = self.jobs.get(job)
        if found is not None and found.held:
            found.held = False
            self._enqueue(found)
        return self._react()

    def space_returned(self) -> Reaction:
        """The store's disk has room again."""
        self.paused = None
        return self._react()

    def drain(self) -> Reaction:
        """Nothing new is started, and every worker is asked to stop at a checkpoint."""
        self.draining = True
        for job in self.jobs.values():
            self._stop(job, "the daemon is leaving")
        return self._react()

    @property
    def busy(self) -> int:
        """How many workers have a job."""
        return sum(bool(slot.jobs) for slot in self.workers.values())

    @property
    def waiting(self) -> int:
        """How many jobs wait for a worker."""
        return len(self.placement.queue) + len(self.placement.alone) + sum(job.held for job in self.jobs.values())

    # What follows.

    def _emit(self, event: AnyEvent) -> None:
        self.memory.apply(event.type, vars(event))
        self._reaction.events.append(event)

    def _react(self) -> Reaction:
        self._go_on()
        self._fill()
        reaction, self._reaction = self._reaction, Reaction()
        return reaction

    def _is_stale(self, worker: str, message: AnyReport) -> bool:
        if isinstance(message, messages.Hello):
            return False
        job = self.jobs.get(message.job)
        return job is None or job.attempt != message.attempt or job.worker != worker

    def _saved(self, message: messages.Saved) -> None:
        fields = message.model_dump(exclude={"type"})
        self._emit(CheckpointSaved.model_validate(fields))

    def _finished(self, job: Job, message: messages.Finished, seconds: float) -> None:
        if job.id in self._remaking and not self._remaking.has_made(message.outcome):
            self._fail(job, "error", "made again, its state came out different: was it made by other versions?")
            return
        done = JobSucceeded(job=job.id, attempt=job.attempt, outcome=message.outcome, seconds=seconds)
        if (peak := message.peak_bytes) is not None:
            done = done.model_copy(update={"peak_bytes": peak, "memory_kind": kind_of(job.request)})
        self._emit(done)
        move(job, JobState.SUCCEEDED, "finished")
        self._answer(job)

    def _failed(self, job: Job, message: messages.Failed) -> None:
        damaged = message.reason in {"corrupt_checkpoint", "corrupt_block"}
        counted = not self._set_aside(job, message) if damaged else None
        if message.reason == "disk_full" and self.paused is None:
            self.paused = f"the store's disk is full, waiting for space ({message.message})"
            self._reaction.commands.append(AwaitSpace())
        self._attempt_failed(job, message.reason, message.message, counted)

    def _set_aside(self, job: Job, message: messages.Failed) -> bool:
        """Quarantines what could not be read; whether the job can go on from somewhere else, so nearer to its end."""
        if message.checkpoint is None:
            return False
        held = isinstance(job.request, Train) and self.memory.has(job.request.candidate.id, message.checkpoint)
        held = held or self._remaking.can(job.request)
        self._emit(CheckpointQuarantined(checkpoint=message.checkpoint, blobs=message.blobs, message=message.message))
        self._reaction.commands.append(Quarantine(message.blobs))
        return held

    def _attempt_failed(self, job: Job, reason: Reason, message: str, counted: bool | None = None) -> None:
        stopping = job.state is JobState.STOPPING
        counted = (reason not in UNCOUNTED and not stopping) if counted is None else counted
        job.failures += counted
        self._emit(AttemptFailed(job=job.id, attempt=job.attempt, reason=reason, message=message, counted=counted))
        if reason in FINAL or self._has_no_other_way(job, reason):
            self._fail(job, reason, message)
        elif stopping:
            self._stopped(job, f"ended while stopping: {message}")
        elif job.failures > job.retries or (reason == "out_of_memory" and job.alone):
            self._fail(job, reason, message)
        else:
            move(job, JobState.QUEUED, f"{reason}: {message}")
            job.alone = job.alone or reason == "out_of_memory"
            self._try_again(job, counted)

    def _has_no_other_way(self, job: Job, reason: Reason) -> bool:
        lost = reason == "corrupt_checkpoint" and not isinstance(job.request, Train)
        return lost and not self._remaking.can(job.request)

    def _try_again(self, job: Job, counted: bool) -> None:
        if not counted:
            self._enqueue(job)
            return
        job.held = True
        self._reaction.commands.append(Delay(job.id, pause(job)))

    def _fail(self, job: Job, reason: Reason, message: str) -> None:
        once = reason in FINAL or self._has_no_other_way(job, reason)
        tries = "" if once else f" ({job.failures} attempt{'s' * (job.failures > 1)} failed)"
        move(job, JobState.FAILED, f"{reason}: {message}")
        outcome = Failure(
            reason=reason, retryable=reason not in FINAL, message=f"{message}{tries}", story=tuple(job.story)
        )
        told = () if job.id in self._remaking else tuple(job.searches)
        self._emit(JobFailed(job=job.id, outcome=outcome, searches=told))
        self._answer(job)

    def _stopped(self, job: Job, why: str) -> None:
        """An attempt is over in good order; if its job is wanted still, it waits for the next one."""
        self._emit(JobStopped(job=job.id, attempt=job.attempt, reason=why))
        move(job, JobState.STOPPED, why)
        del self.jobs[job.id]
        if self.draining:
            return
        if job.searches:
            self.jobs[job.id] = replace(job, state=JobState.QUEUED)
            self._enqueue(self.jobs[job.id])
        else:
            self._remaking.drop(job.id)

    def _stop(self, job: Job, why: str) -> None:
        """Asks a job's worker to stop it at a checkpoint, unless it was asked already."""
        if job.worker is not None and job.state is not JobState.STOPPING:
            move(job, JobState.STOPPING, why)
            self._reaction.commands.append(SendStop(job.worker, messages.Stop(job=job.id, attempt=job.attempt)))

    def _stop_idle(self, why: str) -> None:
        """Stops the jobs that no search waits for which may go on."""
        for job in self.jobs.values():
            if self.shares.next(job.searches) is None:
                self._stop(job, why)

    def _drop(self, job: Job) -> None:
        """Forgets a job that waits and that nobody asks for."""
        self._emit(JobStopped(job=job.id, attempt=job.attempt, reason="no search asks for it any more"))
        move(job, JobState.STOPPED, "no search asks for it any more")
        del self.jobs[job.id]
        self._remaking.drop(job.id)

    def _join(self, job: Job, search: str) -> None:
        """Another search asks for a job that is under way, and so for what is made again for it."""
        if search not in job.searches:
            job.searches.append(search)
        self.placement.join(job.id, search)
        for maker in self._remaking.makers(job.id):
            self._join(self.jobs[maker], search)

    def _answer(self, job: Job) -> None:
        del self.jobs[job.id]
        if job.id in self._remaking:
            self._remaking.ended(job.id)
        else:
            self._reaction.commands += [Answer(search, job.id) for search in job.searches]

    def _go_on(self) -> None:
        """Takes up the jobs that waited for states which have been made again, or could not be."""
        while (name := self._remaking.next_freed()) is not None:
            job = self.jobs[name]
            job.held = False
            if self._remaking.is_ready(job.request):
                self._enqueue(job)
            else:
                self._fail(job, "corrupt_checkpoint", "the state that it starts from is lost and was not made again")

    # Placement.

    def _enqueue(self, job: Job) -> None:
        """Puts a job into line, or what has to make the state again that it starts from."""
        if (first := self._remaking.first_of(job, self.jobs)) is not None:
            self._line_up(first)
            return
        for maker in self._remaking.makers(job.id):
            for search in job.searches:
                self._join(self.jobs[maker], search)

    def _line_up(self, job: Job) -> None:
        start = self._start_of(job.request)
        job.epochs = job.request.epochs - (start.epoch if start else 0) if isinstance(job.request, Train) else 0
        self.placement.line_up(job, resumes=start is not None)

    def _fill(self) -> None:
        if self.draining or self.paused is not None:
            return
        for worker, job in self.placement.fill():
            self._assign(worker, job)

    def _assign(self, worker: str, job: Job) -> None:
        start, device = self._start_of(job.request), self.workers[worker].device
        job.attempt = self.memory.attempts.get(job.id, 0) + 1
        started = JobStarted(job=job.id, attempt=job.attempt, worker=worker, device=device)
        if start is not None:
            started = started.model_copy(update={"checkpoint": start.digest, "epoch": start.epoch, "step": start.step})
        self._emit(started)
        job.start = start.digest if start else None
        move(job, JobState.STARTING, f"given to {worker} on {device}")
        self.placement.put(worker, job)
        message = messages.Assign(
            job=job.id,
            attempt=job.attempt,
            request=job.request,
            resume=job.start,
            settings=self._terms[job.owner].settings,
        )
        self._reaction.commands.append(Assign(worker, message))

    def _start_of(self, request: AnyRequest) -> Checkpoint | None:
        return self.memory.newest(request.candidate.id, request.epochs) if isinstance(request, Train) else None
