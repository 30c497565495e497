"""A search's history as rows of plain values: of candidates, of their epochs, of attempts. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from orchestrator.summary import genotype
from orchestrator.views import Attempt, CandidateView, History, JobView, SearchView

Row = dict[str, Any]
_SAME = ("search", "index", "candidate", "space", "genes", "genotype", "origin", "parent", "cycle")
_CANDIDATE = (
    *_SAME,
    *("epochs", "accuracy", "test_accuracy", "proxy_accuracy", "train_accuracy", "parameters", "multiply_adds"),
    *("seconds", "attempts", "worker", "device", "checkpoint", "failure"),
)
_EPOCH = (
    *_SAME,
    *("parameters", "multiply_adds", "epoch", "accuracy", "loss", "train_accuracy", "train_loss", "time", "seconds"),
    *("worker", "device", "attempt", "job"),
)
_ATTEMPT = (
    *("search", "job", "kind", "words", "candidate", "attempt", "worker", "device", "started", "seconds", "epoch"),
    *("reached", "outcome", "reason", "message"),
)


def rows(history: History, view: SearchView, what: str) -> list[Row]:
    """Returns a search's rows.

    Args:
        history: with stories.
        view: of the search.
        what: `epochs` (one row for each candidate and epoch that was saved), `candidates` or `attempts`.
    """
    if what == "attempts":
        return list(_attempts(history, view))
    made = [(candidate, _candidate(history, view, candidate)) for candidate in view.candidates]
    if what == "candidates":
        return [row for _, row in made]
    return [epoch for candidate, row in made for epoch in _epochs(history, candidate, row)]


def columns(what: str) -> list[str]:
    """Returns the columns of a table that has no rows yet."""
    return list({"epochs": _EPOCH, "candidates": _CANDIDATE, "attempts": _ATTEMPT}[what])


def _candidate(history: History, view: SearchView, candidate: CandidateView) -> Row:
    """One network: what it is, what it reached and cost, and who trained it last."""
    jobs = list(history.trainings.get(candidate.candidate, {}).values())
    attempts = [attempt for job in jobs for attempt in job.attempts]
    last = max(attempts, key=lambda attempt: attempt.started, default=None)
    return {
        "search": view.name,
        "index": candidate.index,
        "candidate": candidate.candidate,
        "space": candidate.architecture["space"],
        "genes": [int(gene) for gene in candidate.architecture["genes"]],
        "genotype": json.dumps(genotype(view, candidate)),
        "origin": candidate.origin,
        "parent": candidate.parent,
        "cycle": candidate.cycle,
        "epochs": candidate.epochs,
        "accuracy": candidate.accuracy,
        "test_accuracy": candidate.test_accuracy,
        "proxy_accuracy": candidate.proxy_accuracy,
        "train_accuracy": candidate.train_accuracy,
        "parameters": candidate.parameters,
        "multiply_adds": candidate.multiply_adds,
        "seconds": round(sum(attempt.seconds for attempt in attempts), 3),
        "attempts": len(attempts),
        "worker": last.worker if last else None,
        "device": last.device if last else None,
        "checkpoint": candidate.checkpoint,
        "failure": candidate.failure,
    } | _iteration(view, candidate)


def _iteration(view: SearchView, candidate: CandidateView) -> Row:
    """The reward of a reinforcement learner's network, where the strategy tells."""
    if view.samples is None:
        return {}
    reward = view.samples.rewards.get(candidate.index) if view.finished else None
    return {"reward": reward}


def _epochs(history: History, candidate: CandidateView, row: Row) -> Iterator[Row]:
    """Each epoch that was saved, of the attempt that saved it last; what is of the whole network goes along."""
    same = {name: row[name] for name in (*_SAME, "parameters", "multiply_adds")}
    for epoch, (time, job, attempt, metrics) in sorted(_saved(history, candidate).items()):
        yield {
            **same,
            "epoch": epoch,
            "accuracy": metrics.get("validation_accuracy"),
            "loss": metrics.get("validation_loss"),
            "train_accuracy": metrics.get("train_accuracy"),
            "train_loss": metrics.get("train_loss"),
            "time": time,
            "seconds": round(time - attempt.started, 3) if attempt else None,
            "worker": attempt.worker if attempt else None,
            "device": attempt.device if attempt else None,
            "attempt": attempt.number if attempt else None,
            "job": job.id,
        }


def _saved(history: History, candidate: CandidateView) -> dict[int, tuple[float, JobView, Attempt | None, Any]]:
    found = {}
    for job in history.trainings.get(candidate.candidate, {}).values():
        attempts = {attempt.number: attempt for attempt in job.attempts}
        for saved in job.checkpoints:
            if saved.metrics is not None:
                found[saved.epoch] = saved.time, job, attempts.get(saved.attempt), saved.metrics
    return found


def _attempts(history: History, view: SearchView) -> Iterator[Row]:
    for job in history.jobs.values():
        if view.id not in job.queued_in:
            continue
        for attempt in job.attempts:
            yield {
                "search": view.name,
                "job": job.id,
                "kind": job.kind,
                "words": job.words,
                "candidate": job.candidate,
                "attempt": attempt.number,
                "worker": attempt.worker,
                "device": attempt.device,
                "started": attempt.started,
                "seconds": round(attempt.seconds, 3),
                "epoch": attempt.epoch,
                "reached": attempt.reached,
                "outcome": attempt.outcome,
                "reason": attempt.reason or None,
                "message": attempt.message or None,
            }
