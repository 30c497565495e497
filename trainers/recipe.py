"""Published recipes by name, as data: how a network is trained in full, and how large it is then.

Each record says where its values were read. Where a source is silent, `notes` says which reading was taken. Rates move
as `trainers.schedule` has it. This module is free of torch, so that the command line can list and check recipes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from store.records.candidates import Named, Proxy, Recipe
from trainers.errors import UnknownRecipe

UNCLIPPED = 1e30
"""The `gradient_clip` of a recipe that does not clip: no gradient is as long, and a factor of 1 changes no bit."""


@dataclass(frozen=True, kw_only=True)
class NamedRecipe:
    """A complete way to train a network.

    Attributes:
        name: by which it is asked for.
        source: paper sections and code that the values were read in.
        recipe: how it is trained; `schedule_epochs` is `epochs`.
        epochs: how long.
        proxy: how large the network is; without a resolution images keep their own.
        auxiliary: whether there is an auxiliary head, a second classifier of training whose loss counts 0.4.
        data: what it is meant for.
        notes: readings taken where the source is silent, and what differs from it.
    """

    name: str
    source: str
    recipe: Recipe
    epochs: int
    proxy: Proxy
    auxiliary: bool = False
    data: str
    notes: str = ""

    @property
    def trainer(self) -> Named:
        """The trainer that carries it out, with its options."""
        return Named(name="cell", options={"auxiliary": True} if self.auxiliary else {})


def named(name: str) -> NamedRecipe:
    """Returns the recipe of a name.

    Raises:
        UnknownRecipe: if there is none; the message lists those that there are.
    """
    if name not in RECIPES:
        raise UnknownRecipe(name, RECIPES)
    return RECIPES[name]


def _cifar(epochs: int, **changes: object) -> Recipe:
    """DARTS `cnn/train.py` at its defaults, with cutout."""
    values: dict[str, object] = {
        "batch_size": 96,
        "learning_rate": 0.025,
        "minimum_learning_rate": 0.0,
        "momentum": 0.9,
        "weight_decay": 3e-4,
        "gradient_clip": 5.0,
        "schedule_epochs": epochs,
        "cutout": 16,
        "path_dropout": 0.2,
    }
    return Recipe.model_validate(values | changes)


def _imagenet(epochs: int, **changes: object) -> Recipe:
    """What the recipes for ImageNet share (DARTS `cnn/train_imagenet.py`)."""
    values: dict[str, object] = {
        "learning_rate": 0.1,
        "minimum_learning_rate": 0.0,
        "momentum": 0.9,
        "weight_decay": 3e-5,
        "gradient_clip": 5.0,
        "schedule_epochs": epochs,
        "label_smoothing": 0.1,
        "crop": "resized",
        "colour_jitter": 0.4,
    }
    return Recipe.model_validate(values | changes)


def _nasbench201(epochs: int) -> Recipe:
    return Recipe(
        batch_size=256,
        learning_rate=0.1,
        minimum_learning_rate=0.0,
        momentum=0.9,
        nesterov=True,
        weight_decay=5e-4,
        gradient_clip=UNCLIPPED,
        schedule_epochs=epochs,
    )


_FULL = Proxy(channels=36, cells=20)
_NASBENCH201 = Proxy(channels=16, cells=17)
_SILENT_IMAGENET = (
    "As in DARTS where the paper is silent: label smoothing 0.1, clipping at 5, auxiliary head 0.4, random boxes "
    "resized to 224 pixels, colour jitter 0.4 (of hue 0.2)."
)

_ALL: Iterable[NamedRecipe] = (
    NamedRecipe(
        name="econas-reduced",
        source="EcoNAS E.1, E.2 (A5.1, A5.2); c4 r4 s0 e60 of Table 1",
        recipe=Recipe(batch_size=384, schedule_epochs=60, cutout=16),
        epochs=60,
        proxy=Proxy(channels=8, resolution=8, cells=20),
        data="cifar10",
        notes="Cosine 0.025 to 0.001, weight decay 3e-4, cutout scaled with the resolution (16 of 32 pixels, so 4 "
        "of 8), no path dropout. Silent on the auxiliary head: none, its pool does not fit 8 pixels. The released "
        "search code has 9 channels, a rate from 0.1 to 0, and no cutout.",
    ),
    NamedRecipe(
        name="econas-cifar10",
        source="EcoNAS 5.1, E.2 (A5.2); DARTS cnn/train.py",
        recipe=_cifar(600, minimum_learning_rate=0.001),
        epochs=600,
        proxy=_FULL,
        auxiliary=True,
        data="cifar10",
        notes="'Other hyper-parameters follow previous works' is read as DARTS: momentum 0.9 without Nesterov, "
        "clipping at 5, cutout 16, path dropout growing to 0.2, auxiliary head 0.4. The released retrain code lets "
        "the rate fall to 0 and builds no auxiliary head.",
    ),
    NamedRecipe(
        name="darts-cifar10",
        source="DARTS cnn/train.py (run with --auxiliary --cutout, README)",
        recipe=_cifar(600),
        epochs=600,
        proxy=_FULL,
        auxiliary=True,
        data="cifar10",
    ),
    NamedRecipe(
        name="setn-cifar10",
        source="SETN 5.2, Table 2",
        recipe=_cifar(600, weight_decay=5e-4),
        epochs=600,
        proxy=_FULL,
        auxiliary=True,
        data="cifar10 or cifar100",
        notes="'The ratio of drop path is 0.2' is read as growing to it linearly, as in DARTS, which the paper "
        "follows; so are clipping at 5 and momentum without Nesterov. Cutout 16 by Table 2.",
    ),
    NamedRecipe(
        name="econas-imagenet",
        source="EcoNAS 5.1, E.3 (A5.3)",
        recipe=_imagenet(
            150, learning_rate=0.8, batch_size=256, accumulate=8, warmup_epochs=2, warmup_learning_rate=0.2
        ),
        epochs=150,
        proxy=Proxy(channels=48, cells=14, resolution=224, stem="imagenet"),
        auxiliary=True,
        data="image_folder",
        notes="Batches of 2,048 images as 8 of 256, whose normalisation statistics are their own (the paper: 32 "
        "GPUs, 64 each). 'Stack number N to 14' is read as 14 cells, N = 4 in 3N + 2: 44 cells of 48 channels would "
        "be far more than the 4.3 million parameters of Table 3. " + _SILENT_IMAGENET,
    ),
    NamedRecipe(
        name="darts-imagenet",
        source="DARTS (paper, appendix A.3); cnn/train_imagenet.py, run with --auxiliary (README)",
        recipe=_imagenet(250, batch_size=128, schedule="exponential", rate_decay=0.97),
        epochs=250,
        proxy=Proxy(channels=48, cells=14, resolution=224, stem="imagenet"),
        auxiliary=True,
        data="image_folder",
        notes="Rate 0.1 times 0.97 after every epoch; no path dropout. 250 epochs and 48 channels are the paper's; "
        "an early version of the code has 1,000 and 50. Colour jitter is 0.4, of hue 0.2.",
    ),
    NamedRecipe(
        name="setn-imagenet",
        source="SETN 5.2, Table 3 (N = 2, C = 58); AutoDL-Projects configs/opts/NAS-IMAGENET.config",
        recipe=_imagenet(250, batch_size=256, warmup_epochs=5, nesterov=True),
        epochs=250,
        proxy=Proxy(channels=58, cells=8, resolution=224, stem="imagenet"),
        auxiliary=True,
        data="image_folder",
        notes="Five epochs of warm-up from 0 are among the 250; Nesterov's momentum is the authors' "
        "configuration's. As in DARTS where both are silent: clipping at 5, random boxes resized to 224 pixels, "
        "colour jitter 0.4 (of hue 0.2).",
    ),
    NamedRecipe(
        name="nasbench201-12",
        source="NAS-Bench-201 (Table 1, H-dagger); AutoDL-Projects configs/nas-benchmark/hyper-opts/12E.config",
        recipe=_nasbench201(12),
        epochs=12,
        proxy=_NASBENCH201,
        data="cifar10",
        notes="The cosine moves once an epoch and never within one; gradients are not clipped (functions.py, "
        "optimizers.py). 17 cells are 5 a stage and two residual reductions. The last, smaller batch of an epoch, "
        "which the benchmark's loader keeps, is left out here.",
    ),
    NamedRecipe(
        name="nasbench201-200",
        source="NAS-Bench-201 (Table 1); AutoDL-Projects configs/nas-benchmark/hyper-opts/200E.config",
        recipe=_nasbench201(200),
        epochs=200,
        proxy=_NASBENCH201,
        data="cifar10",
        notes="See nasbench201-12.",
    ),
    NamedRecipe(
        name="digits",
        source="our own: minutes on a CPU",
        recipe=Recipe(
            batch_size=64, learning_rate=0.1, minimum_learning_rate=0.0, schedule_epochs=30, padding=1, flip=False
        ),
        epochs=30,
        proxy=Proxy(channels=16, cells=8),
        data="digits",
        notes="A cosine from 0.1 to 0; digits are not mirrored, and are moved by at most one of their 8 pixels.",
    ),
    NamedRecipe(
        name="cifar10-short",
        source="our own: an hour or so on a CPU; the sizes of DARTS's search network",
        recipe=_cifar(30, batch_size=128, learning_rate=0.1, path_dropout=None, cutout=8),
        epochs=30,
        proxy=Proxy(channels=16, cells=8, resolution=16),
        data="cifar10 or cifar100",
        notes="At half the resolution.",
    ),
)

RECIPES: Mapping[str, NamedRecipe] = MappingProxyType({each.name: each for each in _ALL})
"""All named recipes."""
