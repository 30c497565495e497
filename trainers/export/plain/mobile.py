"""Mobile networks (MnasNet, EfficientNet, MobileNetV2) in plain PyTorch."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from trainers.export.plain.operations import ConvNorm


class DepthwiseNorm(nn.Module):
    """A convolution of each channel by itself, batch normalisation."""

    def __init__(self, channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, kernel, stride, kernel // 2, groups=channels, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, C, H, W) to (N, C, H / stride, W / stride)."""
        normalised: Tensor = self.norm(self.depthwise(x))
        return normalised


class SqueezeExcitation(nn.Module):
    """Multiplies channels by what two small layers make of their means."""

    def __init__(self, channels: int, inside: int, name: str) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, inside, 1)
        self.activation = activation(name)
        self.expand = nn.Conv2d(inside, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Scales the channels of (N, C, H, W)."""
        inside: Tensor = self.activation(self.reduce(functional.adaptive_avg_pool2d(x, 1)))
        scale: Tensor = self.expand(inside).sigmoid()
        return x * scale


class MobileLayer(nn.Module):
    """A convolution (cn), a depthwise and a pointwise one (ds), or an inverted residual (ir).

    Args:
        layer: `operation`, `kernel`, `stride`, channels `inputs`, `middle`, `outputs`, and inside `squeeze` (0: none);
            `skip`, what is added: the input (`identity`), its mean over 3 x 3 pixels (`pool`), nothing (`none`).
        name: of the activation.
    """

    def __init__(self, layer: dict[str, Any], name: str) -> None:
        super().__init__()
        inputs, middle, outputs = layer["inputs"], layer["middle"], layer["outputs"]
        kernel, stride, dense = layer["kernel"], layer["stride"], layer["operation"] == "cn"
        self.activation, self.skip, self.stride = activation(name), layer["skip"], stride
        if layer["operation"] == "ir":
            self.expand = ConvNorm(inputs, middle, [(1, 1)], rectify=False)
        self.convolve: nn.Module
        if dense:
            self.convolve = ConvNorm(inputs, middle, [(kernel, kernel)], stride, rectify=False)
        else:
            self.convolve = DepthwiseNorm(middle, kernel, stride)
        self.excite = SqueezeExcitation(middle, layer["squeeze"], name) if layer["squeeze"] else nn.Identity()
        self.project = nn.Identity() if dense else ConvNorm(middle, outputs, [(1, 1)], rectify=False)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        y = self.activation(self.expand(x)) if hasattr(self, "expand") else x
        y = self.project(self.excite(self.activation(self.convolve(y))))
        if self.skip == "identity":
            y = y + x
        if self.skip == "pool":
            y = y + functional.avg_pool2d(x, 3, self.stride, 1, count_include_pad=False)
        result: Tensor = y
        return result


class Network(nn.Module):
    """Stem, layers, a last pointwise convolution, mean, classifier.

    Args:
        genotype: `activation`, and as what the layers were found: `blocks` at the published width.
        stem: channels of the stem.
        stride: of the stem.
        layers: see `MobileLayer`; each has a `name`.
        features: channels of the last convolution.
        classes: number of classes.
        input_channels: colour channels of an image.
    """

    def __init__(
        self,
        genotype: dict[str, Any],
        *,
        stem: int,
        stride: int,
        layers: list[dict[str, Any]],
        features: int,
        classes: int,
        input_channels: int = 3,
    ) -> None:
        super().__init__()
        self.activation = activation(genotype["activation"])
        self.stem = ConvNorm(input_channels, stem, [(3, 3)], stride, rectify=False)
        self.names = [layer["name"] for layer in layers]
        for layer in layers:
            self.add_module(layer["name"], MobileLayer(layer, genotype["activation"]))
        self.features = ConvNorm(layers[-1]["outputs"], features, [(1, 1)], rectify=False)
        self.head = nn.Linear(features, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Maps preprocessed images (N, input_channels, H, W) to logits (N, classes)."""
        x = self.activation(self.stem(images))
        for name in self.names:
            x = self.get_submodule(name)(x)
        x = self.activation(self.features(x))
        logits: Tensor = self.head(functional.adaptive_avg_pool2d(x, 1).flatten(1))
        return logits


def activation(name: str) -> nn.Module:
    """Returns the activation of a name."""
    return {"relu": nn.ReLU, "relu6": nn.ReLU6, "silu": nn.SiLU}[name]()
