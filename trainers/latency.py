"""How long a network takes for one image."""

from __future__ import annotations

import statistics
import time

import torch

from trainers.job import Job
from trainers.plan import Plan

WARM_UP_RUNS = 10
LATENCY_RUNS = 50


@torch.no_grad()
def milliseconds(job: Job, plan: Plan) -> float:
    """Median milliseconds of one image through the network, batch of 1, after a warm-up."""
    network = plan.network().eval()
    image = torch.zeros(1, plan.images.channels, plan.resolution, plan.resolution, device=plan.device)
    seconds = []
    for run in range(WARM_UP_RUNS + LATENCY_RUNS):
        job.alive(0, run, WARM_UP_RUNS + LATENCY_RUNS, note="measuring latency")
        _wait_for(plan.device)
        start = time.perf_counter()
        network(image)
        _wait_for(plan.device)
        seconds.append(time.perf_counter() - start)
    return 1000 * statistics.median(seconds[WARM_UP_RUNS:])


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
