"""Images per second that NAS-Bench-201's networks train at on the CPU, in each form of execution.

    python benchmarks/nasbench201.py [--quick] [--threads 1] [--batch 256] [--shapes 8x8x5,8x16x5,...]

A shape is channels x pixels x cells. The peers, in the same run, are the library's convolutions on tensors (N, C, H, W)
and with the channels last in memory; a step is forward, loss and backward on random images. All forms run in turns,
several times over; the best round counts, in seconds of the process (others may be busy on the machine). The networks
are the one of 3 x 3 convolutions only, and some drawn at random.
"""

from __future__ import annotations

import argparse
import math
import time
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional

from strategies.spaces.nasbench201 import EDGES, BenchGenotype, BenchSpace
from trainers.networks.base import Network
from trainers.networks.network import FormName, build, fastest
from trainers.networks.shape import Shape
from trainers.plan import make_deterministic
from trainers.process import keep_memory

CPU = torch.device("cpu")
FORMS: tuple[FormName, ...] = ("plain", "channels_last", "batch_last")
CLASSES = 10


class Contender(NamedTuple):
    """A network in a form, and what it is given."""

    form: FormName
    network: Network
    images: torch.Tensor
    labels: torch.Tensor

    def step(self) -> float:
        """Trains on the batch without moving the weights; returns the seconds that it took this process."""
        start = time.process_time()
        functional.cross_entropy(self.network(self.images).logits, self.labels).backward()  # type: ignore[no-untyped-call]
        seconds = time.process_time() - start
        self.network.zero_grad()
        return seconds


def main() -> None:
    """Runs the benchmark and prints its table."""
    options = parse()
    torch.set_num_threads(options.threads)
    make_deterministic(CPU)
    keep_memory()  # as workers do; it is for all forms
    print(f"torch {torch.__version__}, threads {options.threads}, batch {options.batch}, best of {options.rounds}")
    print("images per second of training; the peers are plain and (channels) last")
    print(f"{'C x r x cells':<14} {'network':<12} {'plain':>8} {'last':>8} {'ours':>8}  {'ours/best peer':>14}  chosen")
    ratios = []
    for shape in options.shapes:
        for name, genotype in genotypes(options.networks).items():
            ratios.append(compare(options, shape, name, genotype))
    print(f"geometric mean of chosen form / best peer: {math.exp(sum(map(math.log, ratios)) / len(ratios)):.2f}")


def parse() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 rounds and 2 networks")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--shapes", default="8x8x5,8x16x5,16x16x5,8x8x17,16x32x5")
    options = parser.parse_args()
    options.rounds, options.networks = (2, 1) if options.quick else (5, 4)
    sizes = [[int(number) for number in text.split("x")] for text in options.shapes.split(",")]
    options.shapes = [Shape(channels, cells, CLASSES, pixels) for channels, pixels, cells in sizes]
    return options


def genotypes(count: int) -> dict[str, BenchGenotype]:
    """Returns the network of 3 x 3 convolutions and `count` random ones."""
    space, rng = BenchSpace(), np.random.default_rng(3)
    drawn = {f"random {index}": space.decode(space.random(rng)) for index in range(count)}
    return {"conv 3x3": BenchGenotype(("nor_conv_3x3",) * len(EDGES)), **drawn}


def compare(options: argparse.Namespace, shape: Shape, name: str, genotype: BenchGenotype) -> float:
    """Prints a line; returns how much faster the chosen form is than the best of the library's."""
    images = torch.randn(options.batch, 3, shape.resolution, shape.resolution)
    labels = torch.randint(CLASSES, (options.batch,))
    contenders = [Contender(form, build(genotype, shape, seed=0, form=form), images, labels) for form in FORMS]
    for contender in contenders:
        contender.step()
    best: dict[FormName, float] = dict.fromkeys(FORMS, math.inf)
    for _ in range(options.rounds):
        for contender in contenders:
            best[contender.form] = min(best[contender.form], contender.step())
    rates = {form: options.batch / seconds for form, seconds in best.items()}
    peer, chosen = max(rates["plain"], rates["channels_last"]), fastest(genotype, shape, CPU)
    size = f"{shape.channels} x {shape.resolution} x {shape.cells}"
    columns = " ".join(f"{rates[form]:8,.0f}" for form in FORMS)
    print(f"{size:<14} {name:<12} {columns}  {rates['batch_last'] / peer:14.2f}  {chosen}", flush=True)
    return float(rates[chosen] / peer)


if __name__ == "__main__":
    main()
