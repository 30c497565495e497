"""The best networks' cells as SVG: drawn in a thread, once each. matplotlib is loaded with the first of them."""

from __future__ import annotations

import io
import json
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

import anyio
import anyio.to_thread

KEPT: Final = 64


class Cells:
    """Draws cells, one at a time, and keeps the latest drawings."""

    def __init__(self) -> None:
        self._drawn: OrderedDict[str, bytes | None] = OrderedDict()
        self._lock = anyio.Lock()

    async def svg(self, genotype: Mapping[str, Any]) -> bytes | None:
        """Returns a network's drawing, whose title tells it in words; None if its kind has none.

        Args:
            genotype: as `orchestrator.summary.genotype` gives it.
        """
        key = json.dumps(genotype, sort_keys=True)
        async with self._lock:
            if key not in self._drawn:
                self._drawn[key] = await anyio.to_thread.run_sync(_draw, dict(genotype))
            self._drawn.move_to_end(key)
            while len(self._drawn) > KEPT:
                self._drawn.popitem(last=False)
            return self._drawn[key]


def _draw(genotype: Mapping[str, Any]) -> bytes | None:
    from orchestrator.report import cells

    figure = cells.drawn(genotype)
    if figure is None:
        return None
    title, made = f"{cells.kind(genotype)}. {cells.told(genotype)}", io.BytesIO()
    figure.savefig(made, format="svg", transparent=True, metadata={"Date": None, "Title": title})
    return made.getvalue()
