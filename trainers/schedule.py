"""What a recipe says of a step before anything is computed: its rate, its path dropout, its batches. Free of torch.

Epochs are counted from 1, steps of an epoch from 0. Nothing here depends on how often a training was left and entered
again, nor on the epochs that a request asks for: a candidate that is trained to E and then to 2E goes along the same
course as one that is trained to 2E at once.
"""

from __future__ import annotations

import math

from store.records.candidates import Recipe
from trainers.errors import ImpossibleSetting


def learning_rate(recipe: Recipe, epoch: int, step: int = 0, steps: int = 1) -> float:
    """Returns the learning rate of a step; by default one value an epoch, as in EcoNAS's released search.

    `cosine`: from the highest value in epoch 1 to (nearly) the lowest in epoch `schedule_epochs`, entered where it was
    left when a candidate is continued; the lowest value stays after the end. With `cosine_restarts` a new one begins
    every `schedule_epochs` epochs (EcoNAS A5.2 (1)). `exponential`: the highest value times `rate_decay` for every
    epoch done (DARTS, ImageNet), whatever the lowest value is. A cosine without `schedule_epochs` is constant. With
    `rate_per_step` the position in the schedule is (epoch, step) instead of the epoch alone.

    During `warmup_epochs` the rate rises from `warmup_learning_rate` to the highest value in equal parts at every step
    (Goyal et al. 2017, section 2.2). The schedule begins after them, and still ends at `schedule_epochs` (EcoNAS E.3:
    warm-up of two epochs, "a completed cosine cycle"; SETN section 5.2: five epochs of 250 "totally").

    Args:
        recipe: how it is trained.
        epoch: from 1.
        step: of the epoch, from 0.
        steps: how many an epoch has.
    """
    warmup = recipe.warmup_epochs or 0
    if epoch <= warmup:
        start = recipe.warmup_learning_rate or 0.0
        return start + (recipe.learning_rate - start) * (epoch - 1 + step / steps) / warmup
    done: float = epoch - 1 - warmup
    if recipe.rate_per_step:
        done += step / steps
    if recipe.schedule == "exponential":
        return float(recipe.learning_rate * (recipe.rate_decay or 1.0) ** done)
    if recipe.schedule_epochs is None:
        return recipe.learning_rate
    length = recipe.schedule_epochs - warmup
    done = done % length if recipe.schedule == "cosine_restarts" else min(done, length)
    share = (1 + math.cos(math.pi * done / length)) / 2
    return recipe.minimum_learning_rate + (recipe.learning_rate - recipe.minimum_learning_rate) * share


def path_dropout(recipe: Recipe, epoch: int) -> float:
    """Returns the probability with which an edge's output is dropped in an epoch.

    It grows linearly from 0 in epoch 1 (DARTS `cnn/train.py`: p * epoch / epochs, counted from 0), and stays at p once
    `schedule_epochs` are done.
    """
    if recipe.path_dropout is None or recipe.schedule_epochs is None:
        return 0.0
    return recipe.path_dropout * min(epoch - 1, recipe.schedule_epochs) / recipe.schedule_epochs


def steps_of(batches: int, recipe: Recipe) -> int:
    """Returns how many steps an epoch of so many batches has: `accumulate` batches make one, what is left one more."""
    return -(-batches // (recipe.accumulate or 1))


def batches_of(step: int, batches: int, recipe: Recipe) -> range:
    """Returns which of an epoch's batches make a step: the last step may have fewer than the others."""
    count = recipe.accumulate or 1
    return range(step * count, min((step + 1) * count, batches))


def check(recipe: Recipe) -> None:
    """Checks that the parts of a recipe fit each other.

    Raises:
        ImpossibleSetting: if they do not; the error names the key.
    """
    exponential = recipe.schedule == "exponential"
    if exponential != (recipe.rate_decay is not None):
        expected = "a factor with the schedule exponential, and none with another"
        raise ImpossibleSetting("recipe.rate_decay", recipe.rate_decay, expected)
    if recipe.nesterov and not recipe.momentum:
        raise ImpossibleSetting("recipe.nesterov", True, "a momentum above 0, which it looks ahead along")
    if recipe.path_dropout is not None and recipe.schedule_epochs is None:
        expected = "recipe.schedule_epochs beside it: the epochs over which it grows"
        raise ImpossibleSetting("recipe.path_dropout", recipe.path_dropout, expected)
    warmup, length = recipe.warmup_epochs or 0, recipe.schedule_epochs
    if warmup and recipe.schedule == "cosine_restarts":
        raise ImpossibleSetting("recipe.warmup_epochs", warmup, "none with cosine_restarts, whose periods are equal")
    if not exponential and length is not None and warmup >= length:
        raise ImpossibleSetting("recipe.warmup_epochs", warmup, f"fewer than recipe.schedule_epochs, {length}")
    if not exponential and length is not None and recipe.minimum_learning_rate > recipe.learning_rate:
        expected = f"at most recipe.learning_rate, {recipe.learning_rate}, from which a cosine falls to it"
        raise ImpossibleSetting("recipe.minimum_learning_rate", recipe.minimum_learning_rate, expected)
    if recipe.warmup_learning_rate is not None and not warmup:
        expected = "recipe.warmup_epochs beside it, in which the rate rises from it"
        raise ImpossibleSetting("recipe.warmup_learning_rate", recipe.warmup_learning_rate, expected)
