"""The proxy study as a durable coroutine: a zoo of networks, each trained in every setting (EcoNAS section 3)."""

from __future__ import annotations

from collections.abc import Iterator

from store.records.candidates import Architecture, Recipe
from store.records.results import Result
from store.records.spec import SearchSpec
from strategies.errors import InvalidArchitecture, InvalidOptions, OptionProblem
from strategies.proxy_study.course import Course
from strategies.proxy_study.grid import grid
from strategies.proxy_study.options import ProxyStudyOptions
from strategies.proxy_study.settings import Grid
from strategies.run import Run, Setting, Wanted
from strategies.spaces import registry as spaces
from strategies.spaces.base import Space


class ProxyStudy:
    """Trains every network in the original and in all reduced settings, and compares the ranks.

    A training that fails leaves its network out of its setting, and one that fails in the original setting out of all.
    """

    def __init__(self, options: ProxyStudyOptions, grid: Grid) -> None:
        self.options, self.grid = options, grid

    def settings(self) -> Iterator[Wanted]:
        """Yields the original setting and all others; one that a table answers also as it is measured for its costs."""
        grid = self.grid
        for planned, served in zip((grid.reference, *grid.settings), grid.served, strict=True):
            yield Wanted(grid.trainings[served].setting, planned.place)
        original, own = (grid.trainings[served].setting.trainer for served in grid.served[:2])
        if original != own:
            yield Wanted(Setting(own, grid.reference.proxy, Recipe()), grid.reference.place)

    @classmethod
    def of(cls, options: ProxyStudyOptions, spec: SearchSpec) -> ProxyStudy:
        """Returns the study that a spec asks for.

        Raises:
            InvalidOptions: naming every setting that is missing, impossible or there twice, and every given network
                that is not of the space.
        """
        problems = list(_given(options, spaces.create(spec.space)))
        try:
            planned = grid(options, spec)
        except InvalidOptions as error:
            raise InvalidOptions([*error.problems, *problems]) from None
        if problems:
            raise InvalidOptions(problems)
        return cls(options, planned)

    async def search(self, run: Run) -> Result:
        """Studies `networks` networks; a larger number goes on where a smaller one ended."""
        course = Course(run, self.options, self.grid)
        course.ask_again()
        while course.ask():
            await course.learn()
            await course.save()
        return course.result()


def _given(options: ProxyStudyOptions, space: Space) -> Iterator[OptionProblem]:
    """Yields what is wrong with the networks that are given by their genes."""
    seen: dict[Architecture, int] = {}
    for index, genes in enumerate(options.genes):
        try:
            canonical = space.canonical(Architecture(space=space.spec.name, genes=genes))
        except InvalidArchitecture as error:
            yield OptionProblem(f"strategy.genes.{index}", None, f"expected {error.expected}")
            continue
        first = seen.setdefault(canonical, index)
        if first != index:
            yield OptionProblem(f"strategy.genes.{index}", None, f"is the same network as strategy.genes.{first}")
