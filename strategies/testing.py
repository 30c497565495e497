"""The conformance checks that every strategy must pass: subclass `StrategyConformance` in a test module.

    class TestMyStrategy(StrategyConformance):
        def spec(self) -> SearchSpec:
            return SearchSpec.model_validate({"name": "mine", "strategy": {"name": "mine", "budget": 8}, ...})

        def strategy(self, spec: SearchSpec) -> Strategy:
            return MyStrategy(...)

Everything runs in memory (`strategies.simulation`); use a small budget.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest

from store.records.base import canonical
from store.records.candidates import Candidate
from store.records.results import Result
from store.records.spec import SearchSpec
from strategies.run import Strategy
from strategies.simulation import Killed, Moment, Simulation, World, by_digest


class WorldTouched(AssertionError):
    """Raised when a strategy uses a clock, or randomness that is not `run.rng`."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the strategy called {name}: take randomness from run.rng, and leave clocks alone")


_MOMENTS = (
    *("request", "requested", "await", "saving", "saved", "delivering", "delivered"),
    *("inheriting", "inherited", "contributing", "contributed"),
)


class StrategyConformance:
    """Checks for one strategy and one small spec.

    Attributes:
        totals: the strategy's budgets, with the value that each is raised to (`StrategyOptions.totals` names them).
        order_matters: set it if the order in which jobs end may change the result, as for asynchronous evolution.
        sample: at most so many kill points of each kind are tried, the first and the last among them.
    """

    totals: ClassVar[dict[str, int]] = {}
    order_matters: ClassVar[bool] = False
    sample: ClassVar[int] = 25

    def spec(self) -> SearchSpec:
        """Returns the search to check."""
        raise NotImplementedError

    def strategy(self, spec: SearchSpec) -> Strategy:
        """Returns a new instance for a spec."""
        raise NotImplementedError

    def score(self, candidate: Candidate, epochs: int) -> float:
        """Returns the accuracy of a candidate; override it if the default tells the strategy too little."""
        return by_digest(candidate, epochs)

    def test_the_result_names_its_best_and_its_history(self) -> None:
        """The best are of the history, have an accuracy, and are in order."""
        result = self._search()
        assert result.best, "the result has no best network"
        known = {one.index for one in result.history}
        assert {one.index for one in result.best} <= known, "a best network is not in the history"
        accuracies = [one.accuracy for one in result.best if one.accuracy is not None]
        assert accuracies == sorted(accuracies, reverse=True), "the best networks are not in descending order"
        assert len(accuracies) == len(result.best), "a best network has no accuracy"

    @pytest.mark.parametrize("what", _MOMENTS)
    def test_a_kill_changes_nothing(self, what: str) -> None:
        """Killed at any moment and started again, the search asks the same and has the same result."""
        whole = self._simulation()
        expected = whole.search(self.strategy(whole.spec))
        moments = whole.moments.get(what, 0)
        if moments == 0:
            pytest.skip(f"the strategy has no moment of the kind {what!r}")
        for nth in self._some(range(moments)):
            world = World()
            with pytest.raises(Killed):
                self._search(world, until=Moment(what, nth))
            self._check(self._search(world), expected, f"after a kill at {what} {nth}")
            assert world.requests == whole.world.requests, f"other requests after a kill at {what} {nth}"
            assert world.trained == whole.world.trained, f"jobs were run twice after a kill at {what} {nth}"

    def test_many_kills_change_nothing(self) -> None:
        """The same for a search that is killed over and over, a little further on each time."""
        expected, world = self._search(), World()
        for nth in range(1, 10_000):
            try:
                self._check(self._search(world, until=Moment("await", nth)), expected, f"after {nth - 1} kills")
            except Killed:
                continue
            return
        pytest.fail("the search did not end in 10,000 lives")

    def test_a_stop_is_passed_on_at_any_await(self) -> None:
        """An order to stop, a `BaseException`, ends the coroutine wherever it waits; a later start goes on."""
        whole = self._simulation()
        expected = whole.search(self.strategy(whole.spec))
        for nth in self._some(range(whole.moments.get("await", 0))):
            world = World()
            simulation = self._simulation(world)
            stopped = simulation.stop(simulation.start(self.strategy(simulation.spec)), nth)
            assert stopped, f"the strategy swallowed the order to stop at await {nth}"
            self._check(self._search(world), expected, f"after a stop at await {nth}")

    def test_a_replay_from_the_beginning_asks_the_same_requests(self) -> None:
        """Without its saved states the search is replayed from its start: same requests, same result, no training."""
        world = World()
        expected = self._search(world)
        requests, trained, world.saved = dict(world.requests), world.trained, None
        self._check(self._search(world), expected, "in a replay")
        assert world.requests == requests, "the replay made other requests"
        assert world.trained == trained, "the replay trained again"

    def test_another_search_of_the_same_trains_nothing(self) -> None:
        """Every request of an equal search is answered from the memo."""
        world = World()
        expected = self._search(world)
        trained = world.trained
        world.forget_search()
        self._check(self._search(world), expected, "from the memo")
        assert world.trained == trained, "a second, equal search trained again"

    def test_the_order_of_completion_does_not_matter(self) -> None:
        """Jobs that end in another order give the same result, unless `order_matters`."""
        if self.order_matters:
            pytest.skip("this strategy says that the order matters")
        expected = self._search()
        for order in range(1, 4):
            self._check(self._search(order=order), expected, "with another order of completion")

    def test_only_the_given_generator_and_no_clock_is_used(self) -> None:
        """Clocks, the operating system's randomness and global generators raise while the search runs.

        What is caught: calls through the modules `time`, `datetime`, `random`, `numpy.random` and `os` (`urandom`), and
        through names for the same functions in the modules of the strategy's class and its bases; not in others.
        """
        classes = type(self.strategy(self.spec())).__mro__
        with untouchable_world(*{sys.modules[one.__module__] for one in classes if one is not object}):
            self._search()

    def test_failed_candidates_are_tolerated(self) -> None:
        """A third of the candidates fail: they have a reason, and none of them is among the best."""
        third = _every_third()
        result = self._search(fails=lambda candidate, epochs: third(candidate))
        failed = {one.candidate for one in result.history if one.failure is not None}
        assert failed, "no failure is in the history"
        assert not failed & {one.candidate for one in result.best}, "a failed network is among the best"

    def test_a_search_in_which_everything_fails_ends(self) -> None:
        """Nothing is best then, and every network of the history has its failure."""
        result = self._search(fails=lambda candidate, epochs: True)
        assert result.best == ()
        assert all(one.failure is not None for one in result.history)

    def test_accuracies_that_are_not_finite_never_enter(self) -> None:
        """A NaN from a trainer is a failure: it is neither ranked nor kept as a number."""
        third = _every_third()
        result = self._search(score=lambda one, epochs: float("nan") if third(one) else self.score(one, epochs))
        assert any(one.failure is not None for one in result.history)
        canonical(result)  # refuses numbers that are not finite

    def test_a_raised_total_gives_what_it_would_have_given_at_once(self) -> None:
        """A finished search, and one that was killed, go on with a larger total as if it had always been so."""
        if not self.totals:
            pytest.skip("the strategy has no totals")
        for name, value in self.totals.items():
            raised = self._raised(name, value)
            expected = self._search(spec=raised)
            for until in (None, Moment("await", 3), Moment("requested", 2)):
                world = World()
                with contextlib.suppress(Killed):
                    self._search(world, until=until)
                self._check(self._search(world, spec=raised), expected, f"with {name} raised to {value}")

    def _simulation(self, world: World | None = None, *, spec: SearchSpec | None = None, **options: Any) -> Simulation:
        return Simulation(spec or self.spec(), world, **{"score": self.score} | options)

    def _search(self, world: World | None = None, **options: Any) -> Result:
        simulation = self._simulation(world, **options)
        return simulation.search(self.strategy(simulation.spec))

    def _raised(self, name: str, value: int) -> SearchSpec:
        spec = self.spec()
        named = spec.strategy.model_copy(update={"options": spec.strategy.options | {name: value}})
        return spec.model_copy(update={"strategy": named})

    def _some(self, moments: range) -> Sequence[int]:
        """Returns all of the moments, or a sample that is spread over them."""
        if len(moments) <= self.sample:
            return moments
        return sorted({round(place) for place in np.linspace(moments[0], moments[-1], self.sample)})

    def _check(self, result: Result, expected: Result, when: str) -> None:
        if canonical(result) != canonical(expected):
            pytest.fail(f"another result {when}: {_difference(expected, result)}")


@contextlib.contextmanager
def untouchable_world(*modules: ModuleType) -> Iterator[None]:
    """Makes clocks, the operating system's randomness and global generators raise `WorldTouched`.

    Args:
        modules: where names for the same functions, as `from time import time` makes them, raise too.
    """
    patched: list[tuple[Any, str, Any]] = []
    targets: list[tuple[Any, str]] = [(os, "urandom"), (random, "_urandom")]
    targets += [(time, name) for name in _CLOCKS if hasattr(time, name)]
    targets += [(random, name) for name in random.__all__ if name[0].islower()]
    targets += [(np.random, name) for name in np.random.__all__ if name[0].islower()]
    replaced = {id(getattr(module, name)): _forbidden(f"{module.__name__}.{name}") for module, name in targets}
    replaced |= {id(kind): _timeless(kind) for kind in (datetime.datetime, datetime.date)}
    targets += [(datetime, "datetime"), (datetime, "date")]
    targets += [(module, name) for module in modules for name, value in vars(module).items() if id(value) in replaced]
    try:
        for module, name in targets:
            patched.append((module, name, getattr(module, name)))
            setattr(module, name, replaced.get(id(patched[-1][2]), patched[-1][2]))
        yield
    finally:
        for module, name, original in reversed(patched):
            setattr(module, name, original)


_CLOCKS = ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time", "sleep")


def _every_third() -> Callable[[Candidate], bool]:
    """Returns what is true of the first candidate that it is asked about, the fourth, the seventh, ..."""
    seen: dict[str, int] = {}
    return lambda candidate: seen.setdefault(candidate.id, len(seen)) % 3 == 0


def _forbidden(name: str) -> Callable[..., Any]:
    def touched(*arguments: Any, **options: Any) -> Any:
        raise WorldTouched(name)

    return touched


def _timeless(kind: type[datetime.date]) -> type[datetime.date]:
    """Returns a `datetime` or `date` that does not tell the present one."""
    names = [name for name in ("now", "utcnow", "today") if hasattr(kind, name)]
    clocks = {name: staticmethod(_forbidden(f"datetime.{kind.__name__}.{name}")) for name in names}
    return type(kind.__name__, (kind,), clocks)


def _difference(expected: Result, result: Result) -> str:
    """Returns the first field that differs, in words."""
    for before, after in zip(expected.history, result.history, strict=False):
        if before != after:
            return f"network {before.index} was {before!r:.300}, is {after!r:.300}"
    if len(expected.history) != len(result.history):
        return f"the history had {len(expected.history)} networks, has {len(result.history)}"
    return f"best {[one.index for one in expected.best]} became {[one.index for one in result.best]}, or the curves"
