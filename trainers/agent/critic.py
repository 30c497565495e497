"""The uncertainty-aware critic (FNAS section 4.2): V says which reward an architecture will have, U how wrong V may be.

Both are multilayer perceptrons of four layers with PReLU on the expanded embedding (section 6.1). They see the same
samples, and are computed side by side as one stack of two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainers.agent.flat import Arrays, Flat, take

Floats = npt.NDArray[np.float32]

LAYERS = 4
VALUE, UNCERTAINTY = "value", "uncertainty"
"""Its blocks of the state."""
_BOTH, _U = slice(None), slice(1, 2)
_SLOPE = 0.25  # of PReLU for negative numbers, at first (He et al. 2015)


class Prediction(NamedTuple):
    """V and U of architectures, (n,) each."""

    values: Floats
    uncertainties: Floats


class Losses(NamedTuple):
    """L_V = |V - R| and L_U = |U - L_V| (FNAS, equations 3 and 4), the means over samples."""

    value: float
    uncertainty: float


class _Layer(NamedTuple):
    """What a layer reads, and what PReLU then sees of its output below zero, (2, n, units)."""

    entering: Tensor
    negative: Tensor


class Critic(Flat):
    """V and U, in whatever unit the rewards have that they are taught. Gradients are written out.

    Args:
        choices: number of choices at each position.
        hidden: units of each hidden layer.
    """

    def __init__(self, choices: Sequence[int], hidden: int) -> None:
        self._rows = torch.tensor(np.cumsum([0, *choices[:-1]]))
        self._inputs = sum(choices)
        widths = [self._inputs, *[hidden] * (LAYERS - 1), 1]
        shapes: dict[str, Sequence[int]] = {}
        for layer in range(LAYERS):
            shapes[f"weight{layer}"] = (2, widths[layer], widths[layer + 1])
            shapes[f"bias{layer}"] = (2, 1, widths[layer + 1])
            if layer < LAYERS - 1:
                shapes[f"slope{layer}"] = (2, 1, 1)
        super().__init__(shapes)

    def initialise(self, rng: np.random.Generator) -> None:
        """Sets all weights anew, as PyTorch's linear layers have them: uniform within 1 / sqrt(inputs)."""
        arrays = self.arrays()
        for layer in range(LAYERS):
            bound = arrays[f"weight{layer}"].shape[1] ** -0.5
            for name in (f"weight{layer}", f"bias{layer}"):
                arrays[name][...] = rng.uniform(-bound, bound, arrays[name].shape).astype(np.float32)
            if layer < LAYERS - 1:
                arrays[f"slope{layer}"][...] = _SLOPE

    def split(self) -> dict[str, Arrays]:
        """Returns the weights of V and of U, by block and name."""
        arrays = self.arrays()
        blocks = enumerate((VALUE, UNCERTAINTY))
        return {block: {name: values[index] for name, values in arrays.items()} for index, block in blocks}

    def join(self, state: Mapping[str, Arrays]) -> None:
        """Takes over what `split` gave; raises `InvalidAgentRequest` if it is not of such networks."""
        for index, block in enumerate((VALUE, UNCERTAINTY)):
            take(state.get(block, {}), block, {name: values[index] for name, values in self.arrays().items()})

    def expand(self, genes: npt.NDArray[np.int16]) -> Tensor:
        """Returns the expanded embeddings, one-hot vectors one after the other: (n, sum of choices)."""
        places = torch.from_numpy(genes.astype(np.int64)) + self._rows
        return torch.zeros(len(genes), self._inputs).scatter_(1, places, 1.0)

    def predict(self, genes: npt.NDArray[np.int16]) -> Prediction:
        """Returns what V and U say."""
        values, uncertainties = self._forward(self.expand(genes))[0].numpy()
        return Prediction(values, uncertainties)

    def predict_uncertainties(self, genes: npt.NDArray[np.int16]) -> Floats:
        """Returns what U says, (n,), without asking V."""
        return self._forward(self.expand(genes), _U)[0][0].numpy()

    def teach(self, genes: npt.NDArray[np.int16], rewards: Tensor, errors: Tensor) -> Losses:
        """Returns the losses on n samples, and sets `gradient` to that of their sum.

        Args:
            genes: int16, (n, T).
            rewards: R, (n,).
            errors: L_V as it was before V had learned from the sample, (n,): numbers, so no gradient of L_U reaches V.
                The loss after learning would say that V knows all that it was taught.
        """
        predicted, layers = self._forward(self.expand(genes))
        wrong = predicted - torch.stack([rewards, errors])
        value, uncertainty = wrong.abs().mean(dim=1).tolist()
        self._back(torch.sign(wrong).div_(len(genes)).unsqueeze(2), layers)
        return Losses(value, uncertainty)

    def _forward(self, embeddings: Tensor, which: slice = _BOTH) -> tuple[Tensor, list[_Layer]]:
        """Returns V and U, (2, n), of expanded embeddings, (n, sum of choices), and what each layer saw."""
        given = {name: values[which] for name, values in self._parameters.items()}
        found, layers = embeddings.expand(len(given["bias0"]), *embeddings.shape), []
        for layer in range(LAYERS):
            entering = found
            found = torch.baddbmm(given[f"bias{layer}"], entering, given[f"weight{layer}"])
            negative = found.clamp(max=0)
            layers.append(_Layer(entering, negative))
            if layer < LAYERS - 1:
                found.addcmul_(negative, given[f"slope{layer}"] - 1)
        return found.squeeze(2), layers

    def _back(self, gradient: Tensor, layers: list[_Layer]) -> None:
        """Sets the gradients of all weights from that of V and U, (2, n, 1)."""
        for layer in range(LAYERS - 1, -1, -1):
            torch.bmm(layers[layer].entering.transpose(1, 2), gradient, out=self._gradients[f"weight{layer}"])
            torch.sum(gradient, 1, keepdim=True, out=self._gradients[f"bias{layer}"])
            if layer > 0:
                slope, negative = f"slope{layer - 1}", layers[layer - 1].negative
                gradient = torch.bmm(gradient, self._parameters[f"weight{layer}"].transpose(1, 2))
                torch.sum(gradient * negative, (1, 2), keepdim=True, out=self._gradients[slope])
                gradient.addcmul_(gradient * torch.sign(negative), 1 - self._parameters[slope])
