"""The fold: journal rows in, searches, jobs and workers out. No clock, no I/O beyond reading the rows it is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal

import msgpack

from orchestrator import collector
from orchestrator.views.entries import (
    Asked,
    Attempt,
    JobView,
    Note,
    Payload,
    Run,
    SavedCheckpoint,
    SearchEntry,
    WorkerEntry,
)

if TYPE_CHECKING:
    from store.journal import Journal
    from store.records.events import AnyEvent

Handler = Callable[[Note], None]
_COMMON = ("trainer", "space", "proxy", "recipe", "data")
"""What the candidates of a search mostly have in common."""


class History:
    """Everything that a store's journal tells, up to the last row applied.

    Args:
        stories: whether jobs keep their rows and checkpoints, for stories and curves; a live view does without.
    """

    def __init__(self, *, stories: bool = True) -> None:
        self._stories = stories
        self.searches: dict[str, SearchEntry] = {}
        self.jobs: dict[str, JobView] = {}
        self.workers: list[WorkerEntry] = []
        self.checkpoints: dict[str, SavedCheckpoint] = {}
        self.trainings: dict[str, dict[str, JobView]] = {}
        self.quarantined: list[Note] = []
        self.sequence = 0
        self.time = 0.0
        self._process = ""
        self._pid: int | None = None
        self._latest: tuple[Note, Run] | None = None
        self._present: set[str] = set()
        self._open: dict[str, Attempt] = {}
        self._owners: dict[str | None, str] = {}
        self._common: dict[str, dict[str, Any]] = {}
        self._handlers: dict[str, Handler] = {
            "search_opened": self._opened,
            "search_extended": self._extended,
            "search_started": self._started,
            "search_interrupted": self._interrupted,
            "search_finished": self._finished,
            "search_failed": self._search_failed,
            "search_submitted": self._submitted,
            "search_paused": self._paused,
            "search_resumed": self._resumed,
            "search_stopped": self._stopped,
            "search_prioritised": self._prioritised,
            "state_saved": self._state_saved,
            "weights_matched": self._weights_matched,
            "weights_pooled": self._weights_pooled,
            "requested": self._requested,
            "job_started": self._job_started,
            "checkpoint_saved": self._checkpoint_saved,
            "job_succeeded": self._job_succeeded,
            "attempt_failed": self._attempt_failed,
            "job_failed": self._job_failed,
            "job_stopped": self._job_stopped,
            "stale_report": self._tell,
            "checkpoint_quarantined": self.quarantined.append,
            "worker_started": self._worker_started,
            "worker_ended": self._worker_ended,
        }

    def apply(self, sequence: int, time: float, kind: str, payload: Payload) -> None:
        """Takes one row; kinds that nothing here shows are passed over."""
        self.sequence, self.time = sequence, time
        if handler := self._handlers.get(kind):
            handler(Note(sequence, time, kind, payload))
        self._touch(payload, time)

    def event(self, sequence: int, time: float, event: AnyEvent) -> None:
        """Takes one row whose event is decoded already."""
        self.apply(sequence, time, event.type, event.model_dump(mode="python"))

    def open_attempts(self) -> Iterator[tuple[JobView, Attempt]]:
        """Yields the attempts that have not ended, with their jobs."""
        for job, attempt in list(self._open.items()):
            yield self.jobs[job], attempt

    def own(self, search: str) -> list[JobView]:
        """Returns the jobs that a search itself has queued, in the order in which it asked for them.

        May be called from another thread while rows are applied, and so may what builds views.
        """
        asked = dict.fromkeys(asked.job for asked in self.searches[search].requests)
        return [job for job in (self.jobs[name] for name in asked) if search in job.queued_in]

    def _touch(self, payload: Payload, time: float) -> None:
        """Extends the runs and the attempt that this row belongs to."""
        if search := self.searches.get(payload.get("search", "")):
            search.touch(time)
        elif job := self.jobs.get(payload.get("job", "")):
            if attempt := self._open.get(job.id):
                attempt.last = time
            for name in job.searches:
                self.searches[name].touch(time)

    # Searches

    def _opened(self, note: Note) -> None:
        search = note.payload["search"]
        self.searches[search] = SearchEntry(id=search, spec=note.payload["spec"], opened=note.time)

    def _extended(self, note: Note) -> None:
        """A new process is about to take it up: a run that is still open was killed, and ended before this."""
        search = self.searches[note.payload["search"]]
        search.spec, search.result, search.ending = note.payload["spec"], None, ""
        for run in search.runs:
            run.open = False

    def _started(self, note: Note) -> None:
        """A new process has the store, so whatever an earlier one left open is lost."""
        pid, search = note.payload["pid"], self.searches[note.payload["search"]]
        if note.payload.get("process"):
            self._take_over(note)
        elif pid != self._pid or search.status == "running":
            self._lose(note)
        self._pid = pid
        run = Run(start=note.time, last=note.time, pid=pid)
        search.runs.append(run)
        search.ending, search.message = "", ""
        self._latest = note, run

    def _take_over(self, note: Note) -> None:
        """The first row of a process says that the one before it is gone."""
        if note.payload["process"] != self._process:
            self._process = note.payload["process"]
            self._lose(note)

    def _lose(self, note: Note, latest: Run | None = None) -> None:
        """Ends all that a killed process left open; `latest` is a run of the process that has taken its place."""
        self._present.clear()
        for job, attempt in list(self._open.items()):
            self._end(job, attempt.last, "lost", message="its process was killed")
            self._note(self.jobs[job], note)
            self.jobs[job].state = "queued"
        for search in self.searches.values():
            for run in search.runs:
                run.open = run.open and run is latest

    def _submitted(self, note: Note) -> None:
        search, event = self._go_on(note), note.payload
        search.submitted, search.owner = True, event["owner"]
        search.weight, search.priority = event["weight"], event["priority"]
        search.held = "" if search.held == "stopped" else search.held

    def _paused(self, note: Note) -> None:
        self._hold(note, "paused")

    def _stopped(self, note: Note) -> None:
        self._hold(note, "stopped")

    def _hold(self, note: Note, held: Literal["paused", "stopped"]) -> None:
        search = self.searches[note.payload["search"]]
        search.held, search.by = held, note.payload["by"]

    def _resumed(self, note: Note) -> None:
        search = self._go_on(note)
        search.held, search.by = "", note.payload["by"]

    def _go_on(self, note: Note) -> SearchEntry:
        """A search that failed is as good as interrupted once somebody lets it go on."""
        search = self.searches[note.payload["search"]]
        if search.ending == "failed":
            search.ending = "interrupted"
        return search

    def _prioritised(self, note: Note) -> None:
        search = self.searches[note.payload["search"]]
        search.weight, search.priority = note.payload["weight"], note.payload["priority"]

    def _interrupted(self, note: Note) -> None:
        self._close(note, "interrupted", note.payload["reason"])

    def _finished(self, note: Note) -> None:
        self._close(note, "finished", "")
        search = self.searches[note.payload["search"]]
        search.result, search.held = note.payload["result"], ""

    def _state_saved(self, note: Note) -> None:
        self.searches[note.payload["search"]].state = note.payload["state"]

    def _weights_matched(self, note: Note) -> None:
        self.searches[note.payload["search"]].pool.take(note.payload["inheritance"])

    def _weights_pooled(self, note: Note) -> None:
        self.searches[note.payload["search"]].pool.pooled += 1

    def _search_failed(self, note: Note) -> None:
        self._close(note, "failed", note.payload["message"])

    def _close(self, note: Note, ending: Any, message: str) -> None:
        search = self.searches[note.payload["search"]]
        search.ending, search.message = ending, message
        if search.runs and search.runs[-1].open:
            search.runs[-1].last, search.runs[-1].open = note.time, False

    # Jobs

    def _requested(self, note: Note) -> None:
        search, job, answer = (note.payload[key] for key in ("search", "job", "answer"))
        view = self.jobs.get(job)
        if view is None:
            request = self._sharing(search, note.payload["request"])
            view = self.jobs[job] = JobView(id=job, request=request, queued=note.time)
        # Only now: whoever reads beside this thread looks up the jobs that a search has asked for.
        self.searches[search].requests.append(Asked(note.payload["index"], job, answer, note.time))
        if answer == "queued":
            view.queued_by = search
            view.queued_in += [search] * (search not in view.queued_in)
            view.state, view.outcome = "queued", None
        if search not in view.searches:
            view.searches.append(search)
        self._note(view, note)

    def _sharing(self, search: str, request: Payload) -> Payload:
        """Lets a search's requests share what all of its candidates have in common: it is most of a job's memory."""
        if not (candidate := request.get("candidate")):
            return request
        common = self._common.setdefault(search, {})
        alike = {name: common[name] for name in _COMMON if common.get(name) == candidate.get(name)}
        if len(alike) < len(_COMMON):
            common.update((name, candidate.get(name)) for name in _COMMON)
        return {**request, "candidate": {**candidate, **{name: alike[name] for name in alike if name in candidate}}}

    def _job_started(self, note: Note) -> None:
        event, job = note.payload, self.jobs[note.payload["job"]]
        checkpoint, epoch = event.get("checkpoint"), event.get("epoch", 0)
        attempt = Attempt(
            number=event["attempt"],
            search=job.queued_by,
            worker=event["worker"],
            device=event["device"],
            started=note.time,
            checkpoint=checkpoint,
            epoch=epoch,
            step=event.get("step", 0),
            reached=epoch,
            foreign=self._owners.get(checkpoint, job.id) != job.id,
            last=note.time,
        )
        job.attempts.append(attempt)
        job.state = "running"
        self._note(job, note)
        self._open[job.id] = attempt

    def _checkpoint_saved(self, note: Note) -> None:
        event, job = note.payload, self.jobs[note.payload["job"]]
        self._owners[event["checkpoint"]] = job.id
        attempt = self._open.get(job.id)
        if attempt is not None and attempt.number == event["attempt"] and attempt.reached < event["epoch"]:
            attempt.reached = event["epoch"]
        if self._stories:
            self._keep_checkpoint(job, note)

    def _keep_checkpoint(self, job: JobView, note: Note) -> None:
        event = note.payload
        fields = (event["candidate"], event["checkpoint"], event["epoch"], event.get("step", 0), event.get("metrics"))
        saved = SavedCheckpoint(note.time, job.id, event["attempt"], *fields)
        job.checkpoints.append(saved)
        self.checkpoints[saved.checkpoint] = saved
        self.trainings.setdefault(saved.candidate, {})[job.id] = job
        job.notes.append(note)

    def _job_succeeded(self, note: Note) -> None:
        job = self.jobs[note.payload["job"]]
        job.state, job.outcome = "succeeded", note.payload["outcome"]
        if job.trained:
            self.trainings.setdefault(job.outcome["candidate"], {})[job.id] = job
        self._end(job.id, note.time, "succeeded")
        self._note(job, note)

    def _attempt_failed(self, note: Note) -> None:
        event, job = note.payload, self.jobs[note.payload["job"]]
        job.state = "queued"
        self._end(job.id, note.time, "failed", event["reason"], event["message"])
        self._note(job, note)

    def _job_failed(self, note: Note) -> None:
        job = self.jobs[note.payload["job"]]
        job.state, job.outcome = "failed", note.payload["outcome"]
        self._end(job.id, note.time, "failed", job.outcome["reason"], job.outcome["message"])
        self._note(job, note)

    def _job_stopped(self, note: Note) -> None:
        job = self.jobs[note.payload["job"]]
        job.state = "stopped"
        self._end(job.id, note.time, "stopped", message=note.payload["reason"])
        self._note(job, note)

    def _end(self, job: str, time: float, outcome: Any, reason: str = "", message: str = "") -> None:
        attempt = self._open.pop(job, None)
        if attempt is not None:
            attempt.ended, attempt.outcome = time, outcome
            attempt.reason, attempt.message = reason, message

    def _tell(self, note: Note) -> None:
        if job := self.jobs.get(note.payload["job"]):
            self._note(job, note)

    def _note(self, job: JobView, note: Note) -> None:
        if self._stories:
            job.notes.append(note)

    # Workers

    def _worker_started(self, note: Note) -> None:
        event = note.payload
        # Rows of before processes had names have a pid alone, and in a container each may have the same. But within a
        # process a worker's end comes before the start of the next one of its name: if not, the process was killed.
        if event.get("process"):
            self._take_over(note)
        elif event["worker"] in self._present and self._latest is not None:
            self._lose(*self._latest)
        self._present.add(event["worker"])
        self.workers.append(WorkerEntry(event["worker"], event["pid"], event["device"], note.time))

    def _worker_ended(self, note: Note) -> None:
        self._present.discard(note.payload["worker"])
        for worker in reversed(self.workers):
            if (worker.name, worker.pid) == (note.payload["worker"], note.payload["pid"]):
                worker.ended, worker.cause = note.time, note.payload["cause"]
                return


def read(journal: Journal) -> History:
    """Folds a whole journal."""
    history = History()
    with collector.paused():
        for row in journal.raw():
            history.apply(row.sequence, row.time, row.type, msgpack.unpackb(row.payload, raw=False))
    return history
