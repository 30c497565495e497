"""What a candidate of the `cell` trainer means on this machine: its genotype, its data, its network."""

from __future__ import annotations

import os
from typing import NamedTuple, cast

import torch
from torch.utils import deterministic

from store.records.candidates import Candidate, Recipe
from strategies.spaces import registry as spaces
from trainers import datasets, schedule
from trainers import proxy as settings
from trainers.cost import Cost, cost
from trainers.datasets import Images
from trainers.errors import ImpossibleSetting
from trainers.job import Job
from trainers.networks.network import AnyGenotype, Network, build
from trainers.networks.shape import Shape
from trainers.options import CellOptions


class Plan(NamedTuple):
    """What a candidate asks for, decoded and checked.

    Attributes:
        candidate: as it was asked for.
        genotype: its cells.
        images: the training split of its data set.
        shape: its network's, for these images.
        device: where it runs.
    """

    candidate: Candidate
    genotype: AnyGenotype
    images: Images
    shape: Shape
    device: torch.device

    @classmethod
    def of(cls, job: Job, candidate: Candidate) -> Plan:
        """Decodes a job's candidate and loads its data set.

        Raises:
            InvalidArchitecture: if the genes are not of the space.
            DataError: if the data set cannot be used.
            StoreError: if its decoded images cannot be kept.
            Stopping: if the job is asked to stop while they are decoded.
            ImpossibleSetting: if the proxy does not fit the images or the networks of the space.
        """
        device = torch.device(job.device)
        make_deterministic(device)
        genotype = spaces.create(candidate.space).decode(candidate.architecture)
        images = datasets.load(candidate.data, job.settings.data_path, job.settings.cache, job.preparing)
        shape = Shape.of(
            candidate.proxy,
            resolution=settings.resolution(candidate.proxy, images.size),
            classes=images.classes,
            input_channels=images.channels,
            auxiliary=cast(CellOptions, job.options).auxiliary,
        )
        return cls(candidate, genotype, images, shape, device)

    @property
    def recipe(self) -> Recipe:
        """How the candidate is trained."""
        return self.candidate.recipe

    def check_recipe(self) -> None:
        """Checks that this trainer can carry out the recipe on this device.

        Raises:
            ImpossibleSetting: if it cannot; the error names the key.
        """
        schedule.check(self.recipe)
        if self.recipe.precision == "bfloat16" and self.device.type == "cpu":
            # Autocast in the plain form: 1.1 times the time of float32 there, 3.7 times that of the form for CPUs
            # (8 cells, C = 8, r = 8, batch 384, torch 2.13, a CPU with avx512_bf16 and amx_bf16).
            expected = "float32 on a CPU, which is faster there, or a CUDA device"
            raise ImpossibleSetting("recipe.precision", self.recipe.precision, expected)

    @property
    def resolution(self) -> int:
        """Pixels of an image's side after resizing."""
        return self.shape.resolution

    def network(self) -> Network:
        """Builds the network; the candidate's seed decides its initial weights."""
        return build(self.genotype, self.shape, seed=self.candidate.seed, device=self.device)

    def cost(self) -> Cost:
        """Counts parameters, and multiply-adds of one image."""
        return cost(self.genotype, self.shape)


def make_deterministic(device: torch.device) -> None:
    """Asks torch for reproducible operations: all of them on the CPU; those that there are on a GPU."""
    # What `use_deterministic_algorithms` does, without its import of torch's compiler: 2 s of a worker's first job.
    torch.set_deterministic_debug_mode("warn" if device.type == "cuda" else "error")
    deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # nothing here reads such memory
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False
