"""The fast form for small images on CPUs: tensors (C, H, W, N), the images of the batch innermost and contiguous.

Small images make the usual kernels slow: rows of 2 to 16 pixels leave vector units mostly idle, and some gradients of
depthwise convolutions take ten times longer than others. With the batch innermost every operation is a matrix product
or a loop over long contiguous rows, whatever the size of the images:

- pointwise convolution: one product, (C_out, C_in) with (C_in, H W N);
- depthwise convolution of any kernel, stride and dilation: one product for each channel, of the matrix by which the
  kernel acts on the pixels with (H W, N) (see `toeplitz`);
- batch normalisation: group normalisation of one sample with one channel in each group, which is the same sum;
- pooling: the usual kernels for channels-last tensors, which see N channels.

Gradients are computed on a tape (see `tape`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from trainers.networks import dense, gating, normalisation, pooling
from trainers.networks.forms import Activation, BatchNorm, Form, Pair
from trainers.networks.normalisation import Statistics
from trainers.networks.tape import Tape, multiply_into, recorded
from trainers.networks.toeplitz import depthwise

_aten = torch.ops.aten


class BatchLast:
    """See the module's description and `Form`.

    Args:
        tape: where operations are recorded, if gradients are wanted.
    """

    def __init__(self, tape: Tape | None = None) -> None:
        self._tape = tape
        self._statistics = Statistics()

    def run(self, compute: Callable[[Form], Sequence[Tensor]], parameters: Sequence[Tensor]) -> Sequence[Tensor]:
        """See `Form`."""

        def on(tape: Tape | None) -> Sequence[Tensor]:
            form = BatchLast(tape)
            results = compute(form)
            form._statistics.update()
            return results

        if torch.is_grad_enabled():
            return recorded(on, parameters)
        return on(None)

    def enter(self, images: Tensor) -> Tensor:
        """See `Form`."""
        return images.permute(1, 2, 3, 0).contiguous()

    def add(self, first: Tensor, second: Tensor) -> Tensor:
        """See `Form`."""
        tape, result = self._tape, first + second
        if tape is not None:

            def backward(tape: Tape, gradient: Tensor, owned: bool) -> None:
                tape.give(first, gradient, owned=False)
                tape.give(second, gradient, owned=False)

            tape.record(result, backward)
        return result

    def scale(self, x: Tensor, factors: Tensor) -> Tensor:
        """See `Form`."""
        tape, factors = self._tape, factors.to(x.dtype)
        result = x * factors
        if tape is not None:
            tape.record(result, lambda tape, gradient, owned: tape.give(x, gradient * factors))
        return result

    def relu(self, x: Tensor) -> Tensor:
        """See `Form`."""
        return self._record_relu(x, functional.relu(x))

    def relu_(self, x: Tensor) -> Tensor:
        """See `Form`."""
        return self._record_relu(x, functional.relu_(x))

    def _record_relu(self, x: Tensor, result: Tensor) -> Tensor:
        tape = self._tape
        if tape is not None:

            def backward(tape: Tape, gradient: Tensor, owned: bool) -> None:
                tape.give(x, _through_relu(gradient, result, owned))

            tape.record(result, backward)
        return result

    def activate_(self, x: Tensor, name: Activation) -> Tensor:
        """See `Form`."""
        return self.relu_(x) if name == "relu" else gating.activate(x, name, self._tape)

    def concat(self, parts: Sequence[Tensor]) -> Tensor:
        """See `Form`."""
        tape, result = self._tape, torch.cat(list(parts))
        if tape is not None:

            def backward(tape: Tape, gradient: Tensor, owned: bool) -> None:
                for part, piece in _pieces(parts, gradient):
                    tape.give(part, piece, owned=owned)

            tape.record(result, backward)
        return result

    def concat_relu(self, parts: Sequence[Tensor]) -> Tensor:
        """See `Form`."""
        tape = self._tape
        channels = sum(part.shape[0] for part in parts)
        result = parts[0].new_empty((channels, *parts[0].shape[1:]))
        for part, piece in _pieces(parts, result):
            torch.clamp_min(part, 0, out=piece)
        if tape is not None:

            def backward(tape: Tape, gradient: Tensor, owned: bool) -> None:
                for (part, piece), (_, rectified) in zip(_pieces(parts, gradient), _pieces(parts, result), strict=True):
                    tape.give(part, _through_relu(piece, rectified, owned))

            tape.record(result, backward)
        return result

    def depthwise(self, x: Tensor, weight: Tensor, *, stride: int, dilation: int) -> Tensor:
        """See `Form`."""
        return depthwise(x, weight, stride, dilation, self._tape)

    def pointwise(self, x: Tensor, weight: Tensor) -> Tensor:
        """See `Form`."""
        tape, matrix, flat = self._tape, weight.flatten(1), x.flatten(1)
        result = torch.mm(matrix, flat).view(-1, *x.shape[1:])
        if tape is not None:

            def backward(tape: Tape, gradient: Tensor, owned: bool) -> None:
                incoming = gradient.view(gradient.shape[0], -1)
                tape.give_parameter(weight, torch.mm(incoming, flat.t()))
                if tape.wants(x):
                    multiply_into(tape, x, matrix.t(), incoming)

            tape.record(result, backward)
        return result

    def convolve(self, x: Tensor, weight: Tensor, *, stride: Pair = (1, 1), padding: Pair = (0, 0)) -> Tensor:
        """See `Form`. What `dense` cannot do is left to the library, in its layout and back again."""
        if dense.fits(x, weight, stride, padding):
            return dense.convolve(x, weight, stride[0], self._tape)
        tape, images = self._tape, _to_images(x)
        result = _from_images(functional.conv2d(images, weight, None, stride, padding))
        if tape is not None:

            def backward(tape: Tape, gradient: Tensor, owned: bool) -> None:
                of_x, of_weight, _ = _aten.convolution_backward(
                    _to_images(gradient),
                    images,
                    weight,
                    None,
                    stride,
                    padding,
                    (1, 1),
                    False,
                    (0, 0),
                    1,
                    (tape.wants(x), True, False),
                )
                tape.give_parameter(weight, of_weight)
                if of_x is not None:
                    tape.give(x, _from_images(of_x))

            tape.record(result, backward)
        return result

    def max_pool(self, x: Tensor, *, kernel: int, stride: int) -> Tensor:
        """See `Form`."""
        return pooling.maximum(x, kernel, stride, self._tape)

    def average_pool(self, x: Tensor, *, kernel: int, stride: int, padding: int) -> Tensor:
        """See `Form`."""
        return pooling.average(x, kernel, stride, padding, self._tape)

    def every_second(self, x: Tensor, *, first: int) -> Tensor:
        """See `Form`."""
        tape, (channels, height, width, batch) = self._tape, x.shape
        source = x[:, first::2, first::2]
        rows, columns = source.shape[1:3]
        result = x.new_zeros((channels, -(-height // 2), -(-width // 2), batch))
        result[:, :rows, :columns] = source
        if tape is not None:

            def backward(tape: Tape, gradient: Tensor, owned: bool) -> None:
                present = tape.open(x)
                target = torch.zeros_like(x) if present is None else present
                target[:, first::2, first::2] += gradient[:, :rows, :columns]
                if present is None:
                    tape.give(x, target)

            tape.record(result, backward)
        return result

    def normalise(self, x: Tensor, norm: BatchNorm) -> Tensor:
        """See `Form`."""
        if norm.training:
            return normalisation.by_batch(x, norm, self._statistics, self._tape)
        return normalisation.by_running(x, norm, self._tape)

    def zeros(self, x: Tensor, *, channels: int, stride: int) -> Tensor:
        """See `Form`."""
        _, height, width, batch = x.shape
        return x.new_zeros((channels, -(-height // stride), -(-width // stride), batch))

    def mean_pixel(self, x: Tensor) -> Tensor:
        """See `Form`."""
        return gating.mean_pixel(x, self._tape)

    def shift(self, x: Tensor, bias: Tensor) -> Tensor:
        """See `Form`."""
        return gating.shift(x, bias, self._tape)

    def gate(self, x: Tensor, pixel: Tensor) -> Tensor:
        """See `Form`."""
        return gating.gate(x, pixel, self._tape)

    def global_mean(self, x: Tensor) -> Tensor:
        """See `Form`."""
        tape, pixels = self._tape, x.shape[1] * x.shape[2]
        result = x.mean((1, 2)).t()
        if tape is not None:

            def backward(tape: Tape, gradient: Tensor, owned: bool) -> None:
                tape.give(x, (gradient.t() / pixels)[:, None, None].expand_as(x).contiguous())

            tape.record(result, backward)
        return result

    def flatten(self, x: Tensor) -> Tensor:
        """See `Form`."""
        tape, result = self._tape, x.flatten(0, 2).t()
        if tape is not None:
            tape.record(result, lambda tape, gradient, owned: tape.give(x, gradient.t().contiguous().view_as(x)))
        return result


def _through_relu(gradient: Tensor, result: Tensor, owned: bool) -> Tensor:
    """Returns the gradient of a ReLU's input, in the memory of its result's if that may be overwritten."""
    if owned:
        _aten.threshold_backward.grad_input(gradient, result, 0, grad_input=gradient)
        return gradient
    through: Tensor = _aten.threshold_backward(gradient, result, 0)
    return through


def _pieces(parts: Sequence[Tensor], whole: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields each part with its place in the tensor that joins them."""
    return zip(parts, torch.split(whole, [part.shape[0] for part in parts]), strict=True)


def _to_images(x: Tensor) -> Tensor:
    """Returns the tensor as N channels-last images, copied."""
    return x.permute(3, 0, 1, 2).contiguous(memory_format=torch.channels_last)


def _from_images(x: Tensor) -> Tensor:
    return x.permute(1, 2, 3, 0).contiguous()
