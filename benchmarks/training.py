"""Images per second of the reduced training loop, against a plain eager PyTorch loop of the same network.

    python benchmarks/training.py [--quick] [--data FILE.npz or DIR] [--threads N] [--channels 8] [--resolution 8] ...

The network is DARTS_V2, 20 cells, in EcoNAS's setting c4 r4 (C = 8, r = 8), batch 384. The peer is what a paper's
script does: one module per operation, `torch.optim.SGD`, `.item()` at each step, and a torchvision DataLoader with PIL
transforms (RandomCrop(32, 4), Resize(r), flip, ToTensor, Normalize) in two processes of its own. Between the peer and
coldframe stand the steps from one to the other, so that it can be seen what gave how much. All run in turns, several
times over, in this one process. Images are CIFAR-10 if `--data` or COLDFRAME_CIFAR10 names it
(an .npz or a folder of images), else random ones of the same size.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from textbook_network import Network
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from store.records.candidates import Data, Proxy, Recipe
from strategies.spaces.published import PUBLISHED
from trainers import datasets
from trainers.data import DeviceData, Epoch
from trainers.datasets import Images, Split
from trainers.networks.network import Scores, build
from trainers.networks.shape import Shape
from trainers.step import SGD, Sums, train_step
from trainers.vision import import_torchvision

CPU = torch.device("cpu")
AIM = 1.5
Step = Callable[[], None]


class Contender(NamedTuple):
    """A loop that is timed: what it is, and one step of it."""

    name: str
    step: Step


class PilImages(Dataset[tuple[Tensor, int]]):
    """The training images as PIL pictures, through transforms, as torchvision's data sets give them."""

    def __init__(self, images: Images, chosen: datasets.Labels, transform: Callable[[Image.Image], Tensor]) -> None:
        self._pixels = np.ascontiguousarray(images.pixels[chosen].transpose(0, 2, 3, 1))
        self._labels, self._transform = images.labels[chosen], transform

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._transform(Image.fromarray(self._pixels[index])), int(self._labels[index])


def main() -> None:
    """Runs the benchmark and prints its tables."""
    options = parse()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    images = load(options.data)
    split = datasets.split(images, Data(name="benchmark", fingerprint=""))
    contenders = make(options, images, split)
    seconds: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for contender in contenders:
        timed(contender, 1)  # first use: threads, oneDNN's primitives, the loader's processes
    for _ in range(options.rounds):
        for contender in contenders:
            seconds[contender.name].append(timed(contender, options.steps))
    report(options, images, {name: [each / options.steps for each in rounds] for name, rounds in seconds.items()})
    report_data(options, images, split)


def parse() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 rounds of 2 steps instead of 5 of 4")
    parser.add_argument("--data", default=os.environ.get("COLDFRAME_CIFAR10"), help="CIFAR-10 as .npz or folder")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--loader-workers", type=int, default=2, help="processes of the peer's DataLoader")
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--resolution", type=int, default=8)
    parser.add_argument("--cells", type=int, default=20)
    parser.add_argument("--batch", type=int, default=384)
    options = parser.parse_args()
    options.rounds, options.steps = (2, 2) if options.quick else (5, 4)
    return options


def load(path: str | None) -> Images:
    """Returns CIFAR-10, or 5,000 random images."""
    if path:
        return datasets.read("npz" if Path(path).suffix == ".npz" else "image_folder", path)
    rng = np.random.default_rng(0)
    return Images("random", rng.integers(0, 256, (5000, 3, 32, 32), dtype=np.uint8), rng.integers(0, 10, 5000), 10)


def make(options: argparse.Namespace, images: Images, split: Split) -> list[Contender]:
    """Returns the peer, the steps between, and coldframe, in this order."""
    genotype = PUBLISHED["DARTS_V2"]
    size = {"channels": options.channels, "cells": options.cells, "classes": images.classes}
    data = DeviceData(images, split, Proxy(resolution=options.resolution), recipe_of(options), 0, CPU)

    def textbook() -> Network:
        return Network(genotype, **size).train()

    fast = build(genotype, Shape(**size, resolution=options.resolution), seed=0).train()
    if parameters(fast) != parameters(textbook()):
        raise SystemExit("the two networks are not of one size")
    pictures = pil(options, images, split)
    last = textbook().to(memory_format=torch.channels_last)
    return [
        Contender("peer: DataLoader with PIL, plain eager loop", peer_step(options, textbook(), pictures)),
        Contender("+ images and augmentation in memory", peer_step(options, textbook(), resident(data))),
        Contender("+ coldframe's step (flat SGD, no .item())", our_step(options, Scored(textbook()), resident(data))),
        Contender("+ channels_last", our_step(options, Scored(last), channels_last(resident(data)))),
        Contender("coldframe: + its network for the CPU", our_step(options, fast, resident(data))),
    ]


class Scored(nn.Module):
    """The textbook network, answering as coldframe's networks do."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Scores:
        """Classifies images."""
        return Scores(self.network(images), None)


def parameters(network: nn.Module) -> int:
    """Returns how many there are."""
    return sum(each.numel() for each in network.parameters())


def peer_step(options: argparse.Namespace, network: Network, batches: Iterator[tuple[Tensor, Tensor]]) -> Step:
    """A step as in DARTS `cnn/train.py`."""
    recipe = recipe_of(options)
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=recipe.momentum, weight_decay=recipe.weight_decay)
    criterion = nn.CrossEntropyLoss()
    totals = {"loss": 0.0, "correct": 0.0}

    def step() -> None:
        inputs, labels = next(batches)
        optimizer.zero_grad()
        logits = network(inputs)
        loss = criterion(logits, labels)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), recipe.gradient_clip)
        optimizer.step()
        totals["loss"] += loss.item() * len(labels)
        totals["correct"] += (logits.argmax(1) == labels).sum().item()

    return step


def our_step(options: argparse.Namespace, network: nn.Module, batches: Iterator[tuple[Tensor, Tensor]]) -> Step:
    """A step of `trainers.cell`."""
    recipe = recipe_of(options)
    optimizer, sums = SGD(network, recipe), Sums.zero(CPU)

    def step() -> None:
        inputs, labels = next(batches)
        train_step(network, optimizer, inputs, labels, 0.1, recipe.gradient_clip, sums)
        if not sums.finite:
            raise SystemExit("the loss is not finite")

    return step


def resident(data: DeviceData) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields coldframe's batches, epoch after epoch."""
    number = 0
    while True:
        number += 1
        epoch = Epoch(data, 0, number)
        yield from (epoch.batch(step) for step in range(data.steps))


def channels_last(batches: Iterator[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields the same batches in that memory format."""
    for inputs, labels in batches:
        yield inputs.contiguous(memory_format=torch.channels_last), labels


def pil(options: argparse.Namespace, images: Images, split: Split) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields batches of a DataLoader with the papers' transforms, epoch after epoch."""
    transforms = import_torchvision().transforms
    transform = transforms.Compose(
        [
            transforms.RandomCrop(images.size, 4),
            transforms.Resize(options.resolution),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(split.mean, split.std),
        ]
    )
    pictures = PilImages(images, split.train, transform)
    loader = DataLoader(
        pictures,
        options.batch,
        shuffle=True,
        drop_last=True,
        num_workers=options.loader_workers,
        persistent_workers=options.loader_workers > 0,
    )
    while True:
        yield from loader


def recipe_of(options: argparse.Namespace) -> Recipe:
    """EcoNAS's reduced setting."""
    return Recipe(batch_size=options.batch)


def timed(contender: Contender, steps: int) -> float:
    """Returns the seconds that some steps take."""
    start = time.perf_counter()
    for _ in range(steps):
        contender.step()
    return time.perf_counter() - start


def report(options: argparse.Namespace, images: Images, rounds: dict[str, list[float]]) -> None:
    """Prints the table of loops, from each one's seconds per step by round."""
    print(
        f"DARTS_V2, {options.cells} cells, C = {options.channels}, r = {options.resolution}, batch {options.batch}, "
        f"{options.threads} thread(s), {images.name} images\n"
        f"{options.rounds} rounds of {options.steps} steps, the loops in turns; by the median round, and the fastest\n"
        f"torch {torch.__version__}, {platform.processor() or platform.machine()}, {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f}\n"
    )
    print(f"{'loop':44} {'ms/step':>8} {'images/s':>9} {'ratio':>6} {'gain':>6} {'fastest':>10} {'ratio':>6}")
    times = {name: statistics.median(each) for name, each in rounds.items()}
    fastest = {name: min(each) for name, each in rounds.items()}
    first, last = next(iter(rounds)), list(rounds)[-1]
    before = first
    for name, each in times.items():
        print(
            f"{name:44} {1000 * each:8.0f} {options.batch / each:9.0f} {times[first] / each:6.2f} "
            f"{times[before] / each:6.2f} {1000 * fastest[name]:7.0f} ms {fastest[first] / fastest[name]:6.2f}"
        )
        before = name
    ratio = times[first] / times[last]
    print(f"\ncoldframe / peer: {ratio:.2f}, by the fastest rounds {fastest[first] / fastest[last]:.2f}")
    print(f"aim {AIM}: {'reached' if ratio >= AIM else 'NOT reached'}")


def report_data(options: argparse.Namespace, images: Images, split: Split) -> None:
    """Prints what the two ways of making batches take by themselves."""
    data = DeviceData(images, split, Proxy(resolution=options.resolution), recipe_of(options), 0, CPU)
    ways = {"DataLoader with PIL": pil(options, images, split), "in memory, in this process": resident(data)}
    print(f"\n{'batches alone':44} {'ms/step':>9} {'images/s':>9}")
    for name, batches in ways.items():
        next(batches)
        each = timed(Contender(name, lambda batches=batches: next(batches)), 8) / 8
        print(f"{name:44} {1000 * each:9.1f} {options.batch / each:9.0f}")


if __name__ == "__main__":
    main()
