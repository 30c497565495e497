"""The fast form computes what the plain one computes: results, gradients, running statistics."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from strategies.spaces.genotype import DARTS_OPERATIONS, NASNET_OPERATIONS, OPERATIONS, Genotype
from strategies.spaces.published import PUBLISHED
from trainers.networks import operations
from trainers.networks.batch_last import BatchLast
from trainers.networks.forms import Plain
from trainers.networks.initial import initialise
from trainers.networks.network import build
from trainers.networks.shape import Shape
from trainers.networks.tape import Tape


@st.composite
def genotypes(draw):
    names = draw(st.sampled_from([DARTS_OPERATIONS, NASNET_OPERATIONS]))
    cells = []
    for _ in range(2):
        count = draw(st.integers(1, 4))
        edges = [
            [(draw(st.sampled_from(names)), draw(st.integers(0, index + 1))) for _ in range(2)]
            for index in range(count)
        ]
        cells.append(tuple((first, second) for first, second in edges))
    genotype = Genotype(cells[0], cells[1], (2,), (2,))
    return genotype.with_concat(draw(st.sampled_from(["loose", "all"])))


def outcome(genotype, form, images, *, dtype=torch.float64, **options):
    """Returns what one training step and one evaluation give: scores, gradients, state."""
    torch.manual_seed(0)
    shape = Shape(4, 3, 5, images.shape[-1], images.shape[1])._replace(**options)
    network = build(genotype, shape, seed=7, form=form).to(dtype)
    images = images.to(dtype)
    logits, auxiliary = network(images)
    labels = torch.arange(len(images)) % 5
    loss = torch.nn.functional.cross_entropy(logits, labels)
    if auxiliary is not None:
        loss = loss + 0.4 * torch.nn.functional.cross_entropy(auxiliary, labels)
    loss.backward()
    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    state = {name: tensor for name, tensor in network.state_dict().items() if "running" in name}
    with torch.no_grad():
        evaluated = network.eval()(images).logits
    return logits.detach(), auxiliary, gradients, state, evaluated


def assert_same(genotype, images, *, atol=1e-9, rtol=1e-7, **options):
    plain = outcome(genotype, "plain", images, **options)
    fast = outcome(genotype, "batch_last", images, **options)
    close = {"atol": atol, "rtol": rtol}
    torch.testing.assert_close(fast[0], plain[0], **close)
    assert (fast[1] is None) == (plain[1] is None)
    assert fast[2].keys() == plain[2].keys()
    for name, gradient in plain[2].items():
        assert (fast[2][name] is None) == (gradient is None), name
        if gradient is not None:
            torch.testing.assert_close(fast[2][name], gradient, **close, msg=name)
    for name, tensor in plain[3].items():
        torch.testing.assert_close(fast[3][name], tensor, **close, msg=name)
    torch.testing.assert_close(fast[4], plain[4], **close)


@settings(deadline=None, max_examples=40)
@given(genotypes(), st.integers(4, 9), st.sampled_from([1, 3]))
def test_random_genotypes_compute_the_same_in_both_forms(genotype, resolution, input_channels):
    generator = torch.Generator().manual_seed(resolution)
    images = torch.randn(6, input_channels, resolution, resolution, generator=generator)
    assert_same(genotype, images)


@pytest.mark.parametrize("resolution", [8, 12, 16, 19, 24])
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_compute_the_same_in_both_forms(name, resolution):
    assert_same(PUBLISHED[name], torch.randn(4, 3, resolution, resolution), cells=5)


def test_the_auxiliary_head_computes_the_same_in_both_forms():
    assert_same(PUBLISHED["DARTS_V2"], torch.randn(3, 3, 32, 32), auxiliary=True)


def test_single_precision_is_as_precise_as_in_the_plain_form():
    images = torch.randn(64, 3, 8, 8, generator=torch.Generator().manual_seed(3))
    flat = {}
    for form, dtype in (("plain", torch.float64), ("plain", torch.float32), ("batch_last", torch.float32)):
        gradients = outcome(PUBLISHED["DARTS_V2"], form, images, dtype=dtype, cells=8)[2].values()
        flat[form, dtype] = torch.cat([gradient.flatten().double() for gradient in gradients])
    exact = flat["plain", torch.float64]
    plain, fast = ((flat[form, torch.float32] - exact).norm() / exact.norm() for form in ("plain", "batch_last"))
    assert plain < 1e-3
    assert fast < max(3 * plain, 1e-4)


@pytest.mark.parametrize("size", [1, 2, 5, 6, 13, 14])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", [name for name in OPERATIONS if name != "none"])
def test_each_operation_computes_the_same_at_every_size(name, stride, size):
    """Sizes 13 and 14 are convolved whole and in bands; 1 and 2 have kernels that are wider than the image."""
    operation = operations.create(name, 4, stride).double()
    initialise(operation, 0)
    images = torch.randn(3, 4, size, size, dtype=torch.float64)
    plain = images.clone().requires_grad_()
    expected = operation(plain, Plain())
    expected.square().sum().backward()
    found, gradient = on_a_tape(operation, images)
    torch.testing.assert_close(found, expected.detach())
    torch.testing.assert_close(gradient, plain.grad)


def on_a_tape(operation, images):
    """Returns the fast form's result y, and the gradient of the sum of y squared by the images."""
    tape, captured = Tape(), []
    form = BatchLast(tape)
    with torch.no_grad():
        x = form.enter(images)
        tape.record(x, lambda tape, gradient, owned: captured.append(gradient.permute(3, 0, 1, 2)))
        y = operation(x, form)
        result = y.permute(3, 0, 1, 2).clone()
        tape.give(y, 2 * y)
        tape.backward()
    return result, captured[0]


def test_networks_first_run_in_inference_mode_can_be_trained():
    """Guards the constants of the fast form, which inference mode would make unusable for gradients."""
    network = build(PUBLISHED["AmoebaNet"], Shape(4, 3, 10, 7), seed=0)
    with torch.inference_mode():
        network(torch.randn(2, 3, 7, 7))
    network(torch.randn(2, 3, 7, 7)).logits.sum().backward()
    assert network.stem.norm.weight.grad is not None


def test_training_is_the_same_bit_for_bit_when_repeated():
    images = torch.randn(16, 3, 8, 8)
    first = outcome(PUBLISHED["AmoebaNet"], "batch_last", images, dtype=torch.float32)
    second = outcome(PUBLISHED["AmoebaNet"], "batch_last", images, dtype=torch.float32)
    assert all(torch.equal(first[2][name], gradient) for name, gradient in second[2].items())


def test_gradients_in_evaluation_mode_are_those_of_the_plain_form():
    gradients = []
    for form in ("plain", "batch_last"):
        network = build(PUBLISHED["NASNet"], Shape(4, 3, 5, 8), seed=1, form=form).double().eval()
        network(torch.ones(2, 3, 8, 8, dtype=torch.float64)).logits.square().sum().backward()
        gradients.append({name: parameter.grad for name, parameter in network.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)


def test_a_second_backward_pass_is_refused():
    network = build(PUBLISHED["DARTS_V1"], Shape(4, 3, 5, 8), seed=1)
    loss = network(torch.randn(4, 3, 8, 8)).logits.sum()
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="second backward pass"):
        loss.backward()


def test_a_forward_pass_leaves_nothing_behind():
    """Guards against a cycle between the tape and autograd's graph, which would hold a batch's activations."""
    network = build(PUBLISHED["DARTS_V1"], Shape(4, 3, 5, 8), seed=1)
    gc.collect()
    gc.disable()
    try:
        result = network(torch.randn(4, 3, 8, 8)).logits
        tape = weakref.ref(result.grad_fn.next_functions[1][0].tape)
        assert tape() is not None
        del result
        assert tape() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("form", ["plain", "batch_last"])
def test_running_statistics_are_those_of_torchs_batch_normalisation(form):
    """The stem's, after three batches, against `nn.BatchNorm2d` as it is by default."""
    network = build(PUBLISHED["DARTS_V2"], Shape(4, 3, 5, 8), seed=0, form=form).double().train()
    theirs = torch.nn.BatchNorm2d(12).double()
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        images = torch.randn(6, 3, 8, 8, generator=generator, dtype=torch.float64)
        network(images)
        (weight,) = network.stem.weights
        theirs(torch.nn.functional.conv2d(images, weight, padding=1))
    torch.testing.assert_close(network.stem.norm.running_mean, theirs.running_mean)
    torch.testing.assert_close(network.stem.norm.running_var, theirs.running_var)
