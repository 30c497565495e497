"""What `iterate` is asked for, checked: shapes, ranges, and rewards that are numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from store.records.base import Config
from trainers.agent.options import AgentOptions, CriticOptions
from trainers.errors import InvalidAgentRequest

Floats = npt.NDArray[np.float32]
Genes = npt.NDArray[np.int16]
Options = TypeVar("Options", bound=Config)

_KEYS = ("choices", "agent", "critic", "seed", "carry", "learn", "draw")
_MOST = (1 << 64) - 1  # that a digest of seeds can hold


@dataclass(frozen=True)
class Lesson:
    """Samples whose rewards are known.

    Attributes:
        genes: int16, (n, T).
        log_probabilities: of each token when it was drawn, float32, (n, T).
        rewards: float32, (n,).
        weights: importance weights, float32, (n,).
        trained: whether the reward is a real and new one, of a training, bool, (n,).
    """

    genes: Genes
    log_probabilities: Floats
    rewards: Floats
    weights: Floats
    trained: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Draw:
    """How many architectures to draw, and how many of them may be trusted at most."""

    count: int
    most_trusted: int


@dataclass(frozen=True)
class Request:
    """One call of `iterate`; `trainers.agent.iteration` says what each field means."""

    choices: tuple[int, ...]
    agent: AgentOptions
    critic: CriticOptions | None
    seed: int
    carry: bool
    learn: Lesson | None
    draw: Draw | None


def read(request: Mapping[str, Any]) -> Request:
    """Returns a request, checked; what is absent is None, as the journal's encoding leaves it out.

    Raises:
        InvalidAgentRequest: naming the key, what was found, and what was expected.
    """
    _known("", request, _KEYS)
    choices = _choices(request.get("choices"))
    critic, learn, draw = (_map(key, request.get(key)) for key in ("critic", "learn", "draw"))
    carry = request.get("carry", False)
    if not isinstance(carry, bool):
        raise InvalidAgentRequest("carry", repr(carry), "true or false")
    if carry and critic is None:
        raise InvalidAgentRequest("carry", "a critic to carry over, and `critic` absent", "the critic's options")
    return Request(
        choices=choices,
        agent=_options(AgentOptions, "agent", _map("agent", request.get("agent")) or {}),
        critic=None if critic is None else _options(CriticOptions, "critic", critic),
        seed=_integer("seed", request.get("seed"), 0, _MOST),
        carry=carry,
        learn=None if learn is None else _lesson(learn, choices),
        draw=None if draw is None else _draw(draw),
    )


def _map(key: str, value: Any) -> Mapping[str, Any] | None:
    if value is not None and not isinstance(value, Mapping):
        raise InvalidAgentRequest(key, repr(value), "a map")
    return value


def _known(prefix: str, values: Mapping[str, Any], keys: Sequence[str]) -> None:
    if unknown := sorted(set(values) - set(keys)):
        raise InvalidAgentRequest(prefix + unknown[0], "an unknown key", f"one of {', '.join(keys)}")


def _choices(value: Any) -> tuple[int, ...]:
    expected = "the number of choices at each position, integers of 1 or more"
    if not isinstance(value, list | tuple) or not value:
        raise InvalidAgentRequest("choices", repr(value), expected)
    most = np.iinfo(np.int16).max
    if odd := [each for each in value if isinstance(each, bool) or not isinstance(each, int) or not 1 <= each <= most]:
        raise InvalidAgentRequest("choices", repr(odd[0]), expected)
    return tuple(value)


def _options(model: type[Options], key: str, values: Mapping[str, Any]) -> Options:
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join([key, *(str(part) for part in first["loc"])])
        known = f"one of {', '.join(model.model_fields)}"
        expected = known if first["type"] == "extra_forbidden" else first["msg"].removeprefix("Input should be ")
        raise InvalidAgentRequest(name, repr(first["input"]), expected) from None


def _integer(key: str, value: Any, least: int, most: int | None = None) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least or (most is not None and value > most):
        expected = f"an integer of {least} or more" if most is None else f"an integer from {least} to {most}"
        raise InvalidAgentRequest(key, repr(value), expected)
    return value


def _draw(values: Mapping[str, Any]) -> Draw:
    _known("draw.", values, [field.name for field in fields(Draw)])
    count = _integer("draw.count", values.get("count"), 1)
    return Draw(count, _integer("draw.most_trusted", values.get("most_trusted"), 0))


def _lesson(values: Mapping[str, Any], choices: tuple[int, ...]) -> Lesson:
    _known("learn.", values, [field.name for field in fields(Lesson)])
    rewards = _array(values, "rewards", np.float32, (None,))
    shape = (len(rewards), len(choices))
    genes = _array(values, "genes", np.int64, shape)
    _check("genes", genes, (genes >= 0) & (genes < np.asarray(choices)), "a token of the space at each position")
    lesson = Lesson(
        genes=genes.astype(np.int16),
        log_probabilities=_array(values, "log_probabilities", np.float32, shape),
        rewards=rewards,
        weights=_array(values, "weights", np.float32, shape[:1]),
        trained=_array(values, "trained", np.bool_, shape[:1]),
    )
    if not len(rewards):
        raise InvalidAgentRequest("learn.rewards", "no samples", "one sample or more")
    for name in ("rewards", "weights", "log_probabilities"):
        _check(name, getattr(lesson, name), np.isfinite(getattr(lesson, name)), "a finite number")
    _check("weights", lesson.weights, lesson.weights >= 0, "0 or more")
    _check("log_probabilities", lesson.log_probabilities, lesson.log_probabilities <= 0, "0 or less")
    return lesson


def _array(values: Mapping[str, Any], name: str, dtype: Any, shape: tuple[int | None, ...]) -> Any:
    """Returns an array of this type and shape, None being any length; numbers of the same kind are converted."""
    try:
        found = np.asarray(values.get(name))
    except ValueError:
        raise InvalidAgentRequest(f"learn.{name}", "rows of different lengths", "an array") from None
    words = ", ".join("n" if length is None else str(length) for length in shape)
    expected = f"an array of {np.dtype(dtype).name} of shape ({words}{',' * (len(shape) == 1)})"
    fits = len(shape) == found.ndim and all(a in (None, b) for a, b in zip(shape, found.shape, strict=True))
    if not fits or not np.can_cast(found.dtype, dtype, "same_kind"):
        raise InvalidAgentRequest(f"learn.{name}", f"an array of {found.dtype} of shape {found.shape}", expected)
    with np.errstate(over="ignore"):  # what is beyond the type becomes infinite, and is refused as such
        return found.astype(dtype, copy=False)


def _check(name: str, values: npt.NDArray[Any], sound: npt.NDArray[np.bool_], expected: str) -> None:
    if not sound.all():
        place = np.argwhere(~sound)[0]
        where = ", ".join(str(index) for index in place)
        raise InvalidAgentRequest(f"learn.{name}[{where}]", f"sample {place[0]} has {values[tuple(place)]}", expected)
