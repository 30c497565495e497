"""What is exported: a checkpoint's network, rebuilt, and the data that it was trained on."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import torch

from store.checkpoints import CheckpointStore
from store.records.candidates import Candidate
from store.records.checkpoints import CheckpointManifest
from strategies.spaces import registry as spaces
from trainers import datasets, registry, state
from trainers import proxy as settings
from trainers.cost import Cost, cost
from trainers.data import CENTRE
from trainers.datasets import Images
from trainers.errors import ImpossibleSetting
from trainers.networks.network import AnyGenotype, Network, build
from trainers.networks.shape import Shape
from trainers.options import CellOptions
from trainers.sources import Told, silent


class Source(NamedTuple):
    """A trained network and all that is known of it in the store.

    Attributes:
        candidate: what was trained.
        checkpoint: digest of the manifest that holds the weights.
        manifest: that manifest.
        genotype: the network's cells.
        shape: its width, depth and images, with the auxiliary head if it was trained with one.
        network: with the checkpoint's weights, in evaluation mode, in the form in which it is trained.
        images: the training images.
        split: which of them were trained on, and their statistics.
    """

    candidate: Candidate
    checkpoint: str
    manifest: CheckpointManifest
    genotype: AnyGenotype
    shape: Shape
    network: Network
    images: Images
    split: datasets.Split

    @classmethod
    def load(
        cls,
        checkpoints: CheckpointStore,
        candidate: Candidate,
        checkpoint: str,
        data_path: str | None,
        cache: str | None = None,
        told: Told = silent,
    ) -> Source:
        """Reads a checkpoint and rebuilds its network on the CPU.

        Args:
            checkpoints: the store's.
            candidate: what was trained.
            checkpoint: digest of the manifest.
            data_path: where the data set lies.
            cache: the store's folder of decoded images.
            told: hears how far it is, where images have to be decoded.

        Raises:
            ImpossibleSetting: if the candidate's trainer trains no network.
            DataError: if the data are not where they should be, or have changed.
            StoreError: if the checkpoint cannot be read.
            CheckpointMismatch: if it is not one of this candidate's.
        """
        if candidate.trainer.name != "cell":
            raise ImpossibleSetting("trainer.name", candidate.trainer.name, "cell: no other trainer has weights")
        loaded = checkpoints.load(checkpoint)
        genotype = spaces.create(candidate.space).decode(candidate.architecture)
        images = datasets.load(candidate.data, data_path, cache, told)
        shape = Shape.of(
            candidate.proxy,
            resolution=settings.resolution(candidate.proxy, images.size),
            classes=images.classes,
            input_channels=images.channels,
            auxiliary=cast(CellOptions, registry.options(candidate.trainer)).auxiliary,
        )
        network = build(genotype, shape, seed=candidate.seed)
        state.restore(checkpoint, loaded.tensors, network)
        split = datasets.split(images, candidate.data)
        return cls(candidate, checkpoint, loaded.manifest, genotype, shape, network.eval(), images, split)

    @property
    def exported_shape(self) -> Shape:
        """The shape of what is exported: an auxiliary head serves training only, and is left out."""
        return self.shape._replace(auxiliary=False)

    def cost(self) -> Cost:
        """Counts what is exported."""
        return cost(self.genotype, self.exported_shape)

    def preprocessing(self) -> dict[str, Any]:
        """Returns how an image becomes the network's input, as JSON."""
        native, size = self.images.size, self.shape.resolution
        boxed = self.candidate.recipe.crop == "resized"
        steps = [f"images of {native} x {native} pixels, {self.images.channels} colour channels, values 0 to 255"]
        if self.candidate.data.image_size is not None:
            steps.insert(0, f"resized so that the shorter side has {native} pixels (PIL, bilinear); the middle of that")
        if self.candidate.data.name == "digits":
            steps.insert(0, "scikit-learn's values 0 to 16 times 255 / 16, rounded")
        if boxed:
            side = max(1, round(CENTRE * native))
            steps.append(f"the middle {side} x {side} pixels, from row and column {(native - side) // 2}")
        if boxed or size != native:
            steps.append(f"resized to {size} x {size} pixels, bilinear with antialiasing, as by PIL or torch")
        steps.append("divided by 255, less `mean`, divided by `std`, by channel; laid out as (N, C, H, W), float32")
        return {
            "resolution": size,
            "channels": self.images.channels,
            "class_names": list(self.images.class_names),
            "native_resolution": native,
            "mean": list(self.split.mean),
            "std": list(self.split.std),
            "steps": steps,
        }

    def random_images(self, count: int) -> torch.Tensor:
        """Returns images (count, C, r, r) of normally distributed numbers, the same at every call."""
        generator = torch.Generator().manual_seed(0)
        shape = self.shape
        return torch.randn(count, shape.input_channels, shape.resolution, shape.resolution, generator=generator)
