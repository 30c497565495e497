"""What a search found, for notebooks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A search's candidates.

    Attributes:
        search, name, status: of the search.
        best: its best candidates first, each a map of architecture, genotype, accuracy (in [0, 1]), epochs, parameters,
            multiply_adds, checkpoint.
        history: every candidate in order of birth, with `index`, `origin`, `parent`, `cycle` and `failure` too.
        totals: what was trained and what was spared.
        curves: the strategy's own, by name.
    """

    search: str
    name: str
    status: str
    best: list[dict[str, Any]]
    history: list[dict[str, Any]]
    totals: dict[str, Any]
    curves: dict[str, Any]

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> SearchResult:
        """Makes one of what the API sends; keys that are not known here are passed over."""
        return cls(**{name: answer[name] for name in cls.__slots__})

    def to_frame(self) -> pandas.DataFrame:
        """Returns the history as a table, a row for each candidate; the genes are in one column, as tuples.

        Raises:
            ImportError: if pandas is not installed; coldframe does not need it and does not bring it.
        """
        import pandas

        rows = [row | {"genes": tuple(row["architecture"]["genes"])} for row in self.history]
        return pandas.DataFrame(rows).drop(columns=["architecture"], errors="ignore")
