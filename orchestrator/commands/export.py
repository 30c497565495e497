"""`coldframe export`: takes a trained network out of the store, with all that is needed to use it."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.commands.common import JsonOption, StoreOption, guarded, print_json, reading

if TYPE_CHECKING:
    from orchestrator.lineage import Chosen
    from trainers.export.exporting import Order


class Format(StrEnum):
    """What the weights are written as."""

    SAFETENSORS = "safetensors"
    ONNX = "onnx"
    TORCH = "torch"


@guarded
def export(
    what: Annotated[
        str,
        typer.Argument(
            help="A search, of which the best network is taken, a checkpoint, or a candidate.", metavar="ID"
        ),
    ],
    store: StoreOption,
    format: Annotated[Format, typer.Option(help="Of the weights.")] = Format.SAFETENSORS,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write; export/CHECKPOINT-FORMAT if absent.", show_default=False)
    ] = None,
    network: Annotated[
        str | None, typer.Option(help="Another network of the search: its number, or its candidate's id.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Where the data set lies now, if not where the search had it.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an export that is in the folder.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Take a trained network home: weights, a definition in plain PyTorch, and a model card.

    What is written is read back and compared with the network in the store before the folder is there.
    """
    from orchestrator import lineage, preparing
    from store import caches
    from trainers.export import exporting

    with reading(store) as found, preparing.bars(sys.stderr) as told:
        chosen = lineage.choose(found.history, what, network)
        folder = (out or Path("export") / f"{chosen.checkpoint[:12]}-{format.value}").resolve()
        order = _order(chosen, format.value, data, str(found.store.folder / caches.FOLDER))
        card = exporting.export(found.store.checkpoints, order, folder, force=force, told=told)
    files = sorted(str(file) for file in folder.iterdir())
    if as_json:
        print_json({"folder": str(folder), "files": files, "card": card})
        return
    for line in _lines(card, folder):
        typer.echo(line)


def _order(chosen: Chosen, format: str, data: Path | None, cache: str) -> Order:
    from trainers.export.exporting import Order

    return Order(
        candidate=chosen.candidate,
        checkpoint=chosen.checkpoint,
        data_path=str(data) if data is not None else chosen.data_path,
        cache=cache,
        name=chosen.name,
        accuracy=chosen.accuracy,
        lineage=chosen.lineage,
        format=format,
    )


def _lines(card: dict[str, Any], folder: Path) -> list[str]:
    from orchestrator import wording

    accuracies = {name: wording.accuracy(card["accuracy"][name]) for name in ("test", "validation", "proxy")}
    known = ", ".join(f"{name} accuracy {value}" for name, value in accuracies.items() if value != "-")
    counts = f"{wording.amount(card['parameters'])} parameters, {wording.amount(card['multiply_adds'])} multiply-adds"
    checked = card["checked"]
    return [
        f"{card['name']}: {counts}{', ' if known else ''}{known}",
        f"compared with the network in the store on {checked['images']} random images: "
        f"logits differ by at most {checked['largest_difference']:.2g}",
        f"{folder / card['format']['file']}",
        f"{folder / 'card.md'}",
    ]
