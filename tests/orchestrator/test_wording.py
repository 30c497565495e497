"""Numbers in words, and what a search came to."""

from __future__ import annotations

import pytest

from orchestrator import wording
from orchestrator.conclusion import conclusion
from orchestrator.views import search_view
from tests.orchestrator.telling import Teller, accuracy, candidate, small_search


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (None, "-"),
        (0, "0"),
        (128, "128"),
        (1_000, "1.00 k"),
        (37_000, "37.0 k"),
        (199_762, "0.200 M"),
        (528e6, "0.528 G"),
    ],
)
def test_amounts_have_three_digits_and_a_unit(count: float | None, words: str) -> None:
    assert wording.amount(count) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0.0 s"), (59.94, "59.9 s"), (185.2, "3 min 05 s"), (7_800, "2 h 10 min")]
)
def test_durations_read_well(seconds: float, words: str) -> None:
    assert wording.duration(seconds) == words


def test_sizes_and_plurals_read_well() -> None:
    assert [wording.size(count) for count in (12, 2_048, 5 << 20, 3 << 40)] == ["12 B", "2.0 KiB", "5.0 MiB", "3.0 TiB"]
    assert [wording.plural(count, "job") for count in (0, 1, 1_200)] == ["0 jobs", "1 job", "1,200 jobs"]


def test_the_conclusion_names_the_best_the_start_and_what_was_spared() -> None:
    teller = small_search()
    lines = list(conclusion(search_view(teller.history, teller.search)))
    assert lines[0] == "search digits <&> cells (555555555555): finished"
    assert lines[3].split()[:4] == ["1", f"{100 * accuracy(3, 4):.2f}", "%", "4"]
    assert lines[3].endswith(candidate(3).id[:12])
    assert "for comparison: 30.00 %, the initial population's mean after 2 epochs" in lines
    assert "candidates: 3 trained of 4, 1 resume" in lines
    assert "epochs: 8 trained, 2 saved by resuming, 0 saved by memo" in lines
    assert lines[-1] == "2 jobs had a failed attempt: see the report, or `coldframe story JOB`"


def test_the_conclusion_of_an_interrupted_search_says_how_to_go_on() -> None:
    teller = Teller()
    teller.open()
    teller.interrupt()
    lines = list(conclusion(search_view(teller.history, teller.search)))
    assert "  SIGTERM" in lines
    assert "no candidate has been trained yet" in lines
    assert lines[-1] == "Run the same command again to go on."
