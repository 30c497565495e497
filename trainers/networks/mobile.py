"""Mobile networks: stem, layers of depthwise convolutions or inverted residuals, a last convolution, a classifier.

As MobileNetV2 (section 3.4), MnasNet and EfficientNet have them, and torchvision and timm count them. A projection is
followed by no activation. Batch normalisation has the constants of all networks here, not those of TensorFlow's code.
"""

from __future__ import annotations

from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from strategies.spaces.mobile import Layer, MobileGenotype
from trainers.networks.base import Network
from trainers.networks.forms import Activation, BatchNorm, Form
from trainers.networks.operations import ConvNorm, Linear, Operation
from trainers.networks.shape import Shape, check_mobile


class DepthwiseNorm(nn.Module):
    """Depthwise convolution, batch normalisation."""

    def __init__(self, channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.depthwise = nn.Parameter(torch.empty(channels, 1, kernel, kernel))
        self.norm = BatchNorm(channels)

    def forward(self, x: Tensor, form: Form) -> Tensor:
        """Applies both to a tensor in the form's layout."""
        return form.normalise(form.depthwise(x, self.depthwise, stride=self.stride, dilation=1), self.norm)


class Pointwise(nn.Module):
    """A 1 x 1 convolution with bias."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, channels_in, 1, 1))
        self.bias = nn.Parameter(torch.empty(channels))

    def forward(self, x: Tensor, form: Form) -> Tensor:
        """Maps `channels_in` to `channels`."""
        return form.shift(form.pointwise(x, self.weight), self.bias)


class SqueezeExcitation(nn.Module):
    """Multiplies channels by what two small layers make of their means (Hu et al. 2018).

    Args:
        channels: of the tensor.
        inside: between the two layers.
        activation: after the first; a sigmoid follows the second.
    """

    def __init__(self, channels: int, inside: int, activation: Activation) -> None:
        super().__init__()
        self.activation = activation
        self.reduce = Pointwise(channels, inside)
        self.expand = Pointwise(inside, channels)

    def forward(self, x: Tensor, form: Form) -> Tensor:
        """Scales a tensor in the form's layout."""
        inside = form.activate_(self.reduce(form.mean_pixel(x), form), self.activation)
        return form.gate(x, form.activate_(self.expand(inside, form), "sigmoid"))


class MobileLayer(Operation):
    """A convolution, a depthwise separable convolution, or an inverted residual; what it adds; see `Layer`."""

    rectifies = False
    optional: ClassVar[frozenset[str]] = frozenset({"excite"})

    def __init__(self, layer: Layer, activation: Activation) -> None:
        super().__init__()
        self.activation, self.skip, self.stride = activation, layer.skip, layer.stride
        kernel, stride = (layer.kernel, layer.kernel), layer.stride
        self.expand = ConvNorm(layer.inputs, layer.middle, ((1, 1),)) if layer.operation == "ir" else None
        self.convolve: ConvNorm | DepthwiseNorm
        if layer.operation == "cn":
            self.convolve = ConvNorm(layer.inputs, layer.middle, (kernel,), stride)
        else:
            self.convolve = DepthwiseNorm(layer.middle, layer.kernel, stride)
        self.excite = SqueezeExcitation(layer.middle, layer.squeeze, activation) if layer.squeeze else None
        self.project = None if layer.operation == "cn" else ConvNorm(layer.middle, layer.outputs, ((1, 1),))

    def forward(self, x: Tensor, form: Form) -> Tensor:
        """Maps a tensor in the form's layout."""
        y = x
        if self.expand is not None:
            y = form.activate_(self.expand(y, form), self.activation)
        y = form.activate_(self.convolve(y, form), self.activation)
        if self.excite is not None:
            y = self.excite(y, form)
        if self.project is not None:
            y = self.project(y, form)
        if self.skip == "none":
            return y
        added = x if self.skip == "identity" else form.average_pool(x, kernel=3, stride=self.stride, padding=1)
        return form.add(y, added)


class MobileNetwork(Network):
    """The network of a mobile genotype. It has neither path dropout nor an auxiliary head.

    Its blocks are the stem, the layers, and the last convolution, called `features`.

    Args:
        genotype: the blocks of layers.
        shape: see `Shape`; the stem's channels, to which all others are in proportion, and the ImageNet stem for the
            published strides.
        form: how operations are carried out.

    Raises:
        ImpossibleSetting: if such networks cannot have the shape.
    """

    def __init__(self, genotype: MobileGenotype, shape: Shape, form: Form) -> None:
        super().__init__(form)
        check_mobile(shape)
        small = shape.stem != "imagenet"
        self.activation: Activation = genotype.activation
        ends = genotype.ends(shape.channels, small=small)
        self.stem = ConvNorm(shape.input_channels, ends.stem, ((3, 3),), ends.stride)
        self._layers: list[str] = []
        for layer in genotype.layers(shape.channels, small=small):
            self._layers.append(layer.name)
            self.add_module(layer.name, MobileLayer(layer, self.activation))
            last = layer.outputs
        self.features = ConvNorm(last, ends.features, ((1, 1),))
        self.head = Linear(ends.features, shape.classes)

    def _features(self, images: Tensor, form: Form, everything: bool, keep: Tensor | None) -> list[Tensor]:
        x = form.activate_(self.stem(form.enter(images), form), self.activation)
        for name in self._layers:
            x = cast(MobileLayer, self.get_submodule(name))(x, form)
        return [form.global_mean(form.activate_(self.features(x, form), self.activation))]
