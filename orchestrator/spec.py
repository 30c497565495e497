"""From a TOML file to a checked search: every problem found at once, each with its key, value and what was expected."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

import strategies.registry
import strategies.spaces.registry
from orchestrator import tables
from orchestrator.errors import Problem, SpecError, TotalLowered
from orchestrator.settings import impossible
from store.records.candidates import Data, DataSpec, Named
from store.records.spec import SearchSpec
from strategies.errors import InvalidOptions, StrategyError
from strategies.run import Strategy
from strategies.spaces.base import Space
from trainers.errors import TrainerError
from trainers.fingerprint import Told, expand

Made = TypeVar("Made")

DEEPEST = 20
LARGEST = 2**63 - 1


@dataclass(frozen=True)
class Plan:
    """A checked spec, and what its names stand for."""

    file: str
    spec: SearchSpec
    space: Space
    data: Data
    data_path: str | None
    tables: dict[str, str]
    totals: frozenset[str]
    make_strategy: Callable[[], Strategy]

    @property
    def id(self) -> str:
        """The search's id: the same for the same search, whatever its totals and resources are."""
        return self.spec.identity(self.totals, self.data.fingerprint)


def load(path: Path, told: Told | None = None) -> Plan:
    """Reads and checks a spec.

    Args:
        path: the TOML file.
        told: hears how many of the data set's files are read, to know it by its content.

    Raises:
        SpecError: naming everything that is wrong with the file.
    """
    try:
        with path.open("rb") as file:
            raw = tomllib.load(file)
    except OSError as error:
        raise SpecError(str(path), [Problem("file", None, f"cannot be read: {error.strerror}")]) from error
    except ValueError as error:  # malformed, not UTF-8, or a number of more than 4,300 digits
        raise SpecError(str(path), [Problem("file", None, f"is not TOML: {error}")]) from error
    except RecursionError as error:
        raise SpecError(str(path), [_TOO_DEEP]) from error
    return plan(raw, str(path), told)


def plan(raw: dict[str, Any], file: str, told: Told | None = None) -> Plan:
    """Checks what was read from a file; raises `SpecError` as `load` does."""
    problems = list(_unstorable(raw))
    if _TOO_DEEP in problems:
        raise SpecError(file, problems)
    raw, known = tables.with_data(raw), tables.Tables()
    spec = _caught(problems, "", lambda: SearchSpec.model_validate(raw))
    options = _if_named(raw, "strategy", problems, strategies.registry.options)
    space = _if_named(raw, "space", problems, strategies.spaces.registry.create)
    trainer = _if_named(
        {"trainer": {"name": "cell"}} | raw, "trainer", problems, lambda named: known.trainer(named, space)
    )
    reference = _reference(raw, problems, lambda named: known.trainer(named, space))
    data = _data(raw, problems, told)
    if problems or spec is None or options is None or space is None or trainer is None or data is None:
        raise SpecError(file, problems)
    # Defaults are written out, so that leaving an option out and giving its default are the same.
    strategy = Named(name=spec.strategy.name, options=options.model_dump(mode="json", exclude_none=True))
    filled = spec.model_copy(update={"space": space.spec, "trainer": trainer, "strategy": strategy})
    if filled.reference is not None and reference is not None:
        compared = filled.reference.model_copy(update={"trainer": reference})
        filled = filled.model_copy(update={"reference": compared})
    made = _caught(problems, "strategy", lambda: strategies.registry.create(filled))
    problems += impossible(filled, options, made)
    if problems:
        raise SpecError(file, problems)
    path = str(expand(spec.data.name, spec.data.path)) if spec.data.path is not None else None
    return Plan(
        file=file,
        spec=filled,
        space=space,
        data=data,
        data_path=path,
        tables=known.paths,
        totals=type(options).totals,
        make_strategy=lambda: strategies.registry.create(filled),
    )


def check_totals(plan: Plan, before: SearchSpec) -> None:
    """Checks that no total is less than the same search was asked for before.

    Raises:
        TotalLowered: naming the total, and both values.
    """
    for key in sorted(plan.totals):
        now, then = _total(plan.spec, key), _total(before, key)
        if now < then:
            raise TotalLowered(plan.file, key, now, then)


def _total(spec: SearchSpec, key: str) -> int:
    value = getattr(strategies.registry.options(spec.strategy), key)
    return int(value)


def _reference(raw: dict[str, Any], problems: list[Problem], make: Callable[[Named], Named]) -> Named | None:
    """Makes the reference's trainer, if it has one of its own."""
    reference = raw.get("reference")
    if not isinstance(reference, dict) or "trainer" not in reference:
        return None
    found: list[Problem] = []
    made = _if_named(reference, "trainer", found, make)
    problems += [problem._replace(key=f"reference.{problem.key}") for problem in found]
    return made


def _data(raw: dict[str, Any], problems: list[Problem], told: Told | None) -> Data | None:
    """Identifies the data set, also where other tables are wrong, so that its problems are told with theirs."""
    try:
        spec = DataSpec.model_validate(raw["data"])
    except (KeyError, ValidationError):
        return None  # `SearchSpec` has said so already
    return _caught(problems, "data", lambda: tables.data(spec, raw, told))


_TOO_DEEP = Problem("file", None, f"is nested more than {DEEPEST} deep")


def _unstorable(raw: dict[str, Any]) -> Iterator[Problem]:
    """Yields what TOML can hold and neither the journal nor a strategy can: large integers, and endless nesting."""
    waiting: list[tuple[tuple[str, ...], Any]] = [((), raw)]
    while waiting:
        keys, value = waiting.pop()
        if len(keys) > DEEPEST:
            yield _TOO_DEEP
            return
        if isinstance(value, int) and not -LARGEST <= value <= LARGEST:
            yield Problem(".".join(keys), value, f"expected an integer from {-LARGEST} to {LARGEST}")
        elif isinstance(value, dict):
            waiting += [((*keys, key), item) for key, item in value.items()]
        elif isinstance(value, list):
            waiting += [((*keys, str(index)), item) for index, item in enumerate(value)]


def _if_named(raw: dict[str, Any], key: str, problems: list[Problem], make: Callable[[Named], Made]) -> Made | None:
    """Makes what a table names, if the table is sound enough to look further into it."""
    try:
        named = Named.model_validate(raw[key])
    except (KeyError, ValidationError):
        return None  # `SearchSpec` has said so already
    return _caught(problems, key, lambda: make(named))


def _caught(problems: list[Problem], key: str, make: Callable[[], Made]) -> Made | None:
    try:
        return make()
    except ValidationError as error:
        problems += [_problem(key, detail) for detail in error.errors(include_url=False)]
    except InvalidOptions as error:
        problems += error.problems
    except (StrategyError, TrainerError) as error:
        problems.append(Problem(key, None, str(error)))
    return None


def _problem(prefix: str, detail: Any) -> Problem:
    key = ".".join([prefix, *map(str, detail["loc"])]).strip(".")
    if detail["type"] == "extra_forbidden":
        return Problem(key, detail["input"], "is not a key that is known here")
    if detail["type"] == "missing":
        return Problem(key, None, "is missing")
    return Problem(key, detail["input"], detail["msg"][0].lower() + detail["msg"][1:])
