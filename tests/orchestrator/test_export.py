"""Which network `coldframe export` takes, what it tells of its origin, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator import lineage
from orchestrator.errors import NoNetwork, UnknownId, UnknownSearch
from store.records.candidates import Named
from store.records.events import SearchFinished, SearchOpened, SearchStarted
from store.records.results import Result
from tests.orchestrator import telling
from tests.orchestrator.command import coldframe, stored
from tests.orchestrator.telling import Teller

FOUND, RETRAINED = "5" * 64, "6" * 64


def family() -> Teller:
    """A search in which the best network has a parent and a grandparent."""
    teller = Teller()
    teller.open("found")
    for seed in (1, 2, 3):
        teller.train(seed, 2)
    people = [
        teller.individual(0, 1, 2),
        teller.individual(1, 2, 2, parent=0, origin="normal node 2: input 0 -> 1", cycle=1),
        teller.individual(2, 3, 2, parent=1, origin="reduce node 3: none -> sep_conv_3x3", cycle=4),
    ]
    teller.finish(people)
    return teller


def retrained() -> Teller:
    """The same, and a retraining of its two best networks, the second of which is better on the test images."""
    teller = family()
    sources = [teller.candidate(seed).id for seed in (3, 2)]
    options = {
        "architectures": [list(teller.candidate(seed).architecture.genes) for seed in (3, 2)],
        "epochs": 3,
        "search": FOUND,
        "search_name": "found",
        "candidates": sources,
        "accuracies": [telling.accuracy(seed, 2) for seed in (3, 2)],
    }
    spec = telling.spec("found retrained").model_copy(update={"strategy": Named(name="retrain", options=options)})
    teller.held_out, teller.search = 0.0, RETRAINED
    teller.tell(SearchOpened(search=RETRAINED, spec=spec), SearchStarted(search=RETRAINED, pid=1))
    for seed in (3, 2):
        teller.train(seed, 3)
        teller.test(seed, 3)
    history = (teller.individual(0, 3, 3, test_accuracy=0.7), teller.individual(1, 2, 3, test_accuracy=0.8))
    result = Result(best=(history[1], history[0]), history=history)
    teller.tell(SearchFinished(search=RETRAINED, result=result.model_dump()))
    return teller


def test_of_a_search_the_best_network_is_taken_with_its_line_of_parents() -> None:
    teller = family()
    chosen = lineage.choose(teller.history, "found")
    assert chosen.candidate.id == teller.candidate(3).id
    assert chosen.checkpoint == teller.checkpoint(3, 2)
    assert chosen.accuracy == {"proxy": telling.accuracy(3, 2), "test": None}
    assert [(each["index"], each["cycle"]) for each in chosen.lineage["ancestors"]] == [(2, 4), (1, 1), (0, 0)]
    assert chosen.lineage["ancestors"][0]["origin"] == "reduce node 3: none -> sep_conv_3x3"


def test_of_a_retraining_the_best_on_the_test_images_is_taken_and_told_where_it_was_found() -> None:
    teller = retrained()
    chosen = lineage.choose(teller.history, "found retrained")
    assert chosen.candidate.id == teller.candidate(2).id
    assert chosen.accuracy == {"proxy": telling.accuracy(2, 2), "test": 0.8}
    assert chosen.lineage["retrained_in"] == RETRAINED
    assert chosen.lineage["networks_tested_in_it"] == 2
    assert chosen.lineage["search"] == FOUND
    assert chosen.lineage["found_as"] == telling.candidate(2).id
    assert [each["index"] for each in chosen.lineage["ancestors"]] == [1, 0]


def test_a_network_goes_by_its_number_a_candidate_or_a_checkpoint() -> None:
    teller = retrained()
    history, first = teller.history, teller.candidate(3).id
    assert lineage.choose(history, "found retrained", "0").candidate.id == first
    assert lineage.choose(history, "found retrained", first[:8]).candidate.id == first
    assert lineage.choose(history, first[:10]).checkpoint == teller.checkpoint(3, 3)
    earlier = lineage.choose(history, teller.checkpoint(3, 1)[:10])
    assert earlier.candidate.id == first
    assert earlier.accuracy["test"] is None, "its test accuracy is that of other weights"


@pytest.mark.parametrize(
    ("text", "network", "error"),
    [
        ("lost", None, UnknownId),
        ("found", "9", UnknownId),
        ("found", "abcdef", UnknownId),
        ("job", None, NoNetwork),
        ("checkpoint", "1", NoNetwork),
        ("nothing", None, NoNetwork),
        ("twice", None, UnknownSearch),
        ("failed", None, NoNetwork),
    ],
)
def test_what_is_no_network_is_refused(text: str, network: str | None, error: type[Exception]) -> None:
    teller = family()
    job, checkpoint = teller.ask(3, 2, "memo"), teller.checkpoint(3, 2)
    for search, name in (("7", "nothing"), ("8", "twice"), ("9", "twice"), ("a", "failed")):
        teller.open(name, search=search * 64)
    teller.finish([teller.individual(0, 4, 0, accuracy=None, checkpoint=None, failure="diverged")])
    with pytest.raises(error):
        lineage.choose(teller.history, {"job": job, "checkpoint": checkpoint}.get(text, text), network)


def test_refusals_of_the_command_have_exit_code_2_and_write_nothing(tmp_path: Path) -> None:
    store, other = stored(family(), tmp_path / "store"), stored(retrained(), tmp_path / "other")
    out = tmp_path / "out"
    elsewhere = coldframe("show", "found retrained", "--store", other, "--json").json["best"][0]["checkpoint"]
    for arguments, said in (
        (["lost"], "is not in this store"),
        ([elsewhere], "is not in this store"),
        (["found", "--network", "12"], "network of search 'found' '12'"),
        (["found", "--format", "pickle"], "safetensors"),
        (["found"], "trainer.name is 'scripted': expected cell"),
    ):
        ended = coldframe("export", *arguments, "--store", store, "--out", out)
        assert ended.code == 2, ended
        assert said in ended.err
        assert not out.exists()
    assert coldframe("export", "found", "--store", tmp_path / "none", "--out", out).code == 2
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    ended = coldframe("export", "found", "--store", store, "--out", tmp_path / "mine", "--force", "--json")
    assert (ended.code, ended.json["error"]["kind"]) == (2, "ExportRefused")
