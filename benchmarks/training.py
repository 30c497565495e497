"""Images per second of training in the reduced setting, against a plain eager PyTorch loop of the same network.

    python benchmarks/training.py [--quick] [--data FILE.npz or DIR] [--threads N] [--channels 8] [--resolution 8] ...

The networks have 20 cells in EcoNAS's setting c4 r4 (C = 8, r = 8), batches of 384: DARTS_V2, and random cells of
EcoNAS's space. The peer is what a paper's script does (`textbook_loop.py`, `textbook_network.py`). Its pipeline and the
validation count: what is compared is the time of an epoch of 45,000 training and 5,000 validation images, put together
from steps and validation batches that are timed in turns, several times over, in this one process.

On DARTS_V2 what stands between the peer and coldframe is added one technique after another, so that it can be seen
what gave how much. Images are CIFAR-10 if `--data` or COLDFRAME_CIFAR10 names it (an .npz or a folder of images), else
random ones of the same size.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import textbook_loop as textbook
import torch
from textbook_network import Network as TextbookNetwork
from torch import Tensor, nn

from store.records.candidates import Data, Named, Proxy, Recipe
from strategies.spaces import registry as spaces
from strategies.spaces.genotype import Genotype
from strategies.spaces.published import PUBLISHED
from trainers import datasets
from trainers.data import DeviceData, Epoch
from trainers.datasets import Images, Split
from trainers.networks.network import Scores, build
from trainers.networks.shape import Shape
from trainers.sgd import SGD
from trainers.step import Batch, Sums, evaluate, train_step

CPU = torch.device("cpu")
AIM = 2.0
TRAINING_IMAGES, VALIDATION_IMAGES = 45_000, 5_000


class Contender(NamedTuple):
    """A loop that is timed: what it is, one training step, and the scoring of a batch, which gives its images."""

    name: str
    step: Callable[[], None]
    score: Callable[[], int]


class Times(NamedTuple):
    """Seconds of a training step, and of a validation image."""

    step: float
    image: float


class Setting(NamedTuple):
    """What all contenders of a network share."""

    options: argparse.Namespace
    images: Images
    split: Split
    data: DeviceData
    recipe: Recipe


class Scored(nn.Module):
    """A textbook network, answering as coldframe's networks do."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, *, keep: Tensor | None = None) -> Scores:
        """Classifies images."""
        return Scores(self.network(images), None)


def main() -> None:
    """Runs the benchmark and prints its tables."""
    options = parse()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    images = load(options.data)
    split = datasets.split(images, Data(name="benchmark", fingerprint=""))
    recipe = Recipe(batch_size=options.batch)
    data = DeviceData(images, split, Proxy(resolution=options.resolution), recipe, 0, CPU)
    setting = Setting(options, images, split, data, recipe)
    report_conditions(options, images)
    ratios = [report_techniques(setting), report_random(setting)]
    report_data(setting)
    for name, ratio in zip(("DARTS_V2", "mean random cell"), ratios, strict=True):
        print(f"coldframe / peer, {name}: {ratio:.2f}; aim {AIM}: {'reached' if ratio >= AIM else 'NOT reached'}")


def parse() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 rounds of 1 step and 2 random cells, not 5 of 3 and 6")
    parser.add_argument("--data", default=os.environ.get("COLDFRAME_CIFAR10"), help="CIFAR-10 as .npz or folder")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--loader-workers", type=int, default=1, help="processes of the peer's DataLoader")
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--resolution", type=int, default=8)
    parser.add_argument("--cells", type=int, default=20)
    parser.add_argument("--batch", type=int, default=384)
    options = parser.parse_args()
    options.rounds, options.steps, options.random = (2, 1, 2) if options.quick else (5, 3, 6)
    return options


def load(path: str | None) -> Images:
    """Returns CIFAR-10, or 5,000 random images."""
    if path:
        return datasets.read("npz" if Path(path).suffix == ".npz" else "image_folder", path)
    rng = np.random.default_rng(0)
    return Images("random", rng.integers(0, 256, (5000, 3, 32, 32), dtype=np.uint8), rng.integers(0, 10, 5000), 10)


def peer(setting: Setting, network: nn.Module) -> Contender:
    """The paper's loop."""
    options = setting.options
    place = (setting.images, setting.split, options.resolution)
    batches = textbook.training_batches(*place, options.batch, options.loader_workers)
    held_out = textbook.validation_batches(*place, options.batch // 2, options.loader_workers)
    return Contender(
        "peer: DataLoader with PIL, plain eager loop",
        textbook.training_step(network, batches, setting.recipe),
        textbook.validation_step(network, held_out),
    )


def in_memory(setting: Setting, network: nn.Module) -> Contender:
    """The paper's step on coldframe's batches."""
    return Contender(
        "+ images and augmentation in memory",
        textbook.training_step(network, training(setting.data), setting.recipe),
        textbook.validation_step(network, validation(setting.data)),
    )


def ours(setting: Setting, name: str, network: nn.Module, layout: torch.memory_format | None = None) -> Contender:
    """Coldframe's step and scoring, of any network."""
    recipe, optimizer, sums = setting.recipe, SGD(network, setting.recipe), Sums.zero(CPU)
    batches, held_out = laid_out(training(setting.data), layout), laid_out(validation(setting.data), layout)

    def step() -> None:
        network.train()
        train_step(network, optimizer, [Batch(*next(batches))], 1, 0.1, recipe, sums)
        if not sums.finite:
            raise SystemExit("the loss is not finite")

    def score() -> int:
        return evaluate(network, [next(held_out)], CPU).images

    return Contender(name, step, score)


def training(data: DeviceData) -> textbook.Batches:
    """Yields coldframe's batches, epoch after epoch."""
    number = 0
    while True:
        number += 1
        epoch = Epoch(data, 0, number)
        yield from (epoch.batch(step) for step in range(data.steps))


def validation(data: DeviceData) -> textbook.Batches:
    """Yields coldframe's validation batches, over and over."""
    while True:
        yield from data.validation()


def laid_out(batches: Iterable[tuple[Tensor, Tensor]], layout: torch.memory_format | None) -> textbook.Batches:
    """Yields the same batches in a memory format."""
    for inputs, labels in batches:
        yield inputs if layout is None else inputs.contiguous(memory_format=layout), labels


def shape(setting: Setting) -> Shape:
    """Returns that of all networks."""
    options = setting.options
    return Shape(options.channels, options.cells, setting.images.classes, options.resolution)


def textbook_network(setting: Setting, genotype: Genotype) -> TextbookNetwork:
    """Returns the textbook's network, if it is as large as coldframe's."""
    size = shape(setting)
    network = TextbookNetwork(genotype, size.channels, size.cells, size.classes)
    if parameters(network) != parameters(build(genotype, size, seed=0)):
        raise SystemExit("the two networks are not of one size")
    return network


def parameters(network: nn.Module) -> int:
    """Returns how many there are."""
    return sum(each.numel() for each in network.parameters())


def measured(setting: Setting, contenders: list[Contender]) -> dict[str, Times]:
    """Times the contenders in turns; returns the median round of each."""
    options = setting.options
    for contender in contenders:
        contender.step()  # first use: threads, oneDNN's primitives, the loader's processes
        contender.score()
    found: dict[str, list[Times]] = {contender.name: [] for contender in contenders}
    for _ in range(options.rounds):
        for contender in contenders:
            start = time.perf_counter()
            for _ in range(options.steps):
                contender.step()
            middle = time.perf_counter()
            images = contender.score()
            found[contender.name].append(
                Times((middle - start) / options.steps, (time.perf_counter() - middle) / images)
            )
    return {
        name: Times(*(statistics.median(values) for values in zip(*rounds, strict=True)))
        for name, rounds in found.items()
    }


def epoch(setting: Setting, times: Times) -> float:
    """Returns the seconds of an epoch with its validation."""
    return TRAINING_IMAGES / setting.options.batch * times.step + VALIDATION_IMAGES * times.image


def report_conditions(options: argparse.Namespace, images: Images) -> None:
    """Prints what is measured, and where."""
    print(
        f"{options.cells} cells, C = {options.channels}, r = {options.resolution}, batch {options.batch}, "
        f"{options.threads} thread(s), {options.loader_workers} loader process(es), {images.name} images\n"
        f"medians of {options.rounds} rounds of {options.steps} step(s) and a validation batch, the loops in turns\n"
        f"torch {torch.__version__}, {platform.processor() or platform.machine()}, {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f}\n"
    )


def report_techniques(setting: Setting) -> float:
    """Prints what each technique gives on DARTS_V2; returns how many times faster all of them are."""
    genotype, size = PUBLISHED["DARTS_V2"], shape(setting)
    plain = build(genotype, size, seed=0, form="plain")
    last = build(genotype, size, seed=0, form="plain").to(memory_format=torch.channels_last)
    contenders = [
        peer(setting, textbook_network(setting, genotype)),
        in_memory(setting, textbook_network(setting, genotype)),
        ours(setting, "+ coldframe's step (flat SGD, no .item())", Scored(textbook_network(setting, genotype))),
        ours(setting, "+ shared ReLUs and pools, no counters", plain),
        ours(setting, "+ channels_last", last, torch.channels_last),
        ours(setting, "coldframe: batch last, on a tape", build(genotype, size, seed=0)),
    ]
    times = measured(setting, contenders)
    print(f"{'DARTS_V2':44} {'ms/step':>8} {'us/val. image':>13} {'s/epoch':>8} {'ratio':>6} {'gain':>6}")
    seconds = {name: epoch(setting, each) for name, each in times.items()}
    first = before = seconds[contenders[0].name]
    for name, each in times.items():
        print(
            f"{name:44} {1000 * each.step:8.0f} {1e6 * each.image:13.0f} {seconds[name]:8.0f} "
            f"{first / seconds[name]:6.2f} {before / seconds[name]:6.2f}"
        )
        before = seconds[name]
    print()
    return first / before


def report_random(setting: Setting) -> float:
    """Prints the same for random cells, without the steps between; returns how many times faster they are together."""
    space = spaces.create(Named(name="cell"))
    totals = [0.0, 0.0]
    print(f"{'random cells of EcoNAS':44} {'parameters':>10} {'peer s/epoch':>13} {'coldframe':>10} {'ratio':>6}")
    for seed in range(setting.options.random):
        genotype = space.decode(space.random(np.random.default_rng(seed)))
        network = build(genotype, shape(setting), seed=0)
        contenders = [peer(setting, textbook_network(setting, genotype)), ours(setting, "coldframe", network)]
        pair = [epoch(setting, each) for each in measured(setting, contenders).values()]
        totals = [total + each for total, each in zip(totals, pair, strict=True)]
        name = f"seed {seed}"
        print(f"{name:44} {parameters(network):10,} {pair[0]:13.0f} {pair[1]:10.0f} {pair[0] / pair[1]:6.2f}")
    print(f"{'mean':44} {'':10} {totals[0] / (seed + 1):13.0f} {totals[1] / (seed + 1):10.0f}\n")
    return totals[0] / totals[1]


def report_data(setting: Setting) -> None:
    """Prints what the two ways of making batches take by themselves."""
    options = setting.options
    place = (setting.images, setting.split, options.resolution, options.batch, options.loader_workers)
    ways = {"DataLoader": textbook.training_batches(*place), "in memory, in this process": training(setting.data)}
    print(f"{'batches alone':44} {'ms/step':>8} {'images/s':>13}")
    for name, batches in ways.items():
        next(batches)
        start = time.perf_counter()
        for _ in range(8):
            next(batches)
        seconds = (time.perf_counter() - start) / 8
        print(f"{name:44} {1000 * seconds:8.1f} {options.batch / seconds:13.0f}")
    print()


if __name__ == "__main__":
    main()
