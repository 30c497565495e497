"""One iteration of the agent: learn from the last samples, draw the next (FNAS section 4 and figure 1).

A strategy calls `iterate` through `Run.compute_from`: networks, moments and history stay in the store as arrays, and
only samples and rewards pass through the daemon.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from trainers.agent.appraiser import Appraiser
from trainers.agent.drawing import Drawn, Window, draw
from trainers.agent.flat import Arrays
from trainers.agent.learner import Learner
from trainers.agent.options import CriticOptions
from trainers.agent.request import Request, read
from trainers.errors import InvalidAgentRequest
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
    if asked.carry and arrays is None:
        raise InvalidAgentRequest("carry", "true, and no arrays", "the arrays that another search has left behind")
    with _one_thread(), torch.inference_mode():
        return _iterate(arrays, asked)


def _iterate(arrays: State | None, asked: Request) -> tuple[State, Answer]:
    learner = _learner(arrays, asked)
    losses = {} if asked.learn is None else learner.learn(asked.learn)
    rng = generator("agent", asked.seed, "draw")
    if asked.critic is None:
        drawn = draw(learner.policy, asked.draw.count if asked.draw else 0, rng)
        return learner.arrays(), _answer(drawn, losses)
    critic, window = _critic(arrays, asked, asked.critic)
    if asked.learn is not None:
        losses |= critic.learn(asked.learn, generator("agent", asked.seed, "replay"))
    drawn = window.draw(learner.policy, critic, asked.draw, rng) if asked.draw else draw(learner.policy, 0, rng)
    return learner.arrays() | critic.arrays() | window.arrays(), _answer(drawn, losses)


def _learner(arrays: State | None, asked: Request) -> Learner:
    learner = Learner(asked.choices, asked.agent)
    if arrays is None or asked.carry:
        learner.begin(generator("agent", asked.seed, "policy"))
    else:
        learner.restore(arrays)
    return learner


def _critic(arrays: State | None, asked: Request, options: CriticOptions) -> tuple[Appraiser, Window]:
    critic, window = Appraiser(asked.choices, options), Window(len(asked.choices), options)
    if arrays is None:
        critic.begin(generator("agent", asked.seed, "critic"))
    elif asked.carry:
        critic.carry(arrays)
    else:
        critic.restore(arrays)
        window.restore(arrays)
    return critic, window


def _answer(drawn: Drawn, losses: dict[str, float]) -> Answer:
    return {
        "genes": drawn.sampled.genes,
        "log_probabilities": drawn.sampled.log_probabilities,
        "values": drawn.predicted.values,
        "uncertainties": drawn.predicted.uncertainties,
        "trusted": drawn.trusted,
        "threshold": drawn.threshold,
        "discarded": drawn.discarded,
        "losses": losses,
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
