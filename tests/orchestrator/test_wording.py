"""Numbers in words, and what a search came to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator import wording
from orchestrator.conclusion import conclusion
from orchestrator.views import search_view
from tests.orchestrator.telling import Teller, accuracy, candidate, small_search

TRACEBACK = """Traceback (most recent call last):
  File "/a/worker.py", line 3, in train
    return 1 / 0
           ~~^~~
ZeroDivisionError: by design
"""


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


def test_the_start_is_not_compared_where_the_initial_population_was_never_complete() -> None:
    """Without a barrier the first entry of the curves has only what had ended by then: seen with 1 network of 8."""
    teller = small_search()
    view = search_view(teller.history, teller.search)
    options = {**view.spec["strategy"]["options"], "barrier": False}
    rolling = replace(view, spec={**view.spec, "strategy": {**view.spec["strategy"], "options": options}})
    assert any(line.startswith("for comparison") for line in conclusion(view))
    assert not any(line.startswith("for comparison") for line in conclusion(rolling))


def test_a_search_in_which_every_network_failed_says_so_and_why_on_one_line() -> None:
    teller = Teller()
    teller.open()
    for seed in (1, 2):
        job = teller.ask(seed, 2)
        teller.start(job)
        teller.fail(job, "error", TRACEBACK)
        teller.give_up(job, "error", TRACEBACK)
    under_way = "all 2 networks failed, first: ZeroDivisionError: by design"
    assert under_way in list(conclusion(search_view(teller.history, teller.search)))
    failed = {"accuracy": None, "checkpoint": None, "failure": "error: ZeroDivisionError: by design"}
    teller.finish([teller.individual(seed - 1, seed, 0, **failed) for seed in (1, 2)])
    view = search_view(teller.history, teller.search)
    assert "all 2 networks failed, first: error: ZeroDivisionError: by design" in list(conclusion(view))


def test_failures_are_told_on_one_line_while_a_search_runs() -> None:
    event = {"attempt": 1, "reason": "error", "message": TRACEBACK}
    assert wording.notable("attempt_failed", event, None) == (": attempt 1 failed: error: ZeroDivisionError: by design")
    assert wording.notable("job_failed", {"outcome": event}, None) == (
        ": given up: error: ZeroDivisionError: by design"
    )


def test_the_conclusion_of_an_interrupted_search_says_how_to_go_on() -> None:
    teller = Teller()
    teller.open()
    teller.interrupt()
    lines = list(conclusion(search_view(teller.history, teller.search)))
    assert "  SIGTERM" in lines
    assert "no candidate has been trained yet" in lines
    assert lines[-1] == "Run the same command again to go on."
