"""What a search came to, in a few lines of text: the best cells, and what was trained and what was spared."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator import wording
from orchestrator.views import CandidateView, SearchView
from orchestrator.views.entries import SHORT
from orchestrator.views.search import MEAN_ACCURACY

SHOWN = 5
_ROW = "{:<5} {:>9} {:>7} {:>11} {:>14}  {}"


def conclusion(view: SearchView, *, repeated: bool = False) -> Iterator[str]:
    """Yields the lines that end `coldframe run` and make up `coldframe status SEARCH`."""
    again = " (it was finished before: nothing was left to do)" if repeated else ""
    yield f"search {view.name} ({view.id[:SHORT]}): {view.status}{again}"
    yield from (f"  {line}" for line in (view.message, *view.notes) if line)
    yield ""
    yield from _best(view.best[:SHOWN])
    yield from _start(view)
    yield ""
    yield from _costs(view)
    if view.status == "interrupted":
        yield "Run the same command again to go on."


def _best(best: tuple[CandidateView, ...]) -> Iterator[str]:
    if not best:
        yield "no candidate has been trained yet"
        return
    yield _ROW.format("best", "accuracy", "epochs", "parameters", "multiply-adds", "candidate")
    for rank, found in enumerate(best, start=1):
        costs = [wording.amount(found.parameters), wording.amount(found.multiply_adds)]
        yield _ROW.format(rank, wording.accuracy(found.accuracy), found.epochs, *costs, found.candidate[:SHORT])


def _start(view: SearchView) -> Iterator[str]:
    """What the initial population reached on its first rung, for comparison."""
    rung = next((name for name in view.curves if name.startswith(MEAN_ACCURACY)), None)
    first = next(iter(view.curves[rung]), None) if rung else None
    if rung and first is not None:
        epochs = _epochs(rung.removeprefix(MEAN_ACCURACY), view.spec["strategy"]["options"].get("epochs"))
        yield f"for comparison: {wording.accuracy(first)}, the initial population's mean after {epochs} epochs"


def _epochs(rung: str, stage: int | None) -> str:
    """What a rung's name, `E` or `2E`, stands for with stages of so many epochs; the name itself where none is set."""
    factor = rung.removesuffix("E") or "1"
    return rung if stage is None or not factor.isdecimal() else str(int(factor) * stage)


def _costs(view: SearchView) -> Iterator[str]:
    spent = view.costs
    trained = sum(candidate.epochs > 0 for candidate in view.candidates)
    yield f"candidates: {trained} trained of {len(view.candidates)}, {wording.plural(spent.resumed_jobs, 'resume')}"
    yield (
        f"epochs: {spent.epochs_trained} trained, {spent.epochs_resumed_over} saved by resuming, "
        f"{spent.epochs_by_memo} saved by memo"
    )
    yield (
        f"requests: {spent.requests}, of which {spent.memo_hits} answered from the store; "
        f"{wording.plural(spent.jobs, 'job')} in {wording.plural(spent.attempts, 'attempt')}; "
        f"{wording.duration(spent.seconds)} in {wording.plural(view.runs, 'run')}"
    )
    if spent.requests and spent.memo_hits == spent.requests:
        yield "Nothing was trained: the store had every answer."
    if view.troubled:
        jobs = wording.plural(len(view.troubled), "job")
        yield f"{jobs} had a failed attempt: see the report, or `coldframe story JOB`"
