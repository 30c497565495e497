"""One iteration of the agent: learn from the last samples, draw the next (FNAS section 4 and figure 1).

A strategy calls `iterate` through `Run.compute_from`: networks, moments and history stay in the store as arrays, and
only samples and rewards pass through the daemon.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from trainers.agent.flat import Arrays
from trainers.agent.learner import Learner
from trainers.agent.request import Request, read
from trainers.readers import generator

State = dict[str, Arrays]
Answer = dict[str, Any]


def iterate(arrays: State | None, request: Mapping[str, Any]) -> tuple[State, Answer]:
    """Learns from samples and draws new ones; the same arrays and request give the same results, bit for bit.

    Args:
        arrays: what the last call gave, or None to begin; with `carry`, what another search's last call gave.
        request: a map of

            - `choices`: number of choices at each of T positions;
            - `agent`: `AgentOptions` as plain values; `critic`: `CriticOptions` likewise, or None for no critic;
            - `seed`: of all that is random in this call;
            - `carry`: take only V and U from `arrays`, and begin all else anew;
            - `learn`: `genes` int16 (n, T), `log_probabilities` float32 (n, T) of when they were drawn, `rewards` and
              importance `weights` float32 (n,), and `trained` bool (n,), where the reward is a real and new one, which
              teaches the critic too; None to learn nothing;
            - `draw`: `count`, and `most_trusted`, how many of them may get their reward from V; None to draw nothing.

    Returns:
        The state, by block and name, and a map of `genes` int16 (count, T), `log_probabilities` float32 (count, T),
        `values` (V) and `uncertainties` (U) float32 (count,) in units of the reward, `trusted` bool (count,), the
        `threshold` of U or None, the number of `discarded` draws, and `losses` by name.

    Raises:
        InvalidAgentRequest: naming the key that is wrong, and what was expected.
    """
    asked = read(request)
    with _one_thread():
        return _iterate(arrays, asked)


def _iterate(arrays: State | None, asked: Request) -> tuple[State, Answer]:
    learner = Learner(asked.choices, asked.agent)
    if arrays is None or asked.carry:
        learner.begin(generator("agent", asked.seed, "policy"))
    else:
        learner.restore(arrays)
    losses = {} if asked.learn is None else learner.learn(asked.learn)
    answer = _draw(learner, asked)
    return learner.arrays(), answer | {"losses": losses}


def _draw(learner: Learner, asked: Request) -> Answer:
    count = asked.draw.count if asked.draw else 0
    genes, log_probabilities = learner.policy.sample(count, generator("agent", asked.seed, "draw"))
    return {
        "genes": genes,
        "log_probabilities": log_probabilities,
        "values": np.zeros(count, dtype=np.float32),
        "uncertainties": np.zeros(count, dtype=np.float32),
        "trusted": np.zeros(count, dtype=np.bool_),
        "threshold": None,
        "discarded": 0,
    }


@contextmanager
def _one_thread() -> Iterator[None]:
    """The networks are too small for more, and the results so do not depend on how many a worker has."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
