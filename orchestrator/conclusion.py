"""What a search came to, in a few lines of text: the best cells, and what was trained and what was spared."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator import proxies, recipes, sampling, wording
from orchestrator.views import SearchView
from orchestrator.views.entries import SHORT
from orchestrator.views.search import MEAN_ACCURACY

SHOWN = 5
_HINTS = {
    "submitted": "It waits for a daemon: `coldframe serve` starts one.",
    "interrupted": "Run the same command again to go on.",
    "paused": "`coldframe resume {}` lets it go on.",
    "stopped": "`coldframe resume {}` lets it go on.",
}
_ROW = "{:<5} {:>9} {:>7} {:>11} {:>14}  {}"
_REWARD = "  {:>8}"
_RETRAINED = "{:<5} {:>9} {:>9} {:>11} {:>14} {:>7}  {}"


def conclusion(view: SearchView, *, repeated: bool = False) -> Iterator[str]:
    """Yields the lines that end `coldframe run` and make up `coldframe status SEARCH`."""
    again = " (it was finished before: nothing was left to do)" if repeated else ""
    yield f"search {view.name} ({view.id[:SHORT]}): {view.status}{again}"
    yield from (f"  {line}" for line in (view.message, *view.notes) if line)
    yield ""
    if view.study is not None:
        yield from proxies.lines(view.study)
        yield ""
    else:
        yield from _best(view)
        yield from _start(view)
        yield ""
    yield from sampling.lines(view)
    yield from _costs(view)
    waits = view.submitted and view.status == "interrupted"
    if hint := _HINTS.get("submitted" if waits else view.status):
        yield hint.format(view.name)


def _best(view: SearchView) -> Iterator[str]:
    best = view.best[:SHOWN]
    if view.retrained:
        yield from retrained(view)
        return
    if not best:
        trained = sum(candidate.epochs > 0 for candidate in view.candidates)
        yield f"{wording.plural(trained, 'network')} trained, none tested yet" if trained else view.nothing
        return
    samples = view.samples if view.finished else None  # before that, nobody says which network each sample is
    rewards = samples.rewards if samples is not None else {}
    row = f"{_ROW}{_REWARD}" if rewards else _ROW
    yield row.format("best", "accuracy", "epochs", "parameters", "multiply-adds", "candidate", "reward")
    for rank, found in enumerate(best, start=1):
        costs = [wording.amount(found.parameters), wording.amount(found.multiply_adds), found.candidate[:SHORT]]
        reward = sampling.reward(rewards.get(found.index))
        yield row.format(rank, wording.accuracy(found.accuracy), found.epochs, *costs, reward)


def retrained(view: SearchView) -> Iterator[str]:
    """Yields a table of networks that were trained in full: what they reached on the test images, and in the search."""
    yield _RETRAINED.format("best", "test", "in search", "parameters", "multiply-adds", "epochs", "network")
    found = [candidate for candidate in view.candidates if candidate.test_accuracy is not None]
    for rank, one in enumerate(sorted(found, key=lambda one: (-(one.test_accuracy or 0.0), one.index)), start=1):
        costs = [wording.amount(one.parameters), wording.amount(one.multiply_adds)]
        accuracies = [wording.accuracy(one.test_accuracy), wording.accuracy(one.proxy_accuracy)]
        yield _RETRAINED.format(rank, *accuracies, *costs, one.epochs, one.candidate[:SHORT])
    yield f"recipe: {recipes.called(view.spec)}; test: accuracy of the test images, in search: of its validation images"


def _start(view: SearchView) -> Iterator[str]:
    """What the initial population reached on its first rung, for comparison; not where it never stood there at once."""
    if view.spec["strategy"]["options"].get("barrier") is False:
        return
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
