"""Reads the options of strategies and spaces: every unknown or wrong one is named, all at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import ValidationError

from store.records.base import Config
from strategies.errors import InvalidOptions, OptionProblem

Options = TypeVar("Options", bound=Config)
MOST_AT_ONCE = 10_000
"""Networks that a strategy may ask for in one go: meanwhile the event loop does nothing else."""


class StrategyOptions(Config):
    """Base of every strategy's options.

    Attributes:
        totals: names of the options that are budgets. They may be raised later, and the search then goes on as if it
            had been given the larger total from the start; they are no part of the search's identity.
        holds_out: whether it chooses by validation accuracy, and so needs images that are held out.
        mutates: whether it needs a space whose architectures can be mutated.
        schedules: whether it sets the learning rate's schedule, by an option `schedule` of its own.
        refers: dotted keys of the options that name earlier searches of the store, one or a list of them, and what
            stands for each before the search's id is computed: the digest of what that search has learnt
            (`Result.state`), or the search's own id. The strategy sees only these.
        of_state: the options that the search whose state is taken over must have had too, with the same values: what
            was learnt does not fit otherwise.
        pools: the options by which it uses the knowledge pool, if they are set: the space must have blocks then, and
            the trainer weights.
    """

    totals: ClassVar[frozenset[str]] = frozenset()
    holds_out: ClassVar[bool] = True
    mutates: ClassVar[bool] = False
    schedules: ClassVar[bool] = False
    refers: ClassVar[Mapping[str, Literal["state", "search"]]] = MappingProxyType({})
    of_state: ClassVar[tuple[str, ...]] = ()
    pools: ClassVar[tuple[str, ...]] = ()


def read(model: type[Options], values: Mapping[str, Any], table: str) -> Options:
    """Returns the options that a table of the spec holds.

    Args:
        model: what the options must be.
        values: the table without its `name`.
        table: the table's key in the spec, e.g. `strategy`, for the error.

    Raises:
        InvalidOptions: naming every option that is unknown or wrong.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise InvalidOptions([_problem(item, model, table) for item in error.errors()]) from None


def unknown_name(table: str, name: str, names: Iterable[str]) -> InvalidOptions:
    """Returns the error for a name that is not registered."""
    return InvalidOptions([OptionProblem(f"{table}.name", name, f"expected one of {', '.join(sorted(names))}")])


def _problem(item: Any, model: type[Config], table: str) -> OptionProblem:
    key = ".".join([table, *(str(part) for part in item["loc"])])
    if item["type"] == "extra_forbidden":
        return OptionProblem(key, item["input"], f"unknown option, expected one of {', '.join(model.model_fields)}")
    if item["type"] == "missing":
        return OptionProblem(key, None, "is required")
    return OptionProblem(key, item["input"], _expected(item["msg"]))


def _expected(message: str) -> str:
    text = message.removeprefix("Value error, ").removeprefix("Input should be ")
    return text if text.startswith("expected") else f"expected {text}"
