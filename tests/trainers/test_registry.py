"""Trainers by name."""

from __future__ import annotations

import subprocess
import sys

import pytest

from store.records.candidates import Named
from tests.trainers.harness import ROOT, SECONDS
from trainers import registry
from trainers.errors import ImpossibleSetting, UnknownTrainer
from trainers.options import CellOptions, ScriptedOptions
from trainers.scripted import ScriptedTrainer


def test_options_get_their_defaults() -> None:
    assert registry.options(Named(name="cell")) == CellOptions(auxiliary=False)
    assert registry.options(Named(name="scripted", options={"steps": 9})) == ScriptedOptions(steps=9)


def test_an_unknown_trainer_lists_what_there_is() -> None:
    for ask in (lambda: registry.entry("x"), lambda: registry.load("x"), lambda: registry.options(Named(name="x"))):
        with pytest.raises(UnknownTrainer, match="'x': expected one of cell, scripted"):
            ask()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"auxilliary": True}, "trainer.auxilliary is True: expected Extra inputs are not permitted"),
        ({"auxiliary": "maybe"}, "trainer.auxiliary is 'maybe': expected Input should be a valid boolean"),
    ],
)
def test_a_wrong_option_names_key_value_and_what_was_expected(options: dict[str, object], words: str) -> None:
    with pytest.raises(ImpossibleSetting) as caught:
        registry.options(Named(name="cell", options=options))
    assert words in str(caught.value)


def test_loading_makes_an_instance() -> None:
    assert isinstance(registry.load("scripted"), ScriptedTrainer)


def test_every_registered_trainer_can_be_loaded_and_has_the_three_verbs() -> None:
    for name in registry.TRAINERS:
        trainer = registry.load(name)
        for verb in ("train", "evaluate", "measure"):
            assert callable(getattr(trainer, verb))


def test_the_registry_and_the_worker_load_neither_torch_nor_numpy() -> None:
    """The daemon imports the first; the second must not start any library's threads before it has set their number."""
    program = (
        "import sys, trainers.registry, trainers.worker\n"
        "loaded = {'torch', 'numpy', 'zarr', 'torchvision', 'sklearn'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {loaded}' if loaded else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=SECONDS, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
