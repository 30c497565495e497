"""Share of four simulated devices' time that is idle: EcoNAS with its barrier, with longest-first, and without barrier.

    python benchmarks/idle.py [--seeds 20] [--spread 2] [--devices 4] [--quick]

The searches are EcoNAS with the paper's numbers on NAS-Bench-201 (N_init 50, 16 children, 8 and 4 promotions a cycle,
20 cycles), in virtual time. A training's length depends on its architecture: the longest takes `--spread` times as long
as the shortest. Either it grows with the network's multiply-adds, which the search may guess (`work` of its space), or
it is drawn at random for each architecture, which nobody can. Accuracies play no part in time; they are made up too.
The makespan is compared for each epoch trained, since searches differ in how many children are known already; the bound
is the same work without any idle time.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Mapping

from store.records.base import digest
from store.records.candidates import Architecture
from store.records.outcomes import AnyOutcome, Trained
from store.records.requests import AnyRequest, Train
from store.records.spec import SearchSpec
from strategies import registry
from strategies.simulation import by_digest
from strategies.spaces.nasbench201 import OPERATIONS
from strategies.timeline import Timeline
from strategies.virtual import VirtualTime, VirtualWorld
from trainers.sizes import nasbench201

SMALLEST, LARGEST = (nasbench201((name,) * 6).multiply_adds for name in ("none", "nor_conv_3x3"))
VARIANTS: Mapping[str, Mapping[str, object]] = {
    "with the barrier": {},
    "longest first": {"longest_first": True},
    "asynchronous": {"barrier": False},
}
Length = Callable[[Architecture], float]
AIM = 0.05


def by_work(architecture: Architecture) -> float:
    """Where a network's multiply-adds lie between the space's smallest and largest, in [0, 1]."""
    size = nasbench201([OPERATIONS[gene] for gene in architecture.genes])
    return (size.multiply_adds - SMALLEST) / (LARGEST - SMALLEST)


def at_random(architecture: Architecture) -> float:
    """A number in [0, 1) that nobody can guess."""
    return int(digest(architecture)[:8], 16) / 16**8


def answer(request: AnyRequest) -> AnyOutcome:
    """Accuracies by the candidate's digest."""
    if not isinstance(request, Train):
        raise TypeError(f"EcoNAS asks for trainings only, not {request!r:.80}")
    return Trained(
        candidate=request.candidate.id,
        epochs=request.epochs,
        accuracy=by_digest(request.candidate, request.epochs),
        history=(),
        checkpoint=digest([request.candidate.id, request.epochs]),
        parameters=1,
        multiply_adds=1,
    )


def search(options: Mapping[str, object], length: Length, args: argparse.Namespace, seed: int) -> Timeline:
    """Runs one search, and returns who was busy when."""
    spec = SearchSpec.model_validate(
        {
            "name": "idle",
            "seed": seed,
            "strategy": {"name": "econas", "cycles": args.cycles, **options},
            "space": {"name": "nasbench201"},
            "data": {"name": "digits"},
        }
    )

    def seconds(request: AnyRequest, epoch: int) -> float:
        if not isinstance(request, Train):
            return 0.0
        slower: float = (args.spread - 1) * length(request.candidate.architecture)
        return (request.epochs - epoch) * (1 + slower)

    time = VirtualTime(spec, answer, seconds, world=VirtualWorld(devices=args.devices), durable=False)
    time.search(registry.create(spec))
    return time.timeline


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--spread", type=float, default=2.0, help="the longest job by the shortest")
    parser.add_argument("--devices", type=int, default=4)
    parser.add_argument("--cycles", type=int, default=20)
    parser.add_argument("--quick", action="store_true", help="two seeds")
    args = parser.parse_args()
    seeds = 2 if args.quick else args.seeds
    print(f"{args.devices} devices, lengths spread {args.spread:g} times, {args.cycles} cycles, {seeds} searches each")
    for lengths, length in (("by multiply-adds", by_work), ("at random", at_random)):
        print(f"\nlengths {lengths:18} {'idle':>7} {'time an epoch, by first':>22} {'by the bound':>13}")
        first = 0.0
        for name, options in VARIANTS.items():
            found = [search(options, length, args, seed) for seed in range(seeds)]
            idle = statistics.fmean(one.idle_share for one in found)
            per_epoch = statistics.fmean(one.seconds / one.epochs for one in found)
            bound = statistics.fmean(sum(one.busy) / args.devices for one in found)
            first = first or per_epoch
            aim = f"  aim: under {AIM:.0%}" if name == "asynchronous" else ""
            print(f"{name:26} {idle:7.1%} {per_epoch / first:28.3f} {1 / bound:13.3f}{aim}")


if __name__ == "__main__":
    main()
