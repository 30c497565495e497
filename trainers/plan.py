"""What a candidate of the cell space means on this machine: its genotype, its data, its network."""

from __future__ import annotations

import os
from typing import NamedTuple, cast

import torch
from torch.utils import deterministic

from store.records.candidates import Candidate
from strategies.spaces import registry as spaces
from strategies.spaces.genotype import Genotype
from trainers import datasets
from trainers import proxy as settings
from trainers.cost import Cost, cost
from trainers.datasets import Images
from trainers.errors import ImpossibleSetting
from trainers.job import Job
from trainers.networks.network import CellNetwork, build
from trainers.options import CellOptions


class Plan(NamedTuple):
    """What a candidate asks for, decoded and checked.

    Attributes:
        candidate: as it was asked for.
        genotype: its two cells.
        images: the training split of its data set.
        resolution: pixels of an image's side after resizing.
        auxiliary: whether the network has the auxiliary head.
        device: where it runs.
    """

    candidate: Candidate
    genotype: Genotype
    images: Images
    resolution: int
    auxiliary: bool
    device: torch.device

    @classmethod
    def of(cls, job: Job, candidate: Candidate) -> Plan:
        """Decodes a job's candidate and loads its data set.

        Raises:
            InvalidArchitecture: if the genes are not of the space.
            DataError: if the data set cannot be used.
            ImpossibleSetting: if the proxy does not fit the images, or blocks are to be inherited.
        """
        if candidate.initial:
            raise ImpossibleSetting("candidate.initial", candidate.initial, "no blocks: this trainer inherits none")
        device = torch.device(job.device)
        make_deterministic(device)
        genotype = spaces.create(candidate.space).decode(candidate.architecture)
        images = datasets.load(candidate.data, job.settings.data_path)
        resolution = settings.resolution(candidate.proxy, images.size)
        return cls(candidate, genotype, images, resolution, cast(CellOptions, job.options).auxiliary, device)

    def network(self) -> CellNetwork:
        """Builds the network; the candidate's seed decides its initial weights."""
        return build(
            self.genotype,
            channels=self.candidate.proxy.channels,
            cells=self.candidate.proxy.cells,
            classes=self.images.classes,
            seed=self.candidate.seed,
            input_channels=self.images.channels,
            auxiliary=self.auxiliary,
            resolution=self.resolution,
            device=self.device,
        )

    def cost(self) -> Cost:
        """Counts parameters, and multiply-adds of one image."""
        return cost(
            self.genotype,
            channels=self.candidate.proxy.channels,
            cells=self.candidate.proxy.cells,
            resolution=self.resolution,
            classes=self.images.classes,
            auxiliary=self.auxiliary,
            input_channels=self.images.channels,
        )


def make_deterministic(device: torch.device) -> None:
    """Asks torch for reproducible operations: all of them on the CPU; those that there are on a GPU."""
    torch.use_deterministic_algorithms(True, warn_only=device.type == "cuda")
    deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # nothing here reads such memory
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False
