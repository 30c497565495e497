"""Which of several errors of tasks that ran together says most."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.errors import OrchestratorError
from store.errors import StoreError
from strategies.errors import StrategyError


def first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error of a group that says most: the first that is one of ours, else the first."""
    leaves = list(_leaves(group))
    ours = [error for error in leaves if isinstance(error, OrchestratorError | StoreError | StrategyError)]
    return (ours or leaves)[0]


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
