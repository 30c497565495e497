"""What every network is to its trainer, whatever its genotype: scores, blocks, paths."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

from torch import Tensor, nn

from trainers.networks.forms import Form
from trainers.networks.operations import Linear


class Scores(NamedTuple):
    """What a network says of a batch: (N, classes) each; `auxiliary` only in training with that head."""

    logits: Tensor
    auxiliary: Tensor | None


class Network(nn.Module):
    """Base of the networks.

    The direct children are the blocks in which weights are stored and inherited, so a block's tensors are those whose
    name in the state_dict starts with the block's name and a dot. Convolutions are uninitialised: use `network.build`.

    Args:
        form: how operations are carried out.

    Attributes:
        paths: number of edges whose output path dropout may drop.
        head: the classifier.
    """

    paths: int = 0
    head: Linear

    def __init__(self, form: Form) -> None:
        super().__init__()
        self.form = form

    def forward(self, images: Tensor, *, everything: bool = False, keep: Tensor | None = None) -> Scores:
        """Classifies images.

        Args:
            images: (N, input_channels, H, W).
            everything: also compute what cannot reach the output, as the published code does; for counting.
            keep: (paths, N), for path dropout: 0 where an edge is dropped for an image, else 1 / (1 - probability).
                Each droppable edge's output is multiplied by its row. Nothing is dropped if absent.

        Raises:
            ImpossibleSetting: if the images are of a size that the network cannot take.
        """

        def compute(form: Form) -> list[Tensor]:
            return self._features(images, form, everything, keep)

        features = self.form.run(compute, self._inner)
        return Scores(self.head(features[0]), self._auxiliary_scores(features[1]) if len(features) > 1 else None)

    def blocks(self) -> dict[str, dict[str, Tensor]]:
        """Returns the state by block, in the order of computation: `{"stem": {"weights.0": ...}, "cell00": ...}`."""
        return {name: dict(module.state_dict()) for name, module in self.named_children()}

    def _features(self, images: Tensor, form: Form, everything: bool, keep: Tensor | None) -> list[Tensor]:
        """Returns what the head reads, and what the auxiliary head's linear layer reads if it is wanted: (N, ...)."""
        raise NotImplementedError

    def _auxiliary_scores(self, features: Tensor) -> Tensor:
        """Returns the auxiliary head's logits (N, classes) of its features."""
        raise NotImplementedError

    @cached_property
    def _inner(self) -> list[nn.Parameter]:
        """Parameters of what the form computes: all but those of the linear layers, which are left to autograd."""
        outer = {id(each) for layer in self.modules() if isinstance(layer, Linear) for each in layer.parameters()}
        return [parameter for parameter in self.parameters() if id(parameter) not in outer]
