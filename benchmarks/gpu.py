"""What a training step costs on a GPU: single calls, CUDA graphs, lanes side by side, bfloat16.

    python benchmarks/gpu.py [--quick] [--steps 200] [--lanes 1 2 4 8 16]

EcoNAS's setting c4 r4 (C = 8, r = 8, 20 cells, batch 384) on random images that lie on the GPU: DARTS_V2 and two
random cells of EcoNAS's space. Measured are, in this order: milliseconds and kernels of a step of single calls;
milliseconds of a replayed one, the time that its capture takes and the memory that it holds; both in bfloat16; steps
per second of several candidates at once, as streams of one process, as processes, and as processes under MPS if
`nvidia-cuda-mps-control` is here. Without a GPU it says so and ends with 0.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from store.records.candidates import Data, Named, Proxy, Recipe
from strategies.spaces import registry as spaces
from strategies.spaces.genotype import Genotype
from strategies.spaces.published import PUBLISHED
from trainers import datasets
from trainers.capture import Captured, CudaGraphs
from trainers.data import DeviceData
from trainers.datasets import Images
from trainers.networks.network import build
from trainers.networks.shape import Shape
from trainers.plan import make_deterministic
from trainers.sgd import SGD
from trainers.stepper import Eager, Stepper

AIM = 3.0
FLOORS = {"float32": 0.69, "bfloat16": 0.34}
"""Milliseconds that moving the tensors of a mean candidate's step takes at 3 TB/s, an H100's memory."""


class Costs(NamedTuple):
    """Of one candidate in one precision: milliseconds of a step, seconds of a capture, bytes that it holds."""

    eager: float
    captured: float
    capture: float
    held: int


def main() -> int:
    """Runs the benchmark and prints its tables; returns the exit status."""
    options = parse()
    if not torch.cuda.is_available():
        print("no GPU here: torch.cuda.is_available() is false, so nothing is measured")
        return 0
    make_deterministic(torch.device("cuda"))
    if options.lane:
        return run_lane(options)
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, CUDA {torch.version.cuda}, batch 384, c4 r4\n")
    ratio = report_steps(options)
    report_streams(options)
    report_processes(options)
    print(f"\na captured step / single calls: {ratio:.2f}; aim {AIM}: {'reached' if ratio >= AIM else 'NOT reached'}")
    return 0


def parse() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="30 steps, at most 4 lanes")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--lanes", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--lane", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.steps, options.lanes = 30, [count for count in options.lanes if count <= 4]
    return options


def candidates() -> dict[str, Genotype]:
    """Returns the networks that are measured."""
    space = spaces.create(Named(name="cell"))
    random = {f"random {seed}": space.decode(space.random(np.random.default_rng(seed))) for seed in (0, 1)}
    return {"DARTS_V2": PUBLISHED["DARTS_V2"], **random}


def data(recipe: Recipe) -> DeviceData:
    """Returns 25,000 random images on the GPU."""
    rng = np.random.default_rng(0)
    pixels, labels = rng.integers(0, 256, (25_000, 3, 32, 32), dtype=np.uint8), np.arange(25_000) % 10
    images = Images("random", pixels, labels, 10)
    split = datasets.split(images, Data(name="random", fingerprint=""))
    return DeviceData(images, split, Proxy(resolution=8), recipe, 0, torch.device("cuda"), streamed=False)


def eager(genotype: Genotype, images: DeviceData, recipe: Recipe) -> Eager:
    """Returns the single calls of a candidate's steps."""
    network = build(genotype, Shape(8, 20, 10, 8), seed=0, device="cuda")
    return Eager(network, SGD(network, recipe), images, recipe, 0)


def steps(stepper: Stepper, count: int) -> None:
    """Makes so many steps, epoch after epoch, and waits for the last."""
    for number in range(count):
        if number % stepper.steps == 0:
            stepper.begin(1 + number // stepper.steps)
        stepper.step(number % stepper.steps, quiet)
    torch.cuda.synchronize()


def quiet() -> None:
    """Tells nobody that it lives."""


def timed(work: Callable[[], None]) -> float:
    """Returns the seconds that something takes."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def costs(genotype: Genotype, images: DeviceData, recipe: Recipe, count: int) -> Costs:
    """Measures one candidate."""
    single = eager(genotype, images, recipe)
    steps(single, 5)
    seconds = timed(lambda: steps(single, count))
    torch.cuda.empty_cache()
    held = torch.cuda.memory_reserved()
    captured = Captured(eager(genotype, images, recipe), CudaGraphs())
    capture = timed(lambda: steps(captured, 1))
    held = torch.cuda.memory_reserved() - held
    steps(captured, 5)
    replayed = timed(lambda: steps(captured, count))
    captured.close()
    return Costs(1000 * seconds / count, 1000 * replayed / count, capture, held)


def kernels(genotype: Genotype, images: DeviceData, recipe: Recipe) -> int:
    """Counts the kernels of one step of single calls."""
    single = eager(genotype, images, recipe)
    steps(single, 2)
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as recorded:
        single.step(2, quiet)
        torch.cuda.synchronize()
    return sum(event.device_type == DeviceType.CUDA for event in recorded.events())


def report_steps(options: argparse.Namespace) -> float:
    """Prints what a step costs in both forms and precisions; returns the mean ratio in float32."""
    print(f"{'candidate':12} {'precision':9} {'kernels':>7} {'eager ms':>9} {'graph ms':>9} {'ratio':>6} ", end="")
    print(f"{'us/kernel':>9} {'x floor':>8} {'capture s':>9} {'MiB':>6}")
    ratios = []
    for precision, floor in FLOORS.items():
        recipe = Recipe.model_validate({"batch_size": 384, "precision": precision})
        images = data(recipe)
        for name, genotype in candidates().items():
            count, found = kernels(genotype, images, recipe), costs(genotype, images, recipe, options.steps)
            if precision == "float32":
                ratios.append(found.eager / found.captured)
            print(
                f"{name:12} {precision:9} {count:7} {found.eager:9.2f} {found.captured:9.2f} "
                f"{found.eager / found.captured:6.2f} {1000 * found.captured / count:9.2f} "
                f"{found.captured / floor:8.1f} {found.capture:9.2f} {found.held / 2**20:6.0f}"
            )
    print()
    return sum(ratios) / len(ratios)


def report_streams(options: argparse.Namespace) -> None:
    """Prints the steps per second of several captured candidates, each on a stream, fed by one thread."""
    recipe = Recipe(batch_size=384)
    images = data(recipe)
    print(f"{'lanes':>5} {'streams: steps/s':>17} {'of one lane':>12}")
    one = None
    for count in options.lanes:
        lanes = [Captured(eager(PUBLISHED["DARTS_V2"], images, recipe), CudaGraphs()) for _ in range(count)]
        streams = [torch.cuda.Stream() for _ in lanes]
        feed(lanes, streams, 2)
        rate = count * options.steps / timed(lambda lanes=lanes, streams=streams: feed(lanes, streams, options.steps))
        one = rate if one is None else one
        print(f"{count:5} {rate:17.0f} {rate / one:12.2f}")
        for lane in lanes:
            lane.close()
    print()


def feed(lanes: list[Captured], streams: list[torch.cuda.Stream], count: int) -> None:
    """Makes so many steps of each lane, in turns, and waits for all."""
    torch.cuda.synchronize()  # what was made on another stream is there
    for number in range(count):
        for lane, stream in zip(lanes, streams, strict=True):
            with torch.cuda.stream(stream):
                if number % lane.steps == 0:
                    lane.begin(1 + number // lane.steps)
                lane.step(number % lane.steps, quiet)
    torch.cuda.synchronize()


def report_processes(options: argparse.Namespace) -> None:
    """Prints the steps per second of several processes, and of several under MPS."""
    print(f"{'lanes':>5} {'processes: steps/s':>19} {'under MPS':>10}")
    alone = {count: processes(options, count, {}) for count in options.lanes}
    with mps() as environment:
        shared = {count: processes(options, count, environment) for count in options.lanes} if environment else {}
    for count, rate in alone.items():
        print(f"{count:5} {rate:19.0f} {f'{shared[count]:10.0f}' if shared else '         -'}")
    if not shared:
        print("MPS was not measured: nvidia-cuda-mps-control is not here, or could not be started")


def processes(options: argparse.Namespace, count: int, environment: dict[str, str]) -> float:
    """Returns the steps per second of so many processes that start together."""
    command = [sys.executable, str(Path(__file__)), "--lane", "--steps", str(options.steps)]
    lanes = [
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | environment
        )
        for _ in range(count)
    ]
    try:
        for lane in lanes:
            if lane.stdout is None or lane.stdout.readline().strip() != "ready":
                raise SystemExit("a lane ended before it was ready: see above")
        start = time.perf_counter()
        for lane in lanes:
            assert lane.stdin is not None
            lane.stdin.write("go\n")
            lane.stdin.flush()
        for lane in lanes:
            if lane.wait() != 0:
                raise SystemExit("a lane failed: see above")
        return count * options.steps / (time.perf_counter() - start)
    finally:
        for lane in lanes:
            lane.kill()
            lane.wait()


def run_lane(options: argparse.Namespace) -> int:
    """One of the processes: captures a step, says that it is ready, waits for the word, and makes its steps."""
    recipe = Recipe(batch_size=384)
    stepper = Captured(eager(PUBLISHED["DARTS_V2"], data(recipe), recipe), CudaGraphs())
    steps(stepper, 5)
    print("ready", flush=True)
    if sys.stdin.readline():
        steps(stepper, options.steps)
    # The interpreter's own way out takes half a second, which would count.
    os._exit(0)


@contextmanager
def mps() -> Iterator[dict[str, str]]:
    """Starts an MPS daemon of our own while it lasts; gives the environment of its clients, empty if there is none."""
    control = shutil.which("nvidia-cuda-mps-control")
    if control is None:
        yield {}
        return
    with tempfile.TemporaryDirectory(prefix="coldframe-mps-") as folder:
        environment = {"CUDA_MPS_PIPE_DIRECTORY": folder, "CUDA_MPS_LOG_DIRECTORY": folder}
        started = subprocess.run([control, "-d"], env=os.environ | environment, check=False)
        if started.returncode != 0:
            yield {}
            return
        try:
            yield environment
        finally:
            subprocess.run([control], input="quit\n", text=True, env=os.environ | environment, check=False)


if __name__ == "__main__":
    sys.exit(main())
