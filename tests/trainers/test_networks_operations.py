"""Operations: parameter counts of reference_facts A1, sizes, and what each computes."""

from __future__ import annotations

import pytest
import torch

from strategies.spaces.genotype import OPERATIONS
from trainers.networks import operations
from trainers.networks.forms import Plain
from trainers.networks.initial import initialise
from trainers.networks.operations import FactorizedReduce

PARAMETERS = {
    "none": (0, 0),
    "max_pool_3x3": (0, 0),
    "avg_pool_3x3": (0, 0),
    "skip_connect": (0, 1_368),
    "sep_conv_3x3": (3_384, 3_384),
    "sep_conv_5x5": (4_536, 4_536),
    "sep_conv_7x7": (6_264, 6_264),
    "dil_conv_3x3": (1_692, 1_692),
    "dil_conv_5x5": (2_268, 2_268),
    "conv_7x1_1x7": (18_216, 18_216),
    "conv_3x1_1x3": (7_848, 7_848),
    "conv_1x1": (1_368, 1_368),
    "conv_3x3": (11_736, 11_736),
    "max_pool_5x5": (0, 0),
    "max_pool_7x7": (0, 0),
}
"""Parameters at 36 channels with stride 1 and with stride 2."""


def test_every_operation_of_the_genotypes_exists():
    assert set(PARAMETERS) == set(OPERATIONS)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", OPERATIONS)
def test_parameter_count_is_that_of_the_published_code(name, stride):
    operation = operations.create(name, 36, stride)
    assert sum(parameter.numel() for parameter in operation.parameters()) == PARAMETERS[name][stride - 1]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", OPERATIONS)
def test_size_is_kept_or_halved_rounding_up(name, stride, size):
    operation = operations.create(name, 4, stride)
    initialise(operation, 0)
    result = operation(torch.randn(2, 4, size, size), Plain())
    assert result.shape == (2, 4, -(-size // stride), -(-size // stride))


def test_average_pool_leaves_padding_out_of_the_mean():
    operation = operations.create("avg_pool_3x3", 1, 1)
    assert torch.equal(operation(torch.ones(1, 1, 4, 4), Plain()), torch.ones(1, 1, 4, 4))


def test_none_is_zero_even_of_what_is_not_finite():
    operation = operations.create("none", 2, 2)
    assert torch.equal(operation(torch.full((1, 2, 4, 4), torch.inf), Plain()), torch.zeros(1, 2, 2, 2))


@pytest.mark.parametrize(
    ("name", "kernels", "strides"),
    [
        ("conv_7x1_1x7", [(1, 7), (7, 1)], [(1, 2), (2, 1)]),
        ("conv_3x1_1x3", [(1, 3), (3, 1)], [(1, 2), (2, 1)]),
        ("conv_3x3", [(3, 3)], [(2, 2)]),
        ("conv_1x1", [(1, 1)], [(2, 2)]),
    ],
)
def test_factorised_convolutions_stride_along_their_long_side(name, kernels, strides):
    operation = operations.create(name, 4, 2)
    assert [tuple(weight.shape[2:]) for weight in operation.weights] == kernels
    assert operation.strides == strides


@pytest.mark.parametrize(("name", "repeats", "reach"), [("sep_conv_5x5", 2, 4), ("dil_conv_5x5", 1, 4)])
def test_separable_convolutions_are_applied_twice_and_dilated_ones_once(name, repeats, reach):
    operation = operations.create(name, 2, 1).eval()
    initialise(operation, 3)
    assert len(operation.halves) == repeats
    image = torch.zeros(1, 2, 15, 15, requires_grad=True)
    # Positive weights keep the ReLU between the halves open, so that the gradient shows the whole receptive field.
    with torch.no_grad():
        for parameter in operation.parameters():
            parameter.abs_().add_(0.1)
    operation(image, Plain())[0, :, 7, 7].sum().backward()
    rows = image.grad[0].abs().sum((0, 2)).nonzero().flatten()
    assert (rows.min().item(), rows.max().item()) == (7 - reach, 7 + reach)


def test_factorised_reduction_of_an_even_size_is_the_one_of_darts():
    operation = FactorizedReduce(3, 4).eval()
    initialise(operation, 1)
    x = torch.randn(2, 3, 6, 6)
    expected = (
        torch.cat(
            [
                torch.nn.functional.conv2d(x, operation.even, stride=2),
                torch.nn.functional.conv2d(x[:, :, 1:, 1:], operation.odd, stride=2),
            ],
            dim=1,
        )
        / (1 + 1e-5) ** 0.5
    )
    assert torch.allclose(operation(x, Plain()), expected, atol=1e-6)


def test_factorised_reduction_of_an_odd_size_reads_zeros_beyond_the_edge():
    operation = FactorizedReduce(1, 2).eval()
    with torch.no_grad():
        operation.even.fill_(1)
        operation.odd.fill_(1)
    result = operation(torch.arange(9.0).view(1, 1, 3, 3), Plain()) * (1 + 1e-5) ** 0.5
    assert torch.allclose(result[0, 0], torch.tensor([[0.0, 2.0], [6.0, 8.0]]))
    assert torch.allclose(result[0, 1], torch.tensor([[4.0, 0.0], [0.0, 0.0]]))
