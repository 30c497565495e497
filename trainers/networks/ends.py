"""What stands around the cells: the stem for large images, and the auxiliary head of training (DARTS)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainers.networks.forms import BatchNorm, Form
from trainers.networks.operations import ConvNorm, Linear
from trainers.networks.shape import Stem

_FEATURES = 768


class StridedStem(nn.Module):
    """The first stem of the ImageNet networks: two 3 × 3 convolutions of stride 2, which divide the size by four."""

    def __init__(self, input_channels: int, channels: int) -> None:
        super().__init__()
        self.first = ConvNorm(input_channels, channels // 2, ((3, 3),), stride=2)
        self.second = ConvNorm(channels // 2, channels, ((3, 3),), stride=2)

    def forward(self, x: Tensor, form: Form) -> Tensor:
        """Maps images in the form's layout to `channels` channels."""
        first: Tensor = self.first(x, form)
        second: Tensor = self.second(form.relu_(first), form)
        return second


class AuxiliaryHead(nn.Module):
    """A second classifier, on the output of the second reduction cell.

    For small images that output has 8 to 10 pixels a side and is pooled with stride 3; for those with the ImageNet
    stem it has 7 or 8, is pooled with stride 2, and the last convolution has no batch normalisation, as in the code
    that DARTS was published with (AutoDL-Projects has one there, 1,536 parameters more).

    Args:
        channels: of that output.
        classes: number of classes.
        stem: which of the two.
    """

    def __init__(self, channels: int, classes: int, stem: Stem) -> None:
        super().__init__()
        self.stride = 2 if stem == "imagenet" else 3
        self.reduce = ConvNorm(channels, 128, ((1, 1),))
        self.spread = nn.Parameter(torch.empty(_FEATURES, 128, 2, 2))
        self.norm = None if stem == "imagenet" else BatchNorm(_FEATURES)
        self.linear = Linear(_FEATURES, classes)

    def forward(self, x: Tensor, form: Form) -> Tensor:
        """Returns features (N, 768) of a rectified tensor; `linear` makes them logits."""
        x = form.relu_(self.reduce(form.average_pool(x, kernel=5, stride=self.stride, padding=0), form))
        x = form.convolve(x, self.spread)
        return form.flatten(form.relu_(x if self.norm is None else form.normalise(x, self.norm)))
