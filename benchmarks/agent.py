"""Samples a second of the agent alone, without any training: one core, LSTM and critic included.

    python benchmarks/agent.py [--samples 100000] [--quick] [--batch 20]

An iteration is what a strategy asks a worker for: read the request and the arrays, learn from a batch whose rewards a
cheap function gives, draw the next. The limit is 1,000 samples a second; each line says how many times that it is. The
spaces are NAS-Bench-201 (6 tokens) and MnasNet's (42 tokens). With the critic, half of a batch may be trusted.

The floor is the time that the matrix products alone would take on this machine at this moment, measured in the same
run at the size of one step of the LSTM.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch

from trainers.agent.iteration import iterate
from trainers.agent.options import AgentOptions
from trainers.process import keep_memory

SPACES: Mapping[str, list[int]] = {"nasbench201": [5] * 6, "mnas": [4, 2, 2, 3, 3, 3] * 7}
CRITICS: Mapping[str, dict[str, Any] | None] = {"PPO": None, "PPO + UAC": {}}
LIMIT = 1000


class Rates(NamedTuple):
    """Samples a second by the clock, and by the time that this process had the core for."""

    clock: float
    process: float


def main() -> None:
    """Runs the benchmark and prints its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=100_000, help="of each line")
    parser.add_argument("--quick", action="store_true", help="1,000 samples")
    parser.add_argument("--batch", type=int, default=20)
    options = parser.parse_args()
    samples = 1000 if options.quick else options.samples
    torch.set_num_threads(1)
    keep_memory()  # as workers do
    print(f"torch {torch.__version__}, batches of {options.batch}, {samples} samples a line, {os.cpu_count()} cores")
    print(
        f"{'space':<12} {'tokens':>6} {'agent':<10} {'samples/s':>9} {'of limit':>8} {'by CPU time':>11} {'floor':>7}"
    )
    for space, choices in SPACES.items():
        for name, critic in CRITICS.items():
            rates = measure(choices, critic, samples, options.batch)
            columns = f"{rates.clock:9,.0f} {rates.clock / LIMIT:8.2f} {rates.process:11,.0f}"
            print(f"{space:<12} {len(choices):>6} {name:<10} {columns} {floor(len(choices), options.batch):7,.0f}")


def measure(choices: list[int], critic: dict[str, Any] | None, samples: int, batch: int) -> Rates:
    """Iterates until so many samples have been drawn and learnt from."""
    asked = {"choices": choices, "agent": {}, "critic": critic, "draw": {"count": batch, "most_trusted": batch // 2}}
    state, answer = iterate(None, asked | {"seed": 0})
    start, spent = time.perf_counter(), time.process_time()
    for number in range(samples // batch):
        trained = ~answer["trusted"]
        rewards = np.where(trained, reward(answer["genes"]), answer["values"]).astype(np.float32)
        learn = {"genes": answer["genes"], "log_probabilities": answer["log_probabilities"], "rewards": rewards}
        learn |= {"weights": np.ones(batch, np.float32), "trained": trained}
        state, answer = iterate(state, asked | {"seed": number, "learn": learn})
    done = samples // batch * batch
    return Rates(done / (time.perf_counter() - start), done / (time.process_time() - spent))


def reward(genes: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A number in [0, 1) that is spread over the space, so that the policy does not settle soon."""
    return np.modf(np.abs(np.sin(genes @ np.arange(1, genes.shape[1] + 1))) * 43758.5453)[0]


def floor(length: int, batch: int) -> float:
    """Returns the samples a second that the matrix products of the LSTM alone would allow.

    There is one for each token that is drawn, and for each step of PPO one forward and two backward.
    """
    hidden = AgentOptions().hidden
    left, right, out = torch.randn(batch, hidden), torch.randn(hidden, 4 * hidden), torch.empty(batch, 4 * hidden)
    best = min(_seconds(left, right, out) for _ in range(20))
    return batch / (best * length * (1 + 3 * AgentOptions().epochs))


def _seconds(left: torch.Tensor, right: torch.Tensor, out: torch.Tensor, times: int = 100) -> float:
    start = time.perf_counter()
    for _ in range(times):
        torch.mm(left, right, out=out)
    return (time.perf_counter() - start) / times


if __name__ == "__main__":
    main()
