"""Augmented batches per second from a folder of images: decoded cache and prefetch against torchvision's DataLoader.

    python benchmarks/data.py [--quick] [--images N] [--resolution 56] [--batch 128] [--loader-workers 2] [--folder DIR]

Both sides read the same JPEG files, made of scikit-learn's two photographs in sizes around 320 x 240, and give batches
of random resized crops, mirrored by chance and normalised. The peer is what an ImageNet script does: ImageFolder,
RandomResizedCrop, DataLoader with processes; it decodes every file in every epoch, and cuts out of the whole image.
coldframe decodes once (8/7 of the resolution, shorter side resized, middle cut out) and cuts out of that. Its batches
are timed streamed (from the memory map, gathered by a thread ahead of the step) and resident (on the device). What the
memory map could give at most is timed too: the same images copied in the same order, and nothing else.

All are timed in turns, an epoch each, on a warm page cache. Nothing is trained: where a step takes longer than a batch,
a faster pipeline only leaves more of the processor to the step.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torch.utils.data import DataLoader

from store.records.candidates import DataSpec, Proxy, Recipe
from trainers import datasets
from trainers.data import DeviceData, Epoch
from trainers.fingerprint import identity
from trainers.vision import import_torchvision

CPU = torch.device("cpu")
Epochs = Callable[[int], int]


def main() -> None:
    """Runs the benchmark and prints its table."""
    options = parse()
    torch.set_num_threads(options.threads)
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}")
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        write_images(folder / "images", options.images)
        seconds, images = load(folder, options)
        print(f"decoding once: {options.images / seconds:,.0f} images/s, with the digest of the files")
        report(contenders(folder, images, options), options)


def parse() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="3 rounds over 512 images, not 7 over 4,096")
    parser.add_argument("--images", type=int)
    parser.add_argument("--resolution", type=int, default=56)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1, help="torch's threads in this process")
    parser.add_argument("--loader-workers", type=int, default=2, help="processes of the peer's DataLoader")
    parser.add_argument("--folder", help="where the images and the cache are put, and removed again")
    options = parser.parse_args()
    options.images = options.images or (512 if options.quick else 4096)
    options.rounds = 3 if options.quick else 7
    return options


def write_images(folder: Path, count: int) -> None:
    """Writes JPEG files of photographs' parts, in ten classes."""
    rng, photographs = np.random.default_rng(0), load_sample_images().images
    for number in range(count):
        width, height = rng.integers(240, 400), rng.integers(200, 320)
        photograph = photographs[number % 2]
        top, left = rng.integers(0, 427 - height), rng.integers(0, 640 - width)
        place = folder / f"class{number % 10}"
        place.mkdir(parents=True, exist_ok=True)
        part = np.ascontiguousarray(photograph[top : top + height, left : left + width])
        Image.fromarray(part).save(place / f"{number}.jpg", quality=90)


def load(folder: Path, options: argparse.Namespace) -> tuple[float, tuple[datasets.Images, datasets.Split]]:
    """Returns the decoded images and their split, and the seconds that it took to decode them."""
    path = str(folder / "images")
    start = time.perf_counter()
    size = options.resolution * 8 // 7
    data = identity(DataSpec(name="image_folder", path=path, image_size=size, validation_fraction=0))
    images = datasets.load(data, path, folder / "cache")
    seconds = time.perf_counter() - start
    return seconds, (images, datasets.split(images, data))


def contenders(
    folder: Path, loaded: tuple[datasets.Images, datasets.Split], options: argparse.Namespace
) -> dict[str, Epochs]:
    """Returns by name what goes through an epoch of some number, and says how many images it gave."""
    images, split = loaded
    recipe = Recipe(batch_size=options.batch, crop="resized")

    def ours(streamed: bool) -> Epochs:
        data = DeviceData(images, split, Proxy(resolution=options.resolution), recipe, 0, CPU, streamed=streamed)

        def epoch(number: int) -> int:
            drawn = Epoch(data, 0, number)
            return sum(len(drawn.batch(step)[1]) for step in range(data.steps))

        return epoch

    return {
        "ImageFolder and DataLoader": peer(folder / "images", split, options),
        "cache, streamed": ours(True),
        "cache, resident": ours(False),
        "copying out of the memory map": copying(images, options),
    }


def peer(folder: Path, split: datasets.Split, options: argparse.Namespace) -> Epochs:
    """The usual pipeline of an ImageNet script."""
    import_torchvision()
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    steps = [
        transforms.RandomResizedCrop(options.resolution),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(split.mean, split.std),
    ]
    loader = DataLoader(
        ImageFolder(str(folder), transforms.Compose(steps)),
        options.batch,
        shuffle=True,
        drop_last=True,
        num_workers=options.loader_workers,
        persistent_workers=options.loader_workers > 0,
    )
    return lambda number: sum(len(labels) for _, labels in loader)


def copying(images: datasets.Images, options: argparse.Namespace) -> Epochs:
    """The pixels of an epoch's images, and nothing made of them."""
    rows = images.pixels.transpose(0, 2, 1, 3)
    batch = np.empty((options.batch, *rows.shape[1:]), np.uint8)

    def epoch(number: int) -> int:
        order = np.random.default_rng(number).permutation(len(rows))
        steps = len(order) // options.batch
        for chosen in order[: steps * options.batch].reshape(steps, options.batch):
            np.take(rows, chosen, axis=0, out=batch, mode="clip")
        return steps * options.batch

    return epoch


def report(epochs: dict[str, Epochs], options: argparse.Namespace) -> None:
    """Times the contenders in turns and prints images per second, and the ratio to the first."""
    rates: dict[str, list[float]] = {name: [] for name in epochs}
    for number in range(1, options.rounds + 2):
        for name, epoch in epochs.items():
            start = time.perf_counter()
            given = epoch(number)
            if number > 1:  # the first round starts processes and reads files
                rates[name].append(given / (time.perf_counter() - start))
    first = statistics.median(next(iter(rates.values())))
    print(f"{'':30} {'images/s':>10} {'ratio':>7}")
    for name, measured in rates.items():
        rate = statistics.median(measured)
        print(f"{name:30} {rate:>10,.0f} {rate / first:>7.1f}")


if __name__ == "__main__":
    main()
