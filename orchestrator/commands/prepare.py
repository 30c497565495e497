"""`coldframe prepare`: decodes the images of a search's data set now, so that its workers need not."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator.commands.common import JsonOption, StoreOption, guarded, print_json


@guarded
def prepare(
    spec: Annotated[Path, typer.Argument(help="The search, as a TOML file.", metavar="SPEC.toml")],
    store: StoreOption,
    as_json: JsonOption = False,
) -> None:
    """Decode the images of a search now, and check those that are decoded.

    A search does so itself when it starts. What is decoded stays in the store, for every search on the same images; if
    this is interrupted, it goes on where it was.
    """
    from orchestrator.preparing import READING, bars
    from orchestrator.spec import load
    from store import caches
    from store import format as store_format
    from trainers import datasets

    with bars(sys.stderr) as told:
        plan = load(spec, lambda done, total: told(READING, done, total))
        store_format.ensure(store.absolute())
        images = datasets.load(plan.data, plan.data_path, store.absolute() / caches.FOLDER, told)
    found = _summary(images)
    if as_json:
        print_json(found)
    else:
        typer.echo(_line(found))


def _summary(images: Any) -> dict[str, Any]:
    return {
        "images": len(images.labels),
        "classes": images.classes,
        "channels": images.channels,
        "size": images.size,
        "bytes": int(images.pixels.nbytes),
        "file": str(images.pixels.filename) if hasattr(images.pixels, "filename") else None,
    }


def _line(found: dict[str, Any]) -> str:
    from orchestrator.wording import size

    what = f"{found['images']:,} images of {found['classes']} classes, {found['size']} x {found['size']} pixels"
    where = f"decoded in {found['file']}" if found["file"] else "few enough to be read into memory by each worker"
    return f"{what}, {size(found['bytes'])}: {where}"
