"""Exports a network: weights, definition, genotype, card. What is written is read back and compared."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from store.checkpoints import CheckpointStore
from store.records.candidates import Candidate
from trainers.errors import ExportDiffers
from trainers.export import card as cards
from trainers.export import definition, folder, formats
from trainers.export.source import Source
from trainers.sources import Told, silent

LIMIT = 1e-4
"""Largest difference of a logit, where logits are up to 1; of larger logits, that share of the largest."""
COMPARED = 8
"""Random images that the comparison takes."""


class Order(NamedTuple):
    """What is to be exported.

    Attributes:
        candidate: the network's candidate.
        checkpoint: digest of the manifest with its weights.
        data_path: where its data set lies.
        cache: the store's folder of decoded images.
        name: what the card calls it.
        accuracy: `proxy` and `test`, where they are known.
        lineage: where it comes from, for the card.
        format: a key of `formats.FORMATS`.
    """

    candidate: Candidate
    checkpoint: str
    data_path: str | None
    cache: str | None
    name: str
    accuracy: Mapping[str, float | None]
    lineage: Mapping[str, Any]
    format: str


def export(
    checkpoints: CheckpointStore, order: Order, out: Path, *, force: bool = False, told: Told = silent
) -> cards.Card:
    """Writes an export's folder and returns its card.

    Args:
        checkpoints: the store's.
        order: what to write.
        out: the folder, which must not be there unless it is empty.
        force: replace an export that is there.
        told: hears how far it is, where images have to be decoded.

    Raises:
        ExportRefused: if the folder is in use.
        ExportUnavailable: if a package of the format is not installed.
        ExportDiffers: if what was written computes something else. The folder is not there then.
        ImpossibleSetting, DataError, CheckpointMismatch, StoreError: if the network cannot be rebuilt.
        OSError: if the disk refuses.
    """
    out = out.resolve()
    folder.check(out, force=force)
    formats.require(order.format)
    source = Source.load(checkpoints, order.candidate, order.checkpoint, order.data_path, order.cache, told)
    card: cards.Card = {"name": order.name, **cards.card(source, accuracy=order.accuracy, lineage=order.lineage)}
    with folder.drafted(out, force=force) as draft:
        _write(draft, definition.FILE, definition.text(_title(source), source.genotype, source.exported_shape))
        _write(draft, "genotype.json", _json(definition.describe(source.genotype)))
        card["format"] = _weights(source, order, draft)
        card["checked"] = _compare(source, order.format, draft)
        card["versions"] = _versions()
        _write(draft, folder.CARD, _json(card))
        _write(draft, "card.md", cards.text(card))
    return card


def _weights(source: Source, order: Order, draft: Path) -> dict[str, Any]:
    """Writes the weights' file, and returns what the card says of it."""
    network = _plain(draft)
    network.load_state_dict(definition.state(source.network.state_dict(), network))
    words = {
        "name": order.name,
        "candidate": source.candidate.id,
        "checkpoint": source.checkpoint,
        "resolution": str(source.shape.resolution),
        "coldframe": metadata.version("coldframe"),
    }
    chosen = formats.FORMATS[order.format]
    data, told = chosen.write(network.eval(), words)
    (draft / chosen.file).write_bytes(data)
    return {"name": order.format, "file": chosen.file, "sha256": hashlib.sha256(data).hexdigest(), **told}


@torch.no_grad()
def _compare(source: Source, name: str, draft: Path) -> dict[str, Any]:
    """Compares what the files in the folder compute with what the network in the store does."""
    images = source.random_images(COMPARED)
    expected = source.network(images).logits
    logits = formats.FORMATS[name].read(draft / formats.FORMATS[name].file, _plain(draft))
    found = torch.cat([logits(images[:1]), logits(images[1:])])  # two sizes of batch: neither may be built in
    difference, largest = float((found - expected).abs().max()), float(expected.abs().max())
    limit = LIMIT * max(1.0, largest)
    if not difference <= limit:  # a NaN is refused, too
        raise ExportDiffers(name, difference, limit)
    return {"images": COMPARED, "largest_difference": difference, "largest_logit": largest, "limit": limit}


def _plain(draft: Path) -> nn.Module:
    """The network of the `network.py` that was just written; its random weights leave the global generator alone."""
    with torch.random.fork_rng(devices=[]):
        return definition.load(draft / definition.FILE)


def _title(source: Source) -> str:
    kind = source.candidate.space.name
    shape = source.exported_shape
    return f"A network of the space {kind}: {shape.cells} cells, {shape.channels} initial channels"


def _versions() -> dict[str, str]:
    names = ("coldframe", "torch", "numpy")
    return {name: metadata.version(name) for name in names} | {"python": platform.python_version()}


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


def _write(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text, encoding="utf-8")
