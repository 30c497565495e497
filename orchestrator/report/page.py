"""The report's page: one HTML file that carries its style and its pictures and asks no network for anything."""

from __future__ import annotations

import json
import time as clocks
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from orchestrator import recipes, sampling, wording
from orchestrator.report import markup
from orchestrator.report.pictures import Picture
from orchestrator.views import CandidateView, JobView, SearchView, Step, rungs
from orchestrator.views.entries import SHORT
from store.records.outcomes import brief
from store.records.requests import json_safe

TOP = 20

STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: 62rem; margin: 2rem auto;
  padding: 0 1.25rem; }
h1 { font-size: 1.7rem; margin: 0 0 .2rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .6rem; border-bottom: 1px solid #ddd; padding-bottom: .2rem; }
p { max-width: 46rem; } .quiet { color: #555; }
.status { display: inline-block; padding: 0 .5rem; border-radius: .3rem; background: #e8eef4; font-size: .9rem; }
.status.finished { background: #dff0e4; } .status.failed { background: #fbe3da; }
dl.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: .6rem; margin: 1rem 0; }
dl.tiles div { border: 1px solid #ddd; border-radius: .4rem; padding: .5rem .7rem; }
dl.tiles dt { font-size: .82rem; color: #555; } dl.tiles dd { margin: 0; font-size: 1.3rem; }
.wide { overflow-x: auto; } .tall { max-height: 34rem; overflow-y: auto; border: 1px solid #ddd; padding: 0 .5rem; }
.tall th { position: sticky; top: 0; background: #fff; } tr.marked { background: #e3f1e6; font-weight: 600; }
table { border-collapse: collapse; font-size: .9rem; min-width: 60%; }
th { text-align: left; color: #555; font-weight: 600; } th, td { padding: .28rem .9rem .28rem 0;
  border-bottom: 1px solid #eee; vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums;
  white-space: nowrap; }
code, pre { font: .85rem/1.45 ui-monospace, monospace; } pre { background: #f6f6f4; padding: .8rem; overflow-x: auto; }
figure { margin: 1rem 0; } figure img { max-width: 100%; height: auto; } figcaption { font-size: .88rem; color: #555; }
@media print { .tall { max-height: none; } body { margin: 0; max-width: none; }
  figure, tr { break-inside: avoid; } h2 { break-after: avoid; }
  pre { white-space: pre-wrap; } }
"""


def page(
    view: SearchView,
    pictures: Sequence[Picture],
    steps: Sequence[Step],
    study: Sequence[str] = (),
    agent: Sequence[str] = (),
) -> str:
    """Returns the whole page.

    Args:
        view: the search.
        pictures: all that there are.
        steps: its trainings as they ended.
        study: the sections of a proxy study.
        agent: the sections of a search by reinforcement learning.
    """
    spec = json.dumps(json_safe(dict(view.spec)), indent=2, ensure_ascii=False)
    sections = [
        _heading(view),
        _summary(view),
        *study,
        _best(view, markup.figures(pictures, "cells")),
        *agent,
        *([] if study else [_accuracy(steps, markup.figures(pictures, "accuracy"), view.nothing)]),
        markup.section("Workers", markup.figures(pictures, "workers") or markup.quiet("No job was started.")),
        *([] if study else [_top(view)]),
        markup.section("Failures", _failures(view)),
        markup.section("Spec", f"<pre>{escape(spec)}</pre>"),
    ]
    title = escape(f"{view.name}: coldframe report")
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n{''.join(sections)}</body>\n</html>\n"
    )


def _heading(view: SearchView) -> str:
    opened = clocks.strftime("%Y-%m-%d %H:%M:%S", clocks.localtime(view.opened))
    runs = wording.plural(view.runs, "run")
    lines = "".join(f"<p>{escape(line)}</p>" for line in (view.message, *view.notes) if line)
    return (
        f'<h1>{escape(view.name)}</h1>\n<p class="quiet"><span class="status {view.status}">{view.status}</span> '
        f"search <code>{view.id[:SHORT]}</code>, begun {opened}, {runs}</p>\n{lines}\n"
    )


def _summary(view: SearchView) -> str:
    spent = view.costs
    tiles = {
        **_score(view),
        "candidates": f"{len(view.candidates):,}",
        "epochs trained": f"{spent.epochs_trained:,}",
        "epochs saved by resuming": f"{spent.epochs_resumed_over:,}",
        "epochs saved by memo": f"{spent.epochs_by_memo:,}",
        "requests": f"{spent.requests:,}",
        "answered from the store": f"{spent.memo_hits:,}",
        "jobs": f"{spent.jobs:,}",
        "resumed jobs": f"{spent.resumed_jobs:,}",
        "attempts": f"{spent.attempts:,}",
        "running time": wording.duration(spent.seconds),
    }
    inner = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in tiles.items())
    return f'<dl class="tiles">{inner}</dl>\n'


def _score(view: SearchView) -> dict[str, str]:
    """What the search came to, in a tile or two."""
    best = view.best[0] if view.best else None
    if view.study is not None:
        return {"recommended": view.study.recommended or "-"}
    if (samples := view.samples) is not None:
        reward = samples.best.reward if samples.best else None
        trained = f"{len(samples.of('trained')):,} of {len(samples.all):,}"
        return {"best reward": sampling.reward(reward), "samples that were trained": trained}
    if best is not None and best.accuracy is None and best.test_accuracy is not None:
        return {"best test accuracy": wording.accuracy(best.test_accuracy)}
    return {"best accuracy": wording.accuracy(best.accuracy if best else None)}


def _best(view: SearchView, cells: str) -> str:
    """The best candidates; of a proxy study all networks, of a retraining every network with its test accuracy."""
    if view.retrained:
        return markup.section("Retrained networks", _retrained(view), cells)
    if view.study is not None:
        about = f"Accuracies in the original setting, {view.study.reference_name}; in the others, see networks.csv."
        return markup.section("Networks", markup.quiet(about), _candidates(view.best[:TOP], view.nothing), cells)
    samples = view.samples if view.finished else None  # before that, nobody says which network each sample is
    about = markup.quiet("By reward, which weighs accuracy against cost.") if samples is not None else ""
    rewards = samples.rewards if samples is not None else None
    return markup.section("Best candidates", about, _candidates(view.best, view.nothing, rewards), cells)


def _retrained(view: SearchView) -> str:
    """Networks that were trained in full, the best of the test images first."""
    headings = ["", "test accuracy", "validation accuracy in the search", "parameters", "multiply-adds", "epochs"]
    found = sorted(view.candidates, key=lambda one: (one.test_accuracy is None, -(one.test_accuracy or 0.0), one.index))
    rows = [
        [
            str(rank),
            wording.accuracy(candidate.test_accuracy),
            wording.accuracy(candidate.proxy_accuracy),
            wording.amount(candidate.parameters),
            wording.amount(candidate.multiply_adds),
            str(candidate.epochs),
            candidate.candidate[:SHORT],
            candidate.failure or candidate.origin,
        ]
        for rank, candidate in enumerate(found, start=1)
    ]
    recipe = markup.quiet(f"Recipe: {recipes.called(view.spec)}. Trained on all training images; none was held out.")
    return recipe + markup.table([*headings, "network", "origin"], rows, numbers=range(6))


def _candidates(found: Iterable[CandidateView], nothing: str, rewards: Mapping[int, float] | None = None) -> str:
    """A table of candidates, with the rewards by their indexes if there are any."""
    more = [] if rewards is None else ["reward"]
    headings = ["", *more, "accuracy", "epochs", "parameters", "multiply-adds", "candidate", "origin", "checkpoint"]
    rows = [
        [
            str(rank),
            *([] if rewards is None else [sampling.reward(rewards.get(candidate.index))]),
            wording.accuracy(candidate.accuracy),
            str(candidate.epochs),
            wording.amount(candidate.parameters),
            wording.amount(candidate.multiply_adds),
            candidate.candidate[:SHORT],
            candidate.origin,
            (candidate.checkpoint or "-")[:SHORT],
        ]
        for rank, candidate in enumerate(found, start=1)
    ]
    if not rows:
        return markup.quiet(_sentence(nothing))
    return markup.table(headings, rows, numbers=range(5 + len(more)))


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}{'' if words.endswith('.') else '.'}"


def _accuracy(steps: Sequence[Step], figures: str, nothing: str) -> str:
    """The curves, and of a search with rungs how many candidates came how far."""
    found = rungs(steps)
    rows = [
        [str(rung.epochs), f"{rung.candidates:,}", wording.accuracy(rung.mean), wording.accuracy(rung.best)]
        for rung in found
    ]
    names = ["epochs", "candidates that were trained that far", "mean accuracy", "best accuracy"]
    table = markup.table(names, rows, numbers=range(4)) if rows else ""
    return markup.section("Accuracy", figures or markup.quiet(_sentence(nothing)), table)


def _top(view: SearchView) -> str:
    scored = [candidate for candidate in view.candidates if candidate.accuracy is not None]
    if not scored:
        return ""
    best = sorted(scored, key=lambda candidate: -(candidate.accuracy or 0.0))[:TOP]
    return markup.section(
        f"Top {TOP} of all candidates",
        markup.quiet("All of them are in candidates.csv."),
        _candidates(best, view.nothing),
    )


def _failures(view: SearchView) -> str:
    if not view.troubled:
        return markup.quiet("No attempt failed.")
    rows = [
        [
            job.id[:SHORT],
            job.words,
            str(attempt.number),
            attempt.worker,
            attempt.reason,
            brief(attempt.message),
            _ending(job),
        ]
        for job in view.troubled
        for attempt in job.attempts
        if attempt.outcome == "failed"
    ]
    table = markup.table(["job", "", "attempt", "worker", "reason", "message", "in the end"], rows)
    return table + markup.quiet("The last line of each message; `coldframe story JOB` has the whole.")


def _ending(job: JobView) -> str:
    """What became of a job that had a failed attempt."""
    ends = {"succeeded": "succeeded", "failed": "given up", "stopped": "stopped; to be taken up again"}
    return ends.get(job.state, "to be tried again")
