"""The card of an exported network: what it is, how good, how it came to be, and how to use it; as JSON and as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from store.records.outcomes import best_accuracy
from strategies.spaces.mobile import MobileGenotype
from trainers.export import definition
from trainers.export.source import Source

Card = dict[str, Any]

LICENCE = (
    "The licence of the data, and what it allows for networks trained on them, is not known to coldframe: add it here."
)


def card(source: Source, *, accuracy: Mapping[str, float | None], lineage: Mapping[str, Any]) -> Card:
    """Returns the card as JSON, without what is known only when the files are written.

    Args:
        source: the network.
        accuracy: `proxy` and `test`, in [0, 1], where they are known.
        lineage: where it comes from, as the journal tells it.
    """
    candidate, manifest, counted = source.candidate, source.manifest, source.cost()
    return {
        "network": _network(source),
        "parameters": counted.parameters,
        "multiply_adds": counted.multiply_adds,
        "accuracy": {
            "proxy": accuracy.get("proxy"),
            "validation": best_accuracy(manifest.history),
            "train": manifest.history[-1].train_accuracy if manifest.history else None,
            "test": accuracy.get("test"),
        },
        "training": {
            "epochs": manifest.epoch,
            "steps_of_the_next_epoch": manifest.step,
            "recipe": candidate.recipe.model_dump(mode="json", exclude_none=True),
            "sample_ratio": candidate.proxy.sample_ratio,
            "seed": candidate.seed,
            "trainer": candidate.trainer.model_dump(mode="json"),
        },
        "data": candidate.data.model_dump(mode="json", exclude_none=True)
        | {"classes": source.images.classes, "training_images": len(source.split.train), "licence": LICENCE},
        "preprocessing": source.preprocessing(),
        "lineage": {"candidate": candidate.id, "checkpoint": source.checkpoint, **lineage},
    }


def _network(source: Source) -> dict[str, Any]:
    shape, candidate = source.exported_shape, source.candidate
    return {
        "space": candidate.space.model_dump(mode="json"),
        "genes": list(candidate.architecture.genes),
        "genotype": definition.describe(source.genotype),
        "channels": shape.channels,
        "cells": None if isinstance(source.genotype, MobileGenotype) else shape.cells,
        "classes": shape.classes,
        "input_channels": shape.input_channels,
        "resolution": shape.resolution,
        "stem": shape.stem or "cifar",
        "precision": "float32" + _TRAINED_IN.get(candidate.recipe.precision or "", ""),
        "auxiliary_head": "trained with one; it serves training only and is left out"
        if source.shape.auxiliary
        else None,
    }


_TRAINED_IN = {"bfloat16": "; it was trained and tested in bfloat16 by autocast"}


def text(card: Mapping[str, Any]) -> str:
    """Returns a complete card as Markdown."""
    return "\n".join([f"# {card['name']}", "", *_summary(card), *_use(card), *_training(card), *_origin(card)]) + "\n"


def _summary(card: Mapping[str, Any]) -> Iterator[str]:
    network, accuracy = card["network"], card["accuracy"]
    depth = (
        f"{network['cells']} cells" if network["cells"] else f"{len(network['genotype']['blocks'])} blocks of layers"
    )
    size = f"{depth}, {network['channels']} initial channels, {network['classes']} classes"
    yield f"An image classifier found by architecture search: {size}."
    yield ""
    rows = {
        "test accuracy": _share(accuracy["test"]),
        "validation accuracy": _share(accuracy["validation"]),
        "accuracy on the training images": _share(accuracy["train"]),
        "proxy accuracy (validation, in the search)": _share(accuracy["proxy"]),
        "parameters": f"{card['parameters']:,}",
        "multiply-adds of one image": f"{card['multiply_adds']:,}",
        "precision": network["precision"],
        "auxiliary head": network["auxiliary_head"] or "none",
    }
    yield from _table(rows)
    if accuracy["test"] is not None and (tested := card["lineage"].get("networks_tested_in_it", 1)) > 1:
        yield from (
            "",
            f"{tested} retrained networks were scored on the same test images. Whoever takes the best of them",
        )
        yield "by that score should expect a little less of it on other images."


def _use(card: Mapping[str, Any]) -> Iterator[str]:
    written, checked = card["format"], card["checked"]
    yield from ("", "## Use", "")
    yield f"`{written['file']}` holds the weights ({written['name']}), `network.py` the definition in plain PyTorch."
    if written["name"] == "onnx":
        shape = written["input"]["images"]
        yield f"The ONNX graph (opset {written['opset']}) is in evaluation mode and takes `images` {shape}."
        yield "Preprocessing is not inside it."
    yield from ("", "Preprocessing:", "")
    yield from (f"{number}. {step}" for number, step in enumerate(card["preprocessing"]["steps"], start=1))
    yield from ("", f"mean {card['preprocessing']['mean']}, std {card['preprocessing']['std']}", "")
    yield (
        f"What was written was read back and compared with the network in the store on {checked['images']} random "
        f"images: logits differ by at most {checked['largest_difference']:.2g}."
    )


def _training(card: Mapping[str, Any]) -> Iterator[str]:
    training, data = card["training"], card["data"]
    yield from ("", "## Training", "")
    rows = {
        "data": f"{data['name']}, {data['training_images']:,} training images, {data['classes']} classes",
        "data's fingerprint": data["fingerprint"],
        "held out for validation": f"{data['validation_fraction']:.0%}",
        "epochs": training["epochs"],
        "seed": training["seed"],
        "share of the training images used": training["sample_ratio"],
    }
    yield from _table(rows | {f"recipe: {key}": value for key, value in training["recipe"].items()})
    yield from ("", data["licence"])


def _origin(card: Mapping[str, Any]) -> Iterator[str]:
    lineage = card["lineage"]
    yield from ("", "## Where it comes from", "")
    yield from _table({key: value for key, value in lineage.items() if not isinstance(value, list)})
    ancestors = lineage.get("ancestors") or []
    if ancestors:
        yield from ("", "Its line, the network itself first:", "")
    for each in ancestors:
        reached = f", {_share(each['accuracy'])} after {each['epochs']} epochs" if each["accuracy"] is not None else ""
        yield f"- network {each['index']}, cycle {each['cycle']}: {each['origin']}{reached}"
    versions = ", ".join(f"{name} {version}" for name, version in card["versions"].items())
    yield from ("", f"Exported with {versions}.")


def _table(rows: Mapping[str, Any]) -> Iterator[str]:
    yield from ("| | |", "|---|---|")
    yield from (f"| {key} | {'-' if value is None else _cell(value)} |" for key, value in rows.items())


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def _share(value: float | None) -> str:
    return "not known" if value is None else f"{value * 100:.2f} %"
