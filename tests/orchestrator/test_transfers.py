"""Options that name earlier searches: what stands for them, and what cannot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator import foreground
from orchestrator.errors import SpecError
from orchestrator.observer import Silent
from orchestrator.simulate.search import Simulator
from orchestrator.spec import Plan, load, plan
from orchestrator.transfers import Resolved, resolve
from store.opening import Store
from store.records.base import digest
from store.records.candidates import Named
from store.records.events import (
    AnyEvent,
    SearchExtended,
    SearchFailed,
    SearchFinished,
    SearchInterrupted,
    SearchOpened,
    SearchStarted,
    WeightsPooled,
)
from store.records.knowledge import Contribution
from store.records.results import Result
from store.records.spec import SearchSpec
from tests.orchestrator.test_tables import SPEC, write
from tests.trainers import tables

FNAS: dict[str, Any] = {
    "strategy": {"name": "fnas", "samples": 20},
    "space": {"name": "nasbench201"},
    "trainer": {"name": "scripted"},
    "data": {"name": "digits"},
}
STATE, OTHER_STATE = "5" * 64, "6" * 64


def planned(name: str = "second", space: str = "nasbench201", **transfer: Any) -> Plan:
    """The plan of an FNAS search that takes something over."""
    strategy = FNAS["strategy"] | ({"transfer": transfer} if transfer else {})
    return plan(FNAS | {"name": name, "space": {"name": space}, "strategy": strategy}, f"{name}.toml")


def opened(name: str, /, **changes: Any) -> list[AnyEvent]:
    """A search as it begins."""
    spec = planned(name).spec.model_copy(update=changes)
    return [SearchOpened(search=search(name), spec=spec), SearchStarted(search=search(name), pid=1)]


def finished(name: str, state: str | None = STATE, /, **changes: Any) -> list[AnyEvent]:
    """A search from its beginning to its end."""
    result = Result(best=(), history=(), state=state)
    return [*opened(name, **changes), SearchFinished(search=search(name), result=result.model_dump())]


def strategy(**options: Any) -> Named:
    return Named(name="fnas", options={"samples": 20} | options)


def search(name: str) -> str:
    return digest(["search", name])


def pooled(name: str) -> WeightsPooled:
    """A row that says that a search has put something into the pool."""
    contribution = Contribution(
        candidate="c", checkpoint="4" * 64, space="s", choices=(2,), shape=(1, 8, 8), blocks=(), iterations=1
    )
    return WeightsPooled(search=search(name), call=0, contribution=contribution)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store with one finished search, `first`, that has learnt something and put blocks into the pool."""
    with Store.open(tmp_path / "store", write=True, create=True) as made:
        made.journal.append([*finished("first"), pooled("first")])
        yield made


def transfer(found: Resolved) -> dict[str, Any]:
    options: dict[str, Any] = found.plan.spec.strategy.options
    return dict(options["transfer"])


def refusal(store: Store, asked: Plan) -> dict[str, str]:
    with pytest.raises(SpecError) as caught:
        resolve(asked, store.journal)
    assert caught.value.exit_code == 2
    assert asked.file in str(caught.value)
    return {problem.key: str(problem) for problem in caught.value.problems}


def test_a_name_stands_for_a_state_or_for_an_id(store: Store) -> None:
    found = resolve(planned(critic="first", pool=["first"]), store.journal)
    assert transfer(found) == {"critic": STATE, "pool": [search("first")]}
    assert found.remarks == ()
    assert found.plan.make_strategy() is not None


def test_a_name_the_beginning_of_an_id_and_the_digests_themselves_are_one_search(store: Store) -> None:
    ways: list[dict[str, Any]] = [
        {"critic": "first", "pool": ["first"]},
        {"critic": search("first")[:9], "pool": [search("first")[:9]]},
        {"critic": STATE, "pool": [search("first")]},
        {"critic": search("first"), "pool": ["first", search("first")]},
    ]
    assert len({resolve(planned(**way), store.journal).plan.id for way in ways}) == 1


def test_what_is_taken_over_makes_another_search_and_the_names_do_not(store: Store) -> None:
    store.journal.append(finished("like-first"))
    alone, critic = planned(), resolve(planned(critic="first"), store.journal).plan
    assert alone.id == resolve(alone, store.journal).plan.id
    assert alone.id != critic.id
    assert critic.id == resolve(planned(critic="like-first"), store.journal).plan.id, "the same state by another name"
    assert critic.id != resolve(planned(pool=["first"]), store.journal).plan.id


def test_a_state_that_was_learnt_before_a_total_was_raised_can_still_be_named(store: Store) -> None:
    spec = planned("first").spec
    result = Result(best=(), history=(), state=OTHER_STATE)
    store.journal.append([SearchExtended(search=search("first"), spec=spec)])
    assert transfer(resolve(planned(critic=STATE), store.journal))["critic"] == STATE
    store.journal.append([SearchFinished(search=search("first"), result=result.model_dump())])
    assert transfer(resolve(planned(critic="first"), store.journal))["critic"] == OTHER_STATE
    assert transfer(resolve(planned(critic=STATE), store.journal))["critic"] == STATE


def test_a_name_that_is_not_there_is_refused_with_those_that_are(store: Store) -> None:
    store.journal.append(finished("dull", None))
    found = refusal(store, planned(critic="frist", pool=["first", "nothing"]))
    assert set(found) == {"strategy.transfer.critic", "strategy.transfer.pool.1"}
    assert "'frist'" in found["strategy.transfer.critic"]
    assert f"there are: first ({search('first')[:12]})" in found["strategy.transfer.critic"]
    assert "dull" not in found["strategy.transfer.critic"], "it has no state"
    assert f"dull ({search('dull')[:12]})" in found["strategy.transfer.pool.1"]


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ([*opened("source"), SearchInterrupted(search=search("source"), reason="SIGTERM")], "source is interrupted"),
        (opened("source"), "source is interrupted"),
        ([*opened("source"), SearchFailed(search=search("source"), message="no")], "source is failed"),
        (finished("source", None), "has no learnt state: its strategy is fnas"),
        (finished("source", space=planned(space="cell").spec.space), "expected a search of the space 'nasbench201'"),
        (
            finished("source", strategy=strategy(preset="mnas")),
            "strategy.uncertainty_critic = true, not false as source",
        ),
        (finished("source", strategy=strategy(critic_hidden=64)), "strategy.critic_hidden = 200, not 64 as source has"),
        (finished("source", strategy=Named(name="random")), "strategy.name 'fnas', not 'random' as source has"),
        ([*finished("one", name="source"), *finished("two", name="source")], "stands for 2 searches"),
    ],
    ids=[
        "interrupted",
        "killed",
        "failed",
        "has learnt nothing",
        "another space",
        "no critic",
        "another size",
        "another strategy",
        "ambiguous",
    ],
)
def test_what_cannot_be_started_from_is_refused_with_the_reason(
    store: Store, events: list[AnyEvent], said: str
) -> None:
    store.journal.append(events)
    assert said in refusal(store, planned(critic="source"))["strategy.transfer.critic"]


def test_what_another_version_has_learnt_is_left_to_whoever_reads_it(store: Store) -> None:
    store.journal.append(finished("source", OTHER_STATE, strategy=strategy(critic_dropout=0.1)))
    assert transfer(resolve(planned(critic="source"), store.journal))["critic"] == OTHER_STATE


def test_a_search_cannot_start_from_itself(store: Store) -> None:
    found = refusal(store, planned("first", critic="first", pool=["first"]))
    assert all("not the search itself" in found[f"strategy.transfer.{key}"] for key in ("critic", "pool.0"))
    assert transfer(resolve(planned("first", critic=STATE), store.journal))["critic"] == STATE, "but from its namesake"


def test_blocks_of_another_space_or_none_at_all_are_remarked_upon_and_not_refused(store: Store) -> None:
    store.journal.append([*finished("elsewhere", space=planned(space="cell").spec.space), *finished("empty")])
    found = resolve(planned(pool=["elsewhere", "empty"]), store.journal)
    assert transfer(found)["pool"] == [search("elsewhere"), search("empty")]
    assert [remark.partition(": ")[2] for remark in found.remarks] == [
        "elsewhere searched another space: none of its blocks can be used",
        "empty has put no blocks into the knowledge pool",
    ]


class Listening(Silent):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def told(self, line: str) -> None:
        self.lines.append(line)


def test_a_search_that_refers_to_nothing_makes_no_store(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="there is none"):
        foreground.run_plan(planned(critic="first"), tmp_path / "new", observer=Silent())
    assert not (tmp_path / "new").exists()


def test_a_finished_search_asked_for_again_is_the_same_and_its_remarks_are_told(store: Store, tmp_path: Path) -> None:
    store.journal.append(finished("empty"))
    asked = planned(pool=["empty"])
    spec: SearchSpec = resolve(asked, store.journal).plan.spec
    identity = spec.identity(asked.totals, asked.data.fingerprint)
    result = Result(best=(), history=()).model_dump()
    store.journal.append([SearchOpened(search=identity, spec=spec), SearchFinished(search=identity, result=result)])
    store.close()
    listening = Listening()
    end = foreground.run_plan(asked, tmp_path / "store", observer=listening)
    assert (end.search, end.status, end.repeated) == (identity, "finished", True)
    assert listening.lines == ["strategy.transfer.pool.0: empty has put no blocks into the knowledge pool"]


def test_what_is_simulated_has_no_earlier_searches(tmp_path: Path) -> None:
    transfer = """preset = "mnas"
uncertainty_critic = true
[strategy.transfer]
critic = "first"
"""
    text = SPEC[: SPEC.index("initial")].replace("econas", "fnas") + transfer + SPEC[SPEC.index("[space]") :]
    asked = load(write(tmp_path, tables.write(tmp_path), text))
    with pytest.raises(SpecError, match=r"strategy\.transfer\.critic is 'first': expected nothing"):
        Simulator(asked)
