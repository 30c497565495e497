from __future__ import annotations

import numpy as np
import pytest

from store.records.candidates import Named
from strategies.errors import InvalidArchitecture
from strategies.spaces import work
from strategies.spaces.base import WeighedSpace
from strategies.spaces.genotype import OPERATIONS, Genotype, concat
from strategies.spaces.nasbench201 import OPERATIONS as BENCH_OPERATIONS
from strategies.spaces.nasbench201 import BenchGenotype
from strategies.spaces.registry import create
from tests.strategies.builders import architecture


def cells(normal: str, reduce: str = "skip_connect") -> Genotype:
    nodes = [tuple(((name, 0), (name, 1)) for _ in range(4)) for name in (normal, reduce)]
    return Genotype(nodes[0], nodes[1], concat(nodes[0], "loose"), concat(nodes[1], "loose"))


@pytest.mark.parametrize("name", ["cell", "zoo", "nasbench201"])
def test_every_architecture_has_work(name: str) -> None:
    space, rng = create(Named(name=name)), np.random.default_rng(1)
    assert isinstance(space, WeighedSpace)
    works = [space.work(space.random(rng)) for _ in range(50)]
    assert min(works) > 0
    assert len(set(works)) > 20


def test_every_operation_has_work() -> None:
    assert set(work.CELL_WORK) == set(OPERATIONS)
    assert set(work.BENCH_WORK) == set(BENCH_OPERATIONS)


def test_equal_encodings_have_equal_work() -> None:
    space, rng = create(Named(name="cell")), np.random.default_rng(2)
    assert isinstance(space, WeighedSpace)
    for drawn in (space.random(rng) for _ in range(20)):
        assert space.work(space.canonical(drawn)) == pytest.approx(space.work(drawn))


def test_work_of_cells_is_that_of_their_operations_and_of_their_width() -> None:
    assert work.of_cells(cells("skip_connect")) == pytest.approx(0.4 + 1.1 * 4 * 0.35)
    assert work.of_cells(cells("sep_conv_3x3")) - work.of_cells(cells("skip_connect")) == pytest.approx(8.0)
    chain = tuple((("skip_connect", node), ("skip_connect", node + 1)) for node in range(4))
    narrow = Genotype(chain, chain, concat(chain, "loose"), concat(chain, "loose"))
    assert work.of_cells(narrow) == pytest.approx(0.4 + 1.1 * 0.35)
    assert work.of_cells(cells("skip_connect", "sep_conv_3x3")) < work.of_cells(cells("sep_conv_3x3")) / 2


def test_what_cannot_reach_the_output_of_a_bench_cell_is_no_work() -> None:
    def bench(*operations: str) -> float:
        return work.of_bench(BenchGenotype(operations))

    convolution = "nor_conv_3x3"
    assert bench(*[convolution] * 6) == 7.0
    assert bench(*["none"] * 6) == 1.0
    # 0 -> 1, 0 -> 2, 1 -> 2, 0 -> 3, 1 -> 3, 2 -> 3: with nothing from 1 to 2 or 3, what enters 1 is idle.
    assert bench(convolution, convolution, "none", convolution, "none", convolution) == 4.0
    assert bench(convolution, convolution, convolution, convolution, "none", "none") == 2.0


def test_the_work_of_a_stranger_is_refused() -> None:
    space = create(Named(name="nasbench201"))
    assert isinstance(space, WeighedSpace)
    with pytest.raises(InvalidArchitecture):
        space.work(architecture(1, 2, 3))
