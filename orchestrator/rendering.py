"""What the reading commands print for people, made from what `orchestrator.answers` returns and from views."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from orchestrator import wording
from orchestrator.answers import Known, running
from orchestrator.conclusion import conclusion, retrained
from orchestrator.views import find
from orchestrator.views.entries import SHORT

if TYPE_CHECKING:
    from orchestrator.views import SearchView

SEARCHES = ["search", "name", "status", "best", "epochs trained", "opened"]
DEVICES = ["device", "model", "memory", "in use", "busy"]
SERVED_DEVICES = [*DEVICES, "workers", "at work", "state"]


def search_rows(searches: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Returns the cells of `coldframe list`."""
    return [_search_row(search) for search in searches]


def _search_row(search: Mapping[str, Any]) -> list[str]:
    best = wording.accuracy(search["best_accuracy"])
    if search["best_accuracy"] is None and search["best_test_accuracy"] is not None:
        best = f"{wording.accuracy(search['best_test_accuracy'])} (test)"
    if "recommended" in search:
        best = search["recommended"] or "-"
    trained = str(search["totals"]["epochs_trained"])
    return [
        search["search"][:SHORT],
        search["name"],
        search["status"],
        best,
        trained,
        wording.moment(search["opened"]),
    ]


def status_lines(known: Known, text: str | None) -> Iterator[str]:
    """Yields the lines of `coldframe status`.

    Raises:
        UnknownSearch: if there is no such search.
    """
    view = known.view(find.search(known.history, text))
    yield from conclusion(view)
    for job in running(known, view.id):
        yield f"running: {job['words']} on {job['worker']}, epoch {job['epoch']}"


def show_lines(known: Known, text: str, width: int) -> Iterator[str]:
    """Yields what `coldframe show` prints below the values: notes, networks, samples, and a study's settings.

    Args:
        known: what there is.
        text: what is shown.
        width: columns that a table may have.

    Raises:
        UnknownId, UnknownSearch: if nothing, or more than one thing, goes by that text.
    """
    kind, name = find.anything(known.history, text)
    if kind == "search":
        yield from _below_search(known.view(name), width)


def _below_search(view: SearchView, width: int) -> Iterator[str]:
    from orchestrator import sampling

    lines = [*view.notes, *(retrained(view) if view.retrained else ()), *sampling.lines(view)]
    yield from ["", *lines] if lines else ()
    if view.study is None:
        return
    import io

    from rich.console import Console

    from orchestrator import proxies

    yield from ("", proxies.recommendation(view.study), *(f"  {reason}" for reason in view.study.why), "")
    console = Console(file=io.StringIO(), width=width, markup=False, highlight=False)
    with console.capture() as captured:
        console.print(proxies.table(view.study))
    yield from captured.get().rstrip("\n").split("\n")


def values(value: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """Yields a map for people: nested maps and lists of maps are indented, lists of plain values stay on a line."""
    for key, item in value.items():
        if isinstance(item, dict) and item:
            yield f"{indent}{key}:"
            yield from values(item, indent + "  ")
        elif isinstance(item, list) and item and isinstance(item[0], dict):
            yield f"{indent}{key}:"
            for each in item:
                yield f"{indent}  -"
                yield from values(each, indent + "    ")
        else:
            yield f"{indent}{key}: {'-' if item is None else item}"


def story_lines(story: Mapping[str, Any]) -> Iterator[str]:
    """Yields the lines of `coldframe story`."""
    yield f"job {story['job'][:SHORT]}: {story['words']}: {story['state']}"
    yield from story["story"]
    yield from last_words(story["last_words"])


def last_words(lines: Sequence[str]) -> Iterator[str]:
    """Yields what a job printed last, under a heading; nothing if it printed nothing."""
    if lines:
        yield "it printed last:"
        yield from (f"  | {line}" for line in lines)


def why_lines(answer: Mapping[str, Any]) -> Iterator[str]:
    """Yields the lines of `coldframe why`."""
    name = f"{answer['name']} ({answer['search'][:SHORT]})"
    if not answer["waits"]:
        yield f"search {name} waits for nothing: it is {answer['status']}"
        return
    yield f"search {name} waits for"
    for wait in answer["waits"]:
        yield f"  {wait['what']}"
        yield f"    until {wait['until']}"


def device_rows(devices: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Returns headings and cells of `coldframe devices`; a daemon's have columns of their own."""
    served = any(device["slots"] or device["state"] != "in service" for device in devices)
    rows = [_device_row(device) + (_service(device) if served else []) for device in devices]
    return (SERVED_DEVICES if served else DEVICES), rows


def _device_row(device: Mapping[str, Any]) -> list[str]:
    memory = [device["memory_bytes"], device["memory_used_bytes"]]
    shown = ["-" if count is None else wording.size(count) for count in memory]
    return [device["device"], device["model"], *shown, _share(device["utilisation"])]


def _service(device: Mapping[str, Any]) -> list[str]:
    at_work = None if device["idle_share"] is None else 1 - device["idle_share"]
    state = device["state"] + (f": {device['why']}" if device["why"] else "")
    return [f"{device['busy']} of {device['slots']}", _share(at_work), state]


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"
