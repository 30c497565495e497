"""The report's page: one HTML file that carries its style and its pictures and asks no network for anything."""

from __future__ import annotations

import json
import time as clocks
from collections.abc import Iterable, Sequence
from html import escape

from orchestrator import wording
from orchestrator.report.pictures import Picture
from orchestrator.views import CandidateView, JobView, SearchView
from orchestrator.views.entries import SHORT
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
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .9rem; min-width: 60%; }
th { text-align: left; color: #555; font-weight: 600; } th, td { padding: .28rem .9rem .28rem 0;
  border-bottom: 1px solid #eee; vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums;
  white-space: nowrap; }
code, pre { font: .85rem/1.45 ui-monospace, monospace; } pre { background: #f6f6f4; padding: .8rem; overflow-x: auto; }
figure { margin: 1rem 0; } figure img { max-width: 100%; height: auto; } figcaption { font-size: .88rem; color: #555; }
@media print { body { margin: 0; max-width: none; } figure, tr { break-inside: avoid; } h2 { break-after: avoid; }
  pre { white-space: pre-wrap; } }
"""


def page(view: SearchView, pictures: Sequence[Picture]) -> str:
    """Returns the whole page."""
    sections = [
        _heading(view),
        _summary(view),
        _section("Best candidates", _candidates(view.best), _figures(pictures, "cells")),
        _section("Accuracy", _figures(pictures, "accuracy") or _quiet("No candidate has been trained yet.")),
        _section("Workers", _figures(pictures, "workers") or _quiet("No job has been started: nothing had to be.")),
        _section(f"Top {TOP} of all candidates", _quiet("All of them are in candidates.csv."), _top(view)),
        _section("Failures", _failures(view)),
        _section("Spec", f"<pre>{escape(json.dumps(json_safe(dict(view.spec)), indent=2, ensure_ascii=False))}</pre>"),
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
        "best accuracy": wording.accuracy(view.best[0].accuracy if view.best else None),
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


def _candidates(found: Iterable[CandidateView]) -> str:
    headings = ["", "accuracy", "epochs", "parameters", "multiply-adds", "candidate", "origin", "checkpoint"]
    rows = [
        [
            str(rank),
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
    return _table(headings, rows, numbers=5) if rows else _quiet("No candidate has been trained yet.")


def _top(view: SearchView) -> str:
    scored = [candidate for candidate in view.candidates if candidate.accuracy is not None]
    return _candidates(sorted(scored, key=lambda candidate: -(candidate.accuracy or 0.0))[:TOP])


def _failures(view: SearchView) -> str:
    if not view.troubled:
        return _quiet("No attempt failed.")
    rows = [
        [job.id[:SHORT], job.words, str(attempt.number), attempt.worker, attempt.reason, attempt.message, _ending(job)]
        for job in view.troubled
        for attempt in job.attempts
        if attempt.outcome == "failed"
    ]
    return _table(["job", "", "attempt", "worker", "reason", "message", "in the end"], rows)


def _ending(job: JobView) -> str:
    """What became of a job that had a failed attempt."""
    ends = {"succeeded": "succeeded", "failed": "given up", "stopped": "stopped; to be taken up again"}
    return ends.get(job.state, "to be tried again")


def _figures(pictures: Sequence[Picture], section: str) -> str:
    return "".join(
        f'<figure><img src="{picture.source}" alt="{escape(picture.alternative)}">'
        f"<figcaption>{escape(picture.alternative)}</figcaption></figure>\n"
        for picture in pictures
        if picture.section == section
    )


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: int = 0) -> str:
    """A table whose first columns, so many of them, hold numbers."""

    def line(tag: str, cells: Sequence[str]) -> str:
        marks = [' class="number"' if column < numbers else "" for column in range(len(cells))]
        inner = "".join(f"<{tag}{mark}>{escape(cell)}</{tag}>" for mark, cell in zip(marks, cells, strict=True))
        return f"<tr>{inner}</tr>\n"

    body = "".join(line("td", row) for row in rows)
    return f'<div class="wide"><table>\n<thead>{line("th", headings)}</thead>\n<tbody>{body}</tbody></table></div>\n'


def _section(title: str, *parts: str) -> str:
    return f"<h2>{escape(title)}</h2>\n{''.join(parts)}\n"


def _quiet(text: str) -> str:
    return f'<p class="quiet">{escape(text)}</p>'
