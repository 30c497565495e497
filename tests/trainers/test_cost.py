"""Parameters and multiply-adds: every row of reference_facts A4 and A5."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from strategies.spaces.genotype import Genotype
from strategies.spaces.published import PUBLISHED
from trainers.cost import cost
from trainers.errors import ImpossibleSetting
from trainers.networks.network import build
from trainers.networks.shape import Shape

ROWS = [
    ("DARTS_V1", 36, 20, 3_169_414, 3_645_840, 500_987_520),
    ("DARTS_V2", 36, 20, 3_349_342, 3_825_768, 528_359_040),
    ("NASNet", 36, 20, 3_830_950, 4_288_944, 603_452_448),
    ("AmoebaNet", 36, 20, 3_145_078, 3_603_072, 488_931_552),
    ("SETN", 36, 20, 4_619_206, 5_095_632, 722_392_704),
    ("DARTS_V2", 16, 20, 710_682, 1_146_148, 114_567_680),
    ("DARTS_V2", 8, 20, 199_762, 618_844, 33_232_128),
    ("DARTS_V2", 36, 8, 1_154_926, 1_631_352, 200_232_576),
    ("AmoebaNet", 8, 20, 198_498, 613_484, 32_728_000),
]
WIDTHS = [
    ("DARTS_V1", 24, 1_449_106),
    ("DARTS_V1", 18, 837_892),
    ("DARTS_V1", 12, 392_638),
    ("DARTS_V1", 8, 188_002),
    ("DARTS_V2", 24, 1_532_770),
    ("DARTS_V2", 18, 887_032),
    ("DARTS_V2", 12, 416_326),
]
LOOSE = [
    ("DARTS_V1", 2_832_310, 3_290_304, 447_901_920),
    ("DARTS_V2", 3_012_238, 3_470_232, 475_273_440),
]
REDUCED = [
    ("DARTS_V2", "all", 199_762, 2_078_208),
    ("DARTS_V2", "loose", 182_866, 1_914_048),
    ("AmoebaNet", "loose", 198_498, 2_046_400),
]


@pytest.mark.parametrize(("name", "channels", "cells", "parameters", "with_auxiliary", "multiply_adds"), ROWS)
def test_published_networks_have_their_published_cost(name, channels, cells, parameters, with_auxiliary, multiply_adds):
    shape = Shape(channels, cells, 10, 32)
    assert cost(PUBLISHED[name], shape) == (parameters, multiply_adds)
    assert cost(PUBLISHED[name], shape._replace(auxiliary=True)) == (with_auxiliary, multiply_adds)


@pytest.mark.parametrize(("name", "channels", "parameters"), WIDTHS)
def test_other_widths(name, channels, parameters):
    network = build(PUBLISHED[name], Shape(channels, 20, 10, 32), seed=0)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


@pytest.mark.parametrize(("name", "parameters", "with_auxiliary", "multiply_adds"), LOOSE)
def test_concatenating_loose_ends_makes_narrower_cells(name, parameters, with_auxiliary, multiply_adds):
    genotype = PUBLISHED[name].with_concat("loose")
    shape = Shape(36, 20, 10, 32)
    assert cost(genotype, shape) == (parameters, multiply_adds)
    assert cost(genotype, shape._replace(auxiliary=True)) == (with_auxiliary, multiply_adds)


@pytest.mark.parametrize(("name", "rule", "parameters", "multiply_adds"), REDUCED)
def test_the_reduced_setting_of_econas(name, rule, parameters, multiply_adds):
    genotype = PUBLISHED[name].with_concat(rule)
    assert cost(genotype, Shape(8, 20, 10, 8)) == (parameters, multiply_adds)


def test_the_imagenet_network_of_setn():
    """SETN, Table 3: (N, C) = (2, 58)."""
    shape = Shape(58, 8, 1000, 224, stem="imagenet")
    assert cost(PUBLISHED["SETN"], shape) == (5_340_451, 599_748_768)
    # The auxiliary head reads 4 C = 232 channels of 4 nodes: two convolutions, one normalisation, a linear layer.
    head = 928 * 128 + 2 * 128 + 768 * 128 * 4 + 769 * 1000
    assert cost(PUBLISHED["SETN"], shape._replace(auxiliary=True)) == (5_340_451 + head, 599_748_768)


def test_the_count_is_that_of_torch_on_the_whole_network():
    """Guards the form without normalisation and pooling that `cost` runs instead."""
    genotype = PUBLISHED["AmoebaNet"]
    shape = Shape(4, 5, 7, 12, input_channels=1)
    network = build(genotype, shape, seed=0, form="plain").eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 1, 12, 12))
    found = cost(genotype, shape)
    assert found.multiply_adds == counter.get_total_flops() // 2
    assert found.parameters == sum(parameter.numel() for parameter in network.parameters())


def test_what_cannot_reach_the_output_is_counted():
    node = (("sep_conv_3x3", 0), ("sep_conv_3x3", 1))
    hidden = (("none", 2), ("skip_connect", 1))
    with_hidden = Genotype((node, hidden), (node, hidden), (3,), (3,))
    read = (("skip_connect", 2), ("skip_connect", 1))
    all_read = Genotype((node, read), (node, read), (3,), (3,))
    shape = Shape(4, 5, 10, 8)
    assert cost(with_hidden, shape) == cost(all_read, shape)


@pytest.mark.parametrize("resolution", [24, 28, 41, 64])
def test_an_auxiliary_head_that_does_not_fit_is_refused(resolution):
    with pytest.raises(ImpossibleSetting, match=f"resolution is {resolution}: expected 29 to 40"):
        cost(PUBLISHED["DARTS_V2"], Shape(8, 8, 10, resolution, auxiliary=True))


def test_neither_counting_nor_reproducible_operations_import_torchs_compiler():
    """Each worker does both in its first job, and the import takes 2 s."""
    script = (
        "import sys, torch; from strategies.spaces.nasbench201 import BenchGenotype; "
        "from strategies.spaces.published import PUBLISHED; from trainers.cost import cost; "
        "from trainers.networks.shape import Shape; from trainers.plan import make_deterministic; "
        "make_deterministic(torch.device('cpu')); assert torch.are_deterministic_algorithms_enabled(); "
        "assert not torch.is_deterministic_algorithms_warn_only_enabled(); "
        "cost(PUBLISHED['AmoebaNet'], Shape(4, 3, 10, 9)); "
        "cost(PUBLISHED['SETN'], Shape(4, 3, 10, 32, stem='imagenet')); "
        "cost(BenchGenotype(('nor_conv_3x3', 'none', 'avg_pool_3x3') * 2), Shape(4, 5, 10, 8)); "
        "print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
