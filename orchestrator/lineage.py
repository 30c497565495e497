"""Where a trained network comes from, as the journal tells it: its searches, its accuracies, its ancestors. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from orchestrator.errors import NoNetwork, UnknownId
from orchestrator.views import CandidateView, History, SearchView, find, search_view
from orchestrator.views.entries import SHORT, Payload
from store.records.candidates import Candidate

RETRAIN = "retrain"


class Chosen(NamedTuple):
    """A trained network: the candidate, the manifest with its weights, and what is known of it.

    Attributes:
        name: a title for people.
        accuracy: `proxy` and `test`, in [0, 1], where they are known.
        lineage: searches and ancestors, as JSON.
        data_path: where its search had the data, as written in the spec.
    """

    candidate: Candidate
    checkpoint: str
    name: str
    accuracy: dict[str, float | None]
    lineage: dict[str, Any]
    data_path: str | None


def choose(history: History, text: str, network: str | None = None) -> Chosen:
    """Returns the network that a search, a checkpoint or a candidate stands for.

    Args:
        history: the folded journal.
        text: name of a search, or the beginning of the id of a search, a checkpoint or a candidate.
        network: of a search: a network's number in it, or the beginning of its candidate's id; the best if absent.

    Raises:
        UnknownId, UnknownSearch: if there is no such thing, or more than one.
        NoNetwork: if it is none of these, or has trained nothing.
    """
    kind, name = find.anything(history, text)
    if kind == "search":
        return _of_search(history, search_view(history, name), network)
    if kind == "job":
        raise NoNetwork(f"job {name[:SHORT]}", "is no network: name a search, a candidate or a checkpoint")
    if network is not None:
        raise NoNetwork(f"{kind} {name[:SHORT]}", "is one network: leave --network out")
    if kind == "candidate":
        return _of_candidate(history, name)
    saved = history.checkpoints[name]
    return _chosen(history, saved.candidate, name, _views(history, history.jobs[saved.job].searches))


def _of_candidate(history: History, candidate: str) -> Chosen:
    """Takes the checkpoint with the most epochs."""
    jobs = list(history.trainings[candidate].values())
    final = max((job for job in jobs if job.trained), key=lambda job: job.epochs, default=None)
    if final is None or final.outcome is None:
        raise NoNetwork(f"candidate {candidate[:SHORT]}", "is still in training: name one of its checkpoints")
    searches = dict.fromkeys(search for job in jobs for search in job.searches)
    return _chosen(history, candidate, final.outcome["checkpoint"], _views(history, searches))


def _views(history: History, searches: Iterable[str]) -> list[SearchView]:
    return [search_view(history, search) for search in searches]


def _of_search(history: History, view: SearchView, network: str | None) -> Chosen:
    found = _named(view, network) if network is not None else next(iter(view.best), None)
    if found is None:
        raise NoNetwork(f"search {view.name!r}", "has no trained network yet")
    if found.checkpoint is None:
        raise NoNetwork(
            f"network {found.index} of search {view.name!r}", found.failure or "has no weights in the store"
        )
    return _chosen(history, found.candidate, found.checkpoint, [view])


def _named(view: SearchView, text: str) -> CandidateView:
    """The network of a search with a number or with a candidate's id.

    Raises:
        UnknownId: if there is none, or more than one.
    """
    numbered = [each for each in view.candidates if str(each.index) == text]
    begun = {each.candidate: each for each in view.candidates if each.candidate.startswith(text)}
    found = numbered or (list(begun.values()) if len(text) >= find.SHORTEST else [])
    if len(found) != 1:
        raise UnknownId(f"network of search {view.name!r}", text, [each.candidate for each in found])
    return found[0]


def _chosen(history: History, candidate: str, checkpoint: str, views: list[SearchView]) -> Chosen:
    """Puts together what the searches that asked for a candidate tell of it."""
    jobs = history.trainings[candidate].values()
    request = next(iter(jobs)).request
    lineage: dict[str, Any] = {}
    accuracy: dict[str, float | None] = {"proxy": None, "test": None}
    for view in views:
        lineage |= _searched(history, view, candidate, checkpoint, accuracy)
    named = views[0] if views else None
    return Chosen(
        candidate=Candidate.model_validate(dict(request["candidate"])),
        checkpoint=checkpoint,
        name=f"{named.name}, network {candidate[:SHORT]}" if named else f"network {candidate[:SHORT]}",
        accuracy=accuracy,
        lineage=lineage,
        data_path=named.spec["data"].get("path") if named else None,
    )


def _searched(
    history: History, view: SearchView, candidate: str, checkpoint: str, accuracy: dict[str, float | None]
) -> dict[str, Any]:
    """Returns a search's part of the lineage, and fills in the accuracies that it knows."""
    found = next((each for each in view.candidates if each.candidate == candidate), None)
    if found is None:
        return {"search": view.id, "search_name": view.name}
    if view.spec["strategy"]["name"] != RETRAIN:
        accuracy["proxy"] = found.accuracy
        return _origin(view, found)
    tested = sum(each.test_accuracy is not None for each in view.candidates)
    own = {
        "retrained_in": view.id,
        "retrained_in_name": view.name,
        "network": found.index,
        "networks_tested_in_it": tested,
    }
    if found.checkpoint == checkpoint:
        accuracy["test"] = found.test_accuracy
    return own | _found_by(history, view, found, accuracy)


def _found_by(
    history: History, retrained: SearchView, found: CandidateView, accuracy: dict[str, float | None]
) -> dict[str, Any]:
    """Returns the lineage in the search that found a retrained network."""
    options: Payload = retrained.spec["strategy"]["options"]
    place = found.index // options.get("seeds", 1)
    if options.get("accuracies"):
        accuracy["proxy"] = options["accuracies"][place]
    source = options.get("search")
    if source is None:
        return {}
    if source not in history.searches:
        return {"search": source, "search_name": options.get("search_name")}
    view = search_view(history, source)
    wanted = options["candidates"][place] if options.get("candidates") else None
    first = next((each for each in view.candidates if each.candidate == wanted), None)
    return _origin(view, first) if first is not None else {"search": view.id, "search_name": view.name}


def _origin(view: SearchView, found: CandidateView) -> dict[str, Any]:
    return {
        "search": view.id,
        "search_name": view.name,
        "found_as": found.candidate,
        "ancestors": list(_ancestors(view, found)),
    }


def _ancestors(view: SearchView, found: CandidateView) -> Iterator[dict[str, Any]]:
    """Yields a network of a search and the networks that it was mutated from, back to one without a parent."""
    networks = {each.index: each for each in view.candidates}
    following: CandidateView | None = found
    while following is not None:
        names = ("index", "candidate", "cycle", "origin", "accuracy", "epochs")
        yield {name: getattr(following, name) for name in names}
        parent = following.parent
        following = networks.get(parent) if parent is not None and parent < following.index else None
